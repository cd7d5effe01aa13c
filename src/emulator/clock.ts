// Time for the emulated swarm. Everything in it waits through a Clock handed in, so that a test can let the swarm's seconds
// pass faster than its own; nothing else in the emulator calls setTimeout or Date.

export interface Clock {
  /** Milliseconds since the epoch, in the swarm's own time. */
  now(): number
  /** Calls back after `ms` of the swarm's time; returns what cancels it. */
  after(ms: number, callback: () => void): () => void
}

/** The machine's clock, `speed` times as fast (1: real time). */
export function createClock(speed = 1): Clock {
  const startedAt = Date.now()
  return {
    now: () => startedAt + (Date.now() - startedAt) * speed,
    after(ms, callback) {
      const timer = setTimeout(callback, ms / speed)
      return () => clearTimeout(timer)
    },
  }
}

/** All timers of one swarm, so that closing it leaves none behind. After `close` nothing waits any more: sleepers never wake. */
export class Timers {
  readonly #clock: Clock
  readonly #pending = new Set<() => void>()
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  now(): number {
    return this.#clock.now()
  }

  after(ms: number, callback: () => void): () => void {
    if (this.#closed) return () => {}
    const cancel = this.#clock.after(ms, () => {
      this.#pending.delete(cancel)
      callback()
    })
    this.#pending.add(cancel)
    return () => {
      this.#pending.delete(cancel)
      cancel()
    }
  }

  sleep(ms: number): Promise<void> {
    return new Promise(resolve => {
      this.after(ms, resolve)
    })
  }

  close(): void {
    this.#closed = true
    for (const cancel of this.#pending) cancel()
    this.#pending.clear()
  }
}
