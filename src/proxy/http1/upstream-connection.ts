// One HTTP/1.1 connection to a server: connects, writes a request at a time, reads its answer (RFC 9112; faults of old servers are
// put right by mend.ts) and reports to the forwarder what happened and, above all, what had already been sent and received
// when it broke. Deadlines are fields looked at by the sweep.

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
import { dial, keepReading } from './server-socket.ts'
import { tunnelProtocols } from './upgrade.ts'

export const CONNECTING = 0
export const IDLE = 1
/** A request was (or is being) written, no final head yet. */
export const WAITING = 2
export const READING = 3
export const TUNNEL = 4
export const CLOSED = 5
/** The answer is complete, the request's body is still being sent. */
export const DELIVERING = 6
/** The request is over; the rest of its body is on its way out, then the connection closes. */
const FLUSHING = 7
export type Phase = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7

/** What the forwarder hears of a connection. */
export interface UpstreamEvents {
  onConnected(c: UpstreamConnection): void
  /** Never got through: nothing was sent. */
  onConnectFailed(c: UpstreamConnection, code: string): void
  /** Broke before the final head. `why` is for the log; `protocol` says that the server answered, but not in HTTP. */
  onNoResponse(c: UpstreamConnection, why: string, protocol: boolean): void
  /** A final head. The framing is that of the body that follows. */
  onResponse(c: UpstreamConnection, framing: Framing): void
  /** The answer is complete; the connection may be reused if it says so. */
  onComplete(c: UpstreamConnection): void
  /** A peer says that it has passed the request on to a server. */
  onSentToServer(c: UpstreamConnection): void
  /** The server takes more of the request's body. */
  onWritable(c: UpstreamConnection): void
  /** The server takes no more of the request's body. What it sent before is still read, unless it was DELIVERING. */
  onSendFailed(c: UpstreamConnection): void
  /** Broke while DELIVERING: the answer was complete. */
  onDeliveryEnded(c: UpstreamConnection): void
  /** Broke within the body. `protocol`: what came is not the body that was announced. */
  onBroken(c: UpstreamConnection, why: string, protocol: boolean): void
  /** A private connection has closed. */
  onPrivateClosed(c: UpstreamConnection): void
  /** The deadline has passed; what it meant depends on the phase. */
  onUpstreamDeadline(c: UpstreamConnection, nowMs: number): void
}

const HEAD_END = Buffer.from('\r\n\r\n')
const HTTP = 'HTTP/1.'
/** How long the rest of a body may take to leave after its request is over, ms; also where there is no stall time. */
const MOST_FLUSH_MS = 300_000
/** Interim answers (1xx) before a final one; a server has use for one or two. */
const MAX_INTERIMS = 32

export class UpstreamConnection implements Timed {
  readonly server: LiveServer
  readonly socket: ByteStream
  phase: Phase = CONNECTING
  x: Exchange | null = null
  readonly res = new Head()
  /** Answers read so far on this connection; above 0 it is a reused one. */
  answers = 0
  /** The only client connection that it serves, by its exchange, and the service (private-connections.ts); null: any client. */
  owner: Exchange | null = null
  privateFor: RuntimeService | null = null
  /** At least one byte of the current answer has come. */
  gotByte = false
  /** When it was opened, monotonic ms, and by when (coarse) it must stand. */
  readonly openedMs = performance.now()
  readonly connectDeadline: number
  /** When a connect that does not stand puts the server in doubt (coarse); 0: never. */
  suspectDeadline = 0
  /** Code of the error that a write failed with: nothing more can be sent. '' when none did. */
  writeFailed = ''
  /** The answer is not read because the client does not take it. */
  held = false
  /** Bytes of the answer that the client had been sent when the server was last seen to hold up the body. */
  answeredBytes = 0
  /** On a reused connection, bytes that are no answer came in its place: they belong to the answer before. */
  strayed = false
  /** Where a body behind the last answer is noted if that has none by definition (RFC 9112, 6.3: HEAD, 204, 304); else null. */
  private strays: StrayBodies | null = null
  /** After the current answer the connection can take another request. */
  reusable = false
  deadline = 0
  sweepIndex = -1
  busyIndex = -1
  /** While WAITING: when the whole head must be there, and when silence becomes suspicious. */
  headDeadline = 0
  noResponseProbeAt = 0
  /** While WAITING: since when only the answer is outstanding (coarse). */
  awaitedSince = 0
  /** Since when it is idle (coarse ms). */
  idleSince = 0
  /** Number of the server's address that it was opened to. */
  readonly address: number
  /** The server's own keep-alive hint, ms; Infinity without one. */
  keepAliveMs = Number.POSITIVE_INFINITY
  private framing: Framing = NO_BODY
  private remaining = 0
  private interims = 0
  /** An interim answer had `Connection: close`. */
  private closes = false
  /** How far the head that has come so far was searched for its end, bytes. */
  private searched = 0
  /** False for a peer, which is Skein itself and sends none of the faults of old servers. */
  private readonly lenient: boolean
  private chunks: ChunkedReader | null = null
  private rest: Buffer | null = null
  private readonly events: UpstreamEvents
  private readonly sweep: Sweep
  private readonly limits: HeadLimits
  private connectCode = ''
  /** The socket until the first request with a body; null for a peer's stream. */
  private plain: Socket | null = null

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
    else this.socket = this.plain = dial(server, verifyTls)
    this.socket.on(secure ? 'secureConnect' : 'connect', () => this.connected())
    // A handshake that fails (a certificate, a server without TLS) is an error of a server that was reached.
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
      this.connectCode = error.code ?? error.message
      this.onClosed(this.connectCode)
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

  /** Prepares for the answer to a request that is about to be written. */
  begin(x: Exchange): void {
    this.x = x
    this.phase = WAITING
    this.gotByte = false
    this.held = false
    this.interims = 0
    this.closes = false
    this.searched = 0
    this.reusable = false
    this.rest = null
    if (x.bodyFraming === NO_BODY || this.plain === null) return
    keepReading(this.plain, code => this.onWriteFailed(code))
    this.plain = null
  }

  destroy(): void {
    this.phase = CLOSED
    this.sweep.remove(this)
    this.socket.destroy()
    if (this.owner !== null) this.events.onPrivateClosed(this)
  }

  /** Hands the raw socket over to a tunnel. */
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
      // Bytes behind a complete answer.
      this.reusable = false
      return
    }
    if (this.phase !== WAITING) {
      // A server that speaks unasked has lost count: nothing it says can be matched to a request.
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
      const behind = this.takeHead(buffer, from)
      if (behind < 0) return
      from = behind
      const status = this.res.status
      const x = this.x!
      if (status >= 200) break
      if (status === 101) {
        if (!x.upgrade || !x.bodyDone || this.res.upgradeField < 0 || tunnelProtocols(this.res) === '') {
          this.noAnswer('101 for a request that did not ask for it')
          return
        }
        // A length has no meaning here (RFC 9110, 8.6), and a client that follows it would read the first bytes as a body.
        this.res.drop('content-length')
        x.downstream.onSwitch(x, this.res, this, buffer.subarray(from))
        return
      }
      // An interim answer that frames a body contradicts itself (RFC 9110, 15.2).
      const { chunked, contentLength, close } = this.res
      if (++this.interims > MAX_INTERIMS || chunked || contentLength > 0) {
        this.noAnswer(this.interims > MAX_INTERIMS ? 'too many interim answers' : 'an interim answer that cannot be one')
        return
      }
      if (close) this.closes = true
      if (this.res.relayField >= 0 && this.server.isPeer) {
        this.events.onSentToServer(this)
        continue
      }
      this.res.drop('content-length')
      x.downstream.onInterim(x, this.res)
      if (this.x !== x) return
    }
    this.answer(buffer, from)
  }

  /**
   * Reads the head at `from` into `res`, first by the strict grammar; only if that gives no sound head, with bare LFs and other
   * faults of old servers.
   * @returns where it ends; -1 when it is not complete yet or was refused
   */
  private takeHead(buffer: Buffer, from: number): number {
    const { headerBytes } = this.limits
    const searchFrom = Math.max(from, this.searched - 3)
    let behind = buffer.indexOf(HEAD_END, searchFrom) + HEAD_END.length
    let problem = ''
    if (behind >= HEAD_END.length && behind - from <= headerBytes + HEAD_END.length) {
      if (parseResponseHead(this.res, buffer.latin1Slice(from, behind), this.limits) === 0) {
        this.searched = 0
        return behind
      }
      problem = this.res.problem
    }
    if (this.lenient) {
      behind = lenientHeadEnd(buffer, searchFrom)
      if (behind >= 0 && behind - from <= headerBytes + HEAD_END.length) {
        this.searched = 0
        if (repairResponseHead(this.res, buffer.latin1Slice(from, behind), this.limits) === 0) return behind
        this.refuse(buffer, from, this.res.problem)
        return -1
      }
    }
    if (buffer.length - from > headerBytes) problem = `the head of the answer is larger than ${headerBytes} bytes`
    if (problem === '') {
      problem = implausible(buffer, from, this.lenient)
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
    this.noAnswer(problem)
  }

  /** Handles bytes behind a complete answer. */
  private noteStray(): void {
    this.strays?.note(this.sweep.now)
  }

  /** RFC 9112, 6.3. */
  private answer(buffer: Buffer, from: number): void {
    const res = this.res
    const x = this.x!
    const bodiless = x.method === 'HEAD' || res.status === 204 || res.status === 304
    let framing: Framing
    if (bodiless) framing = NO_BODY
    else if (res.chunked) framing = BY_CHUNKS
    else if (res.contentLength >= 0) framing = res.contentLength === 0 ? NO_BODY : BY_LENGTH
    else framing = BY_CLOSE
    if (res.minor === 0 && res.chunked) {
      this.noAnswer('Transfer-Encoding in an answer of HTTP/1.0')
      return
    }
    this.framing = framing
    this.remaining = framing === BY_LENGTH ? res.contentLength : 0
    this.reusable = framing !== BY_CLOSE && !res.close && !this.closes && (res.minor === 1 || res.keepAlive)
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
      // A body where none is allowed must not be read as the next answer; a 204 that announces a body may still send it.
      if (buffer.length > from) {
        this.reusable = false
        this.noteStray()
      } else if (res.status === 204 && (res.chunked || res.contentLength > 0)) this.reusable = false
      this.events.onComplete(this)
      return
    }
    if (buffer.length > from) this.readBody(buffer, from)
    // A stream may stay quiet for long, and a client may send its body only after the head: the head leaves now.
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
   * If the client takes chunks, they pass unchanged, except for size lines that are not in canonical form and the end of a body
   * with trailers: those are written anew.
   * @returns whether the client takes more; null when the answer has ended, complete or not
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
        this.broken(chunks.problem)
        return null
      }
      if (raw) {
        // A line that came in two pieces is passed on only when it is complete.
        const anew = event !== MORE && !(chunks.canonical && chunks.lineFrom >= 0)
        const partial = event === MORE && chunks.inLine
        if (anew || event !== LINE) {
          const to = anew || partial ? chunks.lineFrom : chunks.position
          if (to > rawFrom) flowing = downstream.onBody(x, buffer, rawFrom, to)
          rawFrom = chunks.position
        }
        if (anew) {
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

  /** The client takes more again. */
  resume(): void {
    this.held = false
    if (this.phase === READING) this.socket.resume()
  }

  /** The answer is complete, the request's body is not: it is still sent to the server. */
  deliver(): void {
    this.phase = DELIVERING
    this.socket.resume()
  }

  /** Closes when what was written has left, or after `ms`, at most MOST_FLUSH_MS. No request belongs to it any more. */
  flushAndClose(ms: number): void {
    this.phase = FLUSHING
    this.deadline = this.sweep.now + Math.min(ms, MOST_FLUSH_MS)
    this.socket.end()
    if (this.owner !== null) this.events.onPrivateClosed(this)
  }

  private onEnd(): void {
    if (this.phase === DELIVERING) {
      // The server may still read. If not, the next write fails.
      this.reusable = false
      return
    }
    // The same holds for what is still on its way out: the socket closes when both sides have ended.
    if (this.phase === FLUSHING) return
    if (this.phase === READING && this.framing === BY_CLOSE && (this.writeFailed === '' || this.refusesBody)) {
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
   * An error answer to a request whose body has not been sent whole. A server that closes with unread input sends a reset in place
   * of a FIN, so where only the close ends such an answer, a reset ends it too. After the whole body, a reset cuts the answer.
   */
  private get refusesBody(): boolean {
    const x = this.x!
    if (this.res.status < 400 || x.bodyFraming === NO_BODY) return false
    return !x.bodyDone || this.writeFailed !== '' || this.socket.writableLength > 0
  }

  private onClosed(why: string): void {
    const phase = this.phase
    if (phase === CLOSED || phase === TUNNEL) return
    if (phase === READING && this.framing === BY_CLOSE && why === 'ECONNRESET' && this.refusesBody) {
      this.events.onComplete(this)
      return
    }
    this.destroy()
    if (phase === IDLE) this.server.forget(this)
    else if (phase === CONNECTING) this.events.onConnectFailed(this, this.connectCode || why)
    else if (phase === WAITING) this.events.onNoResponse(this, why, false)
    else if (phase === DELIVERING) this.events.onDeliveryEnded(this)
    else if (phase === READING) this.events.onBroken(this, why, false)
  }

  private noAnswer(why: string): void {
    this.destroy()
    this.events.onNoResponse(this, why, true)
  }

  private broken(why: string): void {
    this.destroy()
    this.events.onBroken(this, why, true)
  }
}

/**
 * Why the bytes so far can never become a head, so that no time-out is waited for: they are not HTTP, or have, from a peer, a bare
 * LF. '': they may.
 */
function implausible(buffer: Buffer, from: number, lenient: boolean): string {
  if (!beginsAsHttp(buffer, from)) return 'the answer does not begin as HTTP'
  for (let i = lenient ? -1 : buffer.indexOf(10, from); i >= 0; i = buffer.indexOf(10, i + 1)) {
    if (buffer[i - 1] !== 13) return 'a line of the answer ends with a bare LF'
  }
  return ''
}

/** `timeout=5, max=100` in ms, less a second so that we close first. */
function keepAliveHint(value: string): number {
  const seconds = /(?:^|[,\s;])timeout=(\d{1,6})/i.exec(value)?.[1]
  return seconds === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Number(seconds) * 1000 - 1000)
}

/** What has come may be the beginning of a status line. */
function beginsAsHttp(buffer: Buffer, from: number): boolean {
  for (let i = 0; i < HTTP.length && from + i < buffer.length; i++) {
    if (buffer[from + i] !== HTTP.charCodeAt(i)) return false
  }
  return true
}
