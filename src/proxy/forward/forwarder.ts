// Sends an exchange to a server, or to a peer that can reach one (relay/), and returns the response. It works on streams of any
// protocol (upstream/upstream-stream.ts) and on client connections of any protocol (downstream.ts). Which requests may be sent again
// is decided in retries.ts, the state of servers in outlier/server-watch.ts, and deadlines and moves to other servers in failover.ts.
// The path without failures allocates nothing.

import type { DataPlaneOptions } from '../../options/options.ts'
import { chooseServer, findServer } from '../balancing/choose-server.ts'
import { AUTH_PER_REQUEST } from '../message/connection-auth.ts'
import { type Framing, NO_BODY } from '../message/framing.ts'
import { isHandshake } from '../message/head.ts'
import { isPrivate } from '../message/relay-field.ts'
import { hasTroubleAt, isReachReportPending, noteReachedBy } from '../outlier/ejection.ts'
import { noteAnswer, noteUnparsable } from '../outlier/observations.ts'
import { causeOf, LATE_REPORTS_MS, ServerWatch, type WatchHost } from '../outlier/server-watch.ts'
import type { PeerTransportFactory, RelayPeer } from '../peers/relay-peer.ts'
import { type ReachHost, Relays } from '../peers/relays.ts'
import { runResponse } from '../routing/response-views.ts'
import type { RuntimeService } from '../runtime-service.ts'
import { Sessions, type SessionsHost } from '../sessions/sessions.ts'
import { PrivateStreams } from '../upstream/private-streams.ts'
import { isServiceUnreachable } from '../upstream/unreachable-services.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { CONNECTING, READING, UPLOADING, type UpstreamEvents, type UpstreamStream, WAITING } from '../upstream/upstream-stream.ts'
import { type FilterHost, filterRequest, filterResponse } from './body-filters.ts'
import type { Sweep } from './deadlines.ts'
import type { Downstream } from './downstream.ts'
import type { Exchange } from './exchange.ts'
import { Failover, type FailoverHost } from './failover.ts'
import { isIdempotent, mayResend, type Retrier, Retries } from './retries.ts'
import { responseHeaderMs, stallMs } from './time-limits.ts'

/** How long the response is awaited after a failed write, ms, also where there is no stall timeout. */
const MAX_AFTER_FAILED_WRITE_MS = 300_000
/** Multiple of the usual response time after which a slow server counts as unresponsive. */
const NO_RESPONSE_TIMES = 3

/** Stands for the route of a request that a peer relayed here: it has no middlewares. */
const NO_ROUTE = { chain: null }

export class Forwarder implements FilterHost, UpstreamEvents, Retrier, FailoverHost {
  /** Exchanges of this worker between head and end of the response. */
  inFlight = 0
  readonly relays: Relays
  readonly sessions: Sessions
  readonly watch: ServerWatch
  private readonly options: DataPlaneOptions
  private readonly sweep: Sweep
  private readonly retries: Retries
  private readonly failover: Failover
  private readonly privates: PrivateStreams

  /** `peers`: how peers are reached; null in a replica without a cluster. */
  constructor(
    options: DataPlaneOptions,
    sweep: Sweep,
    host: WatchHost & ReachHost & SessionsHost,
    peers: PeerTransportFactory | null,
  ) {
    this.options = options
    this.sweep = sweep
    this.retries = new Retries(options.retry, this)
    this.watch = new ServerWatch(options.timeouts.connectMs, host, {
      onLost: (server, refused) => this.failover.moveAll(server, refused),
      onSuspected: server => {
        this.failover.moveSuspected(server)
        // Requests of its sessions wait for reports; serve them when the wait ends.
        if (server.reachReportsUntilMs > 0) this.retries.servePendingAfter(LATE_REPORTS_MS + 1)
      },
      onPeersQueried: server => {
        for (const id of server.reachedBy) this.prepare(server, id)
      },
      hasPeers: () => this.relays.peers.length > 0,
    })
    this.failover = new Failover(options, sweep, this.watch, this)
    this.relays = new Relays(peers, sweep, host)
    this.sessions = new Sessions(options.sessions, host, x => this.attempt(x))
    this.privates = new PrivateStreams(options.limits.privateConnections)
  }

  // ---- called by downstream codecs ----

  /** Starts an exchange whose service is known. */
  forward(x: Exchange): void {
    this.inFlight++
    const { chain } = x.route ?? NO_ROUTE
    if (chain?.filtersRequests === true && x.body.framing !== NO_BODY) {
      const { generation } = x
      try {
        filterRequest(this, chain, x)
      } catch (error) {
        this.onFilterFailed(x, error as Error)
        return
      }
      // A sink that fails on the held body ends the exchange, and its object may serve the next pipelined request already.
      if (!x.active || x.generation !== generation) return
    }
    this.attempt(x)
  }

  /** Content of the request's body. The forwarder keeps the buffer. */
  requestBody(x: Exchange, data: Buffer): void {
    const { requestFilter } = x
    if (requestFilter === null) {
      this.sendBody(x, data)
      return
    }
    const { generation } = x
    if (requestFilter.write(data) || !x.active || x.generation !== generation) return
    x.downstream.pauseBody(x)
    // If the server is full, onWritable() resumes the client, and send() if there is none yet. Otherwise a sink asked for the pause.
    if (this.takesBody(x)) setImmediate(resumeAfterFilter, this, x, generation)
  }

  /** Ends the pause that a sink asked for while the server accepts content. */
  resumeAfterFilter(x: Exchange, generation: number): void {
    if (x.active && x.generation === generation && this.takesBody(x)) x.downstream.resumeBody(x)
  }

  /** The request has a server that accepts more of its body. */
  private takesBody(x: Exchange): boolean {
    const { stream } = x.attempt
    return (
      stream !== null &&
      stream.phase !== CONNECTING &&
      stream.writeFailed === '' &&
      stream.writable &&
      !this.awaitsConfirmation(x)
    )
  }

  /** @returns false if the client was paused because no more can be sent now */
  sendBody(x: Exchange, data: Buffer): boolean {
    const { stream } = x.attempt
    if (x.body.holding) {
      if (x.body.heldBytes + data.length <= this.options.retry.bufferBytes || !x.attempt.sent || x.attempt.relayUnconfirmed) {
        x.body.hold(data)
      } else x.body.release()
    }
    if (stream === null || stream.phase === CONNECTING) {
      const full = x.body.heldBytes >= this.options.retry.bufferBytes
      if (full) x.downstream.pauseBody(x)
      return !full
    }
    // After a failed write the rest of the body cannot be sent: it is discarded.
    if (stream.writeFailed !== '') return true
    const flowing = stream.write(data) && !this.awaitsConfirmation(x)
    if (stream.writeFailed !== '') return true
    // While the server accepts data, the client's own deadline applies: a slow client must not eject a server.
    stream.deadline = flowing ? 0 : this.stallDeadline(x, stream)
    if (!flowing) x.downstream.pauseBody(x)
    return flowing
  }

  /** The request's body is complete: from here the server is awaited. */
  requestBodyEnd(x: Exchange): void {
    if (x.requestFilter === null) this.sendBodyEnd(x)
    else x.requestFilter.end()
  }

  sendBodyEnd(x: Exchange): void {
    x.body.done = true
    const { stream } = x.attempt
    if (stream === null || stream.phase === CONNECTING) return
    if (stream.writeFailed === '') {
      // Before the write: if it fails at once, the deadline of onSendFailed replaces this one.
      if (x.attempt.sent && stream.phase === WAITING) this.awaitHead(stream)
      if (!stream.end(x) && stream.phase === READING) stream.deadline = this.stallDeadline(x, stream)
    }
    if (stream.phase === UPLOADING) this.endUpload(stream, x)
  }

  /** The client is gone, or its request turned out to be invalid. */
  abort(x: Exchange): void {
    const { stream } = x.attempt
    if (stream !== null) {
      this.unlink(x)
      if (stream.phase !== CONNECTING) stream.destroy()
    }
    this.endExchange(x)
  }

  /** The client connection accepts no further request. */
  clientEnds(downstream: Downstream): void {
    this.privates.release(downstream)
  }

  /** The client accepts more of the response. */
  resumeResponse(x: Exchange): void {
    x.attempt.stream?.resume()
  }

  /**
   * The server of `x` has switched protocols: from here its stream is raw.
   * @returns false if a middleware fails on the response: the exchange is over, its client has a local reply
   */
  tunnelOpened(x: Exchange): boolean {
    const stream = x.attempt.stream!
    const { server, res } = stream
    noteAnswer(server, 101, performance.now() - x.attempt.sentMs)
    try {
      if (x.route?.chain?.seesResponses === true) runResponse(x.route.chain, x, res)
    } catch (error) {
      this.onFilterFailed(x, error as Error)
      return false
    }
    if (!server.isPeer) this.sessions.onResponse(x, server, res, this.sweep.now)
    if (x.attempt.onBudget) this.retries.release(x)
    if (x.downstream.privateStreams === null) return true
    this.privates.detach(stream)
    this.privates.release(x.downstream)
    return true
  }

  /** A tunnel has closed on both sides. */
  tunnelEnded(x: Exchange): void {
    this.unlink(x)
    this.endExchange(x)
  }

  // ---- called by the worker ----

  /** The member `by` reaches the server for `forMs`; 0: no longer. */
  reachedBy(server: UpstreamServer, by: string, forMs: number): void {
    noteReachedBy(server, performance.now(), by, forMs)
    if (forMs <= 0) return
    this.prepare(server, by)
    this.retries.servePendingSoon()
  }

  /** Once per sweep tick: pending retries, probes of ejected servers, expiry of sessions. */
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

  // ---- called by retries and failover ----

  choose(x: Exchange): UpstreamServer | null {
    const { addedToResponse } = x
    const { binds } = x.session
    const server = chooseServer(x, this.sweep.now)
    x.addedToResponse = addedToResponse
    x.session.binds = binds
    return server
  }

  takeBudget(x: Exchange): boolean {
    return this.retries.takeBudget(x)
  }

  canRelay(x: Exchange): boolean {
    return this.relays.canRelay(x)
  }

  mayRelaySoon(x: Exchange): boolean {
    return this.relays.mayRelaySoon(x)
  }

  closePrivate(server: UpstreamServer): void {
    this.privates.closeIdle(server)
  }

  /** One attempt. With `fresh`: at that server, on a new stream. */
  attempt(x: Exchange, fresh: UpstreamServer | null = null): void {
    if (x.downstream.privateStreams !== null && fresh === null && this.sendPrivately(x)) return
    const server = fresh ?? findServer(x, this.relays, this.sweep.now)
    if (server === null || (fresh === null && this.isHopeless(x, server))) {
      this.retries.waitForServer(x)
      return
    }
    if (fresh === null && this.awaitsReachReports(x, server) && this.retries.waitForReports(x)) return
    if (fresh === null && !server.isPeer && !this.sessions.beforeSend(x, server, this.sweep.now)) return
    x.attempt.sent = false
    const idle = fresh === null ? server.transport.take(x) : null
    const stream = idle ?? this.open(server)
    this.link(x, stream)
    if (idle !== null) this.send(stream, x)
  }

  unlink(x: Exchange): void {
    const stream = x.attempt.stream!
    stream.server.removeActive(stream)
    stream.x = null
    x.attempt.stream = null
    // Until the next attempt nothing counts as sent: while the request waits, its body is kept and the client is paused.
    x.attempt.sent = false
  }

  fail(x: Exchange, status: number, why: string): void {
    this.endExchange(x)
    x.downstream.onFailed(
      x,
      status,
      x.attempt.lastProblem === '' || why.includes(x.attempt.lastProblem) ? why : `${x.attempt.lastProblem}; ${why}`,
    )
  }

  // ---- sending ----

  /** @returns false if the client connection has no private stream to the service */
  private sendPrivately(x: Exchange): boolean {
    const stream = this.privates.take(x)
    if (stream === null) return false
    const { server } = stream
    // A learned session on the same server is kept alive; one on another server is left unchanged.
    if (x.service!.sessions !== null && !server.isPeer && this.choose(x) === server) {
      x.session.binds = false
      this.sessions.beforeSend(x, server, this.sweep.now)
    }
    x.session.binds = false
    this.link(x, stream)
    this.send(stream, x)
    return true
  }

  /**
   * True while a peer may still report that it reaches the server of the session of `x`. The session's requests wait for that, a
   * fraction of a second, instead of being served by `server`: the application would see them move there and back. Without a peer
   * that could report it they do not wait: then the server is probably lost for all.
   */
  private awaitsReachReports(x: Exchange, server: UpstreamServer): boolean {
    const bound = x.session.affinityUnavailable
    if (bound === null || server === bound || server.isPeer || x.fromPeer) return false
    const nowMs = performance.now()
    if (!isReachReportPending(bound, nowMs)) return false
    return bound.reachedBy.length > 0 || this.relays.peers.some(peer => !hasTroubleAt(bound, nowMs, peer.peerName))
  }

  /** True for a server that is known to be unreachable and was chosen only because no other is left. */
  private isHopeless(x: Exchange, server: UpstreamServer): boolean {
    return (
      server.ejectedUntilMs > this.sweep.now &&
      !server.isPeer &&
      isServiceUnreachable(x.service!, this.sweep.now, this.options.retry.serverWaitMs)
    )
  }

  private open(server: UpstreamServer): UpstreamStream {
    const stream = server.transport.open(this)
    if (!server.isPeer) this.failover.watchConnect(stream, this.relays.peers.length > 0)
    return stream
  }

  /** Opens a stream to the peer `id`, which reaches `server`, before a request needs it. */
  private prepare(server: UpstreamServer, id: string): void {
    const peer = this.relays.peerToConnect(server, id)
    if (peer !== null) this.open(peer)
  }

  private link(x: Exchange, stream: UpstreamStream): void {
    const { server } = stream
    x.attempt.count++
    x.attempt.relayUnconfirmed = false
    x.attempt.server = server
    x.attempt.relayPeer = server.peerName
    x.attempt.stream = stream
    stream.x = x
    server.addActive(stream)
  }

  private send(stream: UpstreamStream, x: Exchange): void {
    if (x.req.connectionAuth !== AUTH_PER_REQUEST) this.privates.claim(stream, x)
    x.attempt.isPrivate = stream.owner !== null
    x.attempt.sent = true
    x.attempt.sends++
    x.attempt.sentMs = performance.now()
    if (x.body.framing === NO_BODY) {
      // Before the write: if it fails at once, the deadline of onSendFailed replaces this one.
      this.awaitHead(stream)
      stream.send(x)
      return
    }
    // Until a peer confirms that it has sent the request to a server, the body is kept, whatever the method.
    x.attempt.relayUnconfirmed = stream.server.isPeer
    const flowing = stream.send(x) && !this.awaitsConfirmation(x)
    if (!isIdempotent(x) && !x.attempt.relayUnconfirmed) x.body.release()
    if (x.body.done) this.awaitHead(stream)
    else {
      if (x.fromPeer) x.downstream.onSentToServer(x)
      stream.deadline = flowing ? 0 : this.stallDeadline(x, stream)
      if (flowing) x.downstream.resumeBody(x)
    }
  }

  private awaitHead(stream: UpstreamStream): void {
    const { timeouts } = this.options
    const { now } = this.sweep
    const { server } = stream
    stream.awaitedSince = now
    stream.headDeadline = now + responseHeaderMs(stream.x!, timeouts) + server.responseGraceMs
    stream.noResponseProbeAt = now + Math.max(timeouts.noResponseMs, server.latencyMs * NO_RESPONSE_TIMES)
    stream.deadline = Math.min(stream.headDeadline, stream.noResponseProbeAt)
  }

  /** Deadline by which the server must accept more data. A peer reaches its own limit first and reports the cause. */
  private stallDeadline(x: Exchange, stream: UpstreamStream): number {
    stream.bytesOutAtStall = x.bytesOut
    return this.sweep.now + stallMs(x, this.options.timeouts) + stream.server.responseGraceMs
  }

  /** A peer has received as much of the body as may be buffered, and has not confirmed that it sent the request to a server. */
  private awaitsConfirmation(x: Exchange): boolean {
    return x.attempt.relayUnconfirmed && x.body.heldBytes >= this.options.retry.bufferBytes
  }

  // ---- UpstreamEvents ----

  onConnected(stream: UpstreamStream): void {
    const { server, x } = stream
    server.onConnected()
    this.watch.connected(server, performance.now() - stream.openedMs)
    if (x !== null) this.send(stream, x)
    else {
      this.recycle(stream)
      if (server.isPeer) this.retries.servePendingSoon()
    }
  }

  onConnectFailed(stream: UpstreamStream, code: string): void {
    const { server, x } = stream
    if (server.nextAddress(stream.address)) {
      if (x === null) return
      this.unlink(x)
      x.attempt.count--
      this.attempt(x, server)
      return
    }
    const cause = causeOf(code)
    this.watch.failed(server, cause)
    if (x !== null) {
      this.unlink(x)
      if (cause !== 'refused' && !server.isPeer) x.attempt.failedConnects++
      this.retries.retry(x, `connect to ${server.host}:${server.port} failed (${code})`, server, false)
    }
    // Other requests that connect to this server, or that have waited too long for it, need not reach their own timeout.
    if (cause !== 'refused') this.failover.moveAll(server)
  }

  onNoResponse(stream: UpstreamStream, why: string, protocol: boolean): void {
    const { server, x } = stream
    if (x === null) return
    const stale = stream.responses > 0 && !stream.gotByte && !protocol
    this.unlink(x)
    const what = `${server.host}:${server.port} gave no valid answer (${why})`
    if (stale && x.attempt.isPrivate) {
      // The authentication is lost with the stream: only the client can begin a new handshake.
      this.endExchange(x)
      x.downstream.onUnanswered(x, what)
      return
    }
    if ((stale || stream.outOfStep) && mayResend(x) && x.attempt.sends <= this.options.retry.attempts) {
      // A reused stream that had been closed, or that held bytes of the previous response, says nothing about the request or the
      // server: the request is sent again on a new stream.
      x.attempt.count--
      this.attempt(x, server)
      return
    }
    // A server that responds is not ejected, even if the response is invalid. A reset during an upload may be a rejection.
    if (protocol) noteUnparsable(server)
    else if (x.body.done) this.watch.connectionBroken(server, why)
    if (stream.gotByte || !mayResend(x)) this.fail(x, 502, what)
    else this.retries.retry(x, what, server, true)
  }

  /** The peer has reached no server: the request goes elsewhere, whatever the method. */
  onDeclined(stream: UpstreamStream): void {
    const x = stream.x!
    const peer = stream.server as RelayPeer
    const { name } = x.service!
    peer.noteDeclined(name, this.sweep.now)
    this.unlink(x)
    // No server was asked on this stream, so no authentication is lost with it.
    if (stream.responses === 1) this.privates.detach(stream)
    stream.destroy()
    x.attempt.sends--
    const why = `${peer.peerName} cannot reach service ${name} either`
    if (x.body.framing === NO_BODY || x.body.holding) this.retries.retry(x, why, peer, false)
    else this.fail(x, 503, why)
  }

  onResponse(stream: UpstreamStream, framing: Framing): void {
    const x = stream.x!
    const { res, server } = stream
    if (noteAnswer(server, res.status, performance.now() - x.attempt.sentMs)) this.watch.errorRunReached(server)
    if (x.attempt.onBudget) this.retries.release(x)
    if (!server.isPeer) this.sessions.onResponse(x, server, res, this.sweep.now)
    if (stream.owner !== null || res.connectionAuth !== AUTH_PER_REQUEST || (server.isPeer && isPrivate(res))) {
      this.respondPrivately(stream, x)
    }
    // The response may be slow or idle for any time: TCP keep-alive detects a server that is gone.
    stream.deadline = x.body.done || stream.writable ? 0 : this.stallDeadline(x, stream)
    x.answered = true
    x.status = res.status
    x.body.release()
    x.attempt.relayUnconfirmed = false
    const { chain } = x.route ?? NO_ROUTE
    let sent = framing
    if (chain !== null && (chain.seesResponses || chain.filtersResponses)) {
      try {
        if (chain.seesResponses) runResponse(chain, x, res)
        if (chain.filtersResponses) sent = filterResponse(this, chain, x, res, framing)
      } catch (error) {
        x.answered = false
        this.onFilterFailed(x, error as Error)
        return
      }
    }
    x.downstream.onHead(x, res, sent)
    // The body was paused when the write failed. The client may read its response only after it has sent the whole body.
    if (stream.writeFailed !== '' && !x.body.done) x.downstream.resumeBody(x)
  }

  onSendFailed(stream: UpstreamStream): void {
    const x = stream.x!
    if (stream.phase === UPLOADING) {
      stream.destroy()
      this.onUploadEnded(stream)
      return
    }
    if (stream.phase === READING) {
      if (!x.body.done) x.downstream.resumeBody(x)
      return
    }
    // What the server sent before it closed is still read; then its end or error follows. If neither does, the earliest of all
    // limits applies.
    const { now } = this.sweep
    const headMs = x.body.done
      ? stream.headDeadline
      : now + responseHeaderMs(x, this.options.timeouts) + stream.server.responseGraceMs
    stream.headDeadline = Math.min(headMs, this.stallDeadline(x, stream), now + MAX_AFTER_FAILED_WRITE_MS)
    stream.deadline = stream.headDeadline
    if (!x.body.done) x.downstream.pauseBody(x)
  }

  onWritable(stream: UpstreamStream): void {
    const x = stream.x!
    if (this.awaitsConfirmation(x)) return
    // Once the body is complete, the deadline in phase WAITING is that of the response head.
    if (!x.body.done || stream.phase === READING) stream.deadline = 0
    x.downstream.resumeBody(x)
  }

  onSentToServer(stream: UpstreamStream): void {
    const x = stream.x!
    x.attempt.relayUnconfirmed = false
    if (!isIdempotent(x) || x.body.heldBytes > this.options.retry.bufferBytes) x.body.release()
    if (!x.body.done && stream.writable) this.onWritable(stream)
  }

  onComplete(stream: UpstreamStream): void {
    const x = stream.x!
    if (x.responseFilter !== null && !x.responseFilter.end()) return
    const refused = (x.status >= 400 && !isHandshake(stream.res)) || stream.writeFailed !== ''
    if (!x.body.done && !refused && !awaitsContinue(x)) {
      // The server may respond first and read later: a full-duplex handler, a 303 after the first part of a form, a challenge.
      stream.continueUpload()
      if (stream.writable) stream.deadline = 0
      x.downstream.onResponseEnd(x)
      return
    }
    this.unlink(x)
    const sent = x.body.framing === NO_BODY || stream.unsentBytes === 0
    if (stream.reusable && x.body.done && sent && stream.writeFailed === '') this.recycle(stream)
    // A server that refused the request may not read the rest of its body; any other server may.
    else if (x.body.done && !sent && !refused) stream.closeAfterFlush(stallMs(x, this.options.timeouts))
    else stream.destroy()
    this.endExchange(x)
    x.downstream.onEnd(x)
  }

  /** A middleware failed after admission: 500, or a broken response if one has begun. */
  onFilterFailed(x: Exchange, error: Error): void {
    const { stream } = x.attempt
    const why = `a middleware of router ${x.route?.router.name} failed: ${error.message}`
    x.middlewareFailed = true
    if (stream !== null) {
      this.unlink(x)
      if (stream.phase !== CONNECTING) stream.destroy()
    }
    this.endExchange(x)
    if (x.answered) x.downstream.onBroken(x, why)
    else x.downstream.onFailed(x, 500, why)
  }

  onUploadEnded(stream: UpstreamStream): void {
    const { x } = stream
    if (x === null) return
    this.unlink(x)
    this.endExchange(x)
    x.downstream.onEnd(x)
  }

  onBroken(stream: UpstreamStream, why: string, protocol: boolean): void {
    const { server, x } = stream
    if (x === null) return
    if (protocol) noteUnparsable(server)
    else this.watch.connectionBroken(server, why)
    this.unlink(x)
    this.endExchange(x)
    x.downstream.onBroken(x, `${server.host}:${server.port} broke off its answer (${why})`)
  }

  onPrivateClosed(stream: UpstreamStream): void {
    this.privates.closed(stream)
  }

  onStreamDeadline(stream: UpstreamStream, nowMs: number): void {
    this.failover.onDeadline(stream, nowMs)
  }

  /**
   * The server accepts nothing of the request's body, and its response has begun. A response that continues is not cut, and one
   * that the client holds up has the client's deadline. Otherwise the response is cut: it can no longer become a 504.
   */
  onBodyStalled(stream: UpstreamStream, why: string): void {
    const x = stream.x!
    if (stream.paused || x.bytesOut > stream.bytesOutAtStall) {
      stream.deadline = this.stallDeadline(x, stream)
      return
    }
    stream.destroy()
    this.unlink(x)
    this.endExchange(x)
    x.downstream.onBroken(x, why)
  }

  // ---- ends ----

  /** The stream of the response is private to its client connection, or becomes so with this response. */
  private respondPrivately(stream: UpstreamStream, x: Exchange): void {
    const { server, res } = stream
    if (stream.owner === null) {
      // A stream that closes with this response keeps no authentication.
      if (!stream.reusable) return
      this.privates.claim(stream, x)
    }
    if ((server.draining || server.gone) && !isHandshake(res)) stream.reusable = false
    if (!stream.reusable) x.downstream.endConnection()
  }

  /** The request's body is complete, after the response. */
  private endUpload(stream: UpstreamStream, x: Exchange): void {
    this.unlink(x)
    if (stream.reusable && stream.unsentBytes === 0) this.recycle(stream)
    else stream.closeAfterFlush(stallMs(x, this.options.timeouts))
    this.endExchange(x)
    x.downstream.onEnd(x)
  }

  private recycle(stream: UpstreamStream): void {
    if (stream.recycle() && stream.owner !== null) this.privates.keep(stream)
  }

  private endExchange(x: Exchange): void {
    this.inFlight--
    if (x.attempt.onBudget) this.retries.release(x)
    x.body.held = null
  }
}

function resumeAfterFilter(forwarder: Forwarder, x: Exchange, generation: number): void {
  forwarder.resumeAfterFilter(x, generation)
}

/** The client waits for 100 Continue and has sent nothing of its body: it may never send it. */
function awaitsContinue(x: Exchange): boolean {
  return x.req.expectContinue && x.bytesIn === 0
}
