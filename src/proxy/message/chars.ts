// Character classes of HTTP as 256-entry tables (RFC 9110, 5.5 and 5.6.2; RFC 9112, 3). A look-up past the end of a string is
// `table[NaN]`, which is undefined and therefore false: scanners need no bounds check.

function table(allowed: (code: number) => boolean): Uint8Array {
  const t = new Uint8Array(256)
  for (let code = 0; code < 256; code++) if (allowed(code)) t[code] = 1
  return t
}

const TCHAR = "!#$%&'*+-.^_`|~"
const isAlnum = (c: number) => (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122)

/** `tchar`: methods, field names, connection options. */
export const TOKEN = table(c => isAlnum(c) || (c < 128 && TCHAR.includes(String.fromCharCode(c))))

/** Characters of a field value: HTAB, SP, visible ASCII, obs-text. No CR, LF, NUL or other control characters. */
export const FIELD_VALUE = table(c => c === 9 || (c >= 32 && c !== 127))

/** Characters of a request target: visible ASCII except `#`, which starts a fragment and is never sent (RFC 9112, 3.2). */
export const TARGET = table(c => c > 32 && c < 127 && c !== 35)

/** Characters of a host name: unreserved of RFC 3986. Stricter than reg-name; no host on the Web uses its sub-delims. */
export const HOST_NAME = table(c => isAlnum(c) || c === 45 || c === 46 || c === 95 || c === 126)

/** Characters between the brackets of an IPv6 literal. */
export const IPV6 = table(c => (c >= 48 && c <= 58) || (c >= 65 && c <= 70) || (c >= 97 && c <= 102) || c === 46)

/** Value of a hexadecimal digit; 255 for other characters. */
export const HEX = (() => {
  const t = new Uint8Array(256).fill(255)
  for (let i = 0; i < 16; i++) {
    t['0123456789abcdef'.charCodeAt(i)] = i
    t['0123456789ABCDEF'.charCodeAt(i)] = i
  }
  return t
})()

/** True if `s` contains `lower` at `start`, ignoring ASCII case. `lower` must be in lower case. */
export function equalsIgnoreCase(s: string, start: number, lower: string): boolean {
  for (let i = 0; i < lower.length; i++) {
    const c = s.charCodeAt(start + i)
    const want = lower.charCodeAt(i)
    if (c !== want && !(c >= 65 && c <= 90 && c + 32 === want)) return false
  }
  return true
}

/** `s` without white space at both ends. Optional white space is SP and HTAB only (RFC 9110, 5.6.3). Linear time. */
export function trimOws(s: string): string {
  let from = 0
  let to = s.length
  while (from < to && isOws(s.charCodeAt(from))) from++
  while (to > from && isOws(s.charCodeAt(to - 1))) to--
  return s.slice(from, to)
}

function isOws(c: number): boolean {
  return c === 32 || c === 9
}
