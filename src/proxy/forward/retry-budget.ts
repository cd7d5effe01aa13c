// Limits retries of requests that a server may have seen to a share of the requests in flight, so that retries do not multiply the
// load on a failing service. Retries above the budget wait for a place instead of failing: a server that crashes returns many
// requests at once.

import type { Exchange } from './exchange.ts'

const MAX_WAITING = 4096
const MAX_WAIT_MS = 5000

interface WaitingRetry {
  readonly x: Exchange
  readonly generation: number
  readonly queuedMs: number
}

export class RetryBudget {
  readonly #ratio: number
  readonly #min: number
  #used = 0
  #waiting: WaitingRetry[] = []

  /** Up to `ratio` of the requests in flight may be retries, and at least `min`. */
  constructor(ratio: number, min: number) {
    this.#ratio = ratio
    this.#min = min
  }

  /** Takes a place. @returns false if there is none */
  take(inFlight: number): boolean {
    if (this.#used >= Math.max(this.#min, inFlight * this.#ratio)) return false
    this.#used++
    return true
  }

  release(): void {
    this.#used--
  }

  /** Queues a request until a place is free. @returns false if the queue is full */
  wait(x: Exchange, nowMs: number): boolean {
    if (this.#waiting.length >= MAX_WAITING) return false
    this.#waiting.push({ x, generation: x.generation, queuedMs: nowMs })
    return true
  }

  /** Passes queued requests to `attempt` while places are free, and expired ones to `expired`. Call it on ticks and when a place is freed. */
  serve(inFlight: number, nowMs: number, attempt: (x: Exchange) => void, expired: (x: Exchange) => void): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!
      if (!first.x.active || first.x.generation !== first.generation) this.#waiting.shift()
      else if (nowMs - first.queuedMs > MAX_WAIT_MS) {
        this.#waiting.shift()
        expired(first.x)
      } else if (this.take(inFlight)) {
        this.#waiting.shift()
        attempt(first.x)
      } else return
    }
  }
}
