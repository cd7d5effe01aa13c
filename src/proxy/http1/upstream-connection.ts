// One HTTP/1.1 connection to a server: connects, writes one request at a time, reads its response (RFC 9112; head-repair.ts repairs
// faults of old servers) and reports events to the forwarder. When it breaks, it reports what had been sent and received. Deadlines
// are unwrapped fields that forward/deadlines.ts checks.

import type { Socket } from 'node:net'
import type { ByteStream } from '../byte-stream.ts'
import type { Sweep, Timed } from '../forward/deadlines.ts'
import type { Exchange } from '../forward/exchange.ts'
import { BY_CHUNKS, BY_CLOSE, BY_LENGTH, type Framing, NO_BODY } from '../message/framing.ts'
import { Head, type HeadLimits } from '../message/head.ts'
import type { RuntimeService } from '../runtime.ts'
import type { LiveServer } from '../upstream/connection-pool.ts'
import type { StrayBodies } from '../upstream/stray-bodies.ts'
import { BAD, ChunkedReader, DATA, END, LINE, MORE } from './chunked.ts'
import { lenientHeadEnd } from './head-repair.ts'
import { parseResponseHead, repairResponseHead } from './parse-head.ts'
import { dial, readAfterFailedWrites } from './server-socket.ts'
import { tunnelProtocols } from './upgrade.ts'

export const CONNECTING = 0
export const IDLE = 1
/** A request was or is being written; its final head has not arrived. */
export const WAITING = 2
export const READING = 3
export const TUNNEL = 4
export const CLOSED = 5
/** The response is complete; the request's body is still being sent. */
export const DELIVERING = 6
/** The exchange is over; the rest of its body is still in the socket's buffer, then the connection closes. */
const FLUSHING = 7
export type Phase = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7

/** Events of a connection, for the forwarder. */
export interface UpstreamEvents {
  onConnected(c: UpstreamConnection): void
  /** The connect failed: nothing was sent. */
  onConnectFailed(c: UpstreamConnection, code: string): void
  /** The connection broke before the final head. `why` is for the log; `protocol`: bytes arrived that are not HTTP. */
  onNoResponse(c: UpstreamConnection, why: string, protocol: boolean): void
  /** A final head has arrived. `framing` is that of the body that follows. */
  onResponse(c: UpstreamConnection, framing: Framing): void
  /** The response is complete; the connection may be reused if `reusable` is set. */
  onComplete(c: UpstreamConnection): void
  /** A peer reports that it is sending the request to a server. */
  onSentToServer(c: UpstreamConnection): void
  /** The server accepts more of the request's body. */
  onWritable(c: UpstreamConnection): void
  /** A write failed. What the server sent before is still read, unless the phase was DELIVERING. */
  onSendFailed(c: UpstreamConnection): void
  /** The connection broke while DELIVERING: the response was complete. */
  onDeliveryEnded(c: UpstreamConnection): void
  /** The connection broke within the body. `protocol`: the received bytes are not the announced body. */
  onBroken(c: UpstreamConnection, why: string, protocol: boolean): void
  /** A private connection has closed. */
  onPrivateClosed(c: UpstreamConnection): void
  /** The deadline has passed; its meaning depends on the phase. */
  onUpstreamDeadline(c: UpstreamConnection, nowMs: number): void
}

const HEAD_END = Buffer.from('\r\n\r\n')
const HTTP = 'HTTP/1.'
/** Limit of the time in which the rest of a body must leave after its exchange, ms; applies also without a stall time. */
const MAX_FLUSH_MS = 300_000
/** Interim responses (1xx) before a final one; servers send one or two. */
const MAX_INTERIMS = 32

export class UpstreamConnection implements Timed {
  readonly server: LiveServer
  readonly socket: ByteStream
  phase: Phase = CONNECTING
  x: Exchange | null = null
  readonly res = new Head()
  /** Responses read on this connection; above 0 it is a reused one. */
  answers = 0
  /** The client connection (by its exchange) and the service to which it is reserved (private-connections.ts); null: any. */
  owner: Exchange | null = null
  privateFor: RuntimeService | null = null
  /** At least one byte of the current response has arrived. */
  gotByte = false
  /** When it was opened, monotonic ms, and the deadline of the connect (coarse). */
  readonly openedMs = performance.now()
  readonly connectDeadline: number
  /** When a pending connect makes the server suspect (coarse); 0: never. */
  suspectDeadline = 0
  /** Error code of a failed write, after which nothing can be sent; '' if none failed. */
  writeFailed = ''
  /** Reading is paused because the client does not read its response. */
  held = false
  /** Bytes of the response that the client had been sent when the server was last found to block the body. */
  answeredBytes = 0
  /** On a reused connection, bytes arrived in place of a response that are not HTTP: they belong to the previous response. */
  strayed = false
  /** Where a body after a response that cannot have one (RFC 9112, 6.3: HEAD, 204, 304) is recorded; otherwise null. */
  private strays: StrayBodies | null = null
  /** After the current response the connection can carry another request. */
  reusable = false
  deadline = 0
  sweepIndex = -1
  busyIndex = -1
  /** While WAITING: deadline of the complete head, and when the no-response probe is due. */
  headDeadline = 0
  noResponseProbeAt = 0
  /** While WAITING: since when only the response is outstanding (coarse). */
  awaitedSince = 0
  /** When it became idle (coarse ms). */
  idleSince = 0
  /** Index of the server's address to which it is connected. */
  readonly address: number
  /** The server's keep-alive hint, ms; Infinity without one. */
  keepAliveMs = Number.POSITIVE_INFINITY
  private framing: Framing = NO_BODY
  private remaining = 0
  private interims = 0
  /** An interim response had `Connection: close`. */
  private interimClose = false
  /** Bytes of an incomplete head that were searched for its end. */
  private searched = 0
  /** False for a peer, which is Skein itself and has none of the faults of old servers. */
  private readonly lenient: boolean
  private chunks: ChunkedReader | null = null
  private rest: Buffer | null = null
  private readonly events: UpstreamEvents
  private readonly sweep: Sweep
  private readonly limits: HeadLimits
  private errorCode = ''
  /** The socket until the first request with a body; null for a stream of a peer. */
  private unwrapped: Socket | null = null

  constructor(
    server: LiveServer,
    events: UpstreamEvents,
    sweep: Sweep,
    limits: HeadLimits,
    connectMs: number,
    verifyTls: boolean,
  ) {
    this.server = server
    this.events = events
    this.sweep = sweep
    this.limits = limits
    this.address = server.address
    this.lenient = !server.isPeer
    const secure = server.scheme === 'https'
    if (server.isPeer) this.socket = server.openStream()
    else this.socket = this.unwrapped = dial(server, verifyTls)
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
    this.connectDeadline = sweep.now + connectMs
    this.deadline = this.connectDeadline
    sweep.add(this)
  }

  private connected(): void {
    if (this.phase !== CONNECTING) return
    this.events.onConnected(this)
  }

  /** Prepares for the response to a request that is about to be written. */
  begin(x: Exchange): void {
    this.x = x
    this.phase = WAITING
    this.gotByte = false
    this.held = false
    this.interims = 0
    this.interimClose = false
    this.searched = 0
    this.reusable = false
    this.rest = null
    if (x.bodyFraming === NO_BODY || this.unwrapped === null) return
    readAfterFailedWrites(this.unwrapped, code => this.onWriteFailed(code))
    this.unwrapped = null
  }

  destroy(): void {
    this.phase = CLOSED
    this.sweep.remove(this)
    this.socket.destroy()
    if (this.owner !== null) this.events.onPrivateClosed(this)
  }

  /** Detaches the raw socket for a tunnel. */
  release(): void {
    this.phase = TUNNEL
    this.sweep.remove(this)
    this.socket.removeAllListeners('data')
    this.socket.removeAllListeners('drain')
    this.socket.removeAllListeners('end')
    this.socket.removeAllListeners('error')
    this.socket.removeAllListeners('close')
  }

  onDeadline(nowMs: number): void {
    this.events.onUpstreamDeadline(this, nowMs)
  }

  private onData(chunk: Buffer): void {
    if (this.phase === READING) {
      this.readBody(chunk, 0)
      return
    }
    if (this.phase === DELIVERING) {
      // Bytes after a complete response.
      this.reusable = false
      return
    }
    if (this.phase !== WAITING) {
      // Bytes without a request cannot be attributed to one: the connection is out of step.
      if (this.phase === IDLE) {
        this.noteStray()
        this.server.forget(this)
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
        if (!x.upgrade || !x.bodyDone || this.res.upgradeField < 0 || tunnelProtocols(this.res) === '') {
          this.failBeforeHead('101 for a request that did not ask for it')
          return
        }
        // A length is meaningless here (RFC 9110, 8.6). A client that obeys it would read the first bytes as a body.
        this.res.drop('content-length')
        x.downstream.onSwitch(x, this.res, this, buffer.subarray(from))
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
    if (this.answers > 0 && this.interims === 0 && !beginsAsHttp(buffer, from)) {
      this.strayed = true
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
    this.strays = !bodiless ? null : x.method === 'HEAD' ? this.server.straysAfterHead : this.server.straysAfterStatus
    if (this.strays?.isExpected(this.sweep.now)) this.reusable = false
    if (framing === BY_CHUNKS) {
      this.chunks ??= new ChunkedReader(this.lenient)
      this.chunks.reset()
    }
    if (res.status === 204) res.drop('content-length')
    this.phase = READING
    this.answers++
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
    if (this.phase === READING && this.x === x && !x.downstream.onFlush(x)) this.hold()
  }

  private readBody(buffer: Buffer, from: number): void {
    const x = this.x!
    let flowing = true
    switch (this.framing) {
      case BY_LENGTH: {
        const to = Math.min(buffer.length, from + this.remaining)
        this.remaining -= to - from
        if (buffer.length > to) this.reusable = false
        flowing = x.downstream.onBody(x, buffer, from, to)
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
        flowing = x.downstream.onBody(x, buffer, from, buffer.length)
    }
    if (this.x !== x) return
    if (!flowing) this.hold()
  }

  /**
   * Forwards chunks unchanged if the client accepts the chunked coding. Size lines that are not canonical and the end of a body
   * with trailers are rewritten.
   * @returns whether the client accepts more; null if the response has ended, complete or not
   */
  private readChunks(x: Exchange, buffer: Buffer, from: number): boolean | null {
    const chunks = this.chunks!
    const { downstream } = x
    const raw = downstream.takesChunked
    let flowing = true
    let rawFrom = from
    chunks.startBuffer(from)
    for (;;) {
      const event = chunks.next(buffer, buffer.length)
      if (event === DATA) {
        if (!raw) flowing = downstream.onBody(x, buffer, chunks.from, chunks.to)
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
          if (to > rawFrom) flowing = downstream.onBody(x, buffer, rawFrom, to)
          rawFrom = chunks.position
        }
        if (rewritten) {
          const line = event === LINE ? `${chunks.size.toString(16)}\r\n` : `0\r\n${chunks.trailers}\r\n`
          flowing = downstream.onBody(x, Buffer.from(line, 'latin1'), 0, line.length)
        }
      }
      if (event === LINE) continue
      if (event === END) {
        if (chunks.position < buffer.length) this.reusable = false
        if (this.x === x) this.events.onComplete(this)
        return null
      }
      return flowing
    }
  }

  private hold(): void {
    this.held = true
    this.socket.pause()
  }

  /** The client accepts more. */
  resume(): void {
    this.held = false
    if (this.phase === READING) this.socket.resume()
  }

  /** The response is complete, the request's body is not: continues to send it. */
  deliver(): void {
    this.phase = DELIVERING
    this.socket.resume()
  }

  /** Closes after all written bytes have left, or after `ms`, at most MAX_FLUSH_MS. No exchange belongs to the connection. */
  flushAndClose(ms: number): void {
    this.phase = FLUSHING
    this.deadline = this.sweep.now + Math.min(ms, MAX_FLUSH_MS)
    this.socket.end()
    if (this.owner !== null) this.events.onPrivateClosed(this)
  }

  private onEnd(): void {
    if (this.phase === DELIVERING) {
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
    if (this.phase !== WAITING && this.phase !== READING && this.phase !== DELIVERING) return false
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
    if (this.res.status < 400 || x.bodyFraming === NO_BODY) return false
    return !x.bodyDone || this.writeFailed !== '' || this.socket.writableLength > 0
  }

  private onClosed(why: string): void {
    const phase = this.phase
    if (phase === CLOSED || phase === TUNNEL) return
    if (phase === READING && this.framing === BY_CLOSE && why === 'ECONNRESET' && this.isEarlyRejection) {
      this.events.onComplete(this)
      return
    }
    this.destroy()
    if (phase === IDLE) this.server.forget(this)
    else if (phase === CONNECTING) this.events.onConnectFailed(this, this.errorCode || why)
    else if (phase === WAITING) this.events.onNoResponse(this, why, false)
    else if (phase === DELIVERING) this.events.onDeliveryEnded(this)
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
