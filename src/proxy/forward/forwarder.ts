// Takes an exchange to a server, or to a peer that can reach one (relay/), and brings the answer back. What may be sent again is
// retries.ts' to say, what is thought of servers server-watch.ts'; deadlines and requests that must leave a server are
// rescue.ts'. Everything a request waits for is a field and a deadline; nothing here allocates on the way that succeeds.

import type { DataPlaneOptions } from '../../options/options.ts'
import { chooseServer, findServer } from '../balancing/choose-server.ts'
import {
  CONNECTING,
  DELIVERING,
  IDLE,
  READING,
  UpstreamConnection,
  type UpstreamEvents,
  WAITING,
} from '../http1/upstream-connection.ts'
import { serverHead } from '../http1/write-head.ts'
import { AUTH_PER_REQUEST } from '../message/connection-auth.ts'
import { type Framing, NO_BODY } from '../message/framing.ts'
import { isHandshake } from '../message/head.ts'
import { isPrivate, isUnsent } from '../message/relay-field.ts'
import { noteReachedBy } from '../outlier/ejection.ts'
import { noteAnswer, noteUnparsable } from '../outlier/observations.ts'
import { causeOf, ServerWatch, type WatchHost } from '../outlier/server-watch.ts'
import { relayedLimits } from '../relay/relay-limits.ts'
import type { RelayPeer } from '../relay/relay-peer.ts'
import { awaitsRelayConfirmation, relayedHead } from '../relay/relay-request.ts'
import { type ReachHost, Relays } from '../relay/relays.ts'
import type { RuntimeService } from '../runtime.ts'
import { Sessions, type SessionsHost } from '../sessions/sessions.ts'
import type { LiveServer } from '../upstream/connection-pool.ts'
import { PrivateConnections } from '../upstream/private-connections.ts'
import { isServiceUnreachable } from '../upstream/unreachable-services.ts'
import type { Sweep } from './deadlines.ts'
import type { Exchange } from './exchange.ts'
import { Failover, type FailoverHost } from './failover.ts'
import { isIdempotent, mayResend, type Retrier, Retries } from './retries.ts'
import { responseHeaderMs, stallMs } from './time-limits.ts'

/**
 * A request that must not be sent twice goes over a kept-alive connection only if that was in use so recently: a server may be
 * closing it.
 */
const REUSE_UNSAFE_MS = 900
/** How long the answer is waited for after a failed write, ms; also where there is no stall time. */
const MAX_AFTER_FAILED_WRITE_MS = 300_000
/** A server known to be slow is silent only after so many times its usual time. */
const NO_RESPONSE_TIMES = 3

export class Forwarder implements UpstreamEvents, Retrier, FailoverHost {
  /** Requests under way in this worker, from head to the end of the answer. */
  inFlight = 0
  readonly relays: Relays
  readonly sessions: Sessions
  readonly watch: ServerWatch
  private readonly options: DataPlaneOptions
  private readonly sweep: Sweep
  private readonly retries: Retries
  private readonly failover: Failover
  private readonly relayLimits: DataPlaneOptions['limits']
  private readonly privates: PrivateConnections

  constructor(options: DataPlaneOptions, sweep: Sweep, host: WatchHost & ReachHost & SessionsHost) {
    this.options = options
    this.sweep = sweep
    this.retries = new Retries(options.retry, this)
    this.watch = new ServerWatch(options.timeouts.connectMs, host, {
      onLost: (server, refused) => this.failover.moveAll(server, refused),
      onSuspected: server => this.failover.moveSuspected(server),
      onPeersQueried: server => {
        for (const id of server.reachedBy) this.prepare(server, id)
      },
      hasPeers: () => this.relays.peers.length > 0,
    })
    this.failover = new Failover(options, sweep, this.watch, this)
    this.relays = new Relays(options.relay.keys, options.timeouts.upstreamIdleMs, sweep, host)
    this.sessions = new Sessions(options.sessions, host, x => this.attempt(x))
    this.relayLimits = relayedLimits(options.limits)
    this.privates = new PrivateConnections(options.limits.privateConnections)
  }

  /** Sends an exchange whose route is known to one of its service's servers. */
  forward(x: Exchange): void {
    this.inFlight++
    this.attempt(x)
  }

  /** Request body as it goes on the wire. The buffer is ours from here. */
  requestBody(x: Exchange, data: Buffer): void {
    const connection = x.connection
    if (x.holding) {
      if (x.heldBytes + data.length <= this.options.retry.bufferBytes || !x.sent || x.relayUnconfirmed) {
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
    // After a failed write the rest of the body cannot be sent.
    if (connection.writeFailed !== '') return
    const flowing = connection.socket.write(data) && !awaitsRelayConfirmation(x, this.options.retry.bufferBytes)
    if (connection.writeFailed !== '') return
    // While the server takes what comes it is the client that is waited for, by its own deadline: a slow client must not eject a
    // server.
    connection.deadline = flowing ? 0 : this.stallDeadline(x, connection)
    if (!flowing) x.downstream.pauseBody(x)
  }

  /** The request body is complete: from here the server is waited for. */
  requestBodyEnd(x: Exchange): void {
    x.bodyDone = true
    const { connection } = x
    if (connection === null) return
    if (connection.phase === DELIVERING) this.endDelivery(connection, x)
    else if (x.sent && connection.phase === WAITING && connection.writeFailed === '') this.awaitHead(connection)
  }

  /** The client has gone, or its request turned out to be bad: the server need not go on. */
  abort(x: Exchange): void {
    const connection = x.connection
    if (connection !== null) {
      this.unlink(x)
      if (connection.phase !== CONNECTING) connection.destroy()
    }
    this.endExchange(x)
  }

  /** The client connection takes no further request. */
  clientEnds(x: Exchange): void {
    this.privates.release(x)
  }

  /** The client takes more of the answer. */
  resumeResponse(x: Exchange): void {
    x.connection?.resume()
  }

  /** The member with this id reaches the server, for so long, ms; 0: no longer. */
  reachedBy(server: LiveServer, by: string, forMs: number): void {
    noteReachedBy(server, performance.now(), by, forMs)
    if (forMs > 0) this.prepare(server, by)
  }

  private prepare(server: LiveServer, by: string): void {
    const peer = this.relays.peerToConnect(server, by)
    if (peer !== null) this.open(peer)
  }

  /** Once per sweep tick: waiting retries, and probes of ejected servers. */
  tick(services: Iterable<RuntimeService>, nowMs: number): void {
    this.retries.tick(nowMs)
    this.sessions.tick(nowMs)
    for (const service of services) {
      service.sessions?.expire(nowMs)
      for (const server of service.servers) this.watch.probeIfDue(server, nowMs)
      if (service.relayed) this.relays.review(service, nowMs)
    }
    for (const peer of this.relays.peers) this.watch.probeIfDue(peer, nowMs)
  }

  /** Only asked: the request may stay where it is, with what was chosen for it there. */
  choose(x: Exchange): LiveServer | null {
    const { addedToResponse, sessionBinds } = x
    const server = chooseServer(x, this.sweep.now)
    x.addedToResponse = addedToResponse
    x.sessionBinds = sessionBinds
    return server
  }

  mayRetry(x: Exchange): boolean {
    return this.retries.take(x)
  }

  canRelay(x: Exchange): boolean {
    return this.relays.canRelay(x)
  }

  closePrivate(server: LiveServer): void {
    this.privates.closeIdle(server)
  }

  mayRelaySoon(x: Exchange): boolean {
    return this.relays.mayRelaySoon(x)
  }

  /** True for a server that is known to be unreachable and was chosen only because no other is left. */
  private isHopeless(x: Exchange, server: LiveServer): boolean {
    return (
      server.ejectedUntilMs > this.sweep.now &&
      !server.isPeer &&
      isServiceUnreachable(x.service!, this.sweep.now, this.options.retry.serverWaitMs)
    )
  }

  /** One try; with `fresh` at that server and on a new connection. */
  attempt(x: Exchange, fresh: LiveServer | null = null): void {
    if (x.privates !== null && fresh === null && this.sendPrivately(x)) return
    const server = fresh ?? findServer(x, this.relays, this.sweep.now)
    if (server === null || (fresh === null && this.isHopeless(x, server))) {
      this.retries.waitForServer(x)
      return
    }
    if (fresh === null && !server.isPeer && !this.sessions.beforeSend(x, server, this.sweep.now)) return
    x.attempts++
    x.sent = false
    x.relayUnconfirmed = false
    x.server = server
    x.relayPeer = server.peerName
    const idle = fresh === null ? this.takeIdle(server, x) : null
    const connection = idle ?? this.open(server)
    connection.x = x
    x.connection = connection
    server.addBusy(connection)
    if (idle !== null) this.send(connection, x)
  }

  /** @returns false if its client has no connection of its own to the service */
  private sendPrivately(x: Exchange): boolean {
    const connection = this.privates.take(x)
    if (connection === null) return false
    const { server } = connection
    // A learned session on the same server stays alive; one on another server is left as it is.
    if (x.service!.sessions !== null && !server.isPeer && this.choose(x) === server) {
      x.sessionBinds = false
      this.sessions.beforeSend(x, server, this.sweep.now)
    }
    x.sessionBinds = false
    x.attempts++
    x.relayUnconfirmed = false
    x.server = server
    x.relayPeer = server.peerName
    x.connection = connection
    server.addBusy(connection)
    this.send(connection, x)
    return true
  }

  private open(server: LiveServer): UpstreamConnection {
    const { timeouts, upstreamTls } = this.options
    const limits = !server.isPeer ? this.options.limits : this.relayLimits
    const connection = new UpstreamConnection(server, this, this.sweep, limits, timeouts.connectMs, upstreamTls.verify)
    if (!server.isPeer) this.failover.watchConnect(connection, this.relays.peers.length > 0)
    return connection
  }

  private takeIdle(server: LiveServer, x: Exchange): UpstreamConnection | null {
    const connection = server.idle.at(-1)
    // A handshake begins on a new connection: it would be lost on a kept one that the server is closing.
    if (connection === undefined || x.req.connectionAuth !== AUTH_PER_REQUEST) return null
    if (this.sweep.now - connection.idleSince > REUSE_UNSAFE_MS && !isIdempotent(x)) return null
    server.idle.pop()
    return connection
  }

  private send(connection: UpstreamConnection, x: Exchange): void {
    connection.begin(x)
    if (x.req.connectionAuth !== AUTH_PER_REQUEST) this.privates.claim(connection, x)
    x.sentPrivately = connection.owner !== null
    x.sent = true
    x.sends++
    x.sentMs = performance.now()
    const socket = connection.socket
    const head = !connection.server.isPeer ? serverHead(x, connection.server) : relayedHead(x)
    if (x.bodyFraming === NO_BODY) {
      // Before the write, which may fail at once and then has a deadline of its own.
      this.awaitHead(connection)
      socket.write(head, 'latin1')
      return
    }
    socket.cork()
    let flowing = socket.write(head, 'latin1')
    if (x.held !== null) for (const data of x.held) flowing = socket.write(data)
    process.nextTick(uncork, socket)
    if (!isIdempotent(x) && !x.relayUnconfirmed) {
      x.holding = false
      x.held = null
    }
    if (x.bodyDone) this.awaitHead(connection)
    else {
      if (x.fromPeer) x.downstream.onSentToServer(x)
      flowing &&= !awaitsRelayConfirmation(x, this.options.retry.bufferBytes)
      connection.deadline = flowing ? 0 : this.stallDeadline(x, connection)
      if (flowing) x.downstream.resumeBody(x)
    }
  }

  private awaitHead(connection: UpstreamConnection): void {
    const { timeouts } = this.options
    const now = this.sweep.now
    connection.awaitedSince = now
    connection.headDeadline = now + responseHeaderMs(connection.x!, timeouts) + connection.server.answerGraceMs
    connection.noResponseProbeAt = now + Math.max(timeouts.noResponseMs, connection.server.latencyMs * NO_RESPONSE_TIMES)
    connection.deadline = Math.min(connection.headDeadline, connection.noResponseProbeAt)
  }

  /** Deadline by which the server must take more of what was sent. A peer has an earlier one, and reports why. */
  private stallDeadline(x: Exchange, connection: UpstreamConnection): number {
    connection.answeredBytes = x.bytesOut
    return this.sweep.now + stallMs(x, this.options.timeouts) + connection.server.answerGraceMs
  }

  // ---- what connections report ----

  onConnected(c: UpstreamConnection): void {
    const x = c.x
    c.server.noteConnected()
    this.watch.connected(c.server, performance.now() - c.openedMs)
    if (x === null) this.recycle(c)
    else this.send(c, x)
  }

  onConnectFailed(c: UpstreamConnection, code: string): void {
    const server = c.server
    const x = c.x
    if (server.nextAddress(c.address)) {
      if (x === null) return
      this.unlink(x)
      x.attempts--
      this.attempt(x, server)
      return
    }
    const cause = causeOf(code)
    this.watch.failed(server, cause)
    if (x !== null) {
      this.unlink(x)
      if (cause !== 'refused' && !server.isPeer) x.failedConnects++
      this.retries.retry(x, `connect to ${server.host}:${server.port} failed (${code})`, server, false)
    }
    // Whoever is still connecting there, or has waited too long for a word, need not find out by himself.
    if (cause !== 'refused') this.failover.moveAll(server)
  }

  onNoResponse(c: UpstreamConnection, why: string, protocol: boolean): void {
    const x = c.x
    if (x === null) return
    const server = c.server
    const stale = c.answers > 0 && !c.gotByte && !protocol
    this.unlink(x)
    const what = `${server.host}:${server.port} gave no valid answer (${why})`
    if (stale && x.sentPrivately) {
      // The authentication is lost with the connection: only the client can begin a new handshake.
      this.endExchange(x)
      x.downstream.onUnanswered(x, what)
      return
    }
    if ((stale || c.strayed) && mayResend(x) && x.sends <= this.options.retry.attempts) {
      // A kept-alive connection that had gone stale, or held bytes of an earlier answer, is no sign against the request or the
      // server: it is sent once more, on a new connection.
      x.attempts--
      this.attempt(x, server)
      return
    }
    // A server that answers is not ejected, even if the answer cannot be read. A reset during an upload may be a rejection.
    if (protocol) noteUnparsable(server)
    else if (x.bodyDone) this.watch.connectionBroken(server, why)
    if (c.gotByte || !mayResend(x)) this.fail(x, 502, what)
    else this.retries.retry(x, what, server, true)
  }

  onResponse(c: UpstreamConnection, framing: Framing): void {
    const x = c.x!
    if (c.server.isPeer && c.res.status === 503 && isUnsent(c.res)) {
      this.onDeclined(c, x)
      return
    }
    const ms = performance.now() - x.sentMs
    if (noteAnswer(c.server, c.res.status, ms)) this.watch.errorRunReached(c.server)
    if (x.onBudget) this.retries.release(x)
    if (!c.server.isPeer) this.sessions.onResponse(x, c.server, c.res, this.sweep.now)
    if (c.owner !== null || c.res.connectionAuth !== AUTH_PER_REQUEST || (c.server.isPeer && isPrivate(c.res))) {
      this.answerPrivately(c, x)
    }
    // The answer may be slow or quiet for any time: TCP keep-alive finds a server that is gone.
    c.deadline = x.bodyDone || !c.socket.writableNeedDrain ? 0 : this.stallDeadline(x, c)
    x.answered = true
    x.status = c.res.status
    x.held = null
    x.holding = false
    x.relayUnconfirmed = false
    x.downstream.onHead(x, c.res, framing)
    // The body was paused when the write failed. The client may read its answer only after it has sent all of it.
    if (c.writeFailed !== '' && !x.bodyDone) x.downstream.resumeBody(x)
  }

  /** What the server sent before it closed is still read; the end or the error of its side follows. */
  onSendFailed(c: UpstreamConnection): void {
    const x = c.x!
    if (c.phase === DELIVERING) {
      c.destroy()
      this.onDeliveryEnded(c)
      return
    }
    if (c.phase === READING) {
      if (!x.bodyDone) x.downstream.resumeBody(x)
      return
    }
    // If neither follows, the earliest of all limits holds.
    const now = this.sweep.now
    const headMs = x.bodyDone ? c.headDeadline : now + responseHeaderMs(x, this.options.timeouts) + c.server.answerGraceMs
    c.headDeadline = Math.min(headMs, this.stallDeadline(x, c), now + MAX_AFTER_FAILED_WRITE_MS)
    c.deadline = c.headDeadline
    if (!x.bodyDone) x.downstream.pauseBody(x)
  }

  /** The answer's connection is private to its client, or becomes so with this answer. */
  private answerPrivately(c: UpstreamConnection, x: Exchange): void {
    const { server, res } = c
    if (c.owner === null) {
      // A connection that closes with this answer keeps no authentication.
      if (!c.reusable) return
      this.privates.claim(c, x)
    }
    if ((server.draining || server.gone) && !isHandshake(res)) c.reusable = false
    if (!c.reusable) x.downstream.endConnection()
  }

  /** The server takes more of the request body: from here it is the client's turn. */
  onWritable(c: UpstreamConnection): void {
    const x = c.x!
    if (awaitsRelayConfirmation(x, this.options.retry.bufferBytes)) return
    // Once the body is complete, the deadline of WAITING is that of the answer's head.
    if (!x.bodyDone || c.phase === READING) c.deadline = 0
    x.downstream.resumeBody(x)
  }

  onSentToServer(c: UpstreamConnection): void {
    const x = c.x!
    x.relayUnconfirmed = false
    if (!isIdempotent(x) || x.heldBytes > this.options.retry.bufferBytes) {
      x.holding = false
      x.held = null
    }
    if (!x.bodyDone && !c.socket.writableNeedDrain) this.onWritable(c)
  }

  onComplete(c: UpstreamConnection): void {
    const x = c.x!
    const refused = (x.status >= 400 && !isHandshake(c.res)) || c.writeFailed !== ''
    if (!x.bodyDone && !refused && !awaitsContinue(x)) {
      // The server may answer first and read later (a full-duplex handler, a 303 after the first part of a form, a challenge).
      c.deliver()
      if (!c.socket.writableNeedDrain) c.deadline = 0
      x.downstream.onAnswerEnd(x)
      return
    }
    this.unlink(x)
    const sent = x.bodyFraming === NO_BODY || c.socket.writableLength === 0
    if (c.reusable && x.bodyDone && sent && c.writeFailed === '') this.recycle(c)
    // A server that refused the request may not read the rest of its body; any other server may.
    else if (x.bodyDone && !sent && !refused) c.flushAndClose(stallMs(x, this.options.timeouts))
    else c.destroy()
    this.endExchange(x)
    x.downstream.onEnd(x)
  }

  /** The request's body is complete, after the answer. */
  private endDelivery(c: UpstreamConnection, x: Exchange): void {
    this.unlink(x)
    if (c.reusable && c.socket.writableLength === 0) this.recycle(c)
    else c.flushAndClose(stallMs(x, this.options.timeouts))
    this.endExchange(x)
    x.downstream.onEnd(x)
  }

  /**
   * The server takes nothing of the request's body, and its answer has begun. An answer that goes on is not cut for that; one that
   * its client holds up has that client's deadline. Otherwise the answer breaks: it cannot become a 504.
   */
  onBodyStalled(c: UpstreamConnection, why: string): void {
    const x = c.x!
    if (c.held || x.bytesOut > c.answeredBytes) {
      c.deadline = this.stallDeadline(x, c)
      return
    }
    c.destroy()
    this.unlink(x)
    this.endExchange(x)
    x.downstream.onBroken(x, why)
  }

  /** The server takes no more of a body whose answer is complete. This is not a failure. */
  onDeliveryEnded(c: UpstreamConnection): void {
    const x = c.x
    if (x === null) return
    this.unlink(x)
    this.endExchange(x)
    x.downstream.onEnd(x)
  }

  /** The peer has sent nothing on: it goes elsewhere, whatever the method. */
  private onDeclined(c: UpstreamConnection, x: Exchange): void {
    const peer = c.server as RelayPeer
    const { name } = x.service!
    peer.noteDeclined(name, this.sweep.now)
    this.unlink(x)
    // No handshake is lost with a stream on which no server was asked anything.
    if (c.answers === 1) this.privates.detach(c)
    c.destroy()
    x.sends--
    x.sent = false
    const why = `${peer.peerName} cannot reach service ${name} either`
    if (x.bodyFraming === NO_BODY || x.holding) this.retries.retry(x, why, peer, false)
    else this.fail(x, 503, why)
  }

  onBroken(c: UpstreamConnection, why: string, protocol: boolean): void {
    const x = c.x
    if (x === null) return
    if (protocol) noteUnparsable(c.server)
    else this.watch.connectionBroken(c.server, why)
    this.unlink(x)
    this.endExchange(x)
    x.downstream.onBroken(x, `${c.server.host}:${c.server.port} broke off its answer (${why})`)
  }

  onPrivateClosed(c: UpstreamConnection): void {
    this.privates.closed(c)
  }

  onUpstreamDeadline(c: UpstreamConnection, nowMs: number): void {
    this.failover.onDeadline(c, nowMs)
  }

  // ---- ends ----

  /** The server has switched protocols: from here its connection is raw. */
  tunnelOpened(x: Exchange): void {
    const { server, res } = x.connection!
    noteAnswer(server, 101, performance.now() - x.sentMs)
    if (!server.isPeer) this.sessions.onResponse(x, server, res, this.sweep.now)
    if (x.onBudget) this.retries.release(x)
    if (x.privates === null) return
    this.privates.detach(x.connection!)
    this.privates.release(x)
  }

  /** A tunnel has closed on both sides. */
  tunnelEnded(x: Exchange): void {
    this.unlink(x)
    this.endExchange(x)
  }

  private recycle(c: UpstreamConnection): void {
    c.phase = IDLE
    c.x = null
    c.idleSince = this.sweep.now
    const keepMs = Math.min(this.options.timeouts.upstreamIdleMs, c.keepAliveMs)
    if (keepMs <= 0 || (c.owner === null && !c.server.keep(c))) {
      c.destroy()
      return
    }
    c.deadline = this.sweep.now + keepMs
    if (c.owner !== null) this.privates.keep(c)
  }

  /** Parts exchange and connection. */
  unlink(x: Exchange): void {
    const connection = x.connection!
    connection.server.removeBusy(connection)
    connection.x = null
    x.connection = null
  }

  fail(x: Exchange, status: number, why: string): void {
    this.endExchange(x)
    x.downstream.onFailed(x, status, x.lastProblem === '' || why.includes(x.lastProblem) ? why : `${x.lastProblem}; ${why}`)
  }

  /** The exchange is over, one way or the other. */
  endExchange(x: Exchange): void {
    this.inFlight--
    if (x.onBudget) this.retries.release(x)
    x.held = null
  }
}

/** True while the client waits for 100 Continue and has sent nothing of its body: it may never send it. */
function awaitsContinue(x: Exchange): boolean {
  return x.req.expectContinue && x.bytesIn === 0
}

function uncork(socket: { uncork(): void }): void {
  socket.uncork()
}
