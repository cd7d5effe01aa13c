// Writes answers to a client's socket as HTTP/1.1 or 1.0 (RFC 9112, 4, 6 and 7). The head shares a write with the body bytes that
// came with it, so that a small answer goes out in one write; without any it is written by flush(), in the same turn. A body that
// only a close would delimit is written in chunks.

import type { ByteStream } from '../byte-stream.ts'
import type { Exchange } from '../forward/exchange.ts'
import { BY_CHUNKS, BY_CLOSE, type Framing } from '../message/framing.ts'
import type { Head } from '../message/head.ts'
import { ownAnswer } from '../message/local-reply.ts'
import { PRIVATE, SENT_TO_SERVER, UNSENT } from '../message/relay-field.ts'
import { tunnelProtocols, upgradeList } from './upgrade.ts'
import { forwardedFieldLines, responseHead, statusLine } from './write-head.ts'

/** Answers up to this size are written together with their head as one string. */
const ONE_WRITE_BYTES = 8192
const CRLF = Buffer.from('\r\n')
/** What every head begins with. */
const PROBE = 'HTTP/1.1 '

export class ResponseWriter {
  private readonly socket: ByteStream
  /** The head, until it is written: with the first piece of the body, or by flush(). */
  private head = ''
  private encodeChunks = false
  /** Only the end of the connection tells where the answer ends. */
  endsByClose = false
  /** Characters of PROBE that have been written ahead of the head. */
  private probed = 0

  constructor(socket: ByteStream) {
    this.socket = socket
  }

  /** A 1xx head, written at once. HTTP/1.0 knows none. */
  interim(x: Exchange, head: Head): void {
    if (x.req.minor === 0) return
    this.socket.write(this.rest(`${statusLine(head)}${forwardedFieldLines(head)}\r\n`), 'latin1')
    this.probed = 0
  }

  /** Writes the next of the bytes that every answer begins with. @returns whether more of them are left */
  probe(): boolean {
    if (this.probed < PROBE.length) this.socket.write(PROBE.charAt(this.probed++), 'latin1')
    return this.probed < PROBE.length
  }

  /** The part of a head that probe() has not written yet. */
  private rest(head: string): string {
    return this.probed === 0 ? head : head.slice(this.probed)
  }

  /** The final head. `close`: the connection ends with this answer, which it must where HTTP/1.0 knows no other framing. */
  begin(x: Exchange, head: Head, framing: Framing, close: boolean): void {
    const { minor } = x.req
    this.encodeChunks = framing === BY_CLOSE && minor === 1
    const sent: Framing = this.encodeChunks ? BY_CHUNKS : framing === BY_CHUNKS && minor === 0 ? BY_CLOSE : framing
    this.endsByClose = sent === BY_CLOSE
    let connection = close ? 'Connection: close\r\n' : minor === 0 ? 'Connection: keep-alive\r\n' : ''
    if (head.status === 426 && head.upgradeField >= 0) connection = requiredUpgrade(head, connection)
    this.head = this.rest(responseHead(x, head, sent, x.fromPeer && x.privates !== null ? connection + PRIVATE : connection))
  }

  /** Nothing of the answer is on its way yet: there may still be another one. */
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

  /** @returns false if the client does not take it as fast; 'drain' follows */
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

  /** The answer is complete. A second call does nothing. */
  end(): void {
    if (this.encodeChunks) this.socket.write(`${this.head}0\r\n\r\n`, 'latin1')
    else if (this.head !== '') this.socket.write(this.head, 'latin1')
    this.head = ''
    this.encodeChunks = false
    this.probed = 0
  }

  /**
   * A whole answer of the proxy's own, instead of one that was begun and is revocable. A peer whose request reached no server
   * hears so.
   */
  own(x: Exchange, status: number, close: boolean): void {
    this.head = ''
    const lines = x.fromPeer && status === 503 && x.sends === 0 ? UNSENT : x.location === '' ? '' : `Location: ${x.location}\r\n`
    this.socket.write(this.rest(ownAnswer(status, x.requestId, x.method, close, lines, x.retryAfterS || 1)), 'latin1')
    this.probed = 0
  }

  /** A peer hears that its request is being sent to a server. */
  sentToServer(): void {
    this.socket.write(this.rest(SENT_TO_SERVER), 'latin1')
    this.probed = 0
  }

  /** 101, the last that is HTTP on this connection; `rest` is what the server has already sent behind it. */
  switched(x: Exchange, head: Head, rest: Buffer): void {
    this.socket.write(
      this.rest(
        `${statusLine(head)}${forwardedFieldLines(head)}${x.addedToResponse}Connection: Upgrade\r\nUpgrade: ${tunnelProtocols(head)}\r\n\r\n`,
      ),
      'latin1',
    )
    if (rest.length > 0) this.socket.write(rest)
  }
}

/** 426 must say what to upgrade to (RFC 9110, 15.5.22), and its Connection field must name Upgrade (7.8). */
function requiredUpgrade(head: Head, connection: string): string {
  const others = connection === '' ? '' : `${connection.slice('Connection: '.length, -2)}, `
  return `Connection: ${others}Upgrade\r\nUpgrade: ${upgradeList(head)}\r\n`
}

/** A chunk as it goes on the wire. */
function chunkOf(buffer: Buffer, from: number, to: number): Buffer {
  return Buffer.concat([Buffer.from(`${(to - from).toString(16)}\r\n`, 'latin1'), buffer.subarray(from, to), CRLF])
}
