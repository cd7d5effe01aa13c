// Own writes on their way to Redis: the newest of each key, so many at most, in slices that do not hold Redis up. Pure.

import type { Entry } from '../model.ts'
import { STORE_LIMITS } from '../model.ts'
import { encodeValue, keyOf, type Names } from './codec.ts'

/** Entries that may wait. */
export const MOST_WAITING = 100_000
/** What one script is given: entries, characters. */
const SLICE_ENTRIES = 256
const SLICE_CHARACTERS = 128 * 1024

/** What one run of a script writes. */
export interface Slice {
  readonly keys: string[]
  /** For each key: value, life in ms. */
  readonly args: (string | number)[]
}

export class WriteQueue {
  /** Given up: too many waited, or it cannot be written at all. */
  dropped = 0
  readonly #names: Names
  readonly #most: number
  readonly #waiting = new Map<string, { readonly entry: Entry; readonly until: number }>()

  constructor(names: Names, most = MOST_WAITING) {
    this.#names = names
    this.#most = most
  }

  get size(): number {
    return this.#waiting.size
  }

  /** `nowMs`: monotonic, as in take(). */
  add(entry: Entry, nowMs: number): void {
    const key = keyOf(this.#names, entry.table, entry.key)
    if (this.#waiting.size >= this.#most && !this.#waiting.has(key)) this.dropped += 1
    else this.#waiting.set(key, { entry, until: nowMs + entry.ttlMs })
  }

  clear(): void {
    this.#waiting.clear()
  }

  /** The next slice, taken out; null: nothing waits. */
  take(nowMs: number): Slice | null {
    const slice = new SliceBuilder(this.#names)
    for (const [key, { entry, until }] of this.#waiting) {
      if (slice.full) break
      this.#waiting.delete(key)
      if (until > nowMs && !slice.add(entry, until - nowMs)) this.dropped += 1
    }
    return slice.taken()
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

  /** false: it cannot be written to Redis. */
  add(entry: Entry, ttlMs: number): boolean {
    const value = encodeValue(entry)
    if (value === null) return false
    const key = keyOf(this.#names, entry.table, entry.key)
    this.#slice.keys.push(key)
    this.#slice.args.push(value, Math.min(Math.max(1, Math.round(ttlMs)), STORE_LIMITS.ttlMs))
    this.#characters += key.length + value.length
    return true
  }

  /** What was added since; null: nothing. */
  taken(): Slice | null {
    const slice = this.#slice
    this.#slice = { keys: [], args: [] }
    this.#characters = 0
    return slice.keys.length === 0 ? null : slice
  }
}
