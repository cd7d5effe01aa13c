// One HTTP/1.1 connection to a server: connects, writes one request at a time, reads its response (RFC 9112; head-repair.ts repairs
// faults of old servers) and reports events to the forwarder. When it breaks, it reports what had been sent and received. Deadlines
// are fields that forward/deadlines.ts checks.

import { Socket } from 'node:net'
import type { ByteStream } from '../byte-stream.ts'
import type { Sweep } from '../forward/deadlines.ts'
import type { Exchange } from '../forward/exchange.ts'
import { BY_CHUNKS, BY_CLOSE, BY_LENGTH, type Framing, NO_BODY } from '../message/framing.ts'
import type { HeadLimits } from '../message/head.ts'
import { isUnsent } from '../message/relay-field.ts'
import type { StrayBodies } from '../upstream/stray-bodies.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import {
  CLOSED,
  CONNECTING,
  FLUSHING,
  IDLE,
  READING,
  TUNNEL,
  UPLOADING,
  type UpstreamEvents,
  UpstreamStream,
  WAITING,
} from '../upstream/upstream-stream.ts'
import { BAD, ChunkedReader, DATA, END, LINE, MORE } from './chunked.ts'
import { lenientHeadEnd } from './head-repair.ts'
import { parseResponseHead, repairResponseHead } from './parse-head.ts'
import { readAfterFailedWrites } from './server-socket.ts'
import { parseTrailers } from './trailers.ts'
import { tunnelProtocols } from './upgrade.ts'
import { addedFieldLines } from './write-head.ts'

const HEAD_END = Buffer.from('\r\n\r\n')
const HTTP = 'HTTP/1.'
const CRLF = Buffer.from('\r\n')
/** Chunks up to this size are copied into one buffer; larger ones are written in three pieces. */
const ONE_WRITE_BYTES = 8192
/** Limit of the time in which the rest of a body must leave after its exchange, ms; applies also without a stall time. */
const MAX_FLUSH_MS = 300_000
/** Interim responses (1xx) before a final one; servers send one or two. */
const MAX_INTERIMS = 32

export interface Http1Settings {
  readonly sweep: Sweep
  readonly limits: HeadLimits
  /** Time for the connect, with the TLS handshake, ms. */
  readonly connectMs: number
  /** How long an idle connection is kept, ms. */
  readonly idleMs: number
}

/** The transport of a connection, as the connection uses it; implemented by Http1Transport. */
export interface ConnectionHost {
  readonly server: UpstreamServer
  readonly settings: Http1Settings
  /** Responses with the faults of old servers are repaired. */
  readonly lenient: boolean
  /** Bodies that the server sent after responses to HEAD, and after 204 and 304. */
  readonly straysAfterHead: StrayBodies
  readonly straysAfterStatus: StrayBodies
  /** Starts a connection: 'connect' (for https servers 'secureConnect') or 'error' follows. */
  dial(): ByteStream
  requestHead(x: Exchange): string
  /** Adds a connection to the pool. @returns false if it is not kept */
  keep(connection: UpstreamConnection): boolean
  /** Removes a connection from the pool. */
  forget(connection: UpstreamConnection): void
}

export class UpstreamConnection extends UpstreamStream {
  readonly socket: ByteStream
  /** When it became idle (Sweep.now). */
  idleSince = 0
  private readonly transport: ConnectionHost
  private readonly events: UpstreamEvents
  private readonly sweep: Sweep
  private readonly limits: HeadLimits
  /** False for a peer, which is Skein itself and has none of the faults of old servers. */
  private readonly lenient: boolean
  /** The socket while readAfterFailedWrites() has not been applied to it; null afterwards, and for a stream of a peer. */
  private unwrapped: Socket | null
  private errorCode = ''
  /** The server's keep-alive hint, ms; Infinity without one. */
  private keepAliveMs = Number.POSITIVE_INFINITY
  /** The request's body is sent in chunked coding. */
  private encodeChunks = false
  private framing: Framing = NO_BODY
  private remaining = 0
  private interims = 0
  /** An interim response had `Connection: close`. */
  private interimClose = false
  /** Bytes of an incomplete head that were searched for its end. */
  private searched = 0
  private chunks: ChunkedReader | null = null
  private rest: Buffer | null = null
  /** Where a body after a response that cannot have one (RFC 9112, 6.3: HEAD, 204, 304) is recorded; otherwise null. */
  private strays: StrayBodies | null = null

  constructor(transport: ConnectionHost, events: UpstreamEvents) {
    const { server, settings } = transport
    super(server, settings.sweep.now + settings.connectMs)
    this.transport = transport
    this.events = events
    this.sweep = settings.sweep
    this.limits = settings.limits
    this.lenient = transport.lenient
    const secure = server.scheme === 'https'
    this.socket = transport.dial()
    this.unwrapped = this.socket instanceof Socket ? this.socket : null
    this.socket.on(secure ? 'secureConnect' : 'connect', () => this.connected())
    // A handshake that fails (a certificate, a server without TLS) is an error of a reachable server.
    if (secure) {
      this.socket.on('connect', () => {
        server.reached = true
      })
    }
    this.socket.on('data', (chunk: Buffer) => this.onData(chunk))
    this.socket.on('drain', () => {
      if (this.x !== null) this.events.onWritable(this)
    })
    this.socket.on('end', () => this.onEnd())
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.errorCode = error.code ?? error.message
      this.onClosed(this.errorCode)
    })
    this.socket.on('close', () => this.onClosed('closed'))
    this.sweep.add(this)
  }

  private connected(): void {
    if (this.phase !== CONNECTING) return
    this.events.onConnected(this)
  }

  send(x: Exchange): boolean {
    this.begin(x)
    const { socket } = this
    const head = this.transport.requestHead(x)
    if (x.body.framing === NO_BODY) {
      socket.write(head, 'latin1')
      return true
    }
    if (this.unwrapped !== null) {
      readAfterFailedWrites(this.unwrapped, code => this.onWriteFailed(code))
      this.unwrapped = null
    }
    this.encodeChunks = x.body.framing === BY_CHUNKS
    socket.cork()
    let flowing = socket.write(head, 'latin1')
    if (x.body.held !== null) for (const data of x.body.held) flowing = this.write(data)
    if (x.body.done) this.end(x)
    process.nextTick(uncork, socket)
    return flowing
  }

  /** Prepares for the response to a request that is about to be written. */
  begin(x: Exchange): void {
    this.x = x
    this.phase = WAITING
    this.gotByte = false
    this.paused = false
    this.interims = 0
    this.interimClose = false
    this.searched = 0
    this.reusable = false
    this.rest = null
  }

  write(data: Buffer): boolean {
    const { socket } = this
    // A chunk of size 0 would end the body, and the server would read what follows as the next request.
    if (data.length === 0) return this.writable
    if (!this.encodeChunks) return socket.write(data)
    const size = `${data.length.toString(16)}\r\n`
    if (data.length <= ONE_WRITE_BYTES) return socket.write(Buffer.concat([Buffer.from(size, 'latin1'), data, CRLF]))
    socket.cork()
    socket.write(size, 'latin1')
    socket.write(data)
    const flowing = socket.write(CRLF)
    socket.uncork()
    return flowing
  }

  end(x: Exchange): boolean {
    if (this.encodeChunks) return this.socket.write(`0\r\n${addedFieldLines(x.body.trailers)}\r\n`, 'latin1')
    return this.writable
  }

  get writable(): boolean {
    return !this.socket.writableNeedDrain
  }

  get unsentBytes(): number {
    return this.socket.writableLength
  }

  recycle(): boolean {
    this.phase = IDLE
    this.x = null
    this.idleSince = this.sweep.now
    const keepMs = Math.min(this.transport.settings.idleMs, this.keepAliveMs)
    if (keepMs <= 0 || (this.owner === null && !this.transport.keep(this))) {
      this.destroy()
      return false
    }
    this.deadline = this.sweep.now + keepMs
    return true
  }

  destroy(): void {
    this.phase = CLOSED
    this.sweep.remove(this)
    this.socket.destroy()
    if (this.owner !== null) this.events.onPrivateClosed(this)
  }

  detach(): ByteStream {
    this.phase = TUNNEL
    this.sweep.remove(this)
    for (const event of ['data', 'drain', 'end', 'error', 'close']) this.socket.removeAllListeners(event)
    return this.socket
  }

  onDeadline(nowMs: number): void {
    if (this.phase === IDLE) {
      this.transport.forget(this)
      this.destroy()
    } else if (this.phase === FLUSHING) this.destroy()
    else this.events.onStreamDeadline(this, nowMs)
  }

  private onData(chunk: Buffer): void {
    if (this.phase === READING) {
      this.readBody(chunk, 0)
      return
    }
    if (this.phase === UPLOADING) {
      // Bytes after a complete response.
      this.reusable = false
      return
    }
    if (this.phase !== WAITING) {
      // Bytes without a request cannot be attributed to one: the connection is out of step.
      if (this.phase === IDLE) {
        this.noteStray()
        this.transport.forget(this)
        this.destroy()
      }
      return
    }
    this.gotByte = true
    this.readHead(this.rest === null ? chunk : Buffer.concat([this.rest, chunk]))
  }

  private readHead(buffer: Buffer): void {
    let from = 0
    this.rest = null
    for (;;) {
      const end = this.takeHead(buffer, from)
      if (end < 0) return
      from = end
      const status = this.res.status
      const x = this.x!
      if (status >= 200) break
      if (status === 101) {
        if (!x.upgrade || !x.body.done || this.res.upgradeField < 0 || tunnelProtocols(this.res) === '') {
          this.failBeforeHead('101 for a request that did not ask for it')
          return
        }
        // A length is meaningless here (RFC 9110, 8.6). A client that obeys it would read the first bytes as a body.
        this.res.drop('content-length')
        x.downstream.onTunnel(x, this.res, this, buffer.subarray(from))
        return
      }
      // An interim response with a body contradicts itself (RFC 9110, 15.2).
      const { chunked, contentLength, close } = this.res
      if (++this.interims > MAX_INTERIMS || chunked || contentLength > 0) {
        this.failBeforeHead(
          this.interims > MAX_INTERIMS ? 'too many interim responses' : 'an interim response that announces a body',
        )
        return
      }
      if (close) this.interimClose = true
      if (this.res.relayField >= 0 && this.server.isPeer) {
        this.events.onSentToServer(this)
        continue
      }
      this.res.drop('content-length')
      x.downstream.onInterim(x, this.res)
      if (this.x !== x) return
    }
    this.startResponse(buffer, from)
  }

  /**
   * Reads the head at `from` into `res`: first by the strict grammar, and if that fails with the repairs for old servers.
   * @returns the index after it; -1 if it is incomplete or refused
   */
  private takeHead(buffer: Buffer, from: number): number {
    const { headerBytes } = this.limits
    const searchFrom = Math.max(from, this.searched - 3)
    let end = buffer.indexOf(HEAD_END, searchFrom) + HEAD_END.length
    let problem = ''
    if (end >= HEAD_END.length && end - from <= headerBytes + HEAD_END.length) {
      if (parseResponseHead(this.res, buffer.latin1Slice(from, end), this.limits) === 0) {
        this.searched = 0
        return end
      }
      problem = this.res.problem
    }
    if (this.lenient) {
      end = lenientHeadEnd(buffer, searchFrom)
      if (end >= 0 && end - from <= headerBytes + HEAD_END.length) {
        this.searched = 0
        if (repairResponseHead(this.res, buffer.latin1Slice(from, end), this.limits) === 0) return end
        this.refuse(buffer, from, this.res.problem)
        return -1
      }
    }
    if (buffer.length - from > headerBytes) problem = `the head of the response is larger than ${headerBytes} bytes`
    if (problem === '') {
      problem = whyInvalid(buffer, from, this.lenient)
      this.rest = buffer.length > from ? buffer.subarray(from) : null
      this.searched = buffer.length - from
    }
    if (problem !== '') this.refuse(buffer, from, problem)
    return -1
  }

  private refuse(buffer: Buffer, from: number, problem: string): void {
    if (this.responses > 0 && this.interims === 0 && !beginsAsHttp(buffer, from)) {
      this.outOfStep = true
      this.noteStray()
    }
    this.failBeforeHead(problem)
  }

  /** Records bytes after a complete response. */
  private noteStray(): void {
    this.strays?.note(this.sweep.now)
  }

  /** Starts the response by its framing (RFC 9112, 6.3). */
  private startResponse(buffer: Buffer, from: number): void {
    const res = this.res
    const x = this.x!
    const bodiless = x.method === 'HEAD' || res.status === 204 || res.status === 304
    let framing: Framing
    if (bodiless) framing = NO_BODY
    else if (res.chunked) framing = BY_CHUNKS
    else if (res.contentLength >= 0) framing = res.contentLength === 0 ? NO_BODY : BY_LENGTH
    else framing = BY_CLOSE
    if (res.minor === 0 && res.chunked) {
      this.failBeforeHead('Transfer-Encoding in a response of HTTP/1.0')
      return
    }
    this.framing = framing
    this.remaining = framing === BY_LENGTH ? res.contentLength : 0
    this.reusable = framing !== BY_CLOSE && !res.close && !this.interimClose && (res.minor === 1 || res.keepAlive)
    this.keepAliveMs = res.keepAliveField < 0 ? Number.POSITIVE_INFINITY : keepAliveHint(res.value(res.keepAliveField))
    this.strays = !bodiless ? null : x.method === 'HEAD' ? this.transport.straysAfterHead : this.transport.straysAfterStatus
    if (this.strays?.isExpected(this.sweep.now)) this.reusable = false
    if (framing === BY_CHUNKS) {
      this.chunks ??= new ChunkedReader(this.lenient)
      this.chunks.reset()
    }
    if (res.status === 204) res.drop('content-length')
    this.responses++
    if (res.relayField >= 0 && res.status === 503 && this.server.isPeer && isUnsent(res)) {
      this.events.onDeclined(this)
      return
    }
    this.phase = READING
    this.events.onResponse(this, framing)
    if (this.x !== x) return
    if (framing === NO_BODY) {
      // A body where none is allowed must not be read as the next response. A 204 that announces a body may still send it.
      if (buffer.length > from) {
        this.reusable = false
        this.noteStray()
      } else if (res.status === 204 && (res.chunked || res.contentLength > 0)) this.reusable = false
      this.events.onComplete(this)
      return
    }
    if (buffer.length > from) this.readBody(buffer, from)
    // A stream may be quiet for long, and a client may send its body only after the head arrives: the head is sent now.
    if (this.phase === READING && this.x === x && !x.downstream.onFlush(x)) this.pause()
  }

  private readBody(buffer: Buffer, from: number): void {
    const x = this.x!
    let flowing = true
    switch (this.framing) {
      case BY_LENGTH: {
        const to = Math.min(buffer.length, from + this.remaining)
        this.remaining -= to - from
        if (buffer.length > to) this.reusable = false
        flowing = x.onResponseBody(buffer, from, to)
        if (this.remaining === 0 && this.x === x) {
          this.events.onComplete(this)
          return
        }
        break
      }
      case BY_CHUNKS: {
        const done = this.readChunks(x, buffer, from)
        if (done === null) return
        flowing = done
        break
      }
      default:
        flowing = x.onResponseBody(buffer, from, buffer.length)
    }
    if (this.x !== x) return
    if (!flowing) this.pause()
  }

  /**
   * Forwards chunks unchanged if the client accepts the chunked coding. Size lines that are not canonical and the end of a body
   * with trailers are rewritten.
   * @returns whether the client accepts more; null if the response has ended, complete or not
   */
  private readChunks(x: Exchange, buffer: Buffer, from: number): boolean | null {
    const chunks = this.chunks!
    const { downstream } = x
    const raw = downstream.takesChunked && x.responseFilter === null
    let flowing = true
    let rawFrom = from
    chunks.startBuffer(from)
    for (;;) {
      const event = chunks.next(buffer, buffer.length)
      if (event === DATA) {
        if (!raw) flowing = x.onResponseBody(buffer, chunks.from, chunks.to)
        continue
      }
      if (event === BAD) {
        this.failWithinBody(chunks.problem)
        return null
      }
      if (raw) {
        // A line that arrived in two pieces is forwarded when it is complete.
        const rewritten = event !== MORE && !(chunks.canonical && chunks.lineFrom >= 0)
        const partial = event === MORE && chunks.inLine
        if (rewritten || event !== LINE) {
          const to = rewritten || partial ? chunks.lineFrom : chunks.position
          if (to > rawFrom) flowing = x.onResponseBody(buffer, rawFrom, to)
          rawFrom = chunks.position
        }
        if (rewritten) {
          const line = event === LINE ? `${chunks.size.toString(16)}\r\n` : `0\r\n${chunks.trailers}\r\n`
          flowing = x.onResponseBody(Buffer.from(line, 'latin1'), 0, line.length)
        }
      }
      if (event === LINE) continue
      if (event === END) {
        if (chunks.position < buffer.length) this.reusable = false
        if (this.x !== x) return null
        if (!raw && chunks.trailers !== '' && !x.onResponseTrailers(parseTrailers(chunks.trailers))) return null
        this.events.onComplete(this)
        return null
      }
      return flowing
    }
  }

  private pause(): void {
    this.paused = true
    this.socket.pause()
  }

  resume(): void {
    this.paused = false
    if (this.phase === READING) this.socket.resume()
  }

  continueUpload(): void {
    this.phase = UPLOADING
    this.socket.resume()
  }

  closeAfterFlush(ms: number): void {
    this.phase = FLUSHING
    this.deadline = this.sweep.now + Math.min(ms, MAX_FLUSH_MS)
    this.socket.end()
    if (this.owner !== null) this.events.onPrivateClosed(this)
  }

  private onEnd(): void {
    if (this.phase === UPLOADING) {
      // The server may still read. If not, the next write fails.
      this.reusable = false
      return
    }
    // The rest of the body is still being sent: the socket closes when both sides have ended.
    if (this.phase === FLUSHING) return
    if (this.phase === READING && this.framing === BY_CLOSE && (this.writeFailed === '' || this.isEarlyRejection)) {
      this.events.onComplete(this)
      return
    }
    this.onClosed(this.writeFailed || 'closed by the server')
  }

  private onWriteFailed(code: string): boolean {
    if (this.phase !== WAITING && this.phase !== READING && this.phase !== UPLOADING) return false
    if (this.x === null) return false
    this.writeFailed = code
    this.events.onSendFailed(this)
    return true
  }

  /**
   * An error response to a request whose body was not sent completely. A server that closes with unread input sends a reset instead
   * of a FIN, so where the close delimits such a response, a reset ends it too. After the complete body, a reset truncates it.
   */
  private get isEarlyRejection(): boolean {
    const x = this.x!
    if (this.res.status < 400 || x.body.framing === NO_BODY) return false
    return !x.body.done || this.writeFailed !== '' || this.socket.writableLength > 0
  }

  private onClosed(why: string): void {
    const phase = this.phase
    if (phase === CLOSED || phase === TUNNEL) return
    if (phase === READING && this.framing === BY_CLOSE && why === 'ECONNRESET' && this.isEarlyRejection) {
      this.events.onComplete(this)
      return
    }
    this.destroy()
    if (phase === IDLE) this.transport.forget(this)
    else if (phase === CONNECTING) this.events.onConnectFailed(this, this.errorCode || why)
    else if (phase === WAITING) this.events.onNoResponse(this, why, false)
    else if (phase === UPLOADING) this.events.onUploadEnded(this)
    else if (phase === READING) this.events.onBroken(this, why, false)
  }

  private failBeforeHead(why: string): void {
    this.destroy()
    this.events.onNoResponse(this, why, true)
  }

  private failWithinBody(why: string): void {
    this.destroy()
    this.events.onBroken(this, why, true)
  }
}

function uncork(socket: ByteStream): void {
  socket.uncork()
}

/**
 * Why the received bytes can never become a head, so that no time-out is awaited: they are not HTTP or, from a peer, contain a bare
 * LF. '' if they can.
 */
function whyInvalid(buffer: Buffer, from: number, lenient: boolean): string {
  if (!beginsAsHttp(buffer, from)) return 'the response does not begin as HTTP'
  for (let i = lenient ? -1 : buffer.indexOf(10, from); i >= 0; i = buffer.indexOf(10, i + 1)) {
    if (buffer[i - 1] !== 13) return 'a line of the response ends with a bare LF'
  }
  return ''
}

/** The timeout of `timeout=5, max=100` in ms, less one second, so that this side closes first. */
function keepAliveHint(value: string): number {
  const seconds = /(?:^|[,\s;])timeout=(\d{1,6})/i.exec(value)?.[1]
  return seconds === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Number(seconds) * 1000 - 1000)
}

/** True if the received bytes may be the beginning of a status line. */
function beginsAsHttp(buffer: Buffer, from: number): boolean {
  for (let i = 0; i < HTTP.length && from + i < buffer.length; i++) {
    if (buffer[from + i] !== HTTP.charCodeAt(i)) return false
  }
  return true
}
