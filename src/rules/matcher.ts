// Compiles a rule's tree (config/model.ts, Matcher) to one function over a request. It runs on every request: no allocation, no
// closure created while matching, cheap conditions first. A pattern that does not compile matches nothing: dialects validate
// rules, and a snapshot from another source must not stop a worker.

import type { Matcher } from '../config/model.ts'
import { queryValue } from './query.ts'
import { compileRegex, type Regex } from './regex.ts'

/** What rules read of a request; header names are in lower case. */
export interface MatchedRequest {
  /** In lower case, without port. */
  readonly host: string
  readonly path: string
  readonly method: string
  /** Without the question mark; null when the request has none. */
  readonly query: string | null
  /** The first field of this name. */
  header(name: string): string | undefined
  headers(name: string): readonly string[]
}

export type Predicate = (x: MatchedRequest) => boolean

/** Compiles a rule. Never throws. */
export function compileMatcher(m: Matcher): Predicate {
  switch (m.kind) {
    case 'and':
      return all(inCostOrder(m.of).map(compileMatcher))
    case 'or':
      return any(inCostOrder(m.of).map(compileMatcher))
    case 'not': {
      const inner = compileMatcher(m.of)
      return x => !inner(x)
    }
    case 'host':
      return oneOf(
        m.hosts,
        (x, host) => x.host === host,
        x => x.host,
      )
    case 'path':
      return oneOf(
        m.paths,
        (x, path) => x.path === path,
        x => x.path,
      )
    case 'method':
      return oneOf(
        m.methods,
        (x, method) => x.method === method,
        x => x.method,
      )
    case 'pathPrefix':
      return prefixes(m.prefixes)
    case 'hostRegexp': {
      const patterns = compiled(m.patterns)
      return x => anyPattern(patterns, x.host)
    }
    case 'pathRegexp': {
      const patterns = compiled(m.patterns)
      return x => anyPattern(patterns, x.path)
    }
    case 'header':
      return header(m.name, m.value)
    case 'headerRegexp':
      return headerRegexp(m.name, m.pattern)
    case 'query': {
      const { name, value } = m
      return value === null ? x => queryValue(x.query, name) !== null : x => queryValue(x.query, name) === value
    }
    case 'queryRegexp': {
      const { name } = m
      const patterns = compiled([m.pattern])
      return x => {
        const value = queryValue(x.query, name)
        return value !== null && anyPattern(patterns, value)
      }
    }
  }
}

const COST: Readonly<Record<Matcher['kind'], number>> = {
  method: 0,
  host: 1,
  path: 2,
  pathPrefix: 3,
  header: 4,
  query: 5,
  not: 6,
  and: 7,
  or: 8,
  hostRegexp: 9,
  pathRegexp: 10,
  headerRegexp: 11,
  queryRegexp: 12,
}

function inCostOrder(of: readonly Matcher[]): Matcher[] {
  return [...of].sort((a, b) => COST[a.kind] - COST[b.kind])
}

function all(of: readonly Predicate[]): Predicate {
  const [a, b] = of
  if (a === undefined) return () => true
  if (b === undefined) return a
  if (of.length === 2) return x => a(x) && b(x)
  return x => {
    for (let i = 0; i < of.length; i++) if (!of[i]!(x)) return false
    return true
  }
}

function any(of: readonly Predicate[]): Predicate {
  const [a, b] = of
  if (a === undefined) return () => false
  if (b === undefined) return a
  if (of.length === 2) return x => a(x) || b(x)
  return x => {
    for (let i = 0; i < of.length; i++) if (of[i]!(x)) return true
    return false
  }
}

function oneOf(
  values: readonly string[],
  is: (x: MatchedRequest, value: string) => boolean,
  get: (x: MatchedRequest) => string,
): Predicate {
  const [only] = values
  if (only === undefined) return () => false
  if (values.length === 1) return x => is(x, only)
  const set = new Set(values)
  return x => set.has(get(x))
}

function prefixes(values: readonly string[]): Predicate {
  const [only] = values
  if (only === undefined) return () => false
  if (values.length === 1) return x => x.path.startsWith(only)
  return x => {
    for (let i = 0; i < values.length; i++) if (x.path.startsWith(values[i]!)) return true
    return false
  }
}

function header(name: string, value: string): Predicate {
  if (value === '') return x => x.header(name) !== undefined
  return x => {
    const first = x.header(name)
    if (first === undefined) return false
    if (first === value) return true
    return x.headers(name).includes(value)
  }
}

function headerRegexp(name: string, pattern: string): Predicate {
  const patterns = compiled([pattern])
  return x => {
    const first = x.header(name)
    if (first === undefined) return false
    if (anyPattern(patterns, first)) return true
    const values = x.headers(name)
    for (let i = 1; i < values.length; i++) if (anyPattern(patterns, values[i]!)) return true
    return false
  }
}

function compiled(patterns: readonly string[]): Regex[] {
  const out: Regex[] = []
  for (const pattern of patterns) {
    const result = compileRegex(pattern)
    if (result.ok) out.push(result.regex)
  }
  return out
}

function anyPattern(patterns: readonly Regex[], text: string): boolean {
  for (let i = 0; i < patterns.length; i++) if (patterns[i]!.test(text)) return true
  return false
}
