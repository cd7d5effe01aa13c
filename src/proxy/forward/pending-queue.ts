// Requests for a service without a usable server: its only task is being replaced, or has started but does not listen yet. They wait a
// bounded time instead of failing. Above MAX_PENDING requests fail at once.

import type { Exchange } from './exchange.ts'

/** Pending requests per worker. */
export const MAX_PENDING = 1024

interface PendingRequest {
  readonly x: Exchange
  readonly generation: number
  /** Monotonic ms before which it is not attempted. */
  readonly notBeforeMs: number
}

export class PendingQueue {
  #pending: PendingRequest[] = []

  get size(): number {
    return this.#pending.length
  }

  /** @returns false if the queue is full */
  add(x: Exchange, notBeforeMs: number): boolean {
    if (this.#pending.length >= MAX_PENDING) return false
    this.#pending.push({ x, generation: x.generation, notBeforeMs })
    return true
  }

  /** Calls `attempt` for every request that is due. A request that finds no server is added again by the callee. */
  serve(nowMs: number, attempt: (x: Exchange) => void): void {
    if (this.#pending.length === 0) return
    const pending = this.#pending
    this.#pending = []
    for (const request of pending) {
      if (!request.x.active || request.x.generation !== request.generation) continue
      if (request.notBeforeMs > nowMs) this.#pending.push(request)
      else attempt(request.x)
    }
  }
}
