// The managers of an emulated swarm: their states and the leader. Calls about the swarm are not answered while there is no leader:
// when the leader dies, every manager hangs until the next one is elected (about 10 s). The death of a follower has no such effect.
// Without a majority there is no leader.

import type { Timers } from './clock.ts'
import type { Timing } from './timing.ts'

/** A `hung` manager accepts connections and does not answer, like a daemon stopped by SIGSTOP. */
export type ManagerState = 'up' | 'catching-up' | 'down' | 'hung'

export class Raft {
  readonly #states = new Map<string, ManagerState>()
  readonly #timers: Timers
  readonly #timing: Timing
  readonly #listeners = new Set<() => void>()
  #leader: string | null
  #cancelElection: (() => void) | null = null

  constructor(names: readonly string[], timers: Timers, timing: Timing) {
    for (const name of names) this.#states.set(name, 'up')
    this.#leader = names[0] ?? null
    this.#timers = timers
    this.#timing = timing
  }

  get leader(): string | null {
    return this.#leader
  }

  state(name: string): ManagerState {
    return this.#states.get(name) ?? 'down'
  }

  /** The managers that take part in the quorum, in the order given at the start. */
  alive(): readonly string[] {
    return [...this.#states].filter(([, state]) => state === 'up' || state === 'catching-up').map(([name]) => name)
  }

  hasQuorum(): boolean {
    return this.alive().length > this.#states.size / 2
  }

  setDown(name: string, state: 'down' | 'hung'): void {
    if (!this.#states.has(name) || this.#states.get(name) === state) return
    this.#states.set(name, state)
    if (this.#leader === name || !this.hasQuorum()) {
      this.#leader = null
      this.#elect()
    }
    this.#changed()
  }

  setUp(name: string): void {
    const state = this.#states.get(name)
    if (state === undefined || state === 'up' || state === 'catching-up') return
    this.#states.set(name, 'catching-up')
    this.#timers.after(this.#timing.catchUpMs, () => {
      if (this.#states.get(name) !== 'catching-up') return
      this.#states.set(name, 'up')
      this.#changed()
    })
    if (this.#leader === null && this.#cancelElection === null) this.#elect()
    this.#changed()
  }

  /** Whether this manager can answer a call about the swarm now. */
  answers(name: string): boolean {
    return this.state(name) === 'up' && this.#leader !== null
  }

  /** Resolves when there is a leader. Scheduling and status updates wait for it. */
  async untilLeader(): Promise<void> {
    while (this.#leader === null) await this.#nextChange()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #elect(): void {
    this.#cancelElection?.()
    this.#cancelElection = null
    if (!this.hasQuorum()) return
    this.#cancelElection = this.#timers.after(this.#timing.electionMs, () => {
      this.#cancelElection = null
      if (!this.hasQuorum()) return
      this.#leader = this.alive().find(name => this.state(name) === 'up') ?? this.alive()[0] ?? null
      this.#changed()
    })
  }

  #nextChange(): Promise<void> {
    return new Promise(resolve => {
      const stop = this.onChange(() => {
        stop()
        resolve()
      })
    })
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
