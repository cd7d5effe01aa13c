// Takes an exchange to a server and brings the answer back: choice of server, connection reuse, retries and what may be retried
// (design 8), silence, ejection. Everything a request waits for is a field and a deadline; nothing here allocates on the way that
// succeeds.

import type { DataPlaneOptions } from '../options/options.ts'
import { dueForProbe, noteFailure, noteProbe, noteProbeStarted } from './balancing/ejection.ts'
import { noteAnswer } from './balancing/observations.ts'
import { findSticky } from './balancing/sticky-cookie.ts'
import { type Exchange, type Framing, NO_BODY } from './exchange.ts'
import { CONNECTING, IDLE, READING, UpstreamConnection, type UpstreamEvents, WAITING } from './http1/upstream-connection.ts'
import { requestHead } from './http1/write-head.ts'
import type { LiveServer } from './live-server.ts'
import { probeConnect } from './probe.ts'
import { RetryBudget } from './retry-budget.ts'
import type { RuntimeService } from './runtime.ts'
import type { Sweep } from './sweep.ts'
import type { FailureCause } from './upstream-server.ts'
import { WaitingRoom } from './waiting-room.ts'

/**
 * A request that must not be sent twice goes over a kept-alive connection only if that was in use so recently: a server may be
 * closing it.
 */
const REUSE_UNSAFE_MS = 900
/** Between two rounds of tries for a request that finds no server. */
const WAIT_BETWEEN_MS = 200
/** How long after a good silence check the next one is due. */
const SILENCE_AGAIN_MS = 2000
/** A server known to be slow is silent only after so many times its usual time. */
const SILENCE_TIMES = 3

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])

export interface ForwarderHost {
  /** A server fell out or came back by what was seen of it here; other workers want to know. */
  onEjection(server: LiveServer, out: boolean, cause: string): void
}

export class Forwarder implements UpstreamEvents {
  /** Requests under way in this worker, from head to the end of the answer. */
  inFlight = 0
  private readonly options: DataPlaneOptions
  private readonly sweep: Sweep
  private readonly host: ForwarderHost
  private readonly budget: RetryBudget
  private readonly retryNow = (x: Exchange): void => {
    x.onBudget = true
    this.attempt(x, null)
  }
  private readonly room = new WaitingRoom()
  private readonly tryAgain = (x: Exchange): void => {
    x.tried = null
    x.attempts = 0
    this.attempt(x, null)
  }
  private readonly tooLate = (x: Exchange): void => this.fail(x, 502, 'no place within the retry budget')

  constructor(options: DataPlaneOptions, sweep: Sweep, host: ForwarderHost) {
    this.options = options
    this.sweep = sweep
    this.host = host
    this.budget = new RetryBudget(options.retry.budgetRatio, options.retry.budgetMin)
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
    this.budget.serve(this.inFlight, nowMs, this.retryNow, this.tooLate)
    this.room.serve(nowMs, this.tryAgain)
    for (const service of services) {
      for (const server of service.servers) if (dueForProbe(server, nowMs)) this.probe(server, nowMs)
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

  /** One try; with `fresh` at that server and on a new connection. */
  private attempt(x: Exchange, fresh: LiveServer | null): void {
    const server = fresh ?? this.choose(x)
    if (server === null) {
      this.waitForServer(x)
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

  /** Nobody can take the request now. Unless it was sent and must not be sent again, it may wait for somebody who can. */
  private waitForServer(x: Exchange): void {
    const now = performance.now()
    const { attempts, serverWaitMs } = this.options.retry
    // The first time at once: the tick is near. After failed connects with a pause.
    const notBeforeMs = x.attempts === 0 ? now : now + WAIT_BETWEEN_MS
    if (x.sends < attempts && now - x.startMs < serverWaitMs && this.room.add(x, notBeforeMs)) return
    const service = x.service!.name
    if (x.lastProblem === '') this.fail(x, 503, `service ${service} has no server that may be used`)
    else this.fail(x, 502, `no other server of service ${service} is left to try`)
  }

  private takeIdle(server: LiveServer, x: Exchange): UpstreamConnection | null {
    const connection = server.idle.at(-1)
    if (connection === undefined) return null
    if (this.sweep.now - connection.idleSince > REUSE_UNSAFE_MS && !IDEMPOTENT.has(x.method)) return null
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
    if (!IDEMPOTENT.has(x.method)) {
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
    this.failed(c, cause)
    const x = c.x
    if (x !== null) {
      this.unlink(x)
      this.retry(x, `connect to ${server.host}:${server.port} failed (${code})`, server, false)
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
    if (stale && this.mayResend(x)) {
      // A kept-alive connection that had gone stale says nothing of the server: once more, on a new one.
      x.attempts--
      this.attempt(x, server)
      return
    }
    // Who breaks off an upload may only mean that he does not want it.
    if (x.bodyDone) this.failed(c, 'reset')
    if (c.gotByte || !this.mayResend(x)) this.fail(x, 502, what)
    else this.retry(x, what, server, true)
  }

  onAnswer(c: UpstreamConnection, framing: Framing): void {
    const x = c.x!
    const ms = performance.now() - x.sentMs
    noteAnswer(c.server, c.res.status, ms)
    if (x.onBudget) this.releaseBudget(x)
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
    this.failed(c, 'reset')
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
      this.failed(c, 'silence')
      if (!x.bodyDone) this.fail(x, 504, `${where} took no request body for ${c.stallMs} ms`)
      else this.fail(x, 504, `${where} sent no answer within ${this.options.timeouts.responseHeaderMs} ms`)
      return
    }
    c.silenceAt = nowMs + SILENCE_AGAIN_MS
    c.deadline = Math.min(c.headDeadline, c.silenceAt)
    const { server } = c
    if (server.ejectedUntilMs > nowMs && server.lastFailure !== 'refused' && server.lastFailure !== 'reset') this.rescueOne(c)
    else if (!server.checkingSilence) this.checkSilence(server)
  }

  /** A silent server: does it still take connections? (design 8) */
  private checkSilence(server: LiveServer): void {
    server.checkingSilence = true
    probeConnect(server.host, server.port, this.options.timeouts.connectMs, ok => {
      server.checkingSilence = false
      if (ok) return
      if (noteFailure(server, performance.now(), 'silence')) this.host.onEjection(server, true, 'silence')
      this.rescue(server)
    })
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
    if (sent && (c.gotByte || !this.mayResend(x))) return
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
    if (x.onBudget) this.releaseBudget(x)
  }

  /** A tunnel has closed on both sides. */
  tunnelEnded(x: Exchange): void {
    this.unlink(x)
    this.settle(x)
  }

  private mayResend(x: Exchange): boolean {
    return IDEMPOTENT.has(x.method) && (x.bodyFraming === NO_BODY || x.holding)
  }

  private retry(x: Exchange, why: string, server: LiveServer, wasSent: boolean): void {
    x.lastProblem = why
    if (x.attempts >= this.options.retry.attempts) {
      if (!wasSent) {
        this.waitForServer(x)
        return
      }
      this.fail(x, 502, `${why}; ${x.attempts} servers were tried`)
      return
    }
    x.tried ??= []
    x.tried.push(server)
    if (!wasSent || x.onBudget) {
      this.attempt(x, null)
      return
    }
    if (this.budget.take(this.inFlight)) {
      x.onBudget = true
      this.attempt(x, null)
    } else if (!this.budget.wait(x, performance.now())) this.fail(x, 502, `${why}; too many retries are waiting`)
  }

  private failed(c: UpstreamConnection, cause: FailureCause): void {
    if (noteFailure(c.server, performance.now(), cause)) {
      if (cause !== 'reset') c.server.closeIdle()
      this.host.onEjection(c.server, true, cause)
    }
  }

  /** An ejected server is let in again by a connect of ours, not by somebody's request. */
  private probe(server: LiveServer, nowMs: number): void {
    noteProbeStarted(server, nowMs)
    probeConnect(server.host, server.port, this.options.timeouts.connectMs, ok => {
      noteProbe(server, ok, performance.now())
      if (ok) this.host.onEjection(server, false, 'probe')
    })
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

  private fail(x: Exchange, status: number, why: string): void {
    this.settle(x)
    x.downstream.onFailed(x, status, x.lastProblem === '' || why.includes(x.lastProblem) ? why : `${x.lastProblem}; ${why}`)
  }

  /** The exchange is over, one way or the other. */
  settle(x: Exchange): void {
    this.inFlight--
    if (x.onBudget) this.releaseBudget(x)
    x.held = null
  }

  private releaseBudget(x: Exchange): void {
    x.onBudget = false
    this.budget.giveBack()
    this.budget.serve(this.inFlight, performance.now(), this.retryNow, this.tooLate)
  }
}

function uncork(socket: { uncork(): void }): void {
  socket.uncork()
}
