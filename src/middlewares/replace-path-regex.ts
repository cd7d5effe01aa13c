// ReplacePathRegex of Traefik v1: replaces every match of a pattern in the path, with Go's `$1` and `${1}` for groups, and sends
// the old path in X-Replaced-Path. A path without a match is not changed.

import { pathLiteral } from '../rules/literals.ts'
import { compileRegex, parseReplacement } from '../rules/regex.ts'
import { ASTERISK, setPath, withSlash } from './path.ts'
import type { RequestEdit } from './pipeline.ts'

export function replacePathRegex(pattern: string, written: string): RequestEdit {
  const result = compileRegex(pattern)
  if (!result.ok) return () => {}
  const { regex } = result
  const replacement = parseReplacement(written).map(part => (typeof part === 'string' ? pathLiteral(part) : part))
  return x => {
    const path = x.path
    if (path === ASTERISK || !regex.test(path)) return
    x.setHeader('X-Replaced-Path', path)
    setPath(x, withSlash(regex.replaceAll(path, replacement)))
  }
}
