// Normalizes paths so that a rule and a server read them alike (RFC 3986, 6.2.2). Percent-encoded unreserved characters are decoded:
// /%61dmin becomes /admin. Paths with dot segments, encoded or not, are refused: clients resolve them before sending. Encoded
// slashes and double slashes are data and stay unchanged.

import { HEX } from './chars.ts'

/** Why a path is refused. */
export type PathProblem = { readonly problem: string }

/** Decodes all needlessly encoded characters; returns the same string if there are none. */
export function normalizePath(path: string): string | PathProblem {
  const encoded = path.indexOf('%')
  if (encoded < 0 && !path.includes('/.')) return path
  const normal = encoded < 0 ? path : decodeUnreserved(path, encoded)
  if (normal === null) return { problem: 'the path has an encoded NUL' }
  if (hasDotSegment(normal)) return { problem: 'the path has a dot segment' }
  return normal
}

/** The number of characters of `path` that become the first `length` characters of its normal form. */
export function encodedLength(path: string, length: number): number {
  let at = 0
  for (let n = 0; n < length; n++) at += path.charCodeAt(at) === 37 && isUnreserved(byteAt(path, at)) ? 3 : 1
  return at
}

/** Malformed escapes stay unchanged. Returns null for %00. */
function decodeUnreserved(path: string, from: number): string | null {
  let out = ''
  let copied = 0
  for (let i = from; i >= 0; i = path.indexOf('%', i + 1)) {
    const code = byteAt(path, i)
    if (code === 0) return null
    if (!isUnreserved(code)) continue
    out += path.slice(copied, i) + String.fromCharCode(code)
    copied = i + 3
  }
  return copied === 0 ? path : out + path.slice(copied)
}

/** The byte of the escape at `i`; -1 if it is malformed. */
function byteAt(path: string, i: number): number {
  const high = HEX[path.charCodeAt(i + 1)] ?? 255
  const low = HEX[path.charCodeAt(i + 2)] ?? 255
  return high > 15 || low > 15 ? -1 : high * 16 + low
}

function isUnreserved(c: number): boolean {
  return (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 45 || c === 46 || c === 95 || c === 126
}

/** True for `.` or `..` as a segment. Encoded slashes and backslashes count as separators, as they do for some servers. */
export function hasDotSegment(path: string): boolean {
  return path.includes('.') && /(?:^|\/|\\|%2f|%5c)\.\.?(?:\/|\\|%2f|%5c|;|$)/i.test(path)
}
