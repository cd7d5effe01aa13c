// Parses Gorilla's route templates, `/articles/{category}/{id:[0-9]+}`, of Traefik v1's Host, Path and Query matchers: braces
// contain a name and, after a colon, a regular expression; the rest is literal. Specification: https://github.com/gorilla/mux
// (regexp.go, newRouteRegexp).

import { quoteRegex } from './regex.ts'

export type Template =
  /** No braces: compare literally. */
  | { readonly ok: true; readonly kind: 'literal'; readonly text: string }
  /** An RE2 pattern without anchors. */
  | { readonly ok: true; readonly kind: 'pattern'; readonly pattern: string }
  | { readonly ok: false; readonly message: string }

/**
 * `byDefault`: the pattern of a variable without one: `[^/]+` in paths, `[^.]+` in hosts, `.*` in queries. `literal` normalises
 * the text outside braces.
 */
export function parseTemplate(text: string, byDefault: string, literal: (text: string) => string = same): Template {
  if (!text.includes('{') && !text.includes('}')) return { ok: true, kind: 'literal', text: literal(text) }
  let pattern = ''
  let depth = 0
  let from = 0
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '{') {
      if (++depth === 1) {
        pattern += quoteRegex(literal(text.slice(from, i)))
        from = i + 1
      }
    } else if (text[i] === '}') {
      if (--depth < 0) return { ok: false, message: `balanced braces (a '}' too many in '${text}')` }
      if (depth === 0) {
        const variable = text.slice(from, i)
        const colon = variable.indexOf(':')
        const name = colon < 0 ? variable : variable.slice(0, colon)
        const own = colon < 0 ? byDefault : variable.slice(colon + 1)
        if (name.trim() === '' || own === '') return { ok: false, message: `{name} or {name:regex}, found '{${variable}}'` }
        pattern += `(?:${own})`
        from = i + 1
      }
    }
  }
  if (depth !== 0) return { ok: false, message: `balanced braces (a '{' is never closed in '${text}')` }
  return { ok: true, kind: 'pattern', pattern: pattern + quoteRegex(literal(text.slice(from))) }
}

function same(text: string): string {
  return text
}
