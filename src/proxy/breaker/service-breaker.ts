// A service's circuit breaker as a data worker sees it: a gate that control sets, and counts that control gets. What the gate
// should be is decided elsewhere, for the whole cluster; here nothing waits for that.

import type { Exchange } from '../forward/exchange.ts'
import { type Outcomes, Tally } from './tally.ts'

/** How a breaker stands towards requests. Times are durations, for threads share no clock. */
export type Gate =
  | { readonly state: 'closed' }
  /** All are refused; a client may come back after so long, ms. */
  | { readonly state: 'open'; readonly retryMs: number }
  /**
   * One request goes through as a probe, all others are refused; its end is told. Another one may follow, a moment later, only
   * where nothing was learned, or with the next gate.
   */
  | { readonly state: 'probing'; readonly retryMs: number }
  /** A growing share passes: from nothing at the start to all after `overMs`; `sinceMs` of it are over. */
  | { readonly state: 'recovering'; readonly sinceMs: number; readonly overMs: number }

/** Who is told of probes. */
export interface BreakerEvents {
  probing(service: string): void
  /** `status` 0: nothing was learned. */
  probed(service: string, status: number, ms: number, networkError: boolean): void
}

/** A probe whose answer has begun is judged by what it came to after so long: a stream may never end. */
const PROBE_JUDGED_MS = 2_000
/** From the end of a probe to the next one: where clients give up at once, or a limit refuses them, each request would be one. */
const PROBE_AGAIN_MS = 100

export class ServiceBreaker {
  readonly service: string
  private readonly tally = new Tally()
  private state: Gate['state'] = 'closed'
  /** Open: until when; recovering: from when. Monotonic ms. */
  private atMs = 0
  private overMs = 1
  /** Recovering: shares of requests that were not let through yet; one more goes through whenever they make a whole. */
  private credit = 0
  /** Requests from before the gate last opened, or began to recover, count for nothing: they met what was before. */
  private countFromMs = 0
  private probe: Exchange | null = null
  private probeGeneration = 0
  private nextProbeMs = 0

  constructor(service: string) {
    this.service = service
  }

  setGate(gate: Gate, nowMs: number): void {
    if (gate.state !== this.state && (gate.state === 'open' || gate.state === 'recovering')) this.countFromMs = nowMs
    if (gate.state === 'recovering' && this.state !== 'recovering') this.credit = 0
    this.state = gate.state
    // With a gate of its own each time, one more probe may go: the one before may have been lost.
    this.probe = null
    if (gate.state === 'open' || gate.state === 'probing') this.atMs = nowMs + gate.retryMs
    else if (gate.state === 'recovering') {
      this.atMs = nowMs - gate.sinceMs
      this.overMs = Math.max(1, gate.overMs)
    }
  }

  /** @returns false: it is to be refused, and `retryAfterS` says for how long */
  admit(x: Exchange, events: BreakerEvents): boolean {
    if (this.state === 'closed') return true
    if (this.state === 'recovering') {
      this.credit += Math.min(1, (x.startMs - this.atMs) / this.overMs)
      if (this.credit < 1) return this.refuse(x, 1)
      this.credit -= 1
      return true
    }
    if (this.state === 'open' || this.probe !== null || x.startMs < this.nextProbeMs)
      return this.refuse(x, Math.ceil((this.atMs - x.startMs) / 1000))
    this.probe = x
    this.probeGeneration = x.generation
    events.probing(this.service)
    return true
  }

  private refuse(x: Exchange, seconds: number): boolean {
    x.retryAfterS = Math.max(1, seconds)
    this.tally.refuse()
    return false
  }

  /** The server has switched protocols. That is what counts of a tunnel, and at once: it may last for days. */
  switched(x: Exchange, events: BreakerEvents): void {
    if (this.isProbe(x)) this.probed(101, 0, false, events)
    else if (x.startMs >= this.countFromMs) this.tally.add(101, 0, false)
  }

  /**
   * A request is over; once for each. What reached no server for no fault of theirs (a limit, its client), or because none is
   * meant to be there now, counts for nothing.
   */
  finished(x: Exchange, status: number, ms: number, events: BreakerEvents): void {
    if (x.retryAfterS > 0 || status === 101) return
    const told = x.sends > 0 || (x.failed && hasServers(x))
    // As oxy counts them; and where there is no server, a 503 of one's own says the same.
    const networkError = status === 502 || status === 504 || x.failed
    if (this.isProbe(x)) {
      // Neither does an answer of one's own to a client that does wrong.
      const judged = told && (x.answered || x.failed || status === 499)
      this.nextProbeMs = x.startMs + ms + PROBE_AGAIN_MS
      this.probed(judged ? status : 0, ms, networkError, events)
    } else if (told && x.startMs >= this.countFromMs) this.tally.add(status, ms, networkError)
  }

  /** Now and then: what is new since the last time (null: nothing), and a word on a probe that takes long. */
  report(nowMs: number, events: BreakerEvents): Outcomes | null {
    const x = this.probe
    if (x !== null && x.generation === this.probeGeneration && x.answered && nowMs - x.startMs > PROBE_JUDGED_MS) {
      const { status } = x
      this.probed(status, nowMs - x.startMs, status === 502 || status === 504, events)
    }
    return this.tally.take(this.service)
  }

  private isProbe(x: Exchange): boolean {
    return this.probe === x && this.probeGeneration === x.generation
  }

  private probed(status: number, ms: number, networkError: boolean, events: BreakerEvents): void {
    this.probe = null
    // What comes of it is for control to say.
    if (status !== 0) this.state = 'open'
    events.probed(this.service, status, ms, networkError)
  }
}

/**
 * Its service has servers that are to run. Where it has none (scaled to nothing, between two tasks of an update) nothing is there
 * to be protected, and the next one shall have requests as soon as it is there.
 */
function hasServers({ service }: Exchange): boolean {
  return service === null || service.servers.some(server => !server.draining && server.weight > 0)
}
