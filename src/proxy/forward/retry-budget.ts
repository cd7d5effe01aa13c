// Retries of requests that had been sent are bounded to a share of the requests in flight (design 8), so that a failing service
// is not hit by its own echo. What does not fit waits its turn rather than fail: a crash of one server sends many requests back
// at one moment.

import type { Exchange } from './exchange.ts'

const MAX_WAITING = 4096
const MAX_WAIT_MS = 5000

interface Waiting {
  readonly x: Exchange
  readonly generation: number
  readonly sinceMs: number
}

export class RetryBudget {
  readonly #ratio: number
  readonly #min: number
  #spent = 0
  #waiting: Waiting[] = []

  /** `ratio` of the requests in flight, and at least `min`, may be retries. */
  constructor(ratio: number, min: number) {
    this.#ratio = ratio
    this.#min = min
  }

  /** Takes a place; false if there is none. */
  take(inFlight: number): boolean {
    if (this.#spent >= Math.max(this.#min, inFlight * this.#ratio)) return false
    this.#spent++
    return true
  }

  giveBack(): void {
    this.#spent--
  }

  /** Queues a request for a place; false if the queue is full. */
  wait(x: Exchange, nowMs: number): boolean {
    if (this.#waiting.length >= MAX_WAITING) return false
    this.#waiting.push({ x, generation: x.generation, sinceMs: nowMs })
    return true
  }

  /**
   * The next request that has a place now, and those that have waited too long; to be called when places fall free and on ticks.
   */
  serve(inFlight: number, nowMs: number, go: (x: Exchange) => void, tooLate: (x: Exchange) => void): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!
      if (!first.x.active || first.x.generation !== first.generation) this.#waiting.shift()
      else if (nowMs - first.sinceMs > MAX_WAIT_MS) {
        this.#waiting.shift()
        tooLate(first.x)
      } else if (this.take(inFlight)) {
        this.#waiting.shift()
        go(first.x)
      } else return
    }
  }
}
