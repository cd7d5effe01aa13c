// Takes what the first fitting pattern matches at the start of the path off it and tells the server in X-Forwarded-Prefix
// (PathStripRegex, PathPrefixStripRegex of Traefik v1). Where no pattern fits the path stays as it is: the rule has already said
// that the router is meant.

import { compileRegex, type Regex } from '../rules/regex.ts'
import { ASTERISK, cutPath } from './path.ts'
import type { RequestEdit } from './pipeline.ts'

export function stripPrefixRegex(patterns: readonly string[]): RequestEdit {
  const compiled: Regex[] = []
  for (const pattern of patterns) {
    const result = compileRegex(pattern)
    if (result.ok) compiled.push(result.regex)
  }
  return x => {
    const path = x.path
    if (path === ASTERISK) return
    for (let i = 0; i < compiled.length; i++) {
      const length = compiled[i]!.prefixLength(path)
      if (length >= 0) {
        cutPath(x, length)
        x.setHeader('X-Forwarded-Prefix', path.slice(0, length))
        return
      }
    }
  }
}
