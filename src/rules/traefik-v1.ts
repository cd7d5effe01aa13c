// Parses rules of Traefik v1: `Host:shop.test;PathPrefixStrip:/api`. `;` is AND between matchers, `,` is OR inside one.
// Modifiers change the path after routing, in the fixed order ORDER, whatever their place in the rule. Specification:
// https://doc.traefik.io/traefik/v1.7/basics/ (Frontends) and Traefik 1.7's rules/rules.go. Intended differences: braces
// protect `,` and `;` (so `{id:[0-9]{1,3}}` works), and a rule that v1 accepts but that can never match is an error. `Path`
// matches the exact path; the options of a replica decide whether a path that differs by a trailing slash is redirected
// (trailing-slash.ts).

import type { Matcher, Middleware } from '../config/model.ts'
import { hostLiteral, pathLiteral } from './literals.ts'
import { compileRegex, quoteRegex } from './regex.ts'
import { splitOutsideBraces } from './split.ts'
import { parseTemplate } from './template.ts'

export type ParsedRule =
  | {
      readonly ok: true
      readonly matcher: Matcher
      /** In the order of execution. */
      readonly middlewares: readonly Middleware[]
      /** v1's default priority: the length of the rule in bytes. */
      readonly priority: number
      /**
       * Messages about values that were left out of a list of alternatives. Such a rule matches fewer requests than written,
       * never more: values that must all hold (Headers, Query) are never left out.
       */
      readonly leftOut: readonly string[]
    }
  /** What was expected and what was found. */
  | { readonly ok: false; readonly message: string }

/** Values per rule, and the length of each after encoding: within the limits of config/schema.ts. */
const MAX_VALUES = 256
const MAX_VALUE_LENGTH = 2_048

const NAMES = [
  'Host',
  'HostRegexp',
  'Path',
  'PathStrip',
  'PathStripRegex',
  'PathPrefix',
  'PathPrefixStrip',
  'PathPrefixStripRegex',
  'Method',
  'Headers',
  'HeadersRegexp',
  'Query',
  'AddPrefix',
  'ReplacePath',
  'ReplacePathRegex',
] as const
type Name = (typeof NAMES)[number]

interface Draft {
  readonly matchers: Matcher[]
  /** A second modifier of a kind replaces the first, as in v1. */
  readonly edits: Map<Middleware['kind'], Middleware>
  readonly leftOut: string[]
}

/** The order in which v1 applies modifiers: regex strip, strip, prefix, regex replacement, replacement. */
const ORDER: readonly Middleware['kind'][] = ['stripPrefixRegex', 'stripPrefix', 'addPrefix', 'replacePathRegex', 'replacePath']

class RuleError extends Error {}

/** Parses a rule. A mistake is returned as a value; nothing is thrown. */
export function parseRule(rule: string): ParsedRule {
  try {
    return parse(rule)
  } catch (error) {
    if (error instanceof RuleError) return { ok: false, message: error.message }
    throw error
  }
}

function parse(rule: string): ParsedRule {
  const draft: Draft = { matchers: [], edits: new Map(), leftOut: [] }
  let values = 0
  let parts = 0
  for (const part of splitOutsideBraces(rule, ';')) {
    if (part.trim() === '') continue
    parts++
    const colon = part.indexOf(':')
    const name = (colon < 0 ? part : part.slice(0, colon)).trim()
    if (!isName(name)) throw new RuleError(`one of ${NAMES.join(', ')}; found '${name}'${suggestion(name)}`)
    const text = colon < 0 ? '' : part.slice(colon + 1).trim()
    if (text === '') throw new RuleError(`${name}:value; the value is missing`)
    const args = splitOutsideBraces(text, ',')
      .map(arg => arg.trim())
      .filter(arg => arg !== '')
    if (args.length === 0) throw new RuleError(`${name}:value; the value is missing`)
    values += args.length
    if (values > MAX_VALUES) throw new RuleError(`at most ${MAX_VALUES} values in one rule`)
    apply(draft, name, text, args)
  }
  if (parts === 0) throw new RuleError('a rule such as Host:example.com; found nothing')
  const [first] = draft.matchers
  return {
    ok: true,
    matcher: draft.matchers.length === 1 && first !== undefined ? first : { kind: 'and', of: draft.matchers },
    middlewares: ORDER.flatMap(kind => draft.edits.get(kind) ?? []),
    priority: Buffer.byteLength(rule),
    leftOut: draft.leftOut,
  }
}

function isName(name: string): name is Name {
  return (NAMES as readonly string[]).includes(name)
}

function suggestion(name: string): string {
  const same = NAMES.find(known => known.toLowerCase() === name.toLowerCase())
  if (same !== undefined) return ` (write ${same})`
  return name.includes('(') ? ' (this is the rule syntax of newer Traefik versions)' : ''
}

function apply(draft: Draft, name: Name, text: string, args: readonly string[]): void {
  const { matchers, edits } = draft
  switch (name) {
    case 'Host':
      matchers.push({ kind: 'host', hosts: alternatives(draft, name, args, host) })
      return
    case 'HostRegexp':
      matchers.push(hostRegexp(alternatives(draft, name, args, hostPattern)))
      return
    case 'Path':
    case 'PathPrefix': {
      const exact = name === 'Path'
      const paths = alternatives(draft, name, args, arg => pathPattern(name, arg, exact))
      matchers.push(pathMatcher(paths, exact))
      return
    }
    case 'PathStrip':
    case 'PathPrefixStrip': {
      // Longest first, because the first matching prefix is stripped.
      const exact = name === 'PathStrip'
      const paths = alternatives(draft, name, longestFirst(args), arg => {
        literalPath(name, arg)
        return pathPattern(name, arg, exact)
      })
      matchers.push(pathMatcher(paths, exact))
      edits.set('stripPrefix', { kind: 'stripPrefix', prefixes: paths.flatMap(found => found.literal ?? []) })
      return
    }
    case 'PathStripRegex':
    case 'PathPrefixStripRegex': {
      const exact = name === 'PathStripRegex'
      const paths = alternatives(draft, name, longestFirst(args), arg => {
        const found = pathPattern(name, arg, exact)
        checked(name, found.pattern)
        return found
      })
      matchers.push(pathMatcher(paths, exact))
      edits.set('stripPrefixRegex', { kind: 'stripPrefixRegex', patterns: paths.map(found => found.pattern) })
      return
    }
    case 'Method':
      matchers.push({ kind: 'method', methods: alternatives(draft, name, args, method) })
      return
    case 'Headers':
    case 'HeadersRegexp':
      for (const arg of args) bounded(name, arg)
      matchers.push(...headers(name, args))
      return
    case 'Query':
      for (const arg of args) bounded(name, arg)
      matchers.push(...args.map(query))
      return
    case 'AddPrefix':
      edits.set('addPrefix', { kind: 'addPrefix', prefix: literalPath(name, text) })
      return
    case 'ReplacePath':
      edits.set('replacePath', { kind: 'replacePath', path: literalPath(name, text) })
      return
    case 'ReplacePathRegex':
      edits.set('replacePathRegex', replacePathRegex(text))
  }
}

/**
 * The valid values of a list of alternatives. A value that `read` refuses is left out and reported, so that it does not affect
 * the others; a list without any valid value is a mistake of the rule.
 */
function alternatives<T>(draft: Draft, name: Name, args: readonly string[], read: (arg: string) => T): T[] {
  const values: T[] = []
  const mistakes: string[] = []
  for (const arg of args) {
    try {
      values.push(read(bounded(name, arg)))
    } catch (error) {
      if (!(error instanceof RuleError)) throw error
      mistakes.push(error.message)
    }
  }
  if (values.length === 0 && mistakes[0] !== undefined) throw new RuleError(mistakes[0])
  draft.leftOut.push(...mistakes)
  return values
}

function longestFirst(args: readonly string[]): string[] {
  return [...args].sort((a, b) => b.length - a.length)
}

function host(arg: string): string {
  const result = hostLiteral(arg)
  if (!result.ok) throw new RuleError(`Host: ${result.message}`)
  return result.text
}

/** A literal host, or a pattern. */
interface HostPattern {
  readonly literal: string | null
  readonly pattern: string
}

function hostPattern(arg: string): HostPattern {
  const template = parseTemplate(arg, '[^.]+')
  if (!template.ok) throw new RuleError(`HostRegexp: ${template.message}`)
  if (template.kind === 'literal') return { literal: host(arg), pattern: '' }
  return { literal: null, pattern: checked('HostRegexp', `(?i)^${template.pattern}$`) }
}

function hostRegexp(found: readonly HostPattern[]): Matcher {
  const hosts = found.flatMap(({ literal }) => literal ?? [])
  const patterns = found.flatMap(({ literal, pattern }) => (literal === null ? pattern : []))
  return either(hosts.length > 0 ? { kind: 'host', hosts } : null, patterns.length > 0 ? { kind: 'hostRegexp', patterns } : null)
}

/** A path or prefix: as a literal (null for a template), and as an anchored pattern. */
interface PathPattern {
  readonly literal: string | null
  readonly pattern: string
}

function pathPattern(name: Name, arg: string, exact: boolean): PathPattern {
  if (!arg.startsWith('/')) throw new RuleError(`${name}: a path that begins with '/'; found '${arg}'`)
  const template = parseTemplate(arg, '[^/]+', pathLiteral)
  if (!template.ok) throw new RuleError(`${name}: ${template.message}`)
  if (template.kind === 'pattern') return { literal: null, pattern: checked(name, `^${template.pattern}${exact ? '$' : ''}`) }
  const literal = bounded(name, template.text)
  return { literal, pattern: `^${quoteRegex(literal)}${exact ? '$' : ''}` }
}

function pathMatcher(found: readonly PathPattern[], exact: boolean): Matcher {
  const literals = found.flatMap(({ literal }) => literal ?? [])
  const patterns = found.flatMap(({ literal, pattern }) => (literal === null ? pattern : []))
  const plain: Matcher = exact ? { kind: 'path', paths: literals, slash: true } : { kind: 'pathPrefix', prefixes: literals }
  const regexp: Matcher = { kind: 'pathRegexp', patterns, ...(exact ? { slash: true } : {}) }
  return either(literals.length > 0 ? plain : null, patterns.length > 0 ? regexp : null)
}

function either(a: Matcher | null, b: Matcher | null): Matcher {
  if (a !== null && b !== null) return { kind: 'or', of: [a, b] }
  return a ?? b ?? { kind: 'or', of: [] }
}

/** A path without templates, for modifiers that use it literally. */
function literalPath(name: Name, arg: string): string {
  if (!arg.startsWith('/')) throw new RuleError(`${name}: a path that begins with '/'; found '${arg}'`)
  if (name !== 'ReplacePath' && name !== 'AddPrefix' && arg.includes('{')) {
    throw new RuleError(`${name}: a literal path; use ${name}Regex for '${arg}'`)
  }
  return bounded(name, pathLiteral(arg))
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/

function method(arg: string): string {
  if (!TOKEN.test(arg)) throw new RuleError(`Method: a method such as GET; found '${arg}'`)
  return arg.toUpperCase()
}

/** `Headers: name, value, name, value`: all pairs must hold. */
function headers(name: 'Headers' | 'HeadersRegexp', args: readonly string[]): Matcher[] {
  if (args.length % 2 !== 0) throw new RuleError(`${name}: pairs of name and value, comma separated; found ${args.length} parts`)
  const out: Matcher[] = []
  for (let i = 0; i < args.length; i += 2) {
    const key = (args[i] ?? '').toLowerCase()
    const value = args[i + 1] ?? ''
    if (!TOKEN.test(key)) throw new RuleError(`${name}: a header name; found '${args[i]}'`)
    out.push(
      name === 'Headers'
        ? { kind: 'header', name: key, value }
        : { kind: 'headerRegexp', name: key, pattern: checked(name, value) },
    )
  }
  return out
}

/** `name=value`; `name=` requires only that the parameter exists. */
function query(arg: string): Matcher {
  const pieces = splitOutsideBraces(arg, '=')
  const [name, value] = pieces
  if (pieces.length !== 2 || name === undefined || value === undefined || name === '') {
    throw new RuleError(`Query: name=value; found '${arg}'`)
  }
  if (name.includes('{')) throw new RuleError(`Query: a literal name; found '${name}'`)
  if (value === '') return { kind: 'query', name, value: null }
  const template = parseTemplate(value, '.*')
  if (!template.ok) throw new RuleError(`Query: ${template.message}`)
  if (template.kind === 'literal') return { kind: 'query', name, value }
  return { kind: 'queryRegexp', name, pattern: checked('Query', `^${template.pattern}$`) }
}

function replacePathRegex(text: string): Middleware {
  const [pattern, replacement, ...more] = text.split(/\s+/)
  if (pattern === undefined || replacement === undefined || more.length > 0) {
    throw new RuleError(`ReplacePathRegex: a regular expression and a replacement with one space between them; found '${text}'`)
  }
  return {
    kind: 'replacePathRegex',
    pattern: checked('ReplacePathRegex', pattern),
    replacement: bounded('ReplacePathRegex', pathLiteral(replacement)),
  }
}

function bounded(name: Name, text: string): string {
  if (text.length > MAX_VALUE_LENGTH) throw new RuleError(`${name}: values of at most ${MAX_VALUE_LENGTH} characters`)
  return text
}

function checked(name: Name, pattern: string): string {
  const result = compileRegex(pattern)
  if (!result.ok) throw new RuleError(`${name}: ${result.message}`)
  return pattern
}
