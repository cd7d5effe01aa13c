// The fields of a message, in headers or trailers: one text and the positions of names and values in it, so that reading copies
// nothing. Fields that Skein acts on have an id. Codecs fill it: HTTP/1 keeps the lines as received (http1/parse-fields.ts), a
// codec with name/value pairs appends them by add().

import { equalsIgnoreCase } from './chars.ts'

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
/** All other fields that claim to come from a proxy (X-Forwarded-*, Forwarded, spellings with `_`): dropped unless trusted. */
export const FORWARDED_OTHER = 13
export const COOKIE = 14
/** Skein-Relay: never passed on; only relay connections read it. */
export const RELAY = 15
/** Authorization, WWW-Authenticate; and the Proxy- fields, which concern one hop and are dropped. */
export const AUTHENTICATION = 16
export const PROXY_AUTHENTICATION = 17
/** Persistent-Auth, Proxy-Support: the connection is authenticated, whatever the scheme is. */
export const CONNECTION_AUTHENTICATION = 18

/** Numbers per field in `Fields.at`. */
export const STRIDE = 6
export const NAME_START = 0
export const NAME_END = 1
export const VALUE_START = 2
export const VALUE_END = 3
export const ID = 4
/** Not 0: the field is not forwarded. */
export const DROPPED = 5

export class Fields {
  text = ''
  count = 0
  /** STRIDE numbers per field: positions within `text`, id, dropped. */
  at: Int32Array
  /** `text` consists of HTTP/1 field lines and an empty line: runs of fields may be copied as they are. */
  hasLines = false

  constructor(capacity: number) {
    this.at = new Int32Array(capacity * STRIDE)
  }

  /** Removes all fields; add() may follow. */
  clear(): void {
    this.text = ''
    this.count = 0
    this.hasLines = false
  }

  /** Appends a field given as a pair. The codec bounds the number of fields; Head.finish() checks their characters. */
  add(name: string, value: string): void {
    const o = this.count++ * STRIDE
    if (o >= this.at.length) this.grow()
    const { at } = this
    const nameStart = this.text.length
    const valueStart = nameStart + name.length
    // The separator keeps a search in one value from running into the next name.
    this.text += `${name}${value}\n`
    at[o + NAME_START] = nameStart
    at[o + NAME_END] = valueStart
    at[o + VALUE_START] = valueStart
    at[o + VALUE_END] = valueStart + value.length
    at[o + ID] = identify(name, 0, name.length)
    at[o + DROPPED] = 0
  }

  /** Doubles the capacity. */
  grow(): void {
    const larger = new Int32Array(this.at.length * 2)
    larger.set(this.at)
    this.at = larger
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

  /** Marks all fields with this lower-case name as not forwarded. */
  drop(lowerName: string): void {
    for (let i = this.find(lowerName); i >= 0; i = this.find(lowerName, i + 1)) this.at[i * STRIDE + DROPPED] = 1
  }
}

/** The id of a field name. Switches on the length first, so that most names cost no comparison. */
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

/** As equalsIgnoreCase, but `_` equals `-`: many application servers (CGI, WSGI) do not distinguish them. */
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
