// Requests for a service that has no server right now: a single replica that is being replaced, or one that has started but does
// not listen yet. They wait a bounded time for a server to appear rather than fail; beyond a bounded number they fail at once.

import type { Exchange } from './exchange.ts'

/** Requests that may wait in one worker. */
const PLACES = 1024

interface Guest {
  readonly x: Exchange
  readonly generation: number
  /** Not tried again before. */
  readonly notBeforeMs: number
}

export class PendingQueue {
  #guests: Guest[] = []

  get size(): number {
    return this.#guests.length
  }

  /** @returns false when it is full */
  add(x: Exchange, notBeforeMs: number): boolean {
    if (this.#guests.length >= PLACES) return false
    this.#guests.push({ x, generation: x.generation, notBeforeMs })
    return true
  }

  /** Calls `go` for each request that may be tried again; whoever finds no server comes back by `add`. */
  serve(nowMs: number, go: (x: Exchange) => void): void {
    if (this.#guests.length === 0) return
    const guests = this.#guests
    this.#guests = []
    for (const guest of guests) {
      if (!guest.x.active || guest.x.generation !== guest.generation) continue
      if (guest.notBeforeMs > nowMs) this.#guests.push(guest)
      else go(guest.x)
    }
  }
}
