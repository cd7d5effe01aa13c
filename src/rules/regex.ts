// Compiles users' regular expressions; no other file does. Syntax and semantics are those of Go's regexp package (RE2), as in
// Traefik's rules. Matching takes time linear in the input for every pattern: re2js, or the native engine for patterns that
// native-regex.ts proves harmless. Specification: https://github.com/google/re2/wiki/Syntax and Go's Regexp.Expand.

import type { RE2JS } from 're2js'
import { loadRe2 } from '../util/lean-imports.ts'
import { toNative } from './native-regex.ts'

/** Longest pattern accepted, in UTF-16 units. */
export const MAX_PATTERN_LENGTH = 1024
/** Longest input; longer texts match nothing. Above all limits on heads. */
export const MAX_INPUT_LENGTH = 65_536
/** Instructions of the compiled program: the worst cost of one byte of input. */
const MAX_PROGRAM_SIZE = 2_000
const MAX_CACHED = 4_096

export interface Regex {
  readonly pattern: string
  /** True when the pattern matches anywhere in the text. */
  test(text: string): boolean
  /** Length of the match at the start of the text; -1: none. */
  prefixLength(text: string): number
  /** Replaces every match as Go's ReplaceAllString does: `$1`, `${1}`, `$name`, `${name}`, `$$`; unknown groups are empty. */
  replaceAll(text: string, replacement: Replacement): string
}

export type RegexResult = { readonly ok: true; readonly regex: Regex } | { readonly ok: false; readonly message: string }

/** A parsed replacement: literals are strings, groups are numbers or names in an object. */
export type Replacement = readonly (string | { readonly group: number | string })[]

const cache = new Map<string, RegexResult>()

/**
 * Compiles an RE2 pattern. The same pattern gives the same object, so a new snapshot does not recompile unchanged rules. A
 * malformed pattern, one above 1,024 characters or above 2,000 instructions gives a message.
 */
export function compileRegex(pattern: string): RegexResult {
  const known = cache.get(pattern)
  if (known !== undefined) return known
  const result = compile(pattern)
  if (cache.size >= MAX_CACHED) cache.clear()
  cache.set(pattern, result)
  return result
}

function compile(pattern: string): RegexResult {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    return {
      ok: false,
      message: `a regular expression of at most ${MAX_PATTERN_LENGTH} characters (this one has ${pattern.length})`,
    }
  }
  let re: RE2JS
  try {
    re = loadRe2().RE2JS.compile(pattern)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { ok: false, message: `a regular expression in Go's (RE2) syntax: ${reason.replace(/^error parsing regexp: /, '')}` }
  }
  const size = re.programSize()
  if (size > MAX_PROGRAM_SIZE) {
    return {
      ok: false,
      message: `a regular expression of at most ${MAX_PROGRAM_SIZE} instructions (this one compiles to ${size})`,
    }
  }
  return { ok: true, regex: new CompiledRegex(pattern, re, toNative(pattern)) }
}

class CompiledRegex implements Regex {
  readonly pattern: string
  readonly #re: RE2JS
  readonly #native: RegExp | null
  readonly #groups: number
  readonly #names: Readonly<Record<string, number>>

  constructor(pattern: string, re: RE2JS, native: RegExp | null) {
    this.pattern = pattern
    this.#re = re
    this.#native = native
    this.#groups = re.groupCount()
    this.#names = re.namedGroups()
  }

  test(text: string): boolean {
    if (text.length > MAX_INPUT_LENGTH) return false
    return this.#native !== null ? this.#native.test(text) : this.#re.test(text)
  }

  prefixLength(text: string): number {
    if (text.length > MAX_INPUT_LENGTH) return -1
    const matcher = this.#re.matcher(text)
    return matcher.lookingAt() ? matcher.end() : -1
  }

  replaceAll(text: string, replacement: Replacement): string {
    if (text.length > MAX_INPUT_LENGTH) return text
    const matcher = this.#re.matcher(text)
    let out = ''
    let done = 0
    // Go skips an empty match that touches the previous match.
    let lastEnd = -1
    while (matcher.find()) {
      const start = matcher.start()
      const end = matcher.end()
      if (start === end && start === lastEnd) continue
      out += text.slice(done, start)
      for (const part of replacement) {
        if (typeof part === 'string') {
          out += part
        } else {
          const index = typeof part.group === 'number' ? part.group : (this.#names[part.group] ?? -1)
          if (index >= 0 && index <= this.#groups) out += matcher.group(index) ?? ''
        }
      }
      done = end
      lastEnd = end
    }
    return out + text.slice(done)
  }
}

const NAME = /^\$(?:\{([0-9A-Za-z_]+)\}|([0-9A-Za-z_]+))/

/**
 * Parses a replacement in Go's syntax. A name is as long as possible (`$1x` is the group named "1x", write `${1}x`); a `$`
 * without a name is literal, `$$` is a dollar.
 */
export function parseReplacement(text: string): Replacement {
  const parts: (string | { group: number | string })[] = []
  let literal = ''
  let at = 0
  while (at < text.length) {
    const dollar = text.indexOf('$', at)
    if (dollar < 0) break
    literal += text.slice(at, dollar)
    const rest = text.slice(dollar)
    if (rest.startsWith('$$')) {
      literal += '$'
      at = dollar + 2
      continue
    }
    const found = NAME.exec(rest)
    if (found === null) {
      // Malformed: literal in Go.
      literal += '$'
      at = dollar + 1
      continue
    }
    if (literal !== '') parts.push(literal)
    literal = ''
    const name = found[1] ?? found[2] ?? ''
    parts.push({ group: /^[0-9]{1,8}$/.test(name) ? Number(name) : name })
    at = dollar + found[0].length
  }
  literal += text.slice(at)
  if (literal !== '') parts.push(literal)
  return parts
}

/** The pattern that matches exactly this text. */
export function quoteRegex(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&')
}
