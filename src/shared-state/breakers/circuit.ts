// opossum's circuit breaker, as the states of a shared one are run by it: closed, open for a time, half-open until a probe has
// its verdict. What opossum would count by itself is not used, so it holds a timer only while it is open.

import { EventEmitter } from 'node:events'
import type CircuitBreaker from 'opossum'
import { loadOpossum } from '../../util/lean-imports.ts'

export interface CircuitEvents {
  /** The open time is over. */
  halfOpen(): void
  /** A probe's verdict has closed it or opened it again. */
  decided(closed: boolean): void
}

export class Circuit {
  private readonly breaker: CircuitBreaker<[], void>
  private readonly options: CircuitBreaker.Options<[]>
  /** Its one bucket is thrown away by this event rather than by a timer. */
  private readonly rotate = new EventEmitter()
  private probe: { readonly good: () => void; readonly bad: (error: Error) => void } | null = null
  private deciding = false

  constructor(service: string, events: CircuitEvents) {
    const Opossum = loadOpossum()
    const options = {
      name: service,
      timeout: false,
      resetTimeout: 1_000,
      // What does not come in half-open comes too late.
      errorThresholdPercentage: Number.POSITIVE_INFINITY,
      rollingCountBuckets: 1,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: this.rotate,
    } as const
    this.options = { ...options }
    const probe = () =>
      new Promise<void>((resolve, reject) => {
        this.probe = { good: resolve, bad: reject }
      })
    this.breaker = new Opossum<[], void>(probe, this.options)
    this.breaker.on('halfOpen', () => events.halfOpen())
    for (const event of ['open', 'close'] as const) {
      this.breaker.on(event as 'open', () => {
        this.rotate.emit('rotate')
        if (!this.deciding) return
        this.deciding = false
        events.decided(event === 'close')
      })
    }
  }

  get state(): 'closed' | 'open' | 'half-open' {
    return this.breaker.closed ? 'closed' : this.breaker.halfOpen ? 'half-open' : 'open'
  }

  /** Opens it for so long, ms, whatever it was before. */
  open(forMs: number): void {
    this.leave()
    if (this.breaker.opened) this.breaker.close()
    this.options.resetTimeout = Math.max(1, forMs)
    this.breaker.open()
  }

  close(): void {
    this.leave()
    this.breaker.close()
  }

  /** Half-open: a probe is under way; the next verdict is taken. */
  fire(): void {
    if (this.breaker.halfOpen && this.probe === null) this.breaker.fire().catch(() => {})
  }

  /** Gives the probe's verdict; a bad one opens it again for so long, ms. */
  verdict(good: boolean, openMs: number): void {
    const { probe } = this
    if (probe === null || !this.breaker.halfOpen) return
    this.probe = null
    this.deciding = true
    this.options.resetTimeout = openMs
    if (good) probe.good()
    else probe.bad(new Error('the probe was bad'))
  }

  stop(): void {
    this.leave()
    this.breaker.shutdown()
  }

  /** A probe that was under way has no word any more. */
  private leave(): void {
    this.probe = null
    this.deciding = false
  }
}
