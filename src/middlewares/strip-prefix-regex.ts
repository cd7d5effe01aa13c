// PathStripRegex and PathPrefixStripRegex of Traefik v1: removes the match of the first matching pattern from the start of the
// path and sends it in X-Forwarded-Prefix. A path without a match is not changed.

import { compileRegex, type Regex } from '../rules/regex.ts'
import { listSchema, patternSchema } from './fields.ts'
import { defineMiddleware, fromEdit, type RequestEdit } from './middleware.ts'
import { ASTERISK, cutPath } from './path.ts'

export interface StripPrefixRegex {
  readonly kind: 'stripPrefixRegex'
  readonly patterns: readonly string[]
}

export const STRIP_PREFIX_REGEX = defineMiddleware<StripPrefixRegex>({
  kind: 'stripPrefixRegex',
  feature: null,
  schema: z => z.object({ kind: z.literal('stripPrefixRegex'), patterns: listSchema(z, patternSchema(z)) }),
  compile: ({ patterns }) => {
    const edit = stripPrefixRegex(patterns)
    return typeof edit === 'string' ? edit : fromEdit(edit)
  },
})

/** @returns the edit, or the reason why a pattern does not compile */
export function stripPrefixRegex(patterns: readonly string[]): RequestEdit | string {
  const compiled: Regex[] = []
  for (const pattern of patterns) {
    const result = compileRegex(pattern)
    if (!result.ok) return result.message
    compiled.push(result.regex)
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
