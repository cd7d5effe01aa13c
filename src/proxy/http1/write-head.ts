// Heads as they go out: runs of untouched fields are copied as whole slices of what was read, edits are appended. Order and case
// are kept.

import type { Exchange } from '../forward/exchange.ts'
import { DROPPED, type Fields, NAME_START, STRIDE } from '../message/fields.ts'
import { BY_CHUNKS, type Framing } from '../message/framing.ts'
import type { Head } from '../message/head.ts'

/** All fields that are passed on, each with its CRLF, as few slices as possible. */
export function forwardedFieldLines(fields: Fields): string {
  const at = fields.at
  const text = fields.text
  const count = fields.count
  let out = ''
  let runStart = -1
  for (let i = 0; i < count; i++) {
    const o = i * STRIDE
    if (at[o + DROPPED] === 0) {
      if (runStart < 0) runStart = at[o + NAME_START]!
    } else if (runStart >= 0) {
      out += text.slice(runStart, at[o + NAME_START]!)
      runStart = -1
    }
  }
  // The last two characters of a section are the empty line's CRLF.
  return runStart >= 0 ? out + text.slice(runStart, text.length - 2) : out
}

/** The request head as `server` gets it, built once for all tries where it can be. */
export function serverHead(x: Exchange, server: { readonly authority: string }): string {
  if (x.serverHost) {
    x.sendHost = server.authority
    x.wireHead = ''
  }
  if (x.wireHead === '') x.wireHead = requestHead(x, x.downstream.forwardedLines(x))
  return x.wireHead
}

/**
 * The request head for a server, or with `relay`, the line of relay-field.ts, for a peer. `forwarded` holds the X-Forwarded
 * lines.
 */
export function requestHead(x: Exchange, forwarded: string, relay = ''): string {
  const req = x.req
  if (x.sendHost !== null && req.hostField >= 0) req.at[req.hostField * STRIDE + DROPPED] = 1
  let head = `${x.method} ${x.sendTarget()} HTTP/1.1\r\n`
  if (x.sendHost !== null) head += `Host: ${x.sendHost}\r\n`
  else if (req.hostField < 0) head += relay === '' ? 'Host: \r\n' : 'Host: none\r\n'
  head += forwardedFieldLines(req) + forwarded + x.added + relay
  if (x.upgrade) head += `Connection: Upgrade\r\nUpgrade: ${x.upgradeTo}\r\n`
  if (x.bodyFraming === BY_CHUNKS) head += 'Transfer-Encoding: chunked\r\n'
  return `${head}\r\n`
}

/** The response head for an HTTP/1.1 (or 1.0) client. `connection` is '' or a whole Connection line. */
export function responseHead(x: Exchange, res: Head, framing: Framing, connection: string): string {
  let head = statusLine(res) + forwardedFieldLines(res)
  if (framing === BY_CHUNKS) head += 'Transfer-Encoding: chunked\r\n'
  return `${head}${x.addedToResponse}${connection}\r\n`
}

/** The status line as the server wrote it, as version 1.1. */
export function statusLine(res: Head): string {
  if (res.status === 200 && res.reason === 'OK') return 'HTTP/1.1 200 OK\r\n'
  return `HTTP/1.1 ${res.status} ${res.reason}\r\n`
}
