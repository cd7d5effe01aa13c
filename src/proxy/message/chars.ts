// Character classes of HTTP/1.1 as 256-entry tables (RFC 9110, 5.6.2 and 5.5; RFC 9112, 3). A table look-up past the end of a
// string is `table[NaN]`, which is undefined and so false: scanners need no bounds check.

function table(allowed: (code: number) => boolean): Uint8Array {
  const t = new Uint8Array(256)
  for (let code = 0; code < 256; code++) if (allowed(code)) t[code] = 1
  return t
}

const TCHAR = "!#$%&'*+-.^_`|~"
const isAlnum = (c: number) => (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122)

/** `tchar`: methods, field names, connection options. */
export const TOKEN = table(c => isAlnum(c) || (c < 128 && TCHAR.includes(String.fromCharCode(c))))

/** What a field value may hold: HTAB, SP, visible ASCII, obs-text. No CR, LF, NUL or other control. */
export const FIELD_VALUE = table(c => c === 9 || (c >= 32 && c !== 127))

/** What a request target may hold: visible ASCII except `#`, which starts a fragment and never travels (RFC 9112, 3.2). */
export const TARGET = table(c => c > 32 && c < 127 && c !== 35)

/** What a host name may hold (unreserved of RFC 3986): stricter than reg-name, whose sub-delims no host on the Web uses. */
export const HOST_NAME = table(c => isAlnum(c) || c === 45 || c === 46 || c === 95 || c === 126)

/** What stands between the brackets of an IPv6 literal. */
export const IPV6 = table(c => (c >= 48 && c <= 58) || (c >= 65 && c <= 70) || (c >= 97 && c <= 102) || c === 46)

/** Value of a hexadecimal digit, 255 where it is none. */
export const HEX = (() => {
  const t = new Uint8Array(256).fill(255)
  for (let i = 0; i < 16; i++) {
    t['0123456789abcdef'.charCodeAt(i)] = i
    t['0123456789ABCDEF'.charCodeAt(i)] = i
  }
  return t
})()

/** True if `s` from `start` spells `lower` (already lower case), ASCII case ignored. */
export function equalsIgnoreCase(s: string, start: number, lower: string): boolean {
  for (let i = 0; i < lower.length; i++) {
    const c = s.charCodeAt(start + i)
    const want = lower.charCodeAt(i)
    if (c !== want && !(c >= 65 && c <= 90 && c + 32 === want)) return false
  }
  return true
}
