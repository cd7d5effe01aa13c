// Authentication schemes that authenticate a connection instead of a request: NTLM (MS-NTHT), Negotiate (RFC 4559), and the names
// that Microsoft's clients and servers use for variants of them. All other schemes authenticate each request, as RFC 9110, 11
// requires. Pure; reads credentials as well as lists of challenges.

import { equalsIgnoreCase, TOKEN } from './chars.ts'

/** Lower case. */
const SCHEMES: readonly string[] = ['ntlm', 'negotiate', 'kerberos', 'nego2', 'credssp']

/** Content of a field: no such scheme; a scheme without data; a scheme with data, which is a step of a handshake. */
export type ConnectionAuth = 0 | 1 | 2
export const AUTH_PER_REQUEST = 0
export const AUTH_NAMED = 1
export const AUTH_UNDER_WAY = 2

/**
 * Reads credentials or a list of challenges (RFC 9110, 11.6). Every comma counts as the end of a challenge, even in a quoted
 * string: at worst a connection is not shared although it could be.
 */
export function connectionAuth(s: string, start: number, end: number): ConnectionAuth {
  let found: ConnectionAuth = AUTH_PER_REQUEST
  let i = start
  while (i < end) {
    let c = s.charCodeAt(i)
    if (c === 44 || c === 32 || c === 9) {
      i++
      continue
    }
    const from = i
    while (i < end && TOKEN[s.charCodeAt(i)]) i++
    if (isListed(s, from, i - from)) {
      while (i < end && ((c = s.charCodeAt(i)) === 32 || c === 9)) i++
      if (i < end && s.charCodeAt(i) !== 44) return AUTH_UNDER_WAY
      found = AUTH_NAMED
    }
    while (i < end && s.charCodeAt(i) !== 44) i++
  }
  return found
}

function isListed(s: string, start: number, length: number): boolean {
  if (length < 4 || length > 9) return false
  for (const scheme of SCHEMES) if (scheme.length === length && equalsIgnoreCase(s, start, scheme)) return true
  return false
}
