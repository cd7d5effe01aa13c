// One HTTP/1.1 connection from a client: reads requests strictly, one at a time and in order (RFC 9112), hands them to the
// forwarder, writes the answers. Small answers go out in one write. Deadlines: for the head, between bytes of a body, while the
// client does not read, while idle.

import type { Socket } from 'node:net'
import { ABORTED, FAILED, IN_FLIGHT, RETRIES } from '../counters.ts'
import { BY_CHUNKS, BY_CLOSE, type Downstream, Exchange, type Framing, NO_BODY } from '../exchange.ts'
import type { ForwardedContext } from '../forwarded-headers.ts'
import { ownAnswer } from '../own-answer.ts'
import type { Timed } from '../sweep.ts'
import { openTunnel, type Tunnel } from '../tunnel.ts'
import type { WorkerContext } from '../worker-context.ts'
import { BAD, ChunkedReader, DATA, END } from './chunked.ts'
import type { Head } from './head.ts'
import type { UpstreamConnection } from './upstream-connection.ts'
import { passedFields, responseHead, statusLine } from './write-head.ts'

/** Between requests, or reading a head. */
const READY = 0
const BUSY = 1
const TUNNEL = 2
/** The last answer is written; what still comes is read and thrown away, lest a reset destroy the answer on its way. */
const LINGERING = 3
const GONE = 4

const HEAD_END = Buffer.from('\r\n\r\n')
/** Answers up to this size are written together with their head as one string. */
const ONE_WRITE_BYTES = 8192
/** Pipelined bytes kept while an answer is under way. */
const BACKLOG_BYTES = 65_536
const LINGER_MS = 2000
/** When shutting down, an idle connection gets this long for a request that may be on its way. */
const DRAIN_IDLE_MS = 2000

export class ClientConnection implements Downstream, Timed {
  deadline = 0
  sweepIndex = -1
  takesChunked = true
  private state: 0 | 1 | 2 | 3 | 4 = READY
  private readonly socket: Socket
  private readonly context: WorkerContext
  private readonly forwarded: ForwardedContext
  private readonly x: Exchange
  private readonly onGone: (c: ClientConnection) => void
  /** Bytes that are not used yet: part of a head, or pipelined requests. */
  private rest: Buffer | null = null
  /** How far `rest` was searched for the end of a head. */
  private searched = 0
  private headStarted = false
  private close = false
  private paused = false
  private stalled = false
  private ended = false
  /** Bytes of the body that are to come; for a chunked one 1 until its end. */
  private bodyLeft = 0
  private chunks: ChunkedReader | null = null
  /** The response head, until it is written with the first piece of the body. */
  private pendingHead = ''
  private encodeChunks = false
  private processing = false
  private tunnel: Tunnel | null = null

  constructor(
    socket: Socket,
    context: WorkerContext,
    forwarded: ForwardedContext,
    entryPoint: string,
    onGone: (c: ClientConnection) => void,
  ) {
    this.socket = socket
    this.context = context
    this.forwarded = forwarded
    this.onGone = onGone
    this.x = new Exchange(this, entryPoint)
    this.x.clientAddress = forwarded.address
    socket.on('data', (chunk: Buffer) => this.onData(chunk))
    socket.on('drain', () => this.onDrain())
    socket.on('end', () => this.onClientEnd())
    socket.on('error', () => this.gone())
    socket.on('close', () => this.gone())
    this.deadline = context.sweep.now + context.options.timeouts.requestHeaderMs
    context.sweep.add(this)
  }

  // ---- reading ----

  /** Bytes from the client; also called for those that came with a PROXY header. */
  onData(chunk: Buffer): void {
    if (this.state === BUSY && !this.x.bodyDone) {
      this.readBody(chunk, 0)
      return
    }
    if (this.state === BUSY) {
      this.rest = this.rest === null ? chunk : Buffer.concat([this.rest, chunk])
      if (this.rest.length > BACKLOG_BYTES) this.pause()
      return
    }
    if (this.state !== READY) return
    this.rest = this.rest === null ? chunk : Buffer.concat([this.rest, chunk])
    this.readRequests()
  }

  /**
   * Reads as many requests as can be answered at once; a loop, since a thousand pipelined ones must not become a thousand frames.
   */
  private readRequests(): void {
    if (this.processing) return
    this.processing = true
    while (this.state === READY && this.rest !== null && !this.stalled && this.readHead()) {}
    this.processing = false
    if (this.paused && !this.stalled && (this.state === READY || (this.state === BUSY && this.x.bodyDone))) this.readOn()
  }

  /** Reads on, unless what waits already is enough: pipelining must not fill the memory. */
  private readOn(): void {
    if (this.state === READY || this.rest === null || this.rest.length <= BACKLOG_BYTES) this.unpause()
    else this.pause()
  }

  /** @returns false when more bytes are needed */
  private readHead(): boolean {
    const { limits, timeouts } = this.context.options
    const buffer = this.rest!
    let from = 0
    // One empty line before a request is tolerated (RFC 9112, 2.2).
    if (buffer[0] === 13 && buffer.length > 1 && buffer[1] === 10) from = 2
    if (from > 0 && this.searched < from) this.searched = from
    const end = buffer.indexOf(HEAD_END, Math.max(from, this.searched - 3))
    const length = (end < 0 ? buffer.length : end) - from
    if (length > limits.headerBytes) {
      const line = buffer.indexOf(10, from)
      this.refuse(line < 0 || line - from > limits.uriBytes ? 414 : 431, `the head is larger than ${limits.headerBytes} bytes`)
      return false
    }
    if (end < 0) {
      if (!this.headStarted && length > 0) {
        this.headStarted = true
        this.deadline = this.context.sweep.now + timeouts.requestHeaderMs
      }
      const problem = plausible(buffer, from, this.searched)
      this.searched = buffer.length
      if (problem !== '') this.refuse(400, problem)
      return false
    }
    const text = buffer.latin1Slice(from, end + 4)
    this.rest = buffer.length > end + 4 ? buffer.subarray(end + 4) : null
    this.searched = 0
    this.headStarted = false
    this.handle(text)
    return true
  }

  private handle(text: string): void {
    const { context, x } = this
    const { req } = x
    this.state = BUSY
    this.deadline = 0
    let status = req.parseRequest(text, context.options.limits)
    this.close = req.close || (req.minor === 0 && !req.keepAlive)
    this.takesChunked = req.minor === 1
    if (status === 0) status = x.begin(performance.now())
    if (status !== 0) {
      x.method = 'GET'
      x.service = null
      this.refuse(status, req.problem)
      return
    }
    const { bodyBytes } = context.options.limits
    if (bodyBytes > 0 && req.contentLength > bodyBytes) {
      this.answer(413, `Content-Length ${req.contentLength} is more than ${bodyBytes}`)
      return
    }
    const route = context.runtime.routes.match(x)
    if (route === null) {
      this.answer(404, 'no router matches')
      return
    }
    x.route = route
    x.service = route.service
    context.counters.add(route.service.slot, IN_FLIGHT, 1)
    for (const middleware of route.middlewares) middleware.request?.(x)
    if (route.service.limit !== null && route.service.maxConnKey !== null) {
      const key = route.service.maxConnKey(x)
      if (!route.service.limit.acquire(key)) {
        this.answer(429, `more than ${route.service.config.maxConn?.amount} requests at once`)
        return
      }
      x.limit = route.service.limit
      x.maxConnKey = key
    }
    if (x.bodyFraming !== NO_BODY) this.beginBody()
    context.forwarder.forward(x)
    if (!x.bodyDone && this.rest !== null && this.state === BUSY) {
      const first = this.rest
      this.rest = null
      this.readBody(first, 0)
    }
  }

  private beginBody(): void {
    const { x } = this
    this.deadline = this.context.sweep.now + this.context.options.timeouts.stallMs
    this.unpause()
    if (x.bodyFraming === BY_CHUNKS) {
      this.chunks ??= new ChunkedReader()
      this.chunks.reset()
      this.bodyLeft = 1
    } else this.bodyLeft = x.req.contentLength
  }

  private readBody(buffer: Buffer, from: number): void {
    const { context, x } = this
    this.deadline = context.sweep.now + context.options.timeouts.stallMs
    let to: number
    if (x.bodyFraming === BY_CHUNKS) {
      to = this.readChunks(buffer, from)
      if (to < 0) return
    } else {
      to = Math.min(buffer.length, from + this.bodyLeft)
      this.bodyLeft -= to - from
      x.bytesIn += to - from
      context.forwarder.requestBody(x, from === 0 && to === buffer.length ? buffer : buffer.subarray(from, to))
    }
    if (this.state !== BUSY || !x.active) return
    if (to < buffer.length) this.rest = buffer.subarray(to)
    if (this.bodyLeft > 0) return
    this.readOn()
    this.deadline = 0
    context.forwarder.requestBodyEnd(x)
  }

  /**
   * Chunks are written anew, as one for all that came together: no extension and no odd spelling of a size reaches a server, and
   * a body of single bytes costs no more than another. @returns where it stopped, -1 if the body was refused
   */
  private readChunks(buffer: Buffer, from: number): number {
    const { context, x } = this
    const chunks = this.chunks!
    const { bodyBytes } = context.options.limits
    const pieces: Buffer[] = []
    let size = 0
    let event: number
    chunks.position = from
    while ((event = chunks.next(buffer, buffer.length)) === DATA) {
      pieces.push(buffer.subarray(chunks.from, chunks.to))
      size += chunks.to - chunks.from
    }
    if (event === BAD) return this.refuseBody(400, chunks.problem)
    x.bytesIn += size
    if (bodyBytes > 0 && x.bytesIn > bodyBytes) return this.refuseBody(413, `the body is larger than ${bodyBytes} bytes`)
    if (size > 0) {
      pieces.unshift(Buffer.from(`${size.toString(16)}\r\n`, 'latin1'))
      pieces.push(CRLF)
    }
    if (event === END) pieces.push(Buffer.from(`0\r\n${chunks.trailers}\r\n`, 'latin1'))
    if (pieces.length > 0) context.forwarder.requestBody(x, Buffer.concat(pieces))
    if (event === END) this.bodyLeft = 0
    return chunks.position
  }

  /** A body that must not go on. What was already answered cannot be taken back: then only the connection can break. */
  private refuseBody(status: number, why: string): -1 {
    const { context, x } = this
    if (x.answered && this.pendingHead === '') {
      context.log('info', why, this.fields(x, status))
      this.destroy()
      return -1
    }
    this.pendingHead = ''
    context.forwarder.abort(x)
    this.answerDetached(status, why)
    return -1
  }

  pauseBody(): void {
    this.pause()
    this.deadline = 0
  }

  resumeBody(x: Exchange): void {
    if (!this.paused || this.state !== BUSY || x.bodyDone) return
    this.deadline = this.context.sweep.now + this.context.options.timeouts.stallMs
    this.unpause()
  }

  private pause(): void {
    if (this.paused) return
    this.paused = true
    this.socket.pause()
  }

  private unpause(): void {
    if (!this.paused) return
    this.paused = false
    this.socket.resume()
  }

  // ---- writing ----

  forwardedLines(x: Exchange): string {
    return this.forwarded.lines(x)
  }

  onInterim(x: Exchange, head: Head): void {
    if (x.req.minor === 0) return
    this.socket.write(`${statusLine(head)}${passedFields(head)}\r\n`, 'latin1')
  }

  onHead(x: Exchange, head: Head, framing: Framing): void {
    // A client that has just been refused, or still waits for its 100, may never send the body it announced.
    if (this.context.draining || (!x.bodyDone && (head.status >= 400 || x.req.expectContinue))) this.close = true
    this.encodeChunks = framing === BY_CLOSE && x.req.minor === 1
    if ((framing === BY_CLOSE || framing === BY_CHUNKS) && x.req.minor === 0) this.close = true
    const sent: Framing = this.encodeChunks ? BY_CHUNKS : framing === BY_CHUNKS && x.req.minor === 0 ? BY_CLOSE : framing
    this.pendingHead = responseHead(x, head, sent, this.connectionLine(x))
  }

  private connectionLine(x: Exchange): string {
    if (this.close) return 'Connection: close\r\n'
    return x.req.minor === 0 ? 'Connection: keep-alive\r\n' : ''
  }

  onBody(x: Exchange, buffer: Buffer, from: number, to: number): boolean {
    const size = to - from
    x.bytesOut += size
    if (size === 0) return true
    const { socket } = this
    const head = this.pendingHead
    this.pendingHead = ''
    let flowing: boolean
    if (this.encodeChunks) {
      flowing = socket.write(Buffer.concat([Buffer.from(head, 'latin1'), chunkOf(buffer, from, to)]))
    } else if (head === '') {
      flowing = socket.write(from === 0 && to === buffer.length ? buffer : buffer.subarray(from, to))
    } else if (size <= ONE_WRITE_BYTES) {
      flowing = socket.write(head + buffer.latin1Slice(from, to), 'latin1')
    } else {
      socket.cork()
      socket.write(head, 'latin1')
      flowing = socket.write(buffer.subarray(from, to))
      socket.uncork()
    }
    if (!flowing) {
      this.stalled = true
      this.deadline = this.context.sweep.now + this.context.options.timeouts.stallMs
    }
    return flowing
  }

  onEnd(x: Exchange): void {
    if (this.encodeChunks) {
      this.socket.write(`${this.pendingHead}0\r\n\r\n`, 'latin1')
      this.pendingHead = ''
    } else if (this.pendingHead !== '') {
      this.socket.write(this.pendingHead, 'latin1')
      this.pendingHead = ''
    }
    this.finish(x)
  }

  onBroken(x: Exchange, why: string): void {
    // What was announced cannot be delivered: only a connection that breaks tells the client so.
    this.context.log('warn', why, this.fields(x, 502))
    this.settle(x, 502)
    if (this.pendingHead !== '') {
      this.pendingHead = ''
      this.close = true
      this.writeAnswer(502, x)
      return
    }
    // A reset, since a FIN would be the good end of a body that has no length.
    this.socket.resetAndDestroy()
    this.gone()
  }

  onFailed(x: Exchange, status: number, why: string): void {
    this.context.counters.add(x.service?.slot ?? 0, FAILED, 1)
    this.answer(status, why)
  }

  /** Answers by itself. The connection lives on unless the request's body has not been read. */
  private answer(status: number, why: string): void {
    const { x } = this
    if (!x.bodyDone) this.close = true
    this.answerDetached(status, why)
  }

  private answerDetached(status: number, why: string): void {
    const { context, x } = this
    if (!x.bodyDone || context.draining) this.close = true
    x.requestId = context.ids.next()
    context.log(status === 502 || status === 503 || status === 504 ? 'warn' : 'info', why, this.fields(x, status))
    this.settle(x, status)
    this.writeAnswer(status, x)
  }

  private writeAnswer(status: number, x: Exchange): void {
    if (x.requestId === '') x.requestId = this.context.ids.next()
    this.socket.write(ownAnswer(status, x.requestId, x.method, this.close), 'latin1')
    this.next()
  }

  /** Refuses what could not be understood: answers and closes. */
  private refuse(status: number, why: string): void {
    const { context, x } = this
    this.state = BUSY
    this.close = true
    this.rest = null
    x.requestId = context.ids.next()
    context.log('info', why, { status, requestId: x.requestId, client: this.forwarded.address })
    context.counters.add(0, IN_FLIGHT, 1)
    context.counters.finished(0, status, 0, 0, 0)
    this.socket.write(ownAnswer(status, x.requestId, 'GET', true), 'latin1')
    this.next()
  }

  private fields(x: Exchange, status: number): Record<string, string | number> {
    if (x.requestId === '') x.requestId = this.context.ids.next()
    return {
      status,
      requestId: x.requestId,
      client: this.forwarded.address,
      method: x.method,
      host: x.authority.slice(0, 256),
      path: x.receivedPath.slice(0, 256),
      router: x.route?.router.name ?? '',
      service: x.service?.name ?? '',
    }
  }

  // ---- ends ----

  private finish(x: Exchange): void {
    // What is left of a body cannot be told from a next request.
    if (!x.bodyDone) this.close = true
    this.settle(x, x.status)
    this.next()
  }

  /** Books the request as over. */
  private settle(x: Exchange, status: number): void {
    if (!x.active) return
    x.active = false
    x.status = status
    const ms = performance.now() - x.startMs
    const slot = x.service?.slot ?? 0
    const { counters } = this.context
    if (x.service === null) counters.add(0, IN_FLIGHT, 1)
    counters.finished(slot, status, ms, x.bytesIn, x.bytesOut)
    if (x.attempts > 1) counters.add(slot, RETRIES, x.attempts - 1)
    if (x.limit !== null && x.maxConnKey !== null) x.limit.release(x.maxConnKey)
    x.limit = null
    if (this.context.options.accessLog) this.context.access(x, ms)
  }

  /** On to the next request, or to the end of the connection. */
  private next(): void {
    this.encodeChunks = false
    if (this.state === GONE) return
    if (this.close || this.ended) {
      this.linger()
      return
    }
    this.state = READY
    // A client that does not take its answers gets no further ones: its requests wait.
    if (this.socket.writableNeedDrain) {
      this.stalled = true
      this.deadline = this.context.sweep.now + this.context.options.timeouts.stallMs
      this.pause()
      return
    }
    this.deadline = this.context.sweep.now + this.idleMs()
    if (this.rest === null) this.unpause()
    else this.readRequests()
  }

  private idleMs(): number {
    return this.context.draining ? DRAIN_IDLE_MS : this.context.options.timeouts.clientIdleMs
  }

  private linger(): void {
    this.state = LINGERING
    this.rest = null
    const unsent = this.stalled || this.socket.writableLength > 0
    this.deadline = this.context.sweep.now + (unsent ? this.context.options.timeouts.stallMs : LINGER_MS)
    this.socket.end()
    this.unpause()
  }

  /** Shutting down: idle connections end soon, the others after their answer. */
  drain(): void {
    if (this.state === READY && !this.headStarted && !this.stalled) this.deadline = this.context.sweep.now + DRAIN_IDLE_MS
  }

  /** The grace is over. */
  destroy(): void {
    this.tunnel?.destroy()
    this.socket.destroy()
    this.gone()
  }

  private onDrain(): void {
    if (!this.stalled) return
    this.stalled = false
    if (this.state === BUSY) {
      const reading = !this.x.bodyDone && !this.paused
      this.deadline = reading ? this.context.sweep.now + this.context.options.timeouts.stallMs : 0
      this.context.forwarder.resumeResponse(this.x)
    } else if (this.state === READY) this.next()
  }

  /** A FIN while an answer is awaited is a client that went away, as in Traefik; half-close is for tunnels. */
  private onClientEnd(): void {
    this.ended = true
    if (this.state === BUSY && this.x.active) {
      this.gone()
      this.socket.destroy()
    } else if (this.state === READY) this.linger()
  }

  private gone(): void {
    if (this.state === GONE || this.state === TUNNEL) return
    const busy = this.state === BUSY && this.x.active
    this.state = GONE
    this.context.sweep.remove(this)
    if (busy) {
      this.context.counters.add(this.x.service?.slot ?? 0, ABORTED, 1)
      this.context.forwarder.abort(this.x)
      this.settle(this.x, 499)
    }
    this.onGone(this)
  }

  onDeadline(): void {
    if (this.state === READY && this.headStarted && !this.stalled) {
      this.refuse(408, 'the head did not arrive in time')
    } else if (this.state === BUSY && this.x.active && !this.x.bodyDone && !this.x.answered) {
      this.context.forwarder.abort(this.x)
      this.answer(408, `no byte of the body for ${this.context.options.timeouts.stallMs} ms`)
    } else if (this.state === READY && !this.stalled) {
      this.socket.end()
      this.linger()
    } else {
      this.destroy()
    }
  }

  onSwitch(x: Exchange, head: Head, connection: UpstreamConnection, rest: Buffer): void {
    const { context, socket } = this
    const first = this.rest
    this.rest = null
    this.state = TUNNEL
    context.forwarder.tunnelOpened(x)
    context.sweep.remove(this)
    for (const event of ['data', 'drain', 'end', 'error', 'close']) socket.removeAllListeners(event)
    connection.release()
    x.answered = true
    socket.write(
      `${statusLine(head)}${passedFields(head)}${x.addedToResponse}Connection: Upgrade\r\nUpgrade: ${head.value(head.upgradeField)}\r\n\r\n`,
      'latin1',
    )
    if (rest.length > 0) socket.write(rest)
    if (first !== null) connection.socket.write(first)
    this.tunnel = openTunnel(
      socket,
      connection.socket,
      context.sweep,
      context.options.timeouts.tunnelIdleMs,
      (bytesIn, bytesOut) => {
        x.bytesIn += bytesIn
        x.bytesOut += bytesOut
        context.forwarder.tunnelEnded(x)
        this.settle(x, 101)
        this.state = GONE
        this.onGone(this)
      },
    )
  }
}

/** A chunk as it goes on the wire. */
function chunkOf(buffer: Buffer, from: number, to: number): Buffer {
  return Buffer.concat([Buffer.from(`${(to - from).toString(16)}\r\n`, 'latin1'), buffer.subarray(from, to), CRLF])
}
const CRLF = Buffer.from('\r\n')

/** Tells early that an unfinished head can never become one: a wrong first byte, a bare LF. */
function plausible(buffer: Buffer, from: number, searched: number): string {
  const first = buffer[from]
  if (first !== undefined && (first < 65 || first > 90) && !(first === 13 && buffer.length === from + 1)) {
    return 'the request does not begin with a method'
  }
  for (let i = buffer.indexOf(10, Math.max(from, searched)); i >= 0; i = buffer.indexOf(10, i + 1)) {
    if (i === from || buffer[i - 1] !== 13) return 'a line ends with a bare LF'
  }
  return ''
}
