// What may be sent again after a failure, when and how often (design 8). A request that was never sent may go anywhere; one that
// was sent only if doing it twice does no harm and its body is still held, within a budget. Nobody fails at once who may wait.

import { sharesNoNetwork } from '../../config/model.ts'
import type { DataPlaneOptions } from '../../options/options.ts'
import { NO_BODY } from '../message/framing.ts'
import { IDEMPOTENT_METHODS } from '../message/methods.ts'
import { isServiceUnreachable } from '../upstream/unreachable-services.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import type { Exchange } from './exchange.ts'
import { PendingQueue } from './pending-queue.ts'
import { RetryBudget } from './retry-budget.ts'

/** Between two rounds of tries for a request that finds no server. */
const PAUSE_BETWEEN_ATTEMPTS_MS = 200

export interface Retrier {
  /** Requests under way in this worker. */
  readonly inFlight: number
  /** One more try, at a server that was not tried yet. */
  attempt(x: Exchange): void
  /** Nothing was sent, and a peer could take it. */
  canRelay(x: Exchange): boolean
  /** True if a peer could take it now or soon. */
  mayRelaySoon(x: Exchange): boolean
  fail(x: Exchange, status: number, why: string): void
}

/** Doing it twice is the same as doing it once (RFC 9110, 9.2.2). */
export function isIdempotent(x: Exchange): boolean {
  return IDEMPOTENT_METHODS.has(x.method)
}

/** May it be sent a second time, whatever a server did with the first? */
export function mayResend(x: Exchange): boolean {
  return !x.attempt.isPrivate && IDEMPOTENT_METHODS.has(x.method) && (x.body.framing === NO_BODY || x.body.holding)
}

export class Retries {
  private readonly options: DataPlaneOptions['retry']
  private readonly host: Retrier
  private readonly budget: RetryBudget
  private readonly pending = new PendingQueue()
  private readonly attemptOnBudget = (x: Exchange): void => {
    x.attempt.onBudget = true
    this.host.attempt(x)
  }
  private readonly attemptAfterWait = (x: Exchange): void => {
    x.attempt.tried = null
    x.attempt.count = 0
    this.host.attempt(x)
  }
  private readonly tooLate = (x: Exchange): void => this.host.fail(x, 502, 'no place within the retry budget')

  constructor(options: DataPlaneOptions['retry'], host: Retrier) {
    this.options = options
    this.host = host
    this.budget = new RetryBudget(options.budgetRatio, options.budgetMin)
  }

  /** Once per sweep tick: those whose time has come. */
  tick(nowMs: number): void {
    this.budget.serve(this.host.inFlight, nowMs, this.attemptOnBudget, this.tooLate)
    this.pending.serve(nowMs, this.attemptAfterWait)
  }

  /** After a failed try at `server`. `wasSent`: the server may have seen the request, which may be sent again all the same. */
  retry(x: Exchange, why: string, server: UpstreamServer, wasSent: boolean): void {
    x.attempt.lastProblem = why
    x.attempt.tried ??= []
    x.attempt.tried.push(server)
    const { attempts } = this.options
    // After a wait for a server the attempts begin anew; the number of sends stays bounded.
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

  /** Takes a place within the budget, if there is one, for a request that is to be sent once more. */
  takeBudget(x: Exchange): boolean {
    if (!x.attempt.onBudget && !this.budget.take(this.host.inFlight)) return false
    x.attempt.onBudget = true
    return true
  }

  /** Nobody can take the request now. Unless it was sent and must not be sent again, it may wait for somebody who can. */
  waitForServer(x: Exchange): void {
    if (x.fromPeer && x.attempt.sends === 0) {
      // The peer that sent it may ask another one, or waits itself. What a server here has seen cannot be handed back.
      this.host.fail(x, 503, `no server of service ${x.service!.name} can be reached from here`)
      return
    }
    const now = performance.now()
    const { attempts, serverWaitMs } = this.options
    // A request that was sent had a server that could be reached.
    if (x.attempt.sends === 0 && this.isInVain(x, now)) return
    // The first time at once: the tick is near. After failed connects with a pause.
    const notBeforeMs = x.attempt.count === 0 ? now : now + PAUSE_BETWEEN_ATTEMPTS_MS
    if (x.attempt.sends < attempts && now - x.startMs < serverWaitMs && this.pending.add(x, notBeforeMs)) {
      // Who waits for a server puts no load on any: another service's retry must not wait for his place.
      if (x.attempt.onBudget) this.release(x)
      return
    }
    const service = x.service!.name
    if (x.attempt.lastProblem === '') this.host.fail(x, 503, `service ${service} has no server that may be used`)
    else this.host.fail(x, 502, `no other server of service ${service} is left to try`)
  }

  /** Fails the request with 503 if no wait would bring a server. @returns whether it did */
  private isInVain(x: Exchange, nowMs: number): boolean {
    const service = x.service!
    if (sharesNoNetwork(service.config)) {
      this.host.fail(x, 503, `no edge is on a network of service ${service.name}: see the service's error`)
      return true
    }
    if (!isServiceUnreachable(service, nowMs, this.options.serverWaitMs) || this.host.mayRelaySoon(x)) return false
    this.host.fail(x, 503, `no server of service ${service.name} was ever reached from here`)
    return true
  }

  /** The retry has an answer, or is over: its place is for the next. */
  release(x: Exchange): void {
    x.attempt.onBudget = false
    this.budget.release()
    this.budget.serve(this.host.inFlight, performance.now(), this.attemptOnBudget, this.tooLate)
  }
}
