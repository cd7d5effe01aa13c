// ReplacePathRegex of Traefik v1: replaces every match of a pattern in the path, with Go's `$1` and `${1}` for groups, and sends
// the old path in X-Replaced-Path. A path without a match is not changed.

import { pathLiteral } from '../rules/literals.ts'
import { compileRegex, parseReplacement } from '../rules/regex.ts'
import { patternSchema, visibleSchema } from './fields.ts'
import { defineMiddleware, fromEdit, type RequestEdit } from './middleware.ts'
import { ASTERISK, setPath, withSlash } from './path.ts'

export interface ReplacePathRegex {
  readonly kind: 'replacePathRegex'
  readonly pattern: string
  readonly replacement: string
}

export const REPLACE_PATH_REGEX = defineMiddleware<ReplacePathRegex>({
  kind: 'replacePathRegex',
  feature: null,
  schema: z => z.object({ kind: z.literal('replacePathRegex'), pattern: patternSchema(z), replacement: visibleSchema(z) }),
  compile: ({ pattern, replacement }) => {
    const edit = replacePathRegex(pattern, replacement)
    return typeof edit === 'string' ? edit : fromEdit(edit)
  },
})

/** @returns the edit, or the reason why the pattern does not compile */
export function replacePathRegex(pattern: string, written: string): RequestEdit | string {
  const result = compileRegex(pattern)
  if (!result.ok) return result.message
  const { regex } = result
  const replacement = parseReplacement(written).map(part => (typeof part === 'string' ? pathLiteral(part) : part))
  return x => {
    const path = x.path
    if (path === ASTERISK || !regex.test(path)) return
    x.setHeader('X-Replaced-Path', path)
    setPath(x, withSlash(regex.replaceAll(path, replacement)))
  }
}
