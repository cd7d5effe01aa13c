// PathStripRegex and PathPrefixStripRegex of Traefik v1: removes the match of the first matching pattern from the start of the
// path and sends it in X-Forwarded-Prefix. A path without a match is not changed.

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
