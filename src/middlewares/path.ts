// Rules of every path edit: a path begins with '/', and no text from a label can add a space, a control character or a line break
// to the request line. The target `*` (OPTIONS *) is not a path and is left alone.

import { encodedLength, normalizePath } from '../proxy/message/path-normalization.ts'
import type { RequestView } from '../proxy/message/request-view.ts'
import { pathLiteral } from '../rules/literals.ts'

export const ASTERISK = '*'

/** The path with a leading slash; '' becomes '/'. */
export function withSlash(path: string): string {
  return path.charCodeAt(0) === 0x2f ? path : `/${path}`
}

/**
 * Removes the first `length` characters of the path. The rest is sent with the client's encoding: `/api/%41` without `/api` is
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
  // If an earlier edit has replaced the path, the client's encoding no longer applies.
  if (normalizePath(encoded) === rest) x.wirePath = withSlash(encoded)
}

/** Replaces the request's path. */
export function setPath(x: RequestView, path: string): void {
  x.path = path
  x.wirePath = ''
}

/** A path from a label, safe for a request line. */
export function labelPath(path: string): string {
  return withSlash(pathLiteral(path))
}
