// Writes heads as HTTP/1.1. Runs of unchanged fields are copied as whole slices of the received text, additions follow. The order
// and the case of names are kept.

import type { Exchange } from '../forward/exchange.ts'
import { type FieldList, NO_FIELDS } from '../message/field-list.ts'
import { DROPPED, type Fields, NAME_START, STRIDE } from '../message/fields.ts'
import { BY_CHUNKS, type Framing } from '../message/framing.ts'
import type { Head } from '../message/head.ts'
import type { LocalReply } from '../message/local-reply.ts'

/** All fields that are forwarded, each with its CRLF, in as few slices as possible. */
export function forwardedFieldLines(fields: Fields): string {
  const { at, text, count } = fields
  let out = ''
  if (!fields.hasLines) {
    for (let n = 0; n < count; n++) {
      if (at[n * STRIDE + DROPPED] === 0) out += `${fields.name(n)}: ${fields.value(n)}\r\n`
    }
    return out
  }
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
  // The last two characters of a section are the CRLF of the empty line.
  return runStart >= 0 ? out + text.slice(runStart, text.length - 2) : out
}

/** The lines of added fields, built once per list. */
export function addedFieldLines(list: FieldList): string {
  if (list.http1Lines === '' && !list.isEmpty) {
    const { pairs } = list
    let lines = ''
    for (let i = 0; i < pairs.length; i += 2) lines += `${pairs[i]}: ${pairs[i + 1]}\r\n`
    list.http1Lines = lines
  }
  return list.http1Lines
}

/** The request head for `server`, built once for all attempts where that is possible. */
export function serverHead(x: Exchange, server: { readonly authority: string }): string {
  if (x.serverHost) {
    x.sendHost = server.authority
    x.attempt.wireHead = ''
  }
  if (x.attempt.wireHead === '') x.attempt.wireHead = requestHead(x, x.downstream.forwardedFields(x))
  return x.attempt.wireHead
}

/**
 * The request head for a server or, with the field of message/relay-field.ts as `relay`, for a peer. `forwarded` are the
 * X-Forwarded fields.
 */
export function requestHead(x: Exchange, forwarded: FieldList, relay: FieldList = NO_FIELDS): string {
  const req = x.req
  if (x.sendHost !== null && req.hostField >= 0) req.at[req.hostField * STRIDE + DROPPED] = 1
  let head = `${x.method} ${x.sendTarget()} HTTP/1.1\r\n`
  if (x.sendHost !== null) head += `Host: ${x.sendHost}\r\n`
  else if (req.hostField < 0) head += relay.isEmpty ? 'Host: \r\n' : 'Host: none\r\n'
  head += forwardedFieldLines(req) + addedFieldLines(forwarded) + addedFieldLines(x.added) + addedFieldLines(relay)
  if (x.upgrade) head += `Connection: Upgrade\r\nUpgrade: ${x.upgradeTo}\r\n`
  if (x.body.framing === BY_CHUNKS) head += 'Transfer-Encoding: chunked\r\n'
  return `${head}\r\n`
}

/** The response head for an HTTP/1.1 or 1.0 client. `connection` is '' or complete lines about the connection. */
export function responseHead(x: Exchange, res: Head, framing: Framing, connection: string): string {
  let head = statusLine(res) + forwardedFieldLines(res)
  if (framing === BY_CHUNKS) head += 'Transfer-Encoding: chunked\r\n'
  return `${head}${addedFieldLines(x.addedToResponse)}${connection}\r\n`
}

/** The status line with the reason of the server, as version 1.1. */
export function statusLine(res: Head): string {
  if (res.status === 200 && res.reason === 'OK') return 'HTTP/1.1 200 OK\r\n'
  return `HTTP/1.1 ${res.status} ${res.reason}\r\n`
}

/** A complete local reply. `close` adds Connection: close; a HEAD request gets no body. */
export function localReplyText(reply: LocalReply, method: string, close: boolean): string {
  return (
    `HTTP/1.1 ${reply.status} ${reply.reason}\r\n${addedFieldLines(reply.fields)}` +
    `${close ? 'Connection: close\r\n' : ''}\r\n${method === 'HEAD' ? '' : reply.body}`
  )
}
