// Takes an exchange to a server and brings the answer back: choice of server, reuse of connections, deadlines, and moving a request
// away from a server that has vanished. What may be sent again is retries.ts' to say, what is thought of servers server-watch.ts'.
// Everything a request waits for is a field and a deadline; nothing here allocates on the way that succeeds.

import type { DataPlaneOptions } from '../options/options.ts'
import { noteAnswer } from './balancing/observations.ts'
import { findSticky } from './balancing/sticky-cookie.ts'
import { type Exchange, type Framing, NO_BODY } from './exchange.ts'
import { CONNECTING, IDLE, READING, UpstreamConnection, type UpstreamEvents, WAITING } from './http1/upstream-connection.ts'
import { requestHead } from './http1/write-head.ts'
import type { LiveServer } from './live-server.ts'
import { isIdempotent, mayResend, type Retrier, Retries } from './retries.ts'
import type { RuntimeService } from './runtime.ts'
import { ServerWatch, type WatchHost } from './server-watch.ts'
import type { Sweep } from './sweep.ts'
import type { FailureCause } from './upstream-server.ts'

/**
 * A request that must not be sent twice goes over a kept-alive connection only if that was in use so recently: a server may be
 * closing it.
 */
const REUSE_UNSAFE_MS = 900
/** How long after a good silence check the next one is due. */
const SILENCE_AGAIN_MS = 2000
/** A server known to be slow is silent only after so many times its usual time. */
const SILENCE_TIMES = 3

export class Forwarder implements UpstreamEvents, Retrier {
  /** Requests under way in this worker, from head to the end of the answer. */
  inFlight = 0
  private readonly options: DataPlaneOptions
  private readonly sweep: Sweep
  private readonly retries: Retries
  private readonly watch: ServerWatch

  constructor(options: DataPlaneOptions, sweep: Sweep, host: WatchHost) {
    this.options = options
    this.sweep = sweep
    this.retries = new Retries(options.retry, this)
    this.watch = new ServerWatch(options.timeouts.connectMs, host, server => this.rescue(server))
  }

  /** Sends an exchange whose route is known to one of its service's servers. */
  forward(x: Exchange): void {
    this.inFlight++
    this.attempt(x, null)
  }

  /** Request body as it goes on the wire. The buffer is ours from here. */
  requestBody(x: Exchange, data: Buffer): void {
    const connection = x.connection
    if (x.holding) {
      if (x.heldBytes + data.length <= this.options.retry.bufferBytes || !x.sent) {
        if (x.held === null) x.held = [data]
        else x.held.push(data)
        x.heldBytes += data.length
      } else {
        x.holding = false
        x.held = null
      }
    }
    if (connection === null || connection.phase === CONNECTING) {
      if (x.heldBytes >= this.options.retry.bufferBytes) x.downstream.pauseBody(x)
      return
    }
    const flowing = connection.socket.write(data)
    // While the server takes what comes it is the client that is waited for, by its own deadline: a slow client must not eject a
    // server.
    if (connection.phase === WAITING) connection.deadline = flowing ? 0 : this.sweep.now + this.options.timeouts.stallMs
    if (!flowing) x.downstream.pauseBody(x)
  }

  /** The request body is complete: from here the server is waited for. */
  requestBodyEnd(x: Exchange): void {
    x.bodyDone = true
    if (x.sent && x.connection?.phase === WAITING) this.awaitHead(x.connection)
  }

  /** The client has gone, or its request turned out to be bad: the server need not go on. */
  abort(x: Exchange): void {
    const connection = x.connection
    if (connection !== null) {
      this.unlink(x)
      if (connection.phase !== CONNECTING) connection.destroy()
    }
    this.settle(x)
  }

  /** The client takes more of the answer. */
  resumeResponse(x: Exchange): void {
    x.connection?.resume()
  }

  /** Once per sweep tick: waiting retries, and probes of ejected servers. */
  tick(services: Iterable<RuntimeService>, nowMs: number): void {
    this.retries.tick(nowMs)
    for (const service of services) {
      for (const server of service.servers) this.watch.probeIfDue(server, nowMs)
    }
  }

  private choose(x: Exchange): LiveServer | null {
    const service = x.service!
    const servers = service.servers
    const sticky = service.config.sticky
    if (sticky !== null && x.req.cookieField >= 0) {
      const bound = findSticky(x.cookies(), sticky.name, servers, x.tried, this.sweep.now) as LiveServer | null
      if (bound !== null) {
        x.addedToResponse = ''
        return bound
      }
    }
    const server = service.balancer.pick(servers, x.tried, x.clientAddress, this.sweep.now) as LiveServer | null
    if (server !== null && sticky !== null) x.addedToResponse = service.cookieLine(server)
    return server
  }

  again(x: Exchange): void {
    this.attempt(x, null)
  }

  /** One try; with `fresh` at that server and on a new connection. */
  private attempt(x: Exchange, fresh: LiveServer | null): void {
    const server = fresh ?? this.choose(x)
    if (server === null) {
      this.retries.waitForServer(x)
      return
    }
    x.attempts++
    x.sent = false
    x.server = server
    const idle = fresh === null ? this.takeIdle(server, x) : null
    const { timeouts, limits } = this.options
    const connection =
      idle ?? new UpstreamConnection(server, this, this.sweep, limits, timeouts.connectMs, this.options.upstreamTls.verify)
    connection.stallMs = timeouts.stallMs
    connection.x = x
    x.connection = connection
    server.addBusy(connection)
    if (idle !== null) this.send(connection, x)
  }

  private takeIdle(server: LiveServer, x: Exchange): UpstreamConnection | null {
    const connection = server.idle.at(-1)
    if (connection === undefined) return null
    if (this.sweep.now - connection.idleSince > REUSE_UNSAFE_MS && !isIdempotent(x)) return null
    server.idle.pop()
    return connection
  }

  private send(connection: UpstreamConnection, x: Exchange): void {
    connection.begin(x)
    x.sent = true
    x.sends++
    x.sentMs = performance.now()
    if (x.route?.router.passHostHeader === false) {
      x.sendHost = connection.server.authority
      x.wireHead = ''
    }
    if (x.wireHead === '') x.wireHead = requestHead(x, x.downstream.forwardedLines(x))
    const socket = connection.socket
    if (x.bodyFraming === NO_BODY) {
      socket.write(x.wireHead, 'latin1')
      this.awaitHead(connection)
      return
    }
    socket.cork()
    let flowing = socket.write(x.wireHead, 'latin1')
    if (x.held !== null) for (const data of x.held) flowing = socket.write(data)
    process.nextTick(uncork, socket)
    if (!isIdempotent(x)) {
      x.holding = false
      x.held = null
    }
    if (x.bodyDone) this.awaitHead(connection)
    else {
      connection.deadline = flowing ? 0 : this.sweep.now + this.options.timeouts.stallMs
      if (flowing) x.downstream.resumeBody(x)
    }
  }

  private awaitHead(connection: UpstreamConnection): void {
    const { responseHeaderMs, silenceMs } = this.options.timeouts
    const now = this.sweep.now
    connection.headDeadline = now + responseHeaderMs
    connection.silenceAt = now + Math.max(silenceMs, connection.server.latencyMs * SILENCE_TIMES)
    connection.deadline = Math.min(connection.headDeadline, connection.silenceAt)
  }

  // ---- what connections report ----

  onConnected(c: UpstreamConnection): void {
    const x = c.x
    if (x === null) this.recycle(c)
    else this.send(c, x)
  }

  onConnectFailed(c: UpstreamConnection, code: string): void {
    const server = c.server
    const cause: FailureCause =
      code === 'ECONNREFUSED' ? 'refused' : code === 'timeout' || code === 'ETIMEDOUT' ? 'timeout' : 'unreachable'
    this.watch.failed(server, cause)
    const x = c.x
    if (x !== null) {
      this.unlink(x)
      this.retries.retry(x, `connect to ${server.host}:${server.port} failed (${code})`, server, false)
    }
    // Whoever is still connecting there, or has waited too long for a word, need not find out by himself.
    if (cause !== 'refused') this.rescue(server)
  }

  onNoAnswer(c: UpstreamConnection, why: string, protocol: boolean): void {
    const x = c.x
    if (x === null) return
    const server = c.server
    const stale = c.answers > 0 && !c.gotByte && !protocol
    this.unlink(x)
    const what = `${server.host}:${server.port} gave no valid answer (${why})`
    if (stale && mayResend(x)) {
      // A kept-alive connection that had gone stale says nothing of the server: once more, on a new one.
      x.attempts--
      this.attempt(x, server)
      return
    }
    // Who breaks off an upload may only mean that he does not want it.
    if (x.bodyDone) this.watch.failed(c.server, 'reset')
    if (c.gotByte || !mayResend(x)) this.fail(x, 502, what)
    else this.retries.retry(x, what, server, true)
  }

  onAnswer(c: UpstreamConnection, framing: Framing): void {
    const x = c.x!
    const ms = performance.now() - x.sentMs
    noteAnswer(c.server, c.res.status, ms)
    if (x.onBudget) this.retries.release(x)
    c.deadline = this.sweep.now + c.stallMs
    x.answered = true
    x.status = c.res.status
    x.held = null
    x.holding = false
    x.downstream.onHead(x, c.res, framing)
  }

  onComplete(c: UpstreamConnection): void {
    const x = c.x!
    this.unlink(x)
    // An answer that overtook its request's body may mean that the server will not read the rest.
    if (c.reusable && x.bodyDone && (x.bodyFraming === NO_BODY || c.socket.writableLength === 0)) this.recycle(c)
    else c.destroy()
    this.settle(x)
    x.downstream.onEnd(x)
  }

  onBroken(c: UpstreamConnection, why: string): void {
    const x = c.x
    if (x === null) return
    this.watch.failed(c.server, 'reset')
    this.unlink(x)
    this.settle(x)
    x.downstream.onBroken(x, `${c.server.host}:${c.server.port} broke off its answer (${why})`)
  }

  onUpstreamDeadline(c: UpstreamConnection, nowMs: number): void {
    switch (c.phase) {
      case CONNECTING:
        c.destroy()
        this.onConnectFailed(c, 'timeout')
        return
      case IDLE:
        c.server.forget(c)
        c.destroy()
        return
      case WAITING:
        this.onWaitingTooLong(c, nowMs)
        return
      case READING:
        c.destroy()
        this.onBroken(c, `no byte for ${c.stallMs} ms`)
        return
    }
  }

  private onWaitingTooLong(c: UpstreamConnection, nowMs: number): void {
    const x = c.x!
    const where = `${c.server.host}:${c.server.port}`
    if (!x.bodyDone || nowMs >= c.headDeadline) {
      c.destroy()
      this.unlink(x)
      this.watch.failed(c.server, 'silence')
      if (!x.bodyDone) this.fail(x, 504, `${where} took no request body for ${c.stallMs} ms`)
      else this.fail(x, 504, `${where} sent no answer within ${this.options.timeouts.responseHeaderMs} ms`)
      return
    }
    c.silenceAt = nowMs + SILENCE_AGAIN_MS
    c.deadline = Math.min(c.headDeadline, c.silenceAt)
    const { server } = c
    if (server.ejectedUntilMs > nowMs && server.lastFailure !== 'refused' && server.lastFailure !== 'reset') this.rescueOne(c)
    else this.watch.checkSilence(server)
  }

  /** The server does not take connections any more: sends elsewhere what may be sent again and has waited long enough. */
  private rescue(server: LiveServer): void {
    server.closeIdle()
    const now = this.sweep.now
    const { silenceMs } = this.options.timeouts
    for (const c of server.busy.slice()) {
      const waited =
        c.phase === WAITING &&
        c.x?.bodyDone === true &&
        now >= c.headDeadline - this.options.timeouts.responseHeaderMs + silenceMs
      if (c.phase === CONNECTING || waited) this.rescueOne(c)
    }
  }

  private rescueOne(c: UpstreamConnection): void {
    const x = c.x
    if (x === null) return
    const sent = c.phase === WAITING
    if (sent && (c.gotByte || !mayResend(x))) return
    // Better to wait on a server that may come back than to fail because nobody else is there.
    x.tried ??= []
    x.tried.push(c.server)
    const other = x.attempts < this.options.retry.attempts ? this.choose(x) : null
    if (other === null) {
      x.tried.pop()
      return
    }
    this.unlink(x)
    c.destroy()
    this.attempt(x, null)
  }

  // ---- ends ----

  /** The server has switched protocols: from here its connection is raw. */
  tunnelOpened(x: Exchange): void {
    noteAnswer(x.connection!.server, 101, performance.now() - x.sentMs)
    if (x.onBudget) this.retries.release(x)
  }

  /** A tunnel has closed on both sides. */
  tunnelEnded(x: Exchange): void {
    this.unlink(x)
    this.settle(x)
  }

  private recycle(c: UpstreamConnection): void {
    c.phase = IDLE
    c.x = null
    c.idleSince = this.sweep.now
    const keepMs = Math.min(this.options.timeouts.upstreamIdleMs, c.keepAliveMs)
    if (keepMs <= 0 || !c.server.keep(c)) c.destroy()
    else c.deadline = this.sweep.now + keepMs
  }

  /** Parts exchange and connection. */
  private unlink(x: Exchange): void {
    const connection = x.connection!
    connection.server.removeBusy(connection)
    connection.x = null
    x.connection = null
  }

  fail(x: Exchange, status: number, why: string): void {
    this.settle(x)
    x.downstream.onFailed(x, status, x.lastProblem === '' || why.includes(x.lastProblem) ? why : `${x.lastProblem}; ${why}`)
  }

  /** The exchange is over, one way or the other. */
  settle(x: Exchange): void {
    this.inFlight--
    if (x.onBudget) this.retries.release(x)
    x.held = null
  }
}

function uncork(socket: { uncork(): void }): void {
  socket.uncork()
}
