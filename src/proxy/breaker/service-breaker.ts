// The circuit breaker of a service in one data worker: a gate that control sets, and outcome counts that control collects. The
// gate is decided for the whole cluster (shared-state/breakers/); no request waits for it.

import { type Outcomes, Tally } from './tally.ts'

/** The state of a breaker. Times are durations, because threads share no clock. */
export type Gate =
  | { readonly state: 'closed' }
  /** All requests are refused; `retryMs` is the time until the next probe, ms. */
  | { readonly state: 'open'; readonly retryMs: number }
  /**
   * One request passes as a probe and its result is reported; all others are refused. A second probe follows only if the first
   * had no result, after a pause, or with the next gate.
   */
  | { readonly state: 'probing'; readonly retryMs: number }
  /** A growing share of the requests passes: none at the start, all after `overMs`; `sinceMs` of it have elapsed. */
  | { readonly state: 'recovering'; readonly sinceMs: number; readonly overMs: number }

/** The fields of a request that a breaker reads, and `retryAfterS`, which it sets. */
export interface BreakerRequest {
  /** Monotonic ms. */
  readonly admittedMs: number
  readonly generation: number
  readonly sends: number
  readonly failed: boolean
  /** Ended by the error of a middleware. */
  readonly middlewareFailed: boolean
  readonly answered: boolean
  readonly status: number
  readonly service: { readonly servers: readonly { readonly draining: boolean; readonly weight: number }[] } | null
  retryAfterS: number
}

/** Receives the start and the result of probes. */
export interface BreakerEvents {
  probing(service: string): void
  /** `status` 0: the probe had no result. */
  probed(service: string, status: number, ms: number, networkError: boolean): void
}

/** A probe whose response has begun is judged by its status after this time, ms: a stream may never end. */
const PROBE_JUDGED_MS = 2_000
/**
 * Pause between a probe without a result and the next one, ms. Without it, every request would be a probe where clients
 * disconnect at once or a limit refuses them.
 */
const PROBE_AGAIN_MS = 100

export class ServiceBreaker {
  readonly service: string
  private readonly tally = new Tally()
  private state: Gate['state'] = 'closed'
  /** Open: end of the state; recovering: its start. Monotonic ms. */
  private atMs = 0
  private overMs = 1
  /** Recovering: sum of the shares of requests. One request passes whenever the sum reaches 1. */
  private credit = 0
  /** Requests that started before the gate opened or began to recover are not counted: they were admitted in the previous state. */
  private countFromMs = 0
  private probe: BreakerRequest | null = null
  private probeGeneration = 0
  private nextProbeMs = 0

  constructor(service: string) {
    this.service = service
  }

  setGate(gate: Gate, nowMs: number): void {
    if (gate.state !== this.state && (gate.state === 'open' || gate.state === 'recovering')) this.countFromMs = nowMs
    if (gate.state === 'recovering' && this.state !== 'recovering') this.credit = 0
    this.state = gate.state
    // Each new gate allows another probe, because the previous one may have been lost.
    this.probe = null
    if (gate.state === 'open' || gate.state === 'probing') this.atMs = nowMs + gate.retryMs
    else if (gate.state === 'recovering') {
      this.atMs = nowMs - gate.sinceMs
      this.overMs = Math.max(1, gate.overMs)
    }
  }

  /** @returns false if the request is refused; `retryAfterS` is then set */
  admit(x: BreakerRequest, events: BreakerEvents): boolean {
    if (this.state === 'closed') return true
    if (this.state === 'recovering') {
      this.credit += Math.min(1, (x.admittedMs - this.atMs) / this.overMs)
      if (this.credit < 1) return this.refuse(x, 1)
      this.credit -= 1
      return true
    }
    if (this.state === 'open' || this.probe !== null || x.admittedMs < this.nextProbeMs)
      return this.refuse(x, Math.ceil((this.atMs - x.admittedMs) / 1000))
    this.probe = x
    this.probeGeneration = x.generation
    events.probing(this.service)
    return true
  }

  private refuse(x: BreakerRequest, seconds: number): boolean {
    x.retryAfterS = Math.max(1, seconds)
    this.tally.refuse()
    return false
  }

  /** The server has switched protocols. A tunnel is counted now, because it may last for days. */
  switched(x: BreakerRequest, events: BreakerEvents): void {
    if (this.isProbe(x)) this.probed(101, 0, false, events)
    else if (x.admittedMs >= this.countFromMs) this.tally.add(101, 0, false)
  }

  /**
   * A request is finished; called once per request. A request that reached no server because of a limit or its client, or because
   * the service has no servers now, is not counted, nor is one that a middleware ended by its error.
   */
  finished(x: BreakerRequest, status: number, ms: number, events: BreakerEvents): void {
    if (x.retryAfterS > 0 || status === 101) return
    const counted = !x.middlewareFailed && (x.sends > 0 || (x.failed && hasServers(x)))
    // 502 and 504 are network errors, as in oxy (github.com/vulcand/oxy). The proxy's own 503 for want of a reachable server
    // counts too.
    const networkError = status === 502 || status === 504 || x.failed
    if (this.isProbe(x)) {
      // A local reply to a faulty request is no result either.
      const judged = counted && (x.answered || x.failed || status === 499)
      this.nextProbeMs = x.admittedMs + ms + PROBE_AGAIN_MS
      this.probed(judged ? status : 0, ms, networkError, events)
    } else if (counted && x.admittedMs >= this.countFromMs) this.tally.add(status, ms, networkError)
  }

  /**
   * Called periodically. @returns the outcomes since the last call (null: none). Also judges a probe whose response takes long.
   */
  report(nowMs: number, events: BreakerEvents): Outcomes | null {
    const x = this.probe
    if (x !== null && x.generation === this.probeGeneration && x.answered && nowMs - x.admittedMs > PROBE_JUDGED_MS) {
      const { status } = x
      this.probed(status, nowMs - x.admittedMs, status === 502 || status === 504, events)
    }
    return this.tally.take(this.service)
  }

  private isProbe(x: BreakerRequest): boolean {
    return this.probe === x && this.probeGeneration === x.generation
  }

  private probed(status: number, ms: number, networkError: boolean, events: BreakerEvents): void {
    this.probe = null
    // Control decides about the next state.
    if (status !== 0) this.state = 'open'
    events.probed(this.service, status, ms, networkError)
  }
}

/**
 * True if the service has servers that are meant to run. Without any (scaled to zero, between two tasks of an update) there is
 * nothing to protect, and the next task gets requests as soon as it runs.
 */
function hasServers({ service }: BreakerRequest): boolean {
  return service === null || service.servers.some(server => !server.draining && server.weight > 0)
}
