// Parses HTTP/1.1 heads (RFC 9112): takes a complete head as a latin1 string and fills a Head. Pure, and strict wherever the RFC
// says MAY: a message that a server could read differently is refused. repairResponseHead accepts the faults of old servers that
// head-repair.ts lists.

import { equalsIgnoreCase, TARGET, TOKEN } from '../message/chars.ts'
import {
  CONNECTION,
  DROPPED,
  HOP_BY_HOP,
  ID,
  NAME_END,
  STRIDE,
  TRANSFER_ENCODING,
  UPGRADE,
  VALUE_END,
  VALUE_START,
} from '../message/fields.ts'
import { BY_CHUNKS, BY_LENGTH, NO_BODY } from '../message/framing.ts'
import type { Head, HeadLimits } from '../message/head.ts'
import { MAX_METHOD_BYTES } from '../message/methods.ts'
import { HeadRepair } from './head-repair.ts'
import { parseFields, TOO_MANY_FIELDS } from './parse-fields.ts'
import { encodeTarget, rawTargetEnd } from './raw-target.ts'
import { tunnelProtocols } from './upgrade.ts'

/** Connection options accepted in one head: each option that names a field costs a search through all fields. */
const MAX_CONNECTION_OPTIONS = 32

const repair = new HeadRepair()

/**
 * Reads a request head that ends with its empty line.
 * @returns 0, or the status to reply with (400, 405, 414, 431, 501, 505). `problem` then says why; `method` and `target` hold what
 * could be read of them, or ''.
 */
export function parseRequestHead(head: Head, text: string, limits: HeadLimits): number {
  head.reset()
  head.text = text
  head.method = ''
  head.target = ''
  let i = 0
  while (TOKEN[text.charCodeAt(i)]) i++
  if (i === 0 || text.charCodeAt(i) !== 32) return head.fail(400, 'the request line has no method followed by one space')
  // RFC 9112, 3: 501 for a method longer than any that is implemented.
  if (i > MAX_METHOD_BYTES) return head.fail(501, `the method is longer than ${MAX_METHOD_BYTES} bytes`)
  head.method = methodOf(text, i++)
  const targetStart = i
  while (TARGET[text.charCodeAt(i)]) i++
  const raw = text.charCodeAt(i) > 127
  if (raw) i = rawTargetEnd(text, i)
  if (i === targetStart || text.charCodeAt(i) !== 32)
    return head.fail(400, 'the request target is empty or has a character that is not allowed')
  const targetEnd = i++
  const status = parseVersion(head, i)
  if (status !== 0) return status
  if (text.charCodeAt(i + 8) !== 13 || text.charCodeAt(i + 9) !== 10)
    return head.fail(400, 'the request line does not end after the version')
  let target = text.slice(targetStart, targetEnd)
  if (raw) {
    target = encodeTarget(target)
    if (target === '') return head.fail(400, 'the request target has bytes that are neither ASCII nor UTF-8')
  }
  if (target.length > limits.uriBytes) return head.fail(414, `the request target is longer than ${limits.uriBytes} bytes`)
  head.target = target
  if (head.method === 'CONNECT') return head.fail(405, 'a reverse proxy does not serve CONNECT')
  const failed = parseSection(head, i + 10, limits)
  if (failed !== 0) return failed
  if (head.hostField < 0 && head.minor === 1) return head.fail(400, 'the Host field is missing')
  if (head.chunked && head.minor === 0) return head.fail(400, 'Transfer-Encoding in a request of HTTP/1.0')
  head.framing = head.chunked ? BY_CHUNKS : head.contentLength > 0 ? BY_LENGTH : NO_BODY
  if (head.upgrade && head.upgradeField >= 0 && head.minor === 1) head.upgradeTo = tunnelProtocols(head)
  return 0
}

/**
 * Reads a response head that ends with its empty line.
 * @returns 0, or 502; `problem` then says why
 */
export function parseResponseHead(head: Head, text: string, limits: HeadLimits): number {
  head.reset()
  head.text = text
  if (parseVersion(head, 0) !== 0) return 502
  const status = text.charCodeAt(8) === 32 ? threeDigits(text, 9) : 0
  if (status < 100) return head.fail(502, 'the status line has no status of three digits')
  let i = 12
  if (text.charCodeAt(i) === 32) i++
  else if (text.charCodeAt(i) !== 13) return head.fail(502, 'the status is not followed by a space')
  const reasonStart = i
  for (let c = text.charCodeAt(i); c === 9 || (c >= 32 && c !== 127); c = text.charCodeAt(i)) i++
  if (text.charCodeAt(i) !== 13 || text.charCodeAt(i + 1) !== 10) return head.fail(502, 'the status line has a control character')
  head.status = status
  head.reason = text.slice(reasonStart, i)
  return parseSection(head, i + 2, limits) === 0 ? 0 : 502
}

/**
 * Repairs and reads a response head that parseResponseHead refused.
 * @returns 0, or 502; `problem` then says why
 */
export function repairResponseHead(head: Head, text: string, limits: HeadLimits): number {
  if (!repair.head(text)) return head.fail(502, repair.problem)
  if (parseResponseHead(head, repair.text, limits) !== 0) return 502
  head.repaired = repair.repaired
  return 0
}

function parseVersion(head: Head, i: number): number {
  const s = head.text
  if (!s.startsWith('HTTP/', i)) return head.fail(400, 'the version is not HTTP/1.1 or HTTP/1.0')
  const major = s.charCodeAt(i + 5) - 48
  const minor = s.charCodeAt(i + 7) - 48
  if (!(major >= 0 && major <= 9 && minor >= 0 && minor <= 9) || s.charCodeAt(i + 6) !== 46) {
    return head.fail(400, 'the version is not HTTP/1.1 or HTTP/1.0')
  }
  if (major !== 1 || minor > 1) return head.fail(505, 'only HTTP/1.1 and HTTP/1.0 are supported')
  head.minor = minor
  return 0
}

/** Reads all fields, and what they say about the connection and the framing (RFC 9112, 6 and 9). */
function parseSection(head: Head, sectionStart: number, limits: HeadLimits): number {
  const count = parseFields(head, sectionStart, limits.headerCount)
  if (count === TOO_MANY_FIELDS) return head.fail(431, `more than ${limits.headerCount} header fields`)
  if (count < 0) return head.fail(400, 'a header line is malformed')
  const at = head.at
  for (let n = 0; n < count; n++) {
    const o = n * STRIDE
    const id = at[o + ID]!
    if (id === 0) continue
    switch (id) {
      case TRANSFER_ENCODING: {
        const start = at[o + VALUE_START]!
        const end = at[o + VALUE_END]!
        // White space after `chunked` is valid, but not every parser still recognises the coding then: refused.
        if (
          head.chunked ||
          end - start !== 7 ||
          !equalsIgnoreCase(head.text, start, 'chunked') ||
          head.text.charCodeAt(end) !== 13
        ) {
          return head.fail(400, 'a Transfer-Encoding other than chunked')
        }
        head.chunked = true
        at[o + DROPPED] = 1
        break
      }
      case CONNECTION:
        at[o + DROPPED] = 1
        if (!parseConnection(head, at[o + VALUE_START]!, at[o + VALUE_END]!)) {
          return head.fail(400, 'the Connection field is malformed')
        }
        break
      case HOP_BY_HOP:
        at[o + DROPPED] = 1
        // Keep-Alive is the only one of these names with ten characters.
        if (at[o + NAME_END]! - at[o]! === 10) head.keepAliveField = n
        break
      case UPGRADE:
        at[o + DROPPED] = 1
        if (head.upgradeField < 0) head.upgradeField = n
        break
      default:
        if (head.readField(n) !== 0) return 400
    }
  }
  if (head.chunked && head.contentLength >= 0) return head.fail(400, 'both Content-Length and Transfer-Encoding')
  return 0
}

/** Connection options (RFC 9110, 7.6.1): a list of tokens. Options other than those of HTTP/1.1 name fields to drop. */
function parseConnection(head: Head, start: number, end: number): boolean {
  const s = head.text
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
    if (length === 5 && equalsIgnoreCase(s, from, 'close')) head.close = true
    else if (length === 10 && equalsIgnoreCase(s, from, 'keep-alive')) head.keepAlive = true
    else if (length === 7 && equalsIgnoreCase(s, from, 'upgrade')) head.upgrade = true
    else dropNamed(head, s.slice(from, from + length).toLowerCase())
  }
  return true
}

/** Drops a field that the sender named in Connection, unless it frames or addresses the message. */
function dropNamed(head: Head, name: string): void {
  if (name === 'host' || name === 'content-length' || name === 'transfer-encoding') return
  head.drop(name)
}

/** The method, without a new string for common ones. */
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
