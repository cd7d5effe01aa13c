// One HTTP/1.1 connection from a client: reads one request at a time and responds in order (RFC 9112, 9.3). Owns the socket, its
// flow control and its deadlines: for a head, between bytes of a body, while the client does not read, while idle. Parts:
// receive-buffer.ts, request-body.ts, response-writer.ts.

import { type ByteStream, resetStream } from '../byte-stream.ts'
import { finish, logFields, noteAborted, noteFailed, noteSwitched } from '../forward/accounting.ts'
import type { Timed } from '../forward/deadlines.ts'
import type { Downstream } from '../forward/downstream.ts'
import { Exchange } from '../forward/exchange.ts'
import { limitOf, STALL_LIMIT, stallMs, TUNNEL_IDLE_LIMIT } from '../forward/time-limits.ts'
import { openTunnel, type Tunnel } from '../forward/tunnel.ts'
import type { FieldList } from '../message/field-list.ts'
import type { Forwarded } from '../message/forwarded-headers.ts'
import { BY_CHUNKS, BY_CLOSE, type Framing } from '../message/framing.ts'
import { type Head, isHandshake } from '../message/head.ts'
import { healthReply } from '../message/local-reply.ts'
import { ADMITTED, type Listener } from '../routing/admission.ts'
import type { UpstreamStream } from '../upstream/upstream-stream.ts'
import type { WorkerContext } from '../worker-context.ts'
import { parseRequestHead } from './parse-head.ts'
import { ReceiveBuffer } from './receive-buffer.ts'
import { logRepairs } from './repair-log.ts'
import { RequestBody } from './request-body.ts'
import { ResponseWriter } from './response-writer.ts'
import { localReplyText } from './write-head.ts'

/** Between requests, or reading a head. */
const READY = 0
const BUSY = 1
const TUNNEL = 2
/** The last response is written. Further bytes are read and discarded, since a reset could destroy the response in transit. */
const LINGERING = 3
const GONE = 4

/** Limit of pipelined bytes kept while a response is in progress. */
const BACKLOG_BYTES = 65_536
/** Time in which a client must close after all its requests were read, ms. */
const LINGER_MS = 2000
/**
 * Longest pause of a client that is still sending, ms, and the limit of bytes read from it. Many clients send the whole body before
 * they read the response, and a reset would discard that response.
 */
const LINGER_QUIET_MS = 30_000
const LINGER_BYTES = 1024 ** 3
/** Limit of the time in which such a client is read, ms, from the moment it has received its responses. */
const LINGER_TOTAL_MS = 300_000
/** Connections of one worker that get LINGER_QUIET_MS; further ones get LINGER_MS. */
const MAX_LINGERING = 1000
/**
 * A client that has ended its side may still read, or be gone; only a write shows which. The kernel of a vanished client answers
 * bytes with a reset, and the next write then fails (after a FIN, libuv does not watch the socket). Until the response starts, its
 * first bytes are written one by one: the first after this time, ms, each further one after twice the previous interval. A
 * response that has started may be quiet for the stall time.
 */
const PROBE_AFTER_MS = 200
/**
 * While draining, an idle connection has this time for one last request, whose response carries Connection: close. A request that
 * crosses with our FIN is lost, so this is longer than the time for which a busy connection pool leaves a connection unused.
 */
const DRAIN_IDLE_MS = 5000

export class ClientConnection implements Downstream, Timed {
  deadline = 0
  sweepIndex = -1
  takesChunked = true
  privateStreams: UpstreamStream[] | null = null
  private state: 0 | 1 | 2 | 3 | 4 = READY
  private readonly socket: ByteStream
  private readonly context: WorkerContext
  private readonly forwarded: Forwarded
  private readonly listener: Listener
  private readonly x: Exchange
  private readonly onGone: (c: ClientConnection) => void
  private readonly received: ReceiveBuffer
  private readonly body: RequestBody
  private readonly writer: ResponseWriter
  private close = false
  private paused = false
  private clientBlocked = false
  /** Written bytes that the client had not received at the last check. */
  private unreadBytes = 0
  /** The client has ended its side (RFC 9112, 9.6): it still receives responses but sends nothing more. */
  private clientEnded = false
  /** With `clientEnded`: how long the response may be quiet, ms (0: not started), and the delay of the next byte of a probe, ms. */
  private quietMs = 0
  private probeMs = 0
  /** No further request is read, because a private server connection has closed. */
  private lastRequest = false
  private processing = false
  /** The response is complete while the request's body is still being read. */
  private uploadContinues = false
  /** While LINGERING: bytes read, latest end (0: not known yet), and whether the connection counts towards MAX_LINGERING. */
  private lingered = 0
  private lingerEndMs = 0
  private lingersLong = false
  private tunnel: Tunnel | null = null

  constructor(
    socket: ByteStream,
    context: WorkerContext,
    forwarded: Forwarded,
    listener: Listener,
    onGone: (c: ClientConnection) => void,
  ) {
    this.socket = socket
    this.context = context
    this.forwarded = forwarded
    this.listener = listener
    this.onGone = onGone
    this.x = new Exchange(this, listener.name)
    this.x.clientAddress = forwarded.address
    this.received = new ReceiveBuffer(listener.limits)
    this.body = new RequestBody(listener.limits.bodyBytes)
    this.writer = new ResponseWriter(socket)
    socket.on('data', (chunk: Buffer) => this.onData(chunk))
    socket.on('drain', () => this.onDrain())
    socket.on('end', () => this.onClientEnd())
    socket.on('error', () => this.gone())
    socket.on('close', () => this.gone())
    this.deadline = context.sweep.now + context.options.timeouts.requestHeaderMs
    context.sweep.add(this)
  }

  // ---- reading ----

  /** Handles bytes from the client. entry-point.ts also calls it, for bytes that came with a PROXY header. */
  onData(chunk: Buffer): void {
    if (this.state === BUSY && !this.x.body.done) this.readBody(chunk)
    else if (this.state === BUSY) {
      this.received.add(chunk)
      if (this.received.size > BACKLOG_BYTES) this.pause()
    } else if (this.state === READY) {
      this.received.add(chunk)
      this.readRequests()
    } else if (this.state === LINGERING) this.discard(chunk.length)
  }

  /** Reads all requests that can be served at once. A loop, so that a thousand pipelined requests do not need a thousand frames. */
  private readRequests(): void {
    if (this.processing) return
    this.processing = true
    while (this.state === READY && this.received.bytes !== null && !this.clientBlocked && this.readHead()) {}
    this.processing = false
    if (this.clientEnded && this.state === READY && !this.clientBlocked) {
      this.endOfRequests()
      return
    }
    if (this.paused && !this.clientBlocked && (this.state === READY || (this.state === BUSY && this.x.body.done)))
      this.resumeReading()
  }

  /** Resumes reading unless enough is buffered: pipelining must not exhaust the memory. */
  private resumeReading(): void {
    if (this.state === READY || this.received.size <= BACKLOG_BYTES) this.unpause()
    else this.pause()
  }

  /** @returns false if more bytes are needed */
  private readHead(): boolean {
    const { context, received } = this
    const waiting = received.headStarted
    const text = received.takeHead()
    if (text !== '') {
      this.handle(text)
      return true
    }
    if (received.status !== 0) this.refuseIncompleteHead(received.status, received.problem)
    else if (!waiting && received.headStarted) this.deadline = context.sweep.now + context.options.timeouts.requestHeaderMs
    return false
  }

  private handle(text: string): void {
    const { context, x } = this
    const { req } = x
    this.state = BUSY
    this.deadline = 0
    let status = parseRequestHead(req, text, this.listener.limits)
    this.close = this.lastRequest || req.close || (req.minor === 0 && !req.keepAlive)
    this.takesChunked = req.minor === 1
    if (status === 0) status = x.begin(performance.now())
    else x.beginUnread(req.method, req.target, performance.now())
    if (status !== 0) {
      this.refuse(status, req.problem)
      return
    }
    if (x.path === this.listener.ping && (x.method === 'GET' || x.method === 'HEAD')) {
      this.replyToHealthCheck()
      return
    }
    status = this.listener.admit(context, x)
    if (status > 0) {
      this.replyLocally(status, req.problem)
      return
    }
    if (!x.body.done) {
      this.awaitBody()
      this.unpause()
      this.body.begin(x)
    }
    // While a middleware waits, the client is read: its body is held up to the retry buffer, and its end is noticed.
    if (status === ADMITTED) context.forwarder.forward(x)
    if (this.state !== BUSY || !x.active) return
    if (!x.body.done) {
      const first = this.received.take()
      if (first !== null) this.readBody(first)
    }
    if (this.clientEnded && this.state === BUSY) this.onHalfClosed()
  }

  onAdmission(x: Exchange, status: number): void {
    if (this.state !== BUSY) return
    if (status === ADMITTED) this.context.forwarder.forward(x)
    else this.replyLocally(status, x.req.problem)
  }

  private readBody(buffer: Buffer): void {
    const { context, x, body } = this
    this.awaitBody()
    const data = body.read(x, buffer)
    if (body.status !== 0) {
      this.refuseBody(body.status, body.problem)
      return
    }
    if (data !== null) context.forwarder.requestBody(x, data)
    if (this.state !== BUSY || !x.active) return
    if (body.position < buffer.length) this.received.bytes = buffer.subarray(body.position)
    if (!body.complete) return
    this.resumeReading()
    this.clearBodyDeadline()
    context.forwarder.requestBodyEnd(x)
  }

  /**
   * Sets the deadline by which the client must send more of its body. After the response has started both sides may be quiet; TCP
   * keep-alive detects a client that is gone. A client that does not read its response has the earlier deadline of onClientBlocked().
   */
  private awaitBody(): void {
    if (this.clientBlocked) return
    const { x, context } = this
    this.deadline = x.answered && !this.uploadContinues ? 0 : context.sweep.now + stallMs(x, context.options.timeouts)
  }

  /** Clears the deadline for body bytes: the client has none to send, or is paused. */
  private clearBodyDeadline(): void {
    if (!this.clientBlocked) this.deadline = 0
  }

  /** Refuses a body. If the response has started it cannot be replaced: the connection is closed. */
  private refuseBody(status: number, why: string): void {
    const { context, x } = this
    if (this.uploadContinues) {
      this.endWithUnreadBody()
      return
    }
    if (x.answered && !this.writer.revocable) {
      context.log('info', why, logFields(context, x, status))
      this.destroy()
      return
    }
    this.abort()
    this.replyLocally(status, why)
  }

  /** Ends an exchange whose response is complete although the rest of the body will not come or must not be read. */
  private endWithUnreadBody(): void {
    this.abort()
    this.onEnd(this.x)
  }

  /** Stops what is done for the request, wherever it is. */
  private abort(): void {
    if (!this.x.cancelWait()) this.context.forwarder.abort(this.x)
  }

  pauseBody(): void {
    this.pause()
    this.clearBodyDeadline()
  }

  resumeBody(x: Exchange): void {
    if (!this.paused || this.state !== BUSY || x.body.done) return
    this.awaitBody()
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

  forwardedFields(x: Exchange): FieldList {
    return this.forwarded.fields(x)
  }

  onSentToServer(): void {
    this.writer.sentToServer()
  }

  onInterim(x: Exchange, head: Head): void {
    if (head.repaired !== 0) logRepairs(this.context, x, head)
    this.writer.interim(x, head)
  }

  onHead(x: Exchange, head: Head, framing: Framing): void {
    if (head.repaired !== 0) logRepairs(this.context, x, head)
    if ((this.context.draining && !isHandshake(head)) || (!x.body.done && mayStayUnread(x, head))) this.close = true
    if (x.req.minor === 0 && (framing === BY_CLOSE || framing === BY_CHUNKS)) this.close = true
    if (this.clientEnded) this.limitQuietTime()
    else this.clearBodyDeadline()
    this.writer.begin(x, head, framing, this.close)
  }

  onFlush(): boolean {
    return this.writer.flush() ? this.onClientReading() : this.onClientBlocked()
  }

  onBody(x: Exchange, buffer: Buffer, from: number, to: number): boolean {
    return this.writer.body(x, buffer, from, to) ? this.onClientReading() : this.onClientBlocked()
  }

  /** The client reads the response. */
  private onClientReading(): true {
    if (this.quietMs > 0) this.deadline = this.context.sweep.now + this.quietMs
    return true
  }

  /** The client reads the response more slowly than it arrives: the server is paused until 'drain'. @returns false */
  private onClientBlocked(): false {
    this.clientBlocked = true
    this.awaitClientRead()
    return false
  }

  /** Sets the deadline by which the client must have received some of the written bytes. */
  private awaitClientRead(): void {
    this.unreadBytes = this.socket.writableLength
    this.deadline = this.context.sweep.now + stallMs(this.x, this.context.options.timeouts)
  }

  onResponseEnd(): void {
    // A client that has ended its side sends no more of the body.
    if (this.clientEnded) {
      this.endWithUnreadBody()
      return
    }
    this.uploadContinues = true
    this.writer.end()
    if (this.writer.endsByClose) {
      // Only the end of this side marks the end of the response. No 'drain' follows.
      this.clientBlocked = false
      this.socket.end()
    }
    if (!this.paused) this.awaitBody()
  }

  /**
   * Trailers are discarded, as RFC 9112, 7.1.2 allows: HTTP/1.0 has none, and after a response filter they may not apply to the
   * content. Chunked bodies that are passed as received keep theirs.
   */
  onTrailers(): void {}

  onEnd(x: Exchange): void {
    this.uploadContinues = false
    this.writer.end()
    // The rest of a body cannot be distinguished from the next request.
    if (!x.body.done) this.close = true
    finish(this.context, x, x.status)
    this.next()
  }

  onBroken(x: Exchange, why: string): void {
    // The announced response cannot be completed. Only an aborted connection shows that to the client.
    this.context.log('warn', why, logFields(this.context, x, 502))
    finish(this.context, x, 502)
    if (this.writer.revocable) {
      this.close = true
      this.writer.local(x, 502, true)
      this.next()
      return
    }
    // A reset, because a FIN would be the regular end of a body without a length.
    resetStream(this.socket)
    this.gone()
  }

  onFailed(x: Exchange, status: number, why: string): void {
    noteFailed(this.context, x)
    this.replyLocally(status, why)
  }

  endConnection(): void {
    if (this.state === READY && !this.received.headStarted && !this.clientBlocked) {
      this.linger(false)
      return
    }
    this.close = true
    this.lastRequest = true
  }

  onPrivateLimit(limit: number): void {
    this.context.log('warn', `more than ${limit} idle authenticated server connections: the oldest is closed`, {
      client: this.forwarded.address,
    })
  }

  onUnanswered(x: Exchange, why: string): void {
    const { context } = this
    context.log('info', `${why} on an authenticated connection; the client connection is closed`, logFields(context, x, 499))
    finish(context, x, 499)
    this.close = true
    this.next()
  }

  /** Sends a local reply. The connection stays open unless part of the request's body is unread. */
  private replyLocally(status: number, why: string): void {
    const { context, x } = this
    if (!x.body.done || context.draining) this.close = true
    // An open breaker is logged when it opens, not for each refused request; redirects and replies of middlewares are
    // not logged.
    if (x.retryAfterS > 0 || x.location !== '' || x.localReply !== null) x.requestId = context.ids.next()
    else context.log(status === 502 || status === 503 || status === 504 ? 'warn' : 'info', why, logFields(context, x, status))
    finish(context, x, status)
    this.writer.local(x, status, this.close)
    this.next()
  }

  /** Replies to a health check of the entry point, which is neither counted nor logged. */
  private replyToHealthCheck(): void {
    const { context, x } = this
    if (!x.body.done || context.draining) this.close = true
    x.active = false
    this.socket.write(localReplyText(healthReply(context.draining), x.method, this.close), 'latin1')
    this.next()
  }

  /** Refuses a request whose head is malformed: replies and closes. */
  private refuse(status: number, why: string): void {
    this.state = BUSY
    this.close = true
    this.received.take()
    this.replyLocally(status, why)
  }

  /** Refuses a request whose head is incomplete. */
  private refuseIncompleteHead(status: number, why: string): void {
    this.x.beginUnread(this.received.method, '', performance.now())
    this.refuse(status, why)
  }

  // ---- ends ----

  /** Continues with the next request or ends the connection. */
  private next(): void {
    if (this.state === GONE) return
    this.quietMs = 0
    if (this.close) {
      this.linger(!this.x.body.done)
      return
    }
    this.state = READY
    // While the client does not read its responses, further requests wait.
    if (this.socket.writableNeedDrain) {
      this.onClientBlocked()
      this.pause()
      return
    }
    const { draining, options, sweep } = this.context
    this.deadline = sweep.now + (draining ? DRAIN_IDLE_MS : options.timeouts.clientIdleMs)
    if (this.received.bytes !== null) this.readRequests()
    else if (this.clientEnded) this.linger(false)
    else this.unpause()
  }

  /** Ends this side and reads until the client ends its own. `unread`: part of its request has not been read. */
  private linger(unread: boolean): void {
    this.state = LINGERING
    this.received.take()
    const { context, socket } = this
    if (this.privateStreams !== null) context.forwarder.clientEnds(this)
    if (unread) this.mayLingerLong()
    if (this.clientBlocked || socket.writableLength > 0) {
      this.awaitClientRead()
      socket.on('finish', () => this.awaitClose())
    } else this.awaitClose()
    socket.end()
    this.unpause()
  }

  /** Everything was handed to the kernel: sets the deadline by which the client must close. */
  private awaitClose(): void {
    if (this.state !== LINGERING) return
    const { context } = this
    const { now } = context.sweep
    this.clientBlocked = false
    this.lingerEndMs = now + LINGER_TOTAL_MS
    this.deadline = now + (this.lingersLong && !context.closing ? LINGER_QUIET_MS : LINGER_MS)
  }

  private mayLingerLong(): boolean {
    const { context } = this
    if (context.closing) return false
    if (this.lingersLong) return true
    if (context.lingering >= MAX_LINGERING) return false
    context.lingering++
    this.lingersLong = true
    return true
  }

  /** More bytes arrived that will not be processed. */
  private discard(bytes: number): void {
    this.lingered += bytes
    if (this.lingered > LINGER_BYTES) this.destroy()
    else if (this.mayLingerLong()) {
      const until = Math.min(this.context.sweep.now + LINGER_QUIET_MS, this.lingerEndMs)
      if (until > this.deadline) this.deadline = until
    }
  }

  /** Draining: idle connections end soon, others after their response. */
  drain(): void {
    if (this.state === READY && !this.received.headStarted && !this.clientBlocked)
      this.deadline = this.context.sweep.now + DRAIN_IDLE_MS
    else if (this.state === LINGERING && this.socket.writableLength === 0)
      this.deadline = Math.min(this.deadline, this.context.sweep.now + LINGER_MS)
  }

  /** Closes at once. An incomplete response or tunnel ends with a reset (byte-stream.ts), and `why` is logged. */
  destroy(why = ''): void {
    const cut = this.state === TUNNEL || (this.state === BUSY && this.x.active) || this.socket.writableLength > 0
    if (cut && why !== '') this.context.log('warn', why, logFields(this.context, this.x, this.x.status))
    this.tunnel?.destroy()
    if (cut) resetStream(this.socket)
    else this.socket.destroy()
    this.gone()
  }

  private onDrain(): void {
    if (!this.clientBlocked) return
    this.clientBlocked = false
    if (this.state === BUSY) {
      if (this.x.body.done || this.paused) this.clearBodyDeadline()
      else this.awaitBody()
      this.onClientReading()
      this.context.forwarder.resumeResponse(this.x)
    } else if (this.state === READY) this.next()
  }

  /** The client has ended its side. Requests that were received completely are served (RFC 9112, 9.6). */
  private onClientEnd(): void {
    this.clientEnded = true
    if (this.state === BUSY && this.x.active) this.onHalfClosed()
    else if (this.state === READY && !this.clientBlocked) this.endOfRequests()
  }

  /** All requests that were received completely have their response. */
  private endOfRequests(): void {
    if (this.received.headStarted) this.refuseIncompleteHead(400, 'the client ended the connection within a head')
    else this.linger(false)
  }

  /** The client has ended its side while one of its requests is in progress. */
  private onHalfClosed(): void {
    const { context, x } = this
    if (this.uploadContinues) this.endWithUnreadBody()
    else if (x.answered) this.limitQuietTime()
    else if (x.body.done) {
      this.probeMs = PROBE_AFTER_MS
      this.deadline = context.sweep.now + PROBE_AFTER_MS
    } else {
      this.abort()
      this.replyLocally(400, "the client ended the connection within a request's body")
    }
  }

  /** From now on the response may be quiet for the stall time only. A client that does not read keeps the deadline of onClientBlocked(). */
  private limitQuietTime(): void {
    this.quietMs = stallMs(this.x, this.context.options.timeouts)
    if (!this.clientBlocked) this.deadline = this.context.sweep.now + this.quietMs
  }

  private probe(): void {
    const more = this.writer.probe()
    this.probeMs *= 2
    this.deadline = more ? this.context.sweep.now + this.probeMs : 0
  }

  private gone(): void {
    if (this.state === GONE || this.state === TUNNEL) return
    const busy = this.state === BUSY && this.x.active
    this.state = GONE
    this.context.sweep.remove(this)
    if (this.lingersLong) this.context.lingering--
    if (busy && this.uploadContinues) {
      this.abort()
      finish(this.context, this.x, this.x.status)
    } else if (busy) {
      noteAborted(this.context, this.x)
      this.abort()
      finish(this.context, this.x, 499)
    }
    if (this.privateStreams !== null) this.context.forwarder.clientEnds(this)
    this.onGone(this)
  }

  onDeadline(): void {
    const { state, x } = this
    if (this.clientBlocked || (state === LINGERING && this.socket.writableLength > 0)) this.onClientReadDeadline()
    else if (state === READY && this.received.headStarted && !this.clientBlocked) {
      this.refuseIncompleteHead(408, 'the head did not arrive in time')
    } else if (state === READY && !this.clientBlocked) {
      this.linger(false)
    } else if (state === BUSY && this.uploadContinues) {
      this.endWithUnreadBody()
    } else if (state === BUSY && x.active && !x.body.done && !x.answered) {
      this.abort()
      this.replyLocally(408, `the client sent no more of the body for ${this.stallSeconds} s (${STALL_LIMIT})`)
    } else if (state === BUSY && x.active && !x.answered) {
      this.probe()
    } else {
      if (state === BUSY && x.active) this.logQuiet()
      this.destroy()
    }
  }

  /** Logged as info: most such clients are gone. */
  private logQuiet(): void {
    const why = `cut off: the client has ended its side, and the response was quiet for ${this.stallSeconds} s (${STALL_LIMIT})`
    this.context.log('info', why, logFields(this.context, this.x, this.x.status))
  }

  private get stallSeconds(): number {
    return stallMs(this.x, this.context.options.timeouts) / 1000
  }

  /** The stall time has passed, and the client has not received all written bytes. */
  private onClientReadDeadline(): void {
    if (this.socket.writableLength < this.unreadBytes) this.awaitClientRead()
    else this.destroy(`cut off: the client read nothing of the response for ${this.stallSeconds} s (${STALL_LIMIT})`)
  }

  onTunnel(x: Exchange, head: Head, stream: UpstreamStream, rest: Buffer): void {
    if (head.repaired !== 0) logRepairs(this.context, x, head)
    const { context, socket } = this
    if (!context.forwarder.tunnelOpened(x)) return
    const first = this.received.take()
    this.state = TUNNEL
    context.sweep.remove(this)
    for (const event of ['data', 'drain', 'end', 'error', 'close']) socket.removeAllListeners(event)
    const server = stream.detach()
    noteSwitched(context, x)
    this.writer.switched(x, head, rest)
    if (first !== null) server.write(first)
    if (this.clientEnded) server.end()
    const idleMs = limitOf(context.options.timeouts.tunnelIdleMs)
    const onIdle = () => {
      const why = `cut off: no byte in either direction of the tunnel for ${idleMs / 1000} s (${TUNNEL_IDLE_LIMIT})`
      context.log('info', why, logFields(context, x, 101))
    }
    this.tunnel = openTunnel(socket, server, context.sweep, idleMs, onIdle, (bytesIn, bytesOut) => {
      x.bytesIn += bytesIn
      x.bytesOut += bytesOut
      context.forwarder.tunnelEnded(x)
      finish(context, x, 101)
      this.state = GONE
      this.onGone(this)
    })
  }
}

/** True if the rest of the body need not be read after this early response: the connection then ends with the response. */
function mayStayUnread(x: Exchange, head: Head): boolean {
  if (isHandshake(head)) return false
  return head.status >= 400 || head.close || x.attempt.stream!.writeFailed !== '' || (x.req.expectContinue && x.bytesIn === 0)
}
