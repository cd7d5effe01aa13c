// Finds the router of a request. The result equals testing every router by priority (high to low), then name. Indexes avoid most
// tests: the exact host or a suffix of it selects routers, and a path map and a prefix tree select those whose rule may match. A
// thousand routers cost about as much as one. Matching allocates nothing.

import type { Matcher, Router } from '../../config/model.ts'
import { compareRouters } from '../../config/router-order.ts'
import { literalPrefix, literalSuffix } from '../../rules/literal-ends.ts'
import { compileMatcher, type Predicate } from '../../rules/matcher.ts'
import { slashRedirectMatcher } from '../../rules/trailing-slash.ts'
import type { RequestView } from '../message/request-view.ts'

export interface RouteTable<T> {
  /** The value of the first router whose rule matches and that listens on the request's entry point; null if there is none. */
  match(x: RequestView): T | null
}

/**
 * Compiles routers into a table. `value` is called once per router. With `redirected`, a path that differs from the path of a
 * rule only by a trailing slash also matches, with that value.
 */
export function compileRoutes<T>(
  routers: readonly Router[],
  value: (r: Router) => T,
  redirected: ((value: T) => T) | null = null,
): RouteTable<T> {
  const sorted = [...routers].sort(compareRouters)
  const candidates = sorted.flatMap((router, rank) => {
    const own = value(router)
    const exact = toCandidate(router, router.matcher, rank * 2, own)
    const other = redirected === null ? null : slashRedirectMatcher(router.matcher)
    return redirected === null || other === null ? exact : [exact, toCandidate(router, other, rank * 2 + 1, redirected(own))]
  })
  const named = new Set(sorted.flatMap(r => r.entryPoints))
  const everywhere = new HostTable(candidates.filter(c => c.entryPoints.length === 0))
  const byEntryPoint = new Map<string, HostTable<T>>()
  for (const name of named) {
    byEntryPoint.set(name, new HostTable(candidates.filter(c => c.entryPoints.length === 0 || c.entryPoints.includes(name))))
  }
  if (byEntryPoint.size === 0) return everywhere
  return new EntryPointTable(byEntryPoint, everywhere)
}

interface Candidate<T> {
  readonly rank: number
  readonly value: T
  readonly entryPoints: readonly string[]
  /** Exact hosts, or suffixes of hosts, one of which must match; both null: any host. */
  readonly hosts: readonly string[] | null
  readonly suffixes: readonly string[] | null
  /** Exact paths, or path prefixes, one of which must match; both null: any path. */
  readonly paths: readonly string[] | null
  readonly prefixes: readonly string[] | null
  /** The rest of the rule, after host and path are matched by the indexes; null: nothing. */
  readonly test: Predicate | null
}

function toCandidate<T>(router: Router, matcher: Matcher, rank: number, value: T): Candidate<T> {
  const parts: Matcher[] = []
  flatten(matcher, parts)
  // Parts that the indexes decide are not tested again. Regular expressions are only narrowed down by them.
  const host = parts.find(p => p.kind === 'host')
  const path = parts.find(p => p.kind === 'path') ?? parts.find(p => p.kind === 'pathPrefix')
  const rest = parts.filter(p => p !== host && p !== path)
  return {
    rank,
    value,
    entryPoints: router.entryPoints,
    hosts: host?.kind === 'host' ? host.hosts : null,
    suffixes: host === undefined ? firstList(rest, hostSuffixes) : null,
    paths: path?.kind === 'path' ? path.paths : null,
    prefixes: path?.kind === 'pathPrefix' ? path.prefixes : path === undefined ? firstList(rest, pathPrefixes) : null,
    test: rest.length === 0 ? null : compileMatcher({ kind: 'and', of: rest }),
  }
}

function flatten(m: Matcher, into: Matcher[]): void {
  if (m.kind === 'and') for (const part of m.of) flatten(part, into)
  else into.push(m)
}

function firstList(parts: readonly Matcher[], ends: (m: Matcher) => readonly string[] | null): readonly string[] | null {
  for (const part of parts) {
    const found = ends(part)
    if (found !== null) return found
  }
  return null
}

/** Suffixes, one of which every matching host has; null if there is no such list. */
function hostSuffixes(m: Matcher): readonly string[] | null {
  if (m.kind === 'host') return m.hosts
  if (m.kind === 'hostRegexp') return nullIfEmptyText(m.patterns.map(literalSuffix))
  return m.kind === 'or' ? concatUnlessNull(m.of.map(hostSuffixes)) : null
}

/** Prefixes, one of which every matching path has; null if there is no such list. */
function pathPrefixes(m: Matcher): readonly string[] | null {
  if (m.kind === 'path') return m.paths
  if (m.kind === 'pathPrefix') return m.prefixes
  if (m.kind === 'pathRegexp') return nullIfEmptyText(m.patterns.map(literalPrefix))
  return m.kind === 'or' ? concatUnlessNull(m.of.map(pathPrefixes)) : null
}

function nullIfEmptyText(texts: readonly string[]): readonly string[] | null {
  return texts.includes('') ? null : texts
}

function concatUnlessNull(lists: readonly (readonly string[] | null)[]): readonly string[] | null {
  return lists.includes(null) ? null : lists.flatMap(list => list ?? [])
}

class EntryPointTable<T> implements RouteTable<T> {
  readonly #byName: ReadonlyMap<string, HostTable<T>>
  readonly #others: HostTable<T>

  constructor(byName: ReadonlyMap<string, HostTable<T>>, others: HostTable<T>) {
    this.#byName = byName
    this.#others = others
  }

  match(x: RequestView): T | null {
    return (this.#byName.get(x.entryPoint) ?? this.#others).match(x)
  }
}

class HostTable<T> implements RouteTable<T> {
  readonly #byHost = new Map<string, PathTable<T>>()
  readonly #bySuffix = new SuffixNode<T>()
  readonly #anyHost = new PathTable<T>()
  #suffixUsed = false
  #anyHostUsed = false

  /** `candidates` in order of rank. */
  constructor(candidates: readonly Candidate<T>[]) {
    for (const candidate of candidates) {
      if (candidate.hosts !== null) {
        for (const host of new Set(candidate.hosts)) this.#hostTable(host).add(candidate)
      } else if (candidate.suffixes !== null) {
        this.#suffixUsed = true
        for (const suffix of new Set(candidate.suffixes)) this.#bySuffix.add(suffix, candidate)
      } else {
        this.#anyHostUsed = true
        this.#anyHost.add(candidate)
      }
    }
  }

  #hostTable(host: string): PathTable<T> {
    let table = this.#byHost.get(host)
    if (table === undefined) {
      table = new PathTable()
      this.#byHost.set(host, table)
    }
    return table
  }

  match(x: RequestView): T | null {
    const table = this.#byHost.get(x.host)
    let best: Candidate<T> | null = null
    if (table !== undefined) best = table.first(x, null)
    if (this.#suffixUsed) best = this.#firstBySuffix(x, best)
    if (this.#anyHostUsed) best = this.#anyHost.first(x, best)
    return best === null ? null : best.value
  }

  #firstBySuffix(x: RequestView, best: Candidate<T> | null): Candidate<T> | null {
    const host = x.host
    let found = best
    let node: SuffixNode<T> | undefined = this.#bySuffix
    for (let at = host.length - 1; at >= 0; at--) {
      node = node.children.get(host.charCodeAt(at))
      if (node === undefined) break
      if (node.table !== null) found = node.table.first(x, found)
    }
    return found
  }
}

/** A node of the suffix tree: one character of a host, read from the right, and the routers whose suffix ends here. */
class SuffixNode<T> {
  readonly children = new Map<number, SuffixNode<T>>()
  table: PathTable<T> | null = null

  add(suffix: string, candidate: Candidate<T>): void {
    let node: SuffixNode<T> = this
    for (let at = suffix.length - 1; at >= 0; at--) {
      const code = suffix.charCodeAt(at)
      let child = node.children.get(code)
      if (child === undefined) {
        child = new SuffixNode()
        node.children.set(code, child)
      }
      node = child
    }
    node.table ??= new PathTable()
    node.table.add(candidate)
  }
}

/** The routers of one host (or of any host) by path. Every list is in order of rank. */
class PathTable<T> {
  readonly #exact = new Map<string, Candidate<T>[]>()
  readonly #prefixes = new PrefixNode<T>('')
  readonly #anyPath: Candidate<T>[] = []
  #exactUsed = false
  #prefixUsed = false

  add(candidate: Candidate<T>): void {
    if (candidate.paths !== null) {
      this.#exactUsed = true
      for (const path of new Set(candidate.paths)) {
        const list = this.#exact.get(path)
        if (list === undefined) this.#exact.set(path, [candidate])
        else list.push(candidate)
      }
    } else if (candidate.prefixes !== null) {
      this.#prefixUsed = true
      for (const prefix of new Set(candidate.prefixes)) this.#prefixes.add(prefix, candidate)
    } else {
      this.#anyPath.push(candidate)
    }
  }

  /** The first matching candidate by rank if it precedes `best`; otherwise `best`. */
  first(x: RequestView, best: Candidate<T> | null): Candidate<T> | null {
    let found = firstOf(this.#anyPath, x, best)
    if (this.#exactUsed) {
      const list = this.#exact.get(x.path)
      if (list !== undefined) found = firstOf(list, x, found)
    }
    if (this.#prefixUsed) {
      const path = x.path
      let node: PrefixNode<T> | undefined = this.#prefixes
      let at = 0
      for (;;) {
        found = firstOf(node.candidates, x, found)
        node = node.children.get(path.charCodeAt(at))
        if (node === undefined || (found !== null && node.lowestRank > found.rank) || !path.startsWith(node.label, at)) break
        at += node.label.length
      }
    }
    return found
  }
}

function firstOf<T>(list: readonly Candidate<T>[], x: RequestView, best: Candidate<T> | null): Candidate<T> | null {
  for (let i = 0; i < list.length; i++) {
    const candidate = list[i]!
    if (best !== null && candidate.rank >= best.rank) return best
    if (candidate.test === null || candidate.test(x)) return candidate
  }
  return best
}

/** A node of a radix tree: its label from the parent, and the candidates whose prefix ends here. */
class PrefixNode<T> {
  label: string
  candidates: Candidate<T>[] = []
  children = new Map<number, PrefixNode<T>>()
  /** Lowest rank in this subtree. */
  lowestRank = Number.POSITIVE_INFINITY

  constructor(label: string) {
    this.label = label
  }

  /** Candidates are added in order of rank. */
  add(prefix: string, candidate: Candidate<T>): void {
    if (candidate.rank < this.lowestRank) this.lowestRank = candidate.rank
    if (prefix === '') {
      this.candidates.push(candidate)
      return
    }
    const first = prefix.charCodeAt(0)
    const child = this.children.get(first)
    if (child === undefined) {
      const leaf = new PrefixNode<T>(prefix)
      leaf.add('', candidate)
      this.children.set(first, leaf)
      return
    }
    let common = 1
    while (common < child.label.length && common < prefix.length && child.label[common] === prefix[common]) common++
    if (common < child.label.length) {
      const middle = new PrefixNode<T>(child.label.slice(0, common))
      middle.lowestRank = child.lowestRank
      child.label = child.label.slice(common)
      middle.children.set(child.label.charCodeAt(0), child)
      this.children.set(first, middle)
      middle.add(prefix.slice(common), candidate)
      return
    }
    child.add(prefix.slice(common), candidate)
  }
}
