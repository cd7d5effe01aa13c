// What every path edit keeps: a path begins with '/', and nothing from a label can put a space, a control character or a line
// break into the request line. The target `*` (OPTIONS *) is no path and is left alone.

import { pathLiteral } from '../rules/literals.ts'

export const ASTERISK = '*'

/** The path with exactly the slash it lacks; '' becomes '/'. */
export function withSlash(path: string): string {
  return path.charCodeAt(0) === 0x2f ? path : `/${path}`
}

/** A path from a label, fit for a request line. */
export function labelPath(path: string): string {
  return withSlash(pathLiteral(path))
}
