// The head of a request or response: start line data, fields, and what the fields mean for framing, routing and connection reuse.
// A codec fills it: http1/parse-head.ts from a text of field lines, a codec with name/value pairs by begin(), add() and finish().
// One object serves many messages, so a reader takes what it needs before the next one is filled in.

import { equalsIgnoreCase, FIELD_VALUE, TOKEN } from './chars.ts'
import { AUTH_NAMED, AUTH_PER_REQUEST, AUTH_UNDER_WAY, type ConnectionAuth, connectionAuth } from './connection-auth.ts'
import {
  AUTHENTICATION,
  CONNECTION,
  CONNECTION_AUTHENTICATION,
  CONTENT_LENGTH,
  COOKIE,
  DROPPED,
  EXPECT,
  Fields,
  HOP_BY_HOP,
  HOST,
  ID,
  NAME_END,
  NAME_START,
  OTHER,
  PROXY_AUTHENTICATION,
  RELAY,
  STRIDE,
  TRANSFER_ENCODING,
  UPGRADE,
  VALUE_END,
  VALUE_START,
} from './fields.ts'
import { BY_CHUNKS, BY_LENGTH, type Framing, NO_BODY } from './framing.ts'
import { isValidHost, parseDigits } from './host.ts'

/** Limits of a head: bytes in all, number of fields, bytes of the request target. */
export interface HeadLimits {
  readonly headerBytes: number
  readonly headerCount: number
  readonly uriBytes: number
}

export class Head extends Fields {
  /** Request: method and target. The target is ASCII; HTTP/1 percent-encodes raw UTF-8. */
  method = ''
  target = ''
  /** Response: status and reason phrase. */
  status = 0
  reason = ''
  /** HTTP/1: minor version, 0 or 1. Other codecs leave 1. */
  minor = 1
  /** Framing of a request's body. For a response it depends on the request as well; the codec computes it. */
  framing: Framing = NO_BODY
  /** Value of Content-Length, -1 when absent. */
  contentLength = -1
  /** HTTP/1: Transfer-Encoding is chunked. */
  chunked = false
  /** HTTP/1: options of the Connection field. */
  close = false
  keepAlive = false
  upgrade = false
  /** Request: the protocols to which the client asks to switch and which may be passed on, as a list; '' when there is none. */
  upgradeTo = ''
  /** Expect: 100-continue. */
  expectContinue = false
  /** Index of the Host, first Upgrade, first Cookie and last Keep-Alive field; -1 when absent. */
  hostField = -1
  upgradeField = -1
  cookieField = -1
  keepAliveField = -1
  /** Index of the Skein-Relay field, -1 when absent, -2 if there are several. Only relay connections read it. */
  relayField = -1
  /** Whether the message uses an authentication scheme that authenticates its connection. */
  connectionAuth: ConnectionAuth = AUTH_PER_REQUEST
  /** Why the message was refused, for the log and the local reply; '' otherwise. */
  problem = ''
  /** HTTP/1 responses: faults that were repaired, as bits of http1/head-repair.ts. */
  repaired = 0

  constructor() {
    super(24)
  }

  /** Forgets the message before. The start line is left to the codec. */
  reset(): void {
    this.framing = NO_BODY
    this.contentLength = -1
    this.chunked = false
    this.close = false
    this.keepAlive = false
    this.upgrade = false
    this.upgradeTo = ''
    this.expectContinue = false
    this.hostField = -1
    this.upgradeField = -1
    this.cookieField = -1
    this.keepAliveField = -1
    this.relayField = -1
    this.connectionAuth = AUTH_PER_REQUEST
    this.problem = ''
    this.repaired = 0
  }

  /**
   * Reads a field whose meaning is the same in all versions of HTTP.
   * @returns 0, or 400; `problem` then says why
   */
  readField(n: number): number {
    const { at, text } = this
    const o = n * STRIDE
    const start = at[o + VALUE_START]!
    const end = at[o + VALUE_END]!
    switch (at[o + ID]) {
      case HOST:
        if (this.hostField >= 0) return this.fail(400, 'more than one Host field')
        if (!isValidHost(text, start, end)) return this.fail(400, 'the Host field is malformed')
        this.hostField = n
        break
      case CONTENT_LENGTH: {
        const length = parseDigits(text, start, end)
        if (length < 0 || this.contentLength >= 0) return this.fail(400, 'Content-Length is not one number')
        this.contentLength = length
        break
      }
      case EXPECT:
        if (end - start === 12 && equalsIgnoreCase(text, start, '100-continue')) this.expectContinue = true
        break
      case COOKIE:
        if (this.cookieField < 0) this.cookieField = n
        break
      case AUTHENTICATION:
        this.noteAuthentication(connectionAuth(text, start, end))
        break
      case PROXY_AUTHENTICATION:
        at[o + DROPPED] = 1
        this.noteAuthentication(connectionAuth(text, start, end))
        break
      case CONNECTION_AUTHENTICATION:
        if (end - start !== 5 || !equalsIgnoreCase(text, start, 'false')) this.noteAuthentication(AUTH_NAMED)
        break
      case RELAY:
        at[o + DROPPED] = 1
        this.relayField = this.relayField === -1 ? n : -2
        break
    }
    return 0
  }

  private noteAuthentication(auth: ConnectionAuth): void {
    if (auth > this.connectionAuth) this.connectionAuth = auth
  }

  /** Starts a message of a codec that has name/value pairs. The codec sets the start line; the fields follow by add(). */
  begin(): void {
    this.reset()
    this.clear()
    this.minor = 1
  }

  /**
   * Completes a message that was filled by add(). The authority of a request is its Host field. `hasBody`: content follows.
   * Connection-specific fields are refused (RFC 9113, 8.2.2), and so are characters that HTTP/1 could not carry.
   * @returns 0, or the status to reply with (400, 414, 431); `problem` then says why
   */
  finish(limits: HeadLimits, hasBody: boolean): number {
    const { at, text, count } = this
    if (count > limits.headerCount) return this.fail(431, `more than ${limits.headerCount} header fields`)
    if (text.length > limits.headerBytes) return this.fail(431, `the head is larger than ${limits.headerBytes} bytes`)
    if (this.target.length > limits.uriBytes) {
      return this.fail(414, `the request target is longer than ${limits.uriBytes} bytes`)
    }
    for (let n = 0; n < count; n++) {
      const o = n * STRIDE
      const nameStart = at[o + NAME_START]!
      const nameEnd = at[o + NAME_END]!
      if (nameEnd === nameStart) return this.fail(400, 'a field without a name')
      for (let i = nameStart; i < nameEnd; i++) {
        if (!TOKEN[text.charCodeAt(i)]) return this.fail(400, 'a field name with a character that is not allowed')
      }
      for (let i = at[o + VALUE_START]!; i < at[o + VALUE_END]!; i++) {
        if (!FIELD_VALUE[text.charCodeAt(i)]) return this.fail(400, 'a field value with a character that is not allowed')
      }
      const id = at[o + ID]
      if (id === OTHER) continue
      if (id === HOP_BY_HOP && this.name(n).toLowerCase() === 'te' && this.value(n) === 'trailers') at[o + DROPPED] = 1
      else if (id === CONNECTION || id === HOP_BY_HOP || id === TRANSFER_ENCODING || id === UPGRADE) {
        return this.fail(400, 'a connection-specific field')
      } else if (this.readField(n) !== 0) return 400
    }
    if (this.contentLength > 0 && !hasBody) return this.fail(400, 'Content-Length of a message without content')
    if (hasBody && this.contentLength !== 0) this.framing = this.contentLength > 0 ? BY_LENGTH : BY_CHUNKS
    return 0
  }

  fail(status: number, problem: string): number {
    this.problem = problem
    return status
  }
}

/** True for a 401 or 407 that is a step of a handshake on this connection: the client's next request must use the same one. */
export function isHandshake(res: Head): boolean {
  return res.connectionAuth === AUTH_UNDER_WAY && (res.status === 401 || res.status === 407)
}
