// Runs the states of a shared breaker on opossum: closed, open for a time, half-open until a probe has its verdict. opossum's
// own statistics are not used, so it holds a timer only while it is open.

import { EventEmitter } from 'node:events'
import type CircuitBreaker from 'opossum'
import { loadOpossum } from '../../util/lean-imports.ts'

export interface CircuitEvents {
  /** The open time has ended. */
  halfOpen(): void
  /** A probe's verdict has closed or reopened the breaker. */
  decided(closed: boolean): void
}

export class Circuit {
  private readonly breaker: CircuitBreaker<[], void>
  private readonly options: CircuitBreaker.Options<[]>
  /** opossum rotates its single bucket on this event instead of a timer. */
  private readonly rotate = new EventEmitter()
  private probe: { readonly good: () => void; readonly bad: (error: Error) => void } | null = null
  private deciding = false

  constructor(service: string, events: CircuitEvents) {
    const Opossum = loadOpossum()
    const options = {
      name: service,
      timeout: false,
      resetTimeout: 1_000,
      // Only a verdict during half-open changes the state.
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

  /** Opens for `forMs` from any state. */
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

  /** Half-open: a probe has started; the next verdict counts. */
  fire(): void {
    if (this.breaker.halfOpen && this.probe === null) this.breaker.fire().catch(() => {})
  }

  /** Applies the probe's verdict; a bad one reopens for `openMs`. */
  verdict(good: boolean, openMs: number): void {
    const { probe } = this
    if (probe === null || !this.breaker.halfOpen) return
    this.probe = null
    this.deciding = true
    this.options.resetTimeout = openMs
    if (good) probe.good()
    else probe.bad(new Error('the probe failed'))
  }

  stop(): void {
    this.leave()
    this.breaker.shutdown()
  }

  /** A probe in flight no longer counts. */
  private leave(): void {
    this.probe = null
    this.deciding = false
  }
}
