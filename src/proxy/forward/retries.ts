// Which requests are attempted again after a failure, when and how often. A request that was not sent may go to any server. A request
// that was sent is sent again only if its method is idempotent and its body is still buffered, within a budget (retry-budget.ts).
// Requests that find no server wait (pending-queue.ts) instead of failing at once.

import { sharesNoNetwork } from '../../config/model.ts'
import type { DataPlaneOptions } from '../../options/options.ts'
import { NO_BODY } from '../message/framing.ts'
import { IDEMPOTENT_METHODS } from '../message/methods.ts'
import { isServiceUnreachable } from '../upstream/unreachable-services.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import type { Exchange } from './exchange.ts'
import { MAX_PENDING, PendingQueue } from './pending-queue.ts'
import { RetryBudget } from './retry-budget.ts'

/** Pause between two rounds of attempts of a request that finds no server, ms. */
const PAUSE_BETWEEN_ATTEMPTS_MS = 200

export interface Retrier {
  /** Exchanges in progress in this worker. */
  readonly inFlight: number
  /** One more attempt, at a server that was not tried. */
  attempt(x: Exchange): void
  /** A peer could take the request, of which nothing was sent. */
  canRelay(x: Exchange): boolean
  /** A peer could take the request now or soon. */
  mayRelaySoon(x: Exchange): boolean
  fail(x: Exchange, status: number, why: string): void
}

/** Sending it twice has the effect of once (RFC 9110, 9.2.2). */
export function isIdempotent(x: Exchange): boolean {
  return IDEMPOTENT_METHODS.has(x.method)
}

/** True if the request may be sent again although a server may have processed it. */
export function mayResend(x: Exchange): boolean {
  return !x.attempt.isPrivate && IDEMPOTENT_METHODS.has(x.method) && (x.body.framing === NO_BODY || x.body.holding)
}

export class Retries {
  private readonly options: DataPlaneOptions['retry']
  private readonly host: Retrier
  private readonly budget: RetryBudget
  private readonly pending = new PendingQueue()
  private servingSoon = false
  private reportTimer: NodeJS.Timeout | undefined
  private readonly attemptOnBudget = (x: Exchange): void => {
    x.attempt.onBudget = true
    this.host.attempt(x)
  }
  private readonly attemptAfterWait = (x: Exchange): void => {
    x.attempt.tried = null
    x.attempt.count = 0
    this.host.attempt(x)
  }
  private readonly tooLate = (x: Exchange): void => this.host.fail(x, 502, 'no place in the retry budget within 5 s')

  constructor(options: DataPlaneOptions['retry'], host: Retrier) {
    this.options = options
    this.host = host
    this.budget = new RetryBudget(options.budgetRatio, options.budgetMin)
  }

  /** Once per sweep tick: serves queued retries and pending requests. */
  tick(nowMs: number): void {
    this.budget.serve(this.host.inFlight, nowMs, this.attemptOnBudget, this.tooLate)
    this.pending.serve(nowMs, this.attemptAfterWait)
  }

  /**
   * Attempts pending requests before the next tick, because a peer has become usable. Calls within one turn of the event loop make
   * one round: after a network failure reports about many servers arrive at once.
   */
  servePendingSoon(): void {
    if (this.servingSoon || this.pending.size === 0) return
    this.servingSoon = true
    setImmediate(() => {
      this.servingSoon = false
      this.pending.serve(performance.now(), this.attemptAfterWait)
    })
  }

  /** The same after a time, ms, when a wait for reports ends. One round serves all waits that end by then; later ones have the tick. */
  servePendingAfter(ms: number): void {
    this.reportTimer ??= setTimeout(() => {
      this.reportTimer = undefined
      this.servePendingSoon()
    }, ms)
  }

  /** After a failed attempt at `server`. `wasSent`: the server may have processed the request, which may be sent again. */
  retry(x: Exchange, why: string, server: UpstreamServer, wasSent: boolean): void {
    x.attempt.lastProblem = why
    x.attempt.tried ??= []
    x.attempt.tried.push(server)
    const { attempts } = this.options
    // A wait for a server resets the number of attempts, but not the number of sends.
    if (wasSent && (x.attempt.count >= attempts || x.attempt.sends >= attempts)) {
      this.host.fail(x, 502, `${why}; it was sent ${x.attempt.sends} times`)
      return
    }
    if (x.attempt.count >= attempts && !this.host.canRelay(x)) {
      this.waitForServer(x)
      return
    }
    if (!wasSent || x.attempt.onBudget) this.host.attempt(x)
    else if (this.budget.take(this.host.inFlight)) this.attemptOnBudget(x)
    else if (!this.budget.wait(x, performance.now())) this.host.fail(x, 502, `${why}; too many retries are waiting`)
  }

  /** Takes a place in the budget for a request that is to be sent again. @returns false if there is none */
  takeBudget(x: Exchange): boolean {
    if (!x.attempt.onBudget && !this.budget.take(this.host.inFlight)) return false
    x.attempt.onBudget = true
    return true
  }

  /**
   * Holds the request until the next tick or servePendingSoon(), because a peer may report that it reaches the server of its session.
   * The window of the reports bounds the wait (outlier/server-watch.ts), not `--server-wait`: there are other servers.
   * A request that was sent keeps its place in the retry budget, because it is sent again after this short wait.
   * @returns false if too many requests are pending: the other half of the queue is kept for requests that find no server at all
   */
  waitForReports(x: Exchange): boolean {
    return this.pending.size < MAX_PENDING / 2 && this.pending.add(x, performance.now())
  }

  /** No server is usable now: the request waits for one, or fails. */
  waitForServer(x: Exchange): void {
    if (x.fromPeer && x.attempt.sends === 0) {
      // The peer that sent it tries another one, or waits itself. A request that a server has received cannot be declined.
      this.host.fail(x, 503, `no server of service ${x.service!.name} can be reached from here`)
      return
    }
    const now = performance.now()
    const { attempts, serverWaitMs } = this.options
    // A request that was sent had a reachable server.
    if (x.attempt.sends === 0 && this.failIfFutile(x, now)) return
    // The first attempt follows at the next tick, later ones after a pause.
    const notBeforeMs = x.attempt.count === 0 ? now : now + PAUSE_BETWEEN_ATTEMPTS_MS
    if (x.attempt.sends < attempts && now - x.startMs < serverWaitMs && this.pending.add(x, notBeforeMs)) {
      // A waiting request puts no load on servers, so it must not occupy a place in the budget.
      if (x.attempt.onBudget) this.release(x)
      return
    }
    const service = x.service!.name
    if (x.attempt.lastProblem === '') this.host.fail(x, 503, `service ${service} has no server that may be used`)
    else this.host.fail(x, 502, `no other server of service ${service} is left to try`)
  }

  /** Fails the request with 503 if waiting is futile. @returns whether it did */
  private failIfFutile(x: Exchange, nowMs: number): boolean {
    const service = x.service!
    if (sharesNoNetwork(service.config)) {
      this.host.fail(x, 503, `no edge is on a network of service ${service.name}: see the service's error`)
      return true
    }
    if (!isServiceUnreachable(service, nowMs, this.options.serverWaitMs) || this.host.mayRelaySoon(x)) return false
    this.host.fail(x, 503, `no server of service ${service.name} was ever reached from here`)
    return true
  }

  /** The retry has a response or has ended: frees its place in the budget. */
  release(x: Exchange): void {
    x.attempt.onBudget = false
    this.budget.release()
    this.budget.serve(this.host.inFlight, performance.now(), this.attemptOnBudget, this.tooLate)
  }
}
