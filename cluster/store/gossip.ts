// The store of a member: runs the pure core (core.ts) with real time, a timer and the cluster's network. Reads and writes work
// on memory; writes are sent when they are due.

import type { ClockReading, MemberId } from '../core/state.ts'
import { type ClusterLog, reasonOf } from '../log.ts'
import type { StoreEffect } from './context.ts'
import { StoreCore, type StoreEvent } from './core.ts'
import type { Change, Entry, InnerStore, PutOptions, StoreStatus } from './model.ts'

/** Transport of a store's messages. Its methods do not throw. */
export interface StoreNetwork {
  broadcast(data: Uint8Array): void
  send(to: MemberId, data: Uint8Array): void
  /** Rejects with a message for the log. */
  pull(from: MemberId, hash: string): Promise<string>
  /** The store has taken these writes of other members. */
  changed(changes: readonly Change[]): void
  /** Reports a fault of a member, for the log. */
  warn(subject: string, from: MemberId, message: string): void
}

export interface GossipStoreOptions {
  /** Id of this member. */
  readonly origin: string
  /** null: there are no other members. */
  readonly network: StoreNetwork | null
  readonly log: ClusterLog | null
  /** Monotonic and wall clock, ms. */
  readonly now?: () => number
  readonly wall?: () => number
}

/** Without a network there is no timer: calls advance the time, at most once per interval, ms. */
const NO_NETWORK_TICK_MS = 250

export class GossipStore implements InnerStore {
  onWrite: ((entry: Entry) => void) | null = null
  readonly #core: StoreCore
  readonly #network: StoreNetwork | null
  readonly #log: ClusterLog | null
  readonly #now: () => number
  readonly #wall: () => number
  readonly #ready = Promise.withResolvers<void>()
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  /** Time for which the timer is set, monotonic ms. */
  #timerAt = Number.POSITIVE_INFINITY
  #lastTick: number
  #runningEffects = false
  #stopped = false

  constructor({ origin, network, log, now = () => performance.now(), wall = () => Date.now() }: GossipStoreOptions) {
    this.#network = network
    this.#log = log
    this.#now = now
    this.#wall = wall
    this.#core = new StoreCore({ origin, at: this.#at, random: Math.random })
    this.#lastTick = now()
    if (network === null) this.#ready.resolve()
    this.#schedule()
  }

  get #at(): { readonly now: number; readonly wall: number } {
    return { now: this.#now(), wall: this.#wall() }
  }

  // ---- calls of the replica ----

  put(table: string, key: string, value: string, options: PutOptions): void {
    this.#onLocalWrite(this.#core.put(table, key, value, options, this.#at))
  }

  remove(table: string, key: string): void {
    this.#onLocalWrite(this.#core.remove(table, key, this.#at))
  }

  get(table: string, key: string): Entry | null {
    return this.#core.get(table, key, this.#at)
  }

  entries(table: string): Iterable<Entry> {
    return this.#core.entries(table, this.#at)
  }

  claim(table: string, key: string, value: string, options: PutOptions): Promise<string> {
    const held = this.get(table, key)?.value ?? null
    if (held === null) this.put(table, key, value, options)
    return Promise.resolve(held ?? value)
  }

  setTables(caps: ReadonlyMap<string, number>): void {
    this.#core.setTables(caps, this.#at)
    this.#schedule()
  }

  ready(): Promise<void> {
    return this.#ready.promise
  }

  merge(entries: readonly Entry[]): readonly Entry[] {
    const won = this.#core.merge(entries, this.#at)
    this.#runEffects()
    return won
  }

  time(): { readonly ms: number; readonly latest: number } {
    return this.#core.time(this.#at)
  }

  allEntries(): Iterable<Entry> {
    return this.#core.allEntries(this.#at)
  }

  status(): StoreStatus {
    return this.#core.status()
  }

  stop(): Promise<void> {
    this.dispatch({ kind: 'end' })
    this.#stopped = true
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#ready.resolve()
    return Promise.resolve()
  }

  // ---- events of the cluster ----

  dispatch(event: StoreEvent): void {
    if (this.#stopped) return
    try {
      this.#core.step(event, this.#at)
    } catch (error) {
      // A member's message must not stop the replica.
      const message = 'defect in Skein: an event of the shared state failed and was skipped'
      this.#log?.error({ event: event.kind, err: reasonOf(error) }, message)
    }
    this.#runEffects()
  }

  /** This member's clock readings, sent with every message. */
  reading(): ClockReading {
    return this.#core.reading(this.#at)
  }

  /** Offsets of the members' wall clocks from the cluster's time, ms. */
  clockOffs(): ReadonlyMap<MemberId, number> {
    return this.#core.clockOffs(this.#at)
  }

  bodyOf(hash: string): string | null {
    return this.#core.bodyOf(hash)
  }

  // ---- effects ----

  #onLocalWrite(entry: Entry | null): void {
    if (entry !== null) this.onWrite?.(entry)
    this.#schedule()
  }

  #runEffects(): void {
    if (this.#runningEffects) return
    this.#runningEffects = true
    try {
      for (let effects = this.#core.take(); effects.length > 0; effects = this.#core.take()) {
        for (const effect of effects) this.#runEffect(effect)
      }
    } finally {
      this.#runningEffects = false
    }
    this.#schedule()
  }

  #runEffect(effect: StoreEffect): void {
    const network = this.#network
    switch (effect.kind) {
      case 'broadcast':
        network?.broadcast(effect.data)
        return
      case 'send':
        network?.send(effect.to, effect.data)
        return
      case 'changed':
        network?.changed(effect.changes)
        return
      case 'pull':
        void this.#pull(effect.from, effect.hash)
        return
      case 'ready':
        this.#ready.resolve()
        return
      case 'warn':
        network?.warn(effect.subject, effect.from, effect.message)
        return
    }
  }

  async #pull(from: MemberId, hash: string): Promise<void> {
    try {
      const body = await (this.#network?.pull(from, hash) ?? Promise.reject(new Error('there is no network')))
      this.dispatch({ kind: 'pulled', from, hash, body })
    } catch (error) {
      this.#network?.warn('pull', from, `could not fetch a part of its shared state: ${reasonOf(error)}`)
      this.dispatch({ kind: 'pullFailed', from, hash })
    }
  }

  /** Runs after all calls of this turn of the event loop, so that writes made together are sent together. */
  #schedule(): void {
    if (this.#stopped) return
    const now = this.#now()
    if (this.#network === null) {
      if (now - this.#lastTick < NO_NETWORK_TICK_MS || this.#runningEffects) return
      this.#lastTick = now
      this.#core.step({ kind: 'tick' }, this.#at)
      this.#core.take()
      return
    }
    const { due } = this.#core
    if (due <= now) {
      this.#immediate ??= setImmediate(() => {
        this.#immediate = undefined
        this.dispatch({ kind: 'tick' })
      })
    } else if (due < this.#timerAt || this.#timerAt <= now) {
      clearTimeout(this.#timer)
      this.#timerAt = due
      this.#timer = setTimeout(() => {
        this.#timerAt = Number.POSITIVE_INFINITY
        this.dispatch({ kind: 'tick' })
      }, due - now).unref()
    }
  }
}
