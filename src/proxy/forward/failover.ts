// Deadlines of upstream streams, and failover of requests in flight from a server that accepts no connections any more: requests that
// still connect to it, and requests that have waited long enough for a response and may be sent again. From a server that is only
// suspected (a connect takes suspiciously long) a request moves only to a server that has responded recently, and, once sent, only
// within the retry budget.

import type { DataPlaneOptions } from '../../options/options.ts'
import { queryAfterMs, suspectAfterMs } from '../outlier/ejection.ts'
import { hasProvenOther, isProven } from '../outlier/panic.ts'
import type { ServerWatch } from '../outlier/server-watch.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { CONNECTING, READING, UPLOADING, type UpstreamStream, WAITING } from '../upstream/upstream-stream.ts'
import type { Sweep } from './deadlines.ts'
import type { Exchange } from './exchange.ts'
import { mayResend } from './retries.ts'
import { RESPONSE_HEADER_LIMIT, responseHeaderMs, STALL_LIMIT, stallMs } from './time-limits.ts'

/** Interval between no-response probes of the same request, ms. */
const PROBE_AGAIN_MS = 2000
/** A request to a server that accepts no connections moves once it has waited this long, ms, and this multiple of the usual time. */
const MIN_WAIT_MS = 300
const MIN_WAIT_TIMES = 3
/** Time in which other replicas answer a reachability query, ms: the gossip store sends batches every 50 ms. */
const QUERY_ANSWER_MS = 200

export interface FailoverHost {
  /** The server that the next attempt would use. Changes nothing about the exchange. */
  choose(x: Exchange): UpstreamServer | null
  /** A peer could take the request. */
  canRelay(x: Exchange): boolean
  /** Takes a place in the retry budget. @returns false if there is none */
  takeBudget(x: Exchange): boolean
  attempt(x: Exchange): void
  /** Separates exchange and stream. */
  unlink(x: Exchange): void
  fail(x: Exchange, status: number, why: string): void
  /** Closes idle private streams to the server. */
  closePrivate(server: UpstreamServer): void
  onConnectFailed(stream: UpstreamStream, code: string): void
  onBodyStalled(stream: UpstreamStream, why: string): void
  onUploadEnded(stream: UpstreamStream): void
}

export class Failover {
  private readonly options: DataPlaneOptions
  private readonly sweep: Sweep
  private readonly watch: ServerWatch
  private readonly host: FailoverHost

  constructor(options: DataPlaneOptions, sweep: Sweep, watch: ServerWatch, host: FailoverHost) {
    this.options = options
    this.sweep = sweep
    this.watch = watch
    this.host = host
  }

  /** A connect begins: sets when its server becomes suspected and, if there are `peers`, when they are asked about it before that. */
  watchConnect(stream: UpstreamStream, peers: boolean): void {
    const suspectMs = this.sweep.now + suspectAfterMs(stream.server)
    if (!peers) {
      stream.deadline = Math.min(stream.connectDeadline, suspectMs)
      return
    }
    const queryMs = stream.openedMs + queryAfterMs(stream.server)
    stream.suspectDeadline = Math.min(stream.connectDeadline, Math.max(suspectMs, queryMs + QUERY_ANSWER_MS))
    stream.deadline = Math.min(stream.connectDeadline, queryMs)
  }

  onDeadline(stream: UpstreamStream, nowMs: number): void {
    switch (stream.phase) {
      case CONNECTING:
        // If the thread was blocked, pending connect events are handled before the server is suspected.
        if (nowMs < stream.suspectDeadline) {
          stream.deadline = stream.suspectDeadline
          setImmediate(() => void (stream.phase === CONNECTING && this.watch.queryPeers(stream.server)))
          return
        }
        if (nowMs < stream.connectDeadline) {
          stream.deadline = stream.connectDeadline
          setImmediate(() => void (stream.phase === CONNECTING && this.watch.suspect(stream.server)))
          return
        }
        stream.destroy()
        this.host.onConnectFailed(stream, 'timeout')
        return
      case WAITING:
        this.onNoResponse(stream, nowMs)
        return
      case READING:
        this.host.onBodyStalled(stream, `cut off: ${this.describeStall(stream)}`)
        return
      case UPLOADING:
        stream.destroy()
        this.host.onUploadEnded(stream)
        return
      default:
        stream.destroy()
    }
  }

  private onNoResponse(stream: UpstreamStream, nowMs: number): void {
    const { server } = stream
    const x = stream.x!
    if (!x.body.done || nowMs >= stream.headDeadline) {
      const why = this.describeTimeout(stream, x)
      stream.destroy()
      this.host.unlink(x)
      this.watch.responseTimedOut(server)
      this.host.fail(x, 504, why)
      return
    }
    stream.noResponseProbeAt = nowMs + PROBE_AGAIN_MS
    stream.deadline = Math.min(stream.headDeadline, stream.noResponseProbeAt)
    if (server.ejectedUntilMs > nowMs && acceptsNoConnections(server)) this.moveOne(stream)
    else this.watch.probeUnresponsive(server)
  }

  private describeTimeout(stream: UpstreamStream, x: Exchange): string {
    if (stream.writeFailed !== '') {
      return `${nameOf(stream)} takes no more of the request (${stream.writeFailed}) and sent no answer`
    }
    if (!x.body.done) return this.describeStall(stream)
    const seconds = responseHeaderMs(x, this.options.timeouts) / 1000
    return `${nameOf(stream)} sent no answer for ${seconds} s (${RESPONSE_HEADER_LIMIT})`
  }

  private describeStall(stream: UpstreamStream): string {
    const seconds = stallMs(stream.x!, this.options.timeouts) / 1000
    return `${nameOf(stream)} took nothing of the request's body for ${seconds} s (${STALL_LIMIT})`
  }

  /**
   * The server accepts no connections any more: moves the requests that connect to it, and those that may be sent again and have
   * waited long enough. `refused`: its host responds, so it may be finishing requests before it exits.
   */
  moveAll(server: UpstreamServer, refused = false): void {
    server.transport.closeIdle()
    this.host.closePrivate(server)
    for (const stream of server.active.slice()) {
      if (stream.phase === CONNECTING || this.hasWaited(stream, refused)) this.moveOne(stream)
    }
  }

  /** The server is suspected. Its connects continue, because their result decides about it. */
  moveSuspected(server: UpstreamServer): void {
    if (!hasProvenOther(server, this.sweep.now)) return
    for (const stream of server.active.slice()) {
      if (stream.phase === CONNECTING || this.hasWaited(stream)) this.moveIfBetter(stream)
    }
  }

  /** The request has waited long enough to leave a failing server; with `patient`, as long as for a no-response probe. */
  private hasWaited(stream: UpstreamStream, patient = false): boolean {
    if (stream.phase !== WAITING || stream.x?.body.done !== true) return false
    const { noResponseMs } = this.options.timeouts
    const minMs = Math.max(MIN_WAIT_MS, stream.server.latencyMs * MIN_WAIT_TIMES)
    return this.sweep.now >= stream.awaitedSince + (patient ? noResponseMs : Math.min(noResponseMs, minMs))
  }

  private moveIfBetter(stream: UpstreamStream): void {
    const { x, server } = stream
    if (x === null || x.attempt.count >= this.options.retry.attempts) return
    const sent = stream.phase === WAITING
    if (sent && !this.maySendAgain(stream, x)) return
    x.attempt.tried ??= []
    x.attempt.tried.push(server)
    const { addedToResponse } = x
    const other = this.host.choose(x)
    if (other === null || !isProven(other, this.sweep.now) || (sent && !this.host.takeBudget(x))) {
      x.attempt.tried.pop()
      x.addedToResponse = addedToResponse
      return
    }
    if (!sent) x.attempt.failedConnects++
    this.host.unlink(x)
    if (sent) stream.destroy()
    this.host.attempt(x)
  }

  private moveOne(stream: UpstreamStream): void {
    const { x, server } = stream
    if (x === null) return
    const sent = stream.phase === WAITING
    if (sent && !this.maySendAgain(stream, x)) return
    x.attempt.tried ??= []
    x.attempt.tried.push(server)
    const { addedToResponse } = x
    const other = x.attempt.count < this.options.retry.attempts ? this.host.choose(x) : null
    const useless = other === null || (server.isPeer && other.ejectedUntilMs > this.sweep.now)
    if (useless && !this.host.canRelay(x)) {
      // Waiting for a server that may come back is better than a failure because no other one is left.
      x.attempt.tried.pop()
      x.addedToResponse = addedToResponse
      return
    }
    if (!sent && !server.isPeer) x.attempt.failedConnects++
    this.host.unlink(x)
    stream.destroy()
    this.host.attempt(x)
  }

  private maySendAgain(stream: UpstreamStream, x: Exchange): boolean {
    return !stream.gotByte && mayResend(x) && x.attempt.sends < this.options.retry.attempts
  }
}

/** Ejected because it accepts no connections. */
function acceptsNoConnections({ ejectedFor }: UpstreamServer): boolean {
  return ejectedFor === 'timeout' || ejectedFor === 'silence' || ejectedFor === 'unreachable'
}

function nameOf({ server }: UpstreamStream): string {
  return `${server.host}:${server.port}`
}
