// Syntax of a host with an optional port, as in the Host field and the authority of a request target (RFC 9110, 7.2). Stricter
// than RFC 3986: only plain host names and IPv6 literals.

import { HOST_NAME, IPV6 } from './chars.ts'

/** True if `s` from `start` to `end` is `host [":" port]`. The port may be empty, the host may not. */
export function isValidHost(s: string, start: number, end: number): boolean {
  let i = start
  if (s.charCodeAt(i) === 91) {
    i++
    while (i < end && IPV6[s.charCodeAt(i)]) i++
    if (i - start < 3 || s.charCodeAt(i) !== 93 || i >= end) return false
    i++
  } else {
    while (i < end && HOST_NAME[s.charCodeAt(i)]) i++
    if (i === start || i - start > 255) return false
  }
  if (i === end) return true
  if (s.charCodeAt(i++) !== 58) return false
  if (i === end) return true
  const port = parseDigits(s, i, end)
  return port >= 0 && port <= 65535
}

/** The number that 1 to 15 decimal digits spell; -1 for anything else. */
export function parseDigits(s: string, start: number, end: number): number {
  if (end === start || end - start > 15) return -1
  let n = 0
  for (let i = start; i < end; i++) {
    const d = s.charCodeAt(i) - 48
    if (!(d >= 0 && d <= 9)) return -1
    n = n * 10 + d
  }
  return n
}
