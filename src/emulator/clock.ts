// The clock of an emulated swarm. All waiting goes through a Clock that is passed in, so that a test can run the swarm faster than
// real time. No other file of the emulator calls setTimeout or Date.

export interface Clock {
  /** Milliseconds since the epoch, in the swarm's time. */
  now(): number
  /** Calls back after `ms` of the swarm's time; returns a function that cancels the call. */
  after(ms: number, callback: () => void): () => void
}

/** A clock that runs `speed` times as fast as the machine's (1: real time). */
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

/** All timers of one swarm. `close` cancels them all: promises of `sleep` that are pending then never resolve. */
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
