// The field section of a head or of trailers (RFC 9112, 5): one pass over a latin1 string, every byte checked, positions kept
// instead of copies. Strict: no space before the colon, no obs-fold, no bare CR or LF, no control characters. Fields that Skein
// acts on get an id.

import { equalsIgnoreCase, FIELD_VALUE, TOKEN } from './chars.ts'

/** Ids of the fields Skein acts on; 0 for all others. */
export const OTHER = 0
export const HOST = 1
export const CONTENT_LENGTH = 2
export const TRANSFER_ENCODING = 3
export const CONNECTION = 4
export const EXPECT = 5
export const UPGRADE = 6
/** Fields that concern one hop only and are dropped (RFC 9110, 7.6.1). */
export const HOP_BY_HOP = 7
/** X-Forwarded-For. */
export const FORWARDED_FOR = 8
/** X-Forwarded-Proto, -Host, -Port: kept from trusted clients, replaced otherwise. */
export const FORWARDED_PROTO = 9
export const FORWARDED_HOST = 10
export const FORWARDED_PORT = 11
export const REAL_IP = 12
/**
 * Whatever else claims to come from a proxy (X-Forwarded-*, Forwarded, their spellings with underscores): dropped unless trusted.
 */
export const FORWARDED_OTHER = 13
export const COOKIE = 14
/** Skein-Relay: never passed on; relay/ alone reads it. */
export const RELAY = 15
/** Authorization, WWW-Authenticate; and the Proxy- fields of the hop, which are dropped. */
export const AUTHENTICATION = 16
export const PROXY_AUTHENTICATION = 17
/** Persistent-Auth, Proxy-Support: whatever the scheme is, it authenticates the connection. */
export const CONNECTION_AUTHENTICATION = 18

/** Numbers per field in `Fields.at`. */
export const STRIDE = 6
export const NAME_START = 0
export const NAME_END = 1
export const VALUE_START = 2
export const VALUE_END = 3
export const ID = 4
/** Not 0: the field is not passed on. */
export const DROPPED = 5

/** Positions of the fields of one section within its string. */
export class Fields {
  text = ''
  count = 0
  at: Int32Array

  constructor(capacity: number) {
    this.at = new Int32Array(capacity * STRIDE)
  }

  name(index: number): string {
    return this.text.slice(this.at[index * STRIDE + NAME_START], this.at[index * STRIDE + NAME_END])
  }

  value(index: number): string {
    return this.text.slice(this.at[index * STRIDE + VALUE_START], this.at[index * STRIDE + VALUE_END])
  }

  /** Index of the first field with this lower-case name, from `from` on; -1 if there is none. Dropped fields count as absent. */
  find(lowerName: string, from = 0): number {
    const at = this.at
    for (let i = from; i < this.count; i++) {
      const o = i * STRIDE
      const start = at[o]!
      if (
        at[o + NAME_END]! - start === lowerName.length &&
        at[o + DROPPED] === 0 &&
        equalsIgnoreCase(this.text, start, lowerName)
      )
        return i
    }
    return -1
  }

  /** Marks all fields with this lower-case name as not passed on. */
  drop(lowerName: string): void {
    for (let i = this.find(lowerName); i >= 0; i = this.find(lowerName, i + 1)) this.at[i * STRIDE + DROPPED] = 1
  }
}

/** The section is malformed (400), has too many fields (431). */
export const FIELDS_BAD = -1
export const FIELDS_TOO_MANY = -2

/**
 * Reads fields from `start` to the empty line that must end `fields.text` exactly.
 * @returns the number of fields, FIELDS_BAD or FIELDS_TOO_MANY
 */
export function parseFields(fields: Fields, start: number, maxCount: number): number {
  const s = fields.text
  let i = start
  let count = 0
  for (;;) {
    if (s.charCodeAt(i) === 13) {
      if (s.charCodeAt(i + 1) !== 10 || i + 2 !== s.length) return FIELDS_BAD
      fields.count = count
      return count
    }
    if (count === maxCount) return FIELDS_TOO_MANY
    const nameStart = i
    while (TOKEN[s.charCodeAt(i)]) i++
    if (i === nameStart || s.charCodeAt(i) !== 58) return FIELDS_BAD
    const nameEnd = i++
    let c = s.charCodeAt(i)
    while (c === 32 || c === 9) c = s.charCodeAt(++i)
    const valueStart = i
    while (FIELD_VALUE[s.charCodeAt(i)]) i++
    if (s.charCodeAt(i) !== 13 || s.charCodeAt(i + 1) !== 10) return FIELDS_BAD
    let valueEnd = i
    while (valueEnd > valueStart && ((c = s.charCodeAt(valueEnd - 1)) === 32 || c === 9)) valueEnd--
    i += 2
    const o = count * STRIDE
    if (o >= fields.at.length) grow(fields)
    const at = fields.at
    at[o] = nameStart
    at[o + 1] = nameEnd
    at[o + 2] = valueStart
    at[o + 3] = valueEnd
    at[o + 4] = identify(s, nameStart, nameEnd - nameStart)
    at[o + 5] = 0
    count++
  }
}

function grow(fields: Fields): void {
  const larger = new Int32Array(fields.at.length * 2)
  larger.set(fields.at)
  fields.at = larger
}

/** The id of a field name; by length first, so that most names cost one switch. */
export function identify(s: string, start: number, length: number): number {
  switch (length) {
    case 2:
      return equalsIgnoreCase(s, start, 'te') ? HOP_BY_HOP : OTHER
    case 4:
      return equalsIgnoreCase(s, start, 'host') ? HOST : OTHER
    case 6:
      if (equalsIgnoreCase(s, start, 'cookie')) return COOKIE
      return equalsIgnoreCase(s, start, 'expect') ? EXPECT : OTHER
    case 7:
      return equalsIgnoreCase(s, start, 'upgrade') ? UPGRADE : OTHER
    case 9:
      if (looksForwarded(s, start, 'x-real-ip'))
        return s.charCodeAt(start + 1) === 45 && s.charCodeAt(start + 6) === 45 ? REAL_IP : FORWARDED_OTHER
      return equalsIgnoreCase(s, start, 'forwarded') ? FORWARDED_OTHER : OTHER
    case 10:
      if (equalsIgnoreCase(s, start, 'connection')) return CONNECTION
      if (equalsIgnoreCase(s, start, 'keep-alive')) return HOP_BY_HOP
      return OTHER
    case 11:
      return equalsIgnoreCase(s, start, 'skein-relay') ? RELAY : OTHER
    case 13:
      if (equalsIgnoreCase(s, start, 'authorization')) return AUTHENTICATION
      if (equalsIgnoreCase(s, start, 'proxy-support')) return CONNECTION_AUTHENTICATION
      break
    case 14:
      if (equalsIgnoreCase(s, start, 'content-length')) return CONTENT_LENGTH
      // HTTP2-Settings belongs to an upgrade to h2c, which is never passed on (RFC 7540, 3.2.1).
      if (equalsIgnoreCase(s, start, 'http2-settings')) return HOP_BY_HOP
      break
    case 15:
      if (equalsIgnoreCase(s, start, 'x-forwarded-for')) return FORWARDED_FOR
      if (equalsIgnoreCase(s, start, 'persistent-auth')) return CONNECTION_AUTHENTICATION
      break
    case 16:
      if (equalsIgnoreCase(s, start, 'x-forwarded-host')) return FORWARDED_HOST
      if (equalsIgnoreCase(s, start, 'x-forwarded-port')) return FORWARDED_PORT
      if (equalsIgnoreCase(s, start, 'proxy-connection')) return HOP_BY_HOP
      if (equalsIgnoreCase(s, start, 'www-authenticate')) return AUTHENTICATION
      break
    case 17:
      if (equalsIgnoreCase(s, start, 'transfer-encoding')) return TRANSFER_ENCODING
      if (equalsIgnoreCase(s, start, 'x-forwarded-proto')) return FORWARDED_PROTO
      break
    case 18:
      if (equalsIgnoreCase(s, start, 'proxy-authenticate')) return PROXY_AUTHENTICATION
      break
    case 19:
      if (equalsIgnoreCase(s, start, 'proxy-authorization')) return PROXY_AUTHENTICATION
      break
  }
  return length > 11 && looksForwarded(s, start, 'x-forwarded-') ? FORWARDED_OTHER : OTHER
}

/** As equalsIgnoreCase, but `_` passes for `-`: many application servers (CGI, WSGI) cannot tell them apart. */
function looksForwarded(s: string, start: number, lower: string): boolean {
  const first = s.charCodeAt(start)
  if (first !== 120 && first !== 88) return false
  for (let i = 1; i < lower.length; i++) {
    let c = s.charCodeAt(start + i)
    if (c >= 65 && c <= 90) c += 32
    else if (c === 95) c = 45
    if (c !== lower.charCodeAt(i)) return false
  }
  return true
}
