// A store without peers: the memory of a replica on its own.

import { type Entry, type InnerStore, type PutOptions, STORE_LIMITS, type StoreCounts, type StoreStatus } from './model.ts'

type Kept = Entry & { readonly until: number }

/** `now` is monotonic ms, `wall` the wall clock. */
export function memoryStore(origin: string, now = () => performance.now(), wall = () => Date.now()): InnerStore {
  return new MemoryStore(origin, now, wall)
}

class MemoryStore implements InnerStore {
  onWrite: ((entry: Entry) => void) | null = null
  readonly #origin: string
  readonly #now: () => number
  readonly #wall: () => number
  readonly #tables = new Map<string, Map<string, Kept>>()
  #caps: ReadonlyMap<string, number> = new Map()
  #last = { wall: 0, count: 0 }

  constructor(origin: string, now: () => number, wall: () => number) {
    this.#origin = origin
    this.#now = now
    this.#wall = wall
  }

  put(table: string, key: string, value: string, options: PutOptions): void {
    this.#write(table, key, value, options)
  }

  remove(table: string, key: string): void {
    this.#tables.get(table)?.delete(key)
  }

  get(table: string, key: string): Entry | null {
    const kept = this.#tables.get(table)?.get(key)
    const left = kept === undefined ? 0 : kept.until - this.#now()
    return kept === undefined || left <= 0 ? null : { ...kept, ttlMs: left }
  }

  *entries(table: string): Iterable<Entry> {
    for (const key of this.#tables.get(table)?.keys() ?? []) {
      const entry = this.get(table, key)
      if (entry !== null) yield entry
    }
  }

  claim(table: string, key: string, value: string, options: PutOptions): Promise<string> {
    const held = this.get(table, key)?.value ?? null
    if (held === null) this.put(table, key, value, options)
    return Promise.resolve(held ?? value)
  }

  setTables(caps: ReadonlyMap<string, number>): void {
    this.#caps = caps
  }

  ready(): Promise<void> {
    return Promise.resolve()
  }

  merge(): readonly Entry[] {
    return []
  }

  *everything(): Iterable<Entry> {
    for (const table of this.#tables.keys()) yield* this.entries(table)
  }

  status(): StoreStatus {
    const tables = Object.fromEntries([...this.#tables].map(([name, { size }]) => [name, size]))
    const entries = Object.values(tables).reduce((sum, n) => sum + n, 0)
    return { kind: 'gossip', entries, tables, counts: NO_COUNTS, redis: null }
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  #write(table: string, key: string, value: string, { ttlMs, rank = 1 }: PutOptions): void {
    const wall = Math.max(this.#wall(), this.#last.wall)
    this.#last = { wall, count: wall === this.#last.wall ? this.#last.count + 1 : 0 }
    let rows = this.#tables.get(table)
    if (rows === undefined) this.#tables.set(table, (rows = new Map()))
    const entry = { table, key, value, ...this.#last, origin: this.#origin, rank, ttlMs, until: this.#now() + ttlMs }
    rows.delete(key)
    rows.set(key, entry)
    const cap = this.#caps.get(table) ?? STORE_LIMITS.strayEntries
    for (const oldest of rows.keys()) {
      if (rows.size <= cap) break
      rows.delete(oldest)
    }
    this.onWrite?.(entry)
  }
}

const NO_COUNTS: StoreCounts = {
  written: 0,
  taken: 0,
  outdated: 0,
  refused: 0,
  evicted: 0,
  expired: 0,
  repaired: 0,
  batchesSent: 0,
  batchesReceived: 0,
  pulls: 0,
  served: 0,
}
