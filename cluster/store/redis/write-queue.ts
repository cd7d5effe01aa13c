// Queue of own writes for Redis: the newest write of each key, bounded, taken in slices that do not block Redis. Pure.

import type { Entry } from '../model.ts'
import { STORE_LIMITS } from '../model.ts'
import { encodeValue, keyOf, type Names } from './codec.ts'

/** Entries that may wait. */
export const MAX_WAITING = 100_000
/** Entries and characters of one script run. */
const SLICE_ENTRIES = 256
const SLICE_CHARACTERS = 128 * 1024

/** The arguments of one script run. */
export interface Slice {
  readonly keys: string[]
  /** For each key: value, time to live in ms. */
  readonly args: (string | number)[]
}

export class WriteQueue {
  /** Entries dropped: too many waited, or they cannot be represented in Redis. */
  dropped = 0
  readonly #names: Names
  readonly #max: number
  readonly #waiting = new Map<string, { readonly entry: Entry; readonly until: number }>()

  constructor(names: Names, max = MAX_WAITING) {
    this.#names = names
    this.#max = max
  }

  get size(): number {
    return this.#waiting.size
  }

  /** @param nowMs monotonic, as in take() */
  add(entry: Entry, nowMs: number): void {
    const key = keyOf(this.#names, entry.table, entry.key)
    if (this.#waiting.size >= this.#max && !this.#waiting.has(key)) this.dropped += 1
    else this.#waiting.set(key, { entry, until: nowMs + entry.ttlMs })
  }

  clear(): void {
    this.#waiting.clear()
  }

  /** Removes and returns the next slice; null: nothing waits. */
  take(nowMs: number): Slice | null {
    const slice = new SliceBuilder(this.#names)
    for (const [key, { entry, until }] of this.#waiting) {
      if (slice.full) break
      this.#waiting.delete(key)
      if (until > nowMs && !slice.add(entry, until - nowMs)) this.dropped += 1
    }
    return slice.takeSlice()
  }
}

export class SliceBuilder {
  readonly #names: Names
  #slice: Slice = { keys: [], args: [] }
  #characters = 0

  constructor(names: Names) {
    this.#names = names
  }

  get full(): boolean {
    return this.#slice.keys.length >= SLICE_ENTRIES || this.#characters >= SLICE_CHARACTERS
  }

  /** False: the entry cannot be represented in Redis. */
  add(entry: Entry, ttlMs: number): boolean {
    const value = encodeValue(entry)
    if (value === null) return false
    const key = keyOf(this.#names, entry.table, entry.key)
    this.#slice.keys.push(key)
    this.#slice.args.push(value, Math.min(Math.max(1, Math.round(ttlMs)), STORE_LIMITS.ttlMs))
    this.#characters += key.length + value.length
    return true
  }

  /** Returns the added entries and starts a new slice; null: there are none. */
  takeSlice(): Slice | null {
    const slice = this.#slice
    this.#slice = { keys: [], args: [] }
    this.#characters = 0
    return slice.keys.length === 0 ? null : slice
  }
}
