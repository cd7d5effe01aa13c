// Deadlines of connections to servers, and moving requests away from a server that does not take connections any more: what still
// connects there, and what has waited too long for a word and may be sent again (design 8). From a server that is only in doubt
// (a connect takes suspiciously long) nothing goes that could be worse off elsewhere: what was not sent yet, and what was within
// the retry budget, to servers that are known to answer.

import type { DataPlaneOptions } from '../../options/options.ts'
import { CONNECTING, DELIVERING, IDLE, READING, type UpstreamConnection, WAITING } from '../http1/upstream-connection.ts'
import { queryAfterMs, suspectAfterMs } from '../outlier/ejection.ts'
import { hasProvenOther, isProven } from '../outlier/panic.ts'
import type { ServerWatch } from '../outlier/server-watch.ts'
import type { LiveServer } from '../upstream/connection-pool.ts'
import type { Sweep } from './deadlines.ts'
import type { Exchange } from './exchange.ts'
import { mayResend } from './retries.ts'
import { RESPONSE_HEADER_LIMIT, responseHeaderMs, STALL_LIMIT, stallMs } from './time-limits.ts'

/** How long after a good silence check the next one is due. */
const PROBE_AGAIN_MS = 2000
/** What waits for a word from a server that does not take connections has waited long enough, ms and times the usual. */
const WAITED_MS = 300
const WAITED_TIMES = 3
/** Other replicas that are asked for a server have answered so soon, ms: the gossip store batches every 50. */
const ANSWERED_MS = 200

export interface FailoverHost {
  /** A server that may be tried next, without sending anything. */
  choose(x: Exchange): LiveServer | null
  /** A peer could take it. */
  canRelay(x: Exchange): boolean
  /** Within the retry budget it may be sent once more. */
  mayRetry(x: Exchange): boolean
  /** One more try, at a server that was not tried yet. */
  attempt(x: Exchange): void
  /** Parts exchange and connection. */
  unlink(x: Exchange): void
  fail(x: Exchange, status: number, why: string): void
  /** Closes private connections to the server that have no request. */
  closePrivate(server: LiveServer): void
  onConnectFailed(c: UpstreamConnection, code: string): void
  onBodyStalled(c: UpstreamConnection, why: string): void
  onDeliveryEnded(c: UpstreamConnection): void
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

  /** A connect begins: when its server is in doubt, and, with `peers`, others are asked for it before that. */
  watchConnect(c: UpstreamConnection, peers: boolean): void {
    const doubtMs = this.sweep.now + suspectAfterMs(c.server)
    if (!peers) {
      c.deadline = Math.min(c.connectDeadline, doubtMs)
      return
    }
    const askMs = c.openedMs + queryAfterMs(c.server)
    c.suspectDeadline = Math.min(c.connectDeadline, Math.max(doubtMs, askMs + ANSWERED_MS))
    c.deadline = Math.min(c.connectDeadline, askMs)
  }

  onDeadline(c: UpstreamConnection, nowMs: number): void {
    switch (c.phase) {
      case CONNECTING:
        // A connection that stands since this thread was busy elsewhere must be seen first.
        if (nowMs < c.suspectDeadline) {
          c.deadline = c.suspectDeadline
          setImmediate(() => void (c.phase === CONNECTING && this.watch.queryPeers(c.server)))
          return
        }
        if (nowMs < c.connectDeadline) {
          c.deadline = c.connectDeadline
          setImmediate(() => void (c.phase === CONNECTING && this.watch.suspect(c.server)))
          return
        }
        c.destroy()
        this.host.onConnectFailed(c, 'timeout')
        return
      case IDLE:
        c.server.forget(c)
        c.destroy()
        return
      case WAITING:
        this.onWaitingTooLong(c, nowMs)
        return
      case READING:
        this.host.onBodyStalled(c, `cut off: ${this.tookNothing(c)}`)
        return
      case DELIVERING:
        c.destroy()
        this.host.onDeliveryEnded(c)
        return
      default:
        c.destroy()
    }
  }

  private onWaitingTooLong(c: UpstreamConnection, nowMs: number): void {
    const x = c.x!
    if (!x.bodyDone || nowMs >= c.headDeadline) {
      const why = this.whyLate(c, x)
      c.destroy()
      this.host.unlink(x)
      this.watch.responseTimedOut(c.server)
      this.host.fail(x, 504, why)
      return
    }
    c.noResponseProbeAt = nowMs + PROBE_AGAIN_MS
    c.deadline = Math.min(c.headDeadline, c.noResponseProbeAt)
    const { server } = c
    if (server.ejectedUntilMs > nowMs && isLost(server)) this.moveOne(c)
    else this.watch.probeUnresponsive(server)
  }

  private whyLate(c: UpstreamConnection, x: Exchange): string {
    if (c.writeFailed !== '') return `${nameOf(c)} takes no more of the request (${c.writeFailed}) and sent no answer`
    if (!x.bodyDone) return this.tookNothing(c)
    const seconds = responseHeaderMs(x, this.options.timeouts) / 1000
    return `${nameOf(c)} sent no answer for ${seconds} s (${RESPONSE_HEADER_LIMIT})`
  }

  private tookNothing(c: UpstreamConnection): string {
    return `${nameOf(c)} took nothing of the request's body for ${stallMs(c.x!, this.options.timeouts) / 1000} s (${STALL_LIMIT})`
  }

  /** The server does not take connections any more: sends elsewhere what may be sent again and has waited long enough. */
  moveAll(server: LiveServer, refused = false): void {
    server.closeIdle()
    this.host.closePrivate(server)
    for (const c of server.busy.slice()) if (c.phase === CONNECTING || this.hasWaited(c, refused)) this.moveOne(c)
  }

  /** It may be lost. The connects go on, for the sake of their verdict. */
  moveSuspected(server: LiveServer): void {
    if (!hasProvenOther(server, this.sweep.now)) return
    for (const c of server.busy.slice()) if (c.phase === CONNECTING || this.hasWaited(c)) this.moveIfBetter(c)
  }

  /** Long enough for its server to be given up, where there is another reason to; `patient`: as long as for silence alone. */
  private hasWaited(c: UpstreamConnection, patient = false): boolean {
    if (c.phase !== WAITING || c.x?.bodyDone !== true) return false
    const { noResponseMs } = this.options.timeouts
    const { latencyMs } = c.server
    const enoughMs = patient ? noResponseMs : Math.min(noResponseMs, Math.max(WAITED_MS, latencyMs * WAITED_TIMES))
    return this.sweep.now >= c.awaitedSince + enoughMs
  }

  private moveIfBetter(c: UpstreamConnection): void {
    const { x, server } = c
    if (x === null || x.attempts >= this.options.retry.attempts) return
    const sent = c.phase === WAITING
    if (sent && (c.gotByte || !mayResend(x) || x.sends >= this.options.retry.attempts)) return
    x.tried ??= []
    x.tried.push(server)
    const { addedToResponse } = x
    const other = this.host.choose(x)
    if (other === null || !isProven(other, this.sweep.now) || (sent && !this.host.mayRetry(x))) {
      x.tried.pop()
      x.addedToResponse = addedToResponse
      return
    }
    if (!sent) x.failedConnects++
    this.host.unlink(x)
    if (sent) c.destroy()
    this.host.attempt(x)
  }

  private moveOne(c: UpstreamConnection): void {
    const { x, server } = c
    if (x === null) return
    const sent = c.phase === WAITING
    if (sent && (c.gotByte || !mayResend(x) || x.sends >= this.options.retry.attempts)) return
    // Better to wait on a server that may come back than to fail because nobody else is there.
    x.tried ??= []
    x.tried.push(server)
    const { addedToResponse } = x
    const other = x.attempts < this.options.retry.attempts ? this.host.choose(x) : null
    const useless = other === null || (server.isPeer && other.ejectedUntilMs > this.sweep.now)
    if (useless && !this.host.canRelay(x)) {
      x.tried.pop()
      x.addedToResponse = addedToResponse
      return
    }
    if (!sent && !server.isPeer) x.failedConnects++
    this.host.unlink(x)
    c.destroy()
    this.host.attempt(x)
  }
}

/** Ejected because it does not take connections. */
function isLost({ ejectedFor }: LiveServer): boolean {
  return ejectedFor === 'timeout' || ejectedFor === 'silence' || ejectedFor === 'unreachable'
}

function nameOf({ server }: UpstreamConnection): string {
  return `${server.host}:${server.port}`
}
