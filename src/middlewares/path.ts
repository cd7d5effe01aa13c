// What every path edit keeps: a path begins with '/', and nothing from a label can put a space, a control character or a line
// break into the request line. The target `*` (OPTIONS *) is no path and is left alone.

import { encodedLength, normalPath } from '../proxy/message/path-normalization.ts'
import type { RequestView } from '../proxy/message/request-view.ts'
import { pathLiteral } from '../rules/literals.ts'

export const ASTERISK = '*'

/** The path with exactly the slash it lacks; '' becomes '/'. */
export function withSlash(path: string): string {
  return path.charCodeAt(0) === 0x2f ? path : `/${path}`
}

/**
 * Takes the first `length` characters off the path. What is left is sent as the client encoded it: `/api/%41` without `/api` is
 * `/%41`, while rules and further edits see `/A`.
 */
export function cutPath(x: RequestView, length: number): void {
  const { path } = x
  const received = x.wirePath === '' ? x.receivedPath : x.wirePath
  const rest = path.slice(length)
  x.path = withSlash(rest)
  x.wirePath = ''
  if (received === path) return
  const encoded = received.slice(encodedLength(received, length))
  // They differ when an earlier edit replaced the path: then there is no encoding of the client's to keep.
  if (normalPath(encoded) === rest) x.wirePath = withSlash(encoded)
}

/** Replaces the request's path. */
export function setPath(x: RequestView, path: string): void {
  x.path = path
  x.wirePath = ''
}

/** A path from a label, fit for a request line. */
export function labelPath(path: string): string {
  return withSlash(pathLiteral(path))
}
