// The pure parser of HTTP/1.1 heads (RFC 9112): a complete head as a latin1 string in, start line, fields and framing out. No
// socket, no state between calls, strict wherever the RFC says MAY: what is doubtful could be read differently by a server, and
// is refused. Faults of answers that mend.ts knows are put right first.

import { MAX_METHOD_BYTES } from '../message/methods.ts'
import { equalsIgnoreCase, HOST_NAME, IPV6, TARGET, TOKEN } from './chars.ts'
import { AUTH_NAMED, AUTH_PER_REQUEST, AUTH_UNDER_WAY, type ConnectionAuth, connectionAuth } from './connection-auth.ts'
import {
  AUTHENTICATION,
  CONNECTION,
  CONNECTION_AUTHENTICATION,
  CONTENT_LENGTH,
  COOKIE,
  DROPPED,
  EXPECT,
  FIELDS_TOO_MANY,
  Fields,
  HOP_BY_HOP,
  HOST,
  ID,
  NAME_END,
  PROXY_AUTHENTICATION,
  parseFields,
  RELAY,
  STRIDE,
  TRANSFER_ENCODING,
  UPGRADE,
  VALUE_END,
  VALUE_START,
} from './fields.ts'
import { Mender } from './head-repair.ts'
import { encodeTarget, rawTargetEnd } from './raw-target.ts'

export interface HeadLimits {
  readonly headerBytes: number
  readonly headerCount: number
  readonly uriBytes: number
}

/** Connection options looked at in one head: each that names a field costs a search through all fields. */
const MAX_CONNECTION_OPTIONS = 32

const mender = new Mender()

/** A parsed head; one object serves many messages, so read what you need before the next parse. */
export class Head extends Fields {
  // Request line. The target is ASCII: raw UTF-8 is percent-encoded.
  method = ''
  target = ''
  // Status line: `status`, and where the reason phrase stands.
  status = 0
  reason = ''
  /** Minor version: 0 or 1. */
  minor = 1
  /** Value of Content-Length, -1 when absent. */
  contentLength = -1
  chunked = false
  /** Options of the Connection field. */
  close = false
  keepAlive = false
  upgrade = false
  /** Expect: 100-continue. */
  expectContinue = false
  /** Index of the Host, Upgrade and first Cookie field; -1 when absent. */
  hostField = -1
  upgradeField = -1
  cookieField = -1
  /** The Keep-Alive field: a server's hint how long it keeps an idle connection. */
  keepAliveField = -1
  /** The Skein-Relay field, which a relay connection alone looks at; -2 if there are several. */
  relayField = -1
  /** Whether the message uses a scheme that authenticates its connection. */
  connectionAuth: ConnectionAuth = AUTH_PER_REQUEST
  /** What was wrong, for the log and the answer; '' when nothing was. */
  problem = ''
  /** Faults of an answer that were put right (bits of mend.ts). */
  mended = 0

  constructor() {
    super(24)
  }

  protected reset(): void {
    this.contentLength = -1
    this.chunked = false
    this.close = false
    this.keepAlive = false
    this.upgrade = false
    this.expectContinue = false
    this.hostField = -1
    this.upgradeField = -1
    this.cookieField = -1
    this.keepAliveField = -1
    this.relayField = -1
    this.connectionAuth = AUTH_PER_REQUEST
    this.problem = ''
    this.mended = 0
  }

  /**
   * Reads a request head that ends with its empty line.
   * @returns 0, or the status to answer with (400, 405, 414, 431, 501, 505); `problem` then says why, and `method` and `target`
   * are what could be read of them, or ''
   */
  parseRequest(text: string, limits: HeadLimits): number {
    this.reset()
    this.text = text
    this.method = ''
    this.target = ''
    let i = 0
    while (TOKEN[text.charCodeAt(i)]) i++
    if (i === 0 || text.charCodeAt(i) !== 32) return this.fail(400, 'the request line has no method followed by one space')
    // RFC 9112, 3: 501 for a method longer than any that is implemented.
    if (i > MAX_METHOD_BYTES) return this.fail(501, `the method is longer than ${MAX_METHOD_BYTES} bytes`)
    this.method = methodOf(text, i++)
    const targetStart = i
    while (TARGET[text.charCodeAt(i)]) i++
    const raw = text.charCodeAt(i) > 127
    if (raw) i = rawTargetEnd(text, i)
    if (i === targetStart || text.charCodeAt(i) !== 32)
      return this.fail(400, 'the request target is empty or has a character that is not allowed')
    const targetEnd = i++
    const status = this.parseVersion(i)
    if (status !== 0) return status
    if (text.charCodeAt(i + 8) !== 13 || text.charCodeAt(i + 9) !== 10)
      return this.fail(400, 'the request line does not end after the version')
    let target = text.slice(targetStart, targetEnd)
    if (raw) {
      target = encodeTarget(target)
      if (target === '') return this.fail(400, 'the request target has bytes that are neither ASCII nor UTF-8')
    }
    if (target.length > limits.uriBytes) return this.fail(414, `the request target is longer than ${limits.uriBytes} bytes`)
    this.target = target
    if (this.method === 'CONNECT') return this.fail(405, 'CONNECT is not for a reverse proxy')
    const failed = this.parseSection(i + 10, limits)
    if (failed !== 0) return failed
    if (this.hostField < 0 && this.minor === 1) return this.fail(400, 'the Host field is missing')
    if (this.chunked && this.minor === 0) return this.fail(400, 'Transfer-Encoding in a request of HTTP/1.0')
    return 0
  }

  /**
   * Reads a response head that ends with its empty line.
   * @returns 0, or 502; `problem` then says why
   */
  parseResponse(text: string, limits: HeadLimits): number {
    this.reset()
    this.text = text
    if (this.parseVersion(0) !== 0) return 502
    const status = text.charCodeAt(8) === 32 ? threeDigits(text, 9) : 0
    if (status < 100) return this.fail(502, 'the status line has no status of three digits')
    let i = 12
    if (text.charCodeAt(i) === 32) i++
    else if (text.charCodeAt(i) !== 13) return this.fail(502, 'the status is not followed by a space')
    const reasonStart = i
    for (let c = text.charCodeAt(i); c === 9 || (c >= 32 && c !== 127); c = text.charCodeAt(i)) i++
    if (text.charCodeAt(i) !== 13 || text.charCodeAt(i + 1) !== 10)
      return this.fail(502, 'the status line has a control character')
    this.status = status
    this.reason = text.slice(reasonStart, i)
    return this.parseSection(i + 2, limits) === 0 ? 0 : 502
  }

  /**
   * Reads a response head that parseResponse refuses, with the faults put right that mend.ts knows.
   * @returns 0, or 502; `problem` then says why
   */
  mendResponse(text: string, limits: HeadLimits): number {
    if (!mender.head(text)) return this.fail(502, mender.problem)
    if (this.parseResponse(mender.text, limits) !== 0) return 502
    this.mended = mender.mended
    return 0
  }

  private parseVersion(i: number): number {
    const s = this.text
    if (!s.startsWith('HTTP/', i)) return this.fail(400, 'the version is not HTTP/1.1 or HTTP/1.0')
    const major = s.charCodeAt(i + 5) - 48
    const minor = s.charCodeAt(i + 7) - 48
    if (!(major >= 0 && major <= 9 && minor >= 0 && minor <= 9) || s.charCodeAt(i + 6) !== 46) {
      return this.fail(400, 'the version is not HTTP/1.1 or HTTP/1.0')
    }
    if (major !== 1 || minor > 1) return this.fail(505, 'only HTTP/1.1 and HTTP/1.0 are spoken here')
    this.minor = minor
    return 0
  }

  private parseSection(start: number, limits: HeadLimits): number {
    const count = parseFields(this, start, limits.headerCount)
    if (count === FIELDS_TOO_MANY) return this.fail(431, `more than ${limits.headerCount} header fields`)
    if (count < 0) return this.fail(400, 'a header line is malformed')
    const at = this.at
    for (let n = 0; n < count; n++) {
      const o = n * STRIDE
      const id = at[o + ID]!
      if (id === 0) continue
      const start = at[o + VALUE_START]!
      const end = at[o + VALUE_END]!
      switch (id) {
        case HOST:
          if (this.hostField >= 0) return this.fail(400, 'more than one Host field')
          if (!validHost(this.text, start, end)) return this.fail(400, 'the Host field is malformed')
          this.hostField = n
          break
        case CONTENT_LENGTH: {
          const length = digits(this.text, start, end)
          if (length < 0 || this.contentLength >= 0) return this.fail(400, 'Content-Length is not one number')
          this.contentLength = length
          break
        }
        case TRANSFER_ENCODING:
          // White space behind it is sound, but not every parser still knows it for chunked then: refused.
          if (
            this.chunked ||
            end - start !== 7 ||
            !equalsIgnoreCase(this.text, start, 'chunked') ||
            this.text.charCodeAt(end) !== 13
          ) {
            return this.fail(400, 'a Transfer-Encoding other than chunked')
          }
          this.chunked = true
          at[o + DROPPED] = 1
          break
        case CONNECTION:
          at[o + DROPPED] = 1
          if (!this.parseConnection(start, end)) return this.fail(400, 'the Connection field is malformed')
          break
        case HOP_BY_HOP:
          at[o + DROPPED] = 1
          // Of these names only Keep-Alive has ten characters.
          if (at[o + NAME_END]! - at[o]! === 10) this.keepAliveField = n
          break
        case UPGRADE:
          at[o + DROPPED] = 1
          if (this.upgradeField < 0) this.upgradeField = n
          break
        case EXPECT:
          if (end - start === 12 && equalsIgnoreCase(this.text, start, '100-continue')) this.expectContinue = true
          break
        case COOKIE:
          if (this.cookieField < 0) this.cookieField = n
          break
        case AUTHENTICATION:
          this.noteAuth(connectionAuth(this.text, start, end))
          break
        case PROXY_AUTHENTICATION:
          at[o + DROPPED] = 1
          this.noteAuth(connectionAuth(this.text, start, end))
          break
        case CONNECTION_AUTHENTICATION:
          if (end - start !== 5 || !equalsIgnoreCase(this.text, start, 'false')) this.noteAuth(AUTH_NAMED)
          break
        case RELAY:
          at[o + DROPPED] = 1
          this.relayField = this.relayField === -1 ? n : -2
          break
      }
    }
    if (this.chunked && this.contentLength >= 0) return this.fail(400, 'both Content-Length and Transfer-Encoding')
    return 0
  }

  private noteAuth(auth: ConnectionAuth): void {
    if (auth > this.connectionAuth) this.connectionAuth = auth
  }

  /** Connection options (RFC 9110, 7.6.1): a list of tokens; those that are not ours name fields to drop. */
  private parseConnection(start: number, end: number): boolean {
    const s = this.text
    let i = start
    let left = MAX_CONNECTION_OPTIONS
    while (i < end) {
      let c = s.charCodeAt(i)
      if (c === 44 || c === 32 || c === 9) {
        i++
        continue
      }
      const from = i
      while (i < end && TOKEN[(c = s.charCodeAt(i))]) i++
      const length = i - from
      if (length === 0 || left-- === 0) return false
      while (i < end && ((c = s.charCodeAt(i)) === 32 || c === 9)) i++
      if (i < end && c !== 44) return false
      if (length === 5 && equalsIgnoreCase(s, from, 'close')) this.close = true
      else if (length === 10 && equalsIgnoreCase(s, from, 'keep-alive')) this.keepAlive = true
      else if (length === 7 && equalsIgnoreCase(s, from, 'upgrade')) this.upgrade = true
      else this.dropNamed(s.slice(from, from + length).toLowerCase())
    }
    return true
  }

  /** Fields a sender names in Connection are dropped, but never those that frame or address the message. */
  private dropNamed(name: string): void {
    if (name === 'host' || name === 'content-length' || name === 'transfer-encoding') return
    this.drop(name)
  }

  protected fail(status: number, problem: string): number {
    this.problem = problem
    return status
  }
}

/** A refusal that is a step of a handshake on this connection: the client's next request belongs on it. */
export function isHandshake(res: Head): boolean {
  return res.connectionAuth === AUTH_UNDER_WAY && (res.status === 401 || res.status === 407)
}

/** Common methods without a new string. */
function methodOf(text: string, end: number): string {
  if (end === 3 && text.startsWith('GET')) return 'GET'
  if (end === 4 && text.startsWith('POST')) return 'POST'
  return text.slice(0, end)
}

function threeDigits(s: string, i: number): number {
  const a = s.charCodeAt(i) - 48
  const b = s.charCodeAt(i + 1) - 48
  const c = s.charCodeAt(i + 2) - 48
  return a >= 1 && a <= 9 && b >= 0 && b <= 9 && c >= 0 && c <= 9 ? a * 100 + b * 10 + c : 0
}

/** A number of 1 to 15 digits, or -1. */
function digits(s: string, start: number, end: number): number {
  if (end === start || end - start > 15) return -1
  let n = 0
  for (let i = start; i < end; i++) {
    const d = s.charCodeAt(i) - 48
    if (!(d >= 0 && d <= 9)) return -1
    n = n * 10 + d
  }
  return n
}

/** `uri-host [":" port]` (RFC 9110, 7.2), with plain host names and IPv6 literals only; the port may be empty, the host not. */
export function validHost(s: string, start: number, end: number): boolean {
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
  const port = digits(s, i, end)
  return port >= 0 && port <= 65535
}
