// Redirects paths that differ from a rule by a trailing slash. Traefik v1 redirects `/x/` to `/x` for a rule Path:/x, and `/x`
// to `/x/` for a rule Path:/x/, unless KeepTrailingSlash is set. Here such a rule gets a second matcher for the paths to
// redirect. Pure. Specification: gorilla/mux, StrictSlash (https://pkg.go.dev/github.com/gorilla/mux#Router.StrictSlash), as
// Traefik 1.7's rules/rules.go uses it for Path, PathStrip and PathStripRegex.

import type { Matcher } from '../config/model.ts'

/**
 * A matcher for the paths that differ by a trailing slash from those that the rule matches; null when there are none. Paths
 * that `matcher` itself matches are not redirected, so it must be tested first.
 */
export function slashRedirectMatcher(matcher: Matcher): Matcher | null {
  const other = toggled(matcher)
  return other === matcher ? null : other
}

function toggled(matcher: Matcher): Matcher {
  switch (matcher.kind) {
    case 'path':
      if (matcher.slash !== true) return matcher
      return { kind: 'path', paths: matcher.paths.filter(path => path !== '/').map(toggleSlash) }
    case 'pathRegexp':
      if (matcher.slash !== true) return matcher
      return { kind: 'pathRegexp', patterns: matcher.patterns.map(togglePattern) }
    case 'and':
    case 'or': {
      const of = matcher.of.map(toggled)
      return of.every((part, i) => part === matcher.of[i]) ? matcher : { kind: matcher.kind, of }
    }
    default:
      return matcher
  }
}

/** `/x` for `/x/`, and `/x/` for `/x`. */
export function toggleSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : `${path}/`
}

function togglePattern(pattern: string): string {
  const body = pattern.endsWith('$') ? pattern.slice(0, -1) : pattern
  return `${toggleSlash(body)}$`
}

/**
 * The location to redirect a request for `path` (as received) to. A path that starts with two slashes, or with characters that
 * browsers treat as two, would name another host (RFC 3986, 4.2); a `/.` before it keeps it a path.
 */
export function slashLocation(path: string, query: string | null): string {
  const target = toggleSlash(path)
  const second = target.charCodeAt(1)
  const safe = second === 47 || second === 92 ? `/.${target}` : target
  return query === null ? safe : `${safe}?${query}`
}
