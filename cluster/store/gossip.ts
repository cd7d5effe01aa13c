// The store of a member: the pure core (core.ts) with real time, a timer, and the cluster's network. Memory answers at once; what
// is written is told to the others when it is due.

import type { MemberId } from '../core/state.ts'
import { type ClusterLog, reasonOf } from '../log.ts'
import type { ClockReading } from './cluster-clock.ts'
import type { StoreEffect } from './context.ts'
import { StoreCore, type StoreEvent } from './core.ts'
import type { Change, Entry, InnerStore, PutOptions, StoreStatus } from './model.ts'

/** What carries a store's words. Nothing throws. */
export interface StoreNetwork {
  broadcast(data: Uint8Array): void
  send(to: MemberId, data: Uint8Array): void
  /** Rejects with a reason for people. */
  pull(from: MemberId, hash: string): Promise<string>
  /** The shared store has taken these from others. */
  changed(changes: readonly Change[]): void
  /** What a member does wrong, for people. */
  warn(subject: string, from: MemberId, message: string): void
}

export interface GossipStoreOptions {
  /** Id of this member. */
  readonly origin: string
  /** null: there are no others. */
  readonly network: StoreNetwork | null
  readonly log: ClusterLog | null
  /** Monotonic and wall clock, ms. */
  readonly now?: () => number
  readonly wall?: () => number
}

/** Without a network there is no timer: time passes with what is asked, so often, ms. */
const ALONE_TICK_MS = 250

export class GossipStore implements InnerStore {
  onWrite: ((entry: Entry) => void) | null = null
  readonly #core: StoreCore
  readonly #network: StoreNetwork | null
  readonly #log: ClusterLog | null
  readonly #now: () => number
  readonly #wall: () => number
  readonly #whenReady = Promise.withResolvers<void>()
  #timer: NodeJS.Timeout | undefined
  #soon: NodeJS.Immediate | undefined
  /** What the timer waits for, monotonic ms. */
  #timerAt = Number.POSITIVE_INFINITY
  #lastTick: number
  #acting = false
  #stopped = false

  constructor({ origin, network, log, now = () => performance.now(), wall = () => Date.now() }: GossipStoreOptions) {
    this.#network = network
    this.#log = log
    this.#now = now
    this.#wall = wall
    this.#core = new StoreCore({ origin, at: this.#at, random: Math.random })
    this.#lastTick = now()
    if (network === null) this.#whenReady.resolve()
    this.#plan()
  }

  get #at(): { readonly now: number; readonly wall: number } {
    return { now: this.#now(), wall: this.#wall() }
  }

  // ---- what the replica asks ----

  put(table: string, key: string, value: string, options: PutOptions): void {
    this.#wrote(this.#core.put(table, key, value, options, this.#at))
  }

  remove(table: string, key: string): void {
    this.#wrote(this.#core.remove(table, key, this.#at))
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
    this.#plan()
  }

  ready(): Promise<void> {
    return this.#whenReady.promise
  }

  merge(entries: readonly Entry[]): readonly Entry[] {
    const won = this.#core.merge(entries, this.#at)
    this.#act()
    return won
  }

  time(): { readonly ms: number; readonly latest: number } {
    return this.#core.time(this.#at)
  }

  everything(): Iterable<Entry> {
    return this.#core.everything(this.#at)
  }

  status(): StoreStatus {
    return this.#core.status()
  }

  stop(): Promise<void> {
    this.give({ kind: 'end' })
    this.#stopped = true
    clearTimeout(this.#timer)
    clearImmediate(this.#soon)
    this.#whenReady.resolve()
    return Promise.resolve()
  }

  // ---- what the cluster tells ----

  give(event: StoreEvent): void {
    if (this.#stopped) return
    try {
      this.#core.step(event, this.#at)
    } catch (error) {
      // Whatever a member may have said: the replica goes on.
      const message = 'a defect in Skein: an event of the shared state could not be taken in'
      this.#log?.error({ event: event.kind, err: reasonOf(error) }, message)
    }
    this.#act()
  }

  /** This member's clock readings, sent with every message. */
  reading(): ClockReading {
    return this.#core.reading(this.#at)
  }

  /** How far the members' wall clocks are from the cluster's time, ms. */
  clockOffs(): ReadonlyMap<MemberId, number> {
    return this.#core.clockOffs(this.#at)
  }

  bodyOf(hash: string): string | null {
    return this.#core.bodyOf(hash)
  }

  // ---- what is to be done ----

  #wrote(entry: Entry | null): void {
    if (entry !== null) this.onWrite?.(entry)
    this.#plan()
  }

  #act(): void {
    if (this.#acting) return
    this.#acting = true
    try {
      for (let effects = this.#core.take(); effects.length > 0; effects = this.#core.take()) {
        for (const effect of effects) this.#carryOut(effect)
      }
    } finally {
      this.#acting = false
    }
    this.#plan()
  }

  #carryOut(effect: StoreEffect): void {
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
        this.#whenReady.resolve()
        return
      case 'warn':
        network?.warn(effect.subject, effect.from, effect.message)
        return
    }
  }

  async #pull(from: MemberId, hash: string): Promise<void> {
    try {
      const body = await (this.#network?.pull(from, hash) ?? Promise.reject(new Error('there is no network')))
      this.give({ kind: 'pulled', from, hash, body })
    } catch (error) {
      this.#network?.warn('pull', from, `a part of the shared state could not be had: ${reasonOf(error)}`)
      this.give({ kind: 'pullFailed', from, hash })
    }
  }

  /** After all that is asked in this turn of the event loop: what is written together is told together. */
  #plan(): void {
    if (this.#stopped) return
    const now = this.#now()
    if (this.#network === null) {
      if (now - this.#lastTick < ALONE_TICK_MS || this.#acting) return
      this.#lastTick = now
      this.#core.step({ kind: 'tick' }, this.#at)
      this.#core.take()
      return
    }
    const { due } = this.#core
    if (due <= now) {
      this.#soon ??= setImmediate(() => {
        this.#soon = undefined
        this.give({ kind: 'tick' })
      })
    } else if (due < this.#timerAt || this.#timerAt <= now) {
      clearTimeout(this.#timer)
      this.#timerAt = due
      this.#timer = setTimeout(() => {
        this.#timerAt = Number.POSITIVE_INFINITY
        this.give({ kind: 'tick' })
      }, due - now).unref()
    }
  }
}
