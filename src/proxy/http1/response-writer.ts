// Writes responses to a client's socket as HTTP/1.1 or 1.0 (RFC 9112, 4, 6 and 7). The head shares a write with the body bytes that
// came with it, so a small response is one write; without body bytes flush() writes it in the same turn. A body that is delimited
// by the close of the connection is sent in chunks.

import type { ByteStream } from '../byte-stream.ts'
import type { Exchange } from '../forward/exchange.ts'
import { FieldList, NO_FIELDS } from '../message/field-list.ts'
import { BY_CHUNKS, BY_CLOSE, type Framing } from '../message/framing.ts'
import type { Head } from '../message/head.ts'
import { completeReply, localReply } from '../message/local-reply.ts'
import { PRIVATE, SENT_TO_SERVER, UNSENT } from '../message/relay-field.ts'
import { tunnelProtocols, upgradeList } from './upgrade.ts'
import { addedFieldLines, forwardedFieldLines, localReplyText, responseHead, statusLine } from './write-head.ts'

/** Bodies up to this size are written together with their head as one string. */
const ONE_WRITE_BYTES = 8192
const CRLF = Buffer.from('\r\n')
/** The bytes with which every head begins. */
const PROBE = 'HTTP/1.1 '

export class ResponseWriter {
  private readonly socket: ByteStream
  /** The head until it is written: with the first piece of the body, or by flush(). */
  private head = ''
  private encodeChunks = false
  /** The end of the connection delimits the body. */
  endsByClose = false
  /** Characters of PROBE that were written ahead of the head. */
  private probed = 0

  constructor(socket: ByteStream) {
    this.socket = socket
  }

  /** Writes a 1xx head at once. HTTP/1.0 clients get none. */
  interim(x: Exchange, head: Head): void {
    if (x.req.minor === 0) return
    this.socket.write(this.afterProbe(`${statusLine(head)}${forwardedFieldLines(head)}\r\n`), 'latin1')
    this.probed = 0
  }

  /** Writes the next byte of those that begin every response. @returns whether there are more of them */
  probe(): boolean {
    if (this.probed < PROBE.length) this.socket.write(PROBE.charAt(this.probed++), 'latin1')
    return this.probed < PROBE.length
  }

  /** The part of a head that probe() has not written. */
  private afterProbe(head: string): string {
    return this.probed === 0 ? head : head.slice(this.probed)
  }

  /** Takes the final head. `close`: the connection ends with this response; always so where HTTP/1.0 has no other framing. */
  begin(x: Exchange, head: Head, framing: Framing, close: boolean): void {
    const { minor } = x.req
    this.encodeChunks = framing === BY_CLOSE && minor === 1
    const sent: Framing = this.encodeChunks ? BY_CHUNKS : framing === BY_CHUNKS && minor === 0 ? BY_CLOSE : framing
    this.endsByClose = sent === BY_CLOSE
    let connection = close ? 'Connection: close\r\n' : minor === 0 ? 'Connection: keep-alive\r\n' : ''
    if (head.status === 426 && head.upgradeField >= 0) connection = requiredUpgrade(head, connection)
    if (x.fromPeer && x.downstream.privateStreams !== null) connection += addedFieldLines(PRIVATE)
    this.head = this.afterProbe(responseHead(x, head, sent, connection))
  }

  /** No byte of the response was written yet: another one may replace it. */
  get revocable(): boolean {
    return this.head !== ''
  }

  /**
   * Writes the head if it is not written yet because no body byte came with it.
   * @returns false if the client takes it too slowly; 'drain' follows
   */
  flush(): boolean {
    const { head } = this
    if (head === '') return true
    this.head = ''
    return this.socket.write(head, 'latin1')
  }

  /** @returns false if the client takes it too slowly; 'drain' follows */
  body(x: Exchange, buffer: Buffer, from: number, to: number): boolean {
    const size = to - from
    x.bytesOut += size
    if (size === 0) return true
    const { socket, head } = this
    this.head = ''
    if (this.encodeChunks) return socket.write(Buffer.concat([Buffer.from(head, 'latin1'), chunkOf(buffer, from, to)]))
    if (head === '') return socket.write(from === 0 && to === buffer.length ? buffer : buffer.subarray(from, to))
    if (size <= ONE_WRITE_BYTES) return socket.write(head + buffer.latin1Slice(from, to), 'latin1')
    socket.cork()
    socket.write(head, 'latin1')
    const flowing = socket.write(buffer.subarray(from, to))
    socket.uncork()
    return flowing
  }

  /** Completes the response. A second call does nothing. */
  end(): void {
    if (this.encodeChunks) this.socket.write(`${this.head}0\r\n\r\n`, 'latin1')
    else if (this.head !== '') this.socket.write(this.head, 'latin1')
    this.head = ''
    this.encodeChunks = false
    this.probed = 0
  }

  /** Writes a local reply, in place of a response that was begun and is revocable. It states to a peer whether a server was asked. */
  local(x: Exchange, status: number, close: boolean): void {
    this.head = ''
    let added = NO_FIELDS
    if (x.fromPeer && status === 503 && x.attempt.sends === 0) added = UNSENT
    else if (x.location !== '') added = new FieldList('Location', x.location)
    const reply =
      x.localReply === null
        ? localReply(status, x.requestId, added, x.retryAfterS || 1)
        : completeReply(x.localReply, x.requestId)
    this.socket.write(this.afterProbe(localReplyText(reply, x.method, close)), 'latin1')
    this.probed = 0
  }

  /** Writes the interim response that confirms to a peer that its request is being sent to a server. */
  sentToServer(): void {
    this.socket.write(this.afterProbe(`HTTP/1.1 100 Continue\r\n${addedFieldLines(SENT_TO_SERVER)}\r\n`), 'latin1')
    this.probed = 0
  }

  /** Writes the 101 head, the last HTTP on this connection. `rest` are the bytes that the server sent after its own. */
  switched(x: Exchange, head: Head, rest: Buffer): void {
    const fields = forwardedFieldLines(head) + addedFieldLines(x.addedToResponse)
    const connection = `Connection: Upgrade\r\nUpgrade: ${tunnelProtocols(head)}\r\n`
    this.socket.write(this.afterProbe(`${statusLine(head)}${fields}${connection}\r\n`), 'latin1')
    if (rest.length > 0) this.socket.write(rest)
  }
}

/** A 426 names the required protocols (RFC 9110, 15.5.22), and its Connection field names Upgrade (7.8). */
function requiredUpgrade(head: Head, connection: string): string {
  const others = connection === '' ? '' : `${connection.slice('Connection: '.length, -2)}, `
  return `Connection: ${others}Upgrade\r\nUpgrade: ${upgradeList(head)}\r\n`
}

function chunkOf(buffer: Buffer, from: number, to: number): Buffer {
  return Buffer.concat([Buffer.from(`${(to - from).toString(16)}\r\n`, 'latin1'), buffer.subarray(from, to), CRLF])
}
