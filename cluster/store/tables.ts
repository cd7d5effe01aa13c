// Tables of rows: conflict resolution between two writes of one key, expiry (by the holder's own monotonic clock), and caps.
// Pure: no clock, no network; the same calls produce the same tables.

import { compareRanked, EvictionOrder } from './eviction.ts'
import { compareStamps, type Entry, STORE_LIMITS, type Stamp } from './model.ts'

export type StoreLimits = Readonly<Record<keyof typeof STORE_LIMITS, number>>

/** The content of a write. */
export interface Write extends Stamp {
  readonly key: string
  readonly value: string | null
  readonly rank: 0 | 1
}

/** One version of an entry. A later write creates another row. */
export class Row implements Write {
  readonly table: Table
  readonly key: string
  /** null: a tombstone. */
  readonly value: string | null
  readonly wall: number
  readonly count: number
  readonly origin: string
  readonly rank: 0 | 1
  /** Expiry, monotonic ms. A whole number, so that it needs no heap object of its own. */
  readonly until: number

  constructor(table: Table, write: Write, until: number) {
    this.table = table
    this.key = write.key
    this.value = write.value
    this.wall = write.wall
    this.count = write.count
    this.origin = write.origin
    this.rank = write.rank
    this.until = until
  }
}

export class Table {
  readonly name: string
  readonly rows = new Map<string, Row>()
  /** Own writes that have not been sent yet. */
  readonly dirty = new Set<Row>()
  tombstones = 0
  /** Live rows of rank 0. */
  provisional = 0
  /** Length of keys and values, tombstones included. */
  characters = 0
  pool: Pool

  constructor(name: string, pool: Pool) {
    this.name = name
    this.pool = pool
  }
}

/** Rows under one cap: those of a table that this replica owns, or those of all other tables together. */
class Pool {
  cap: number
  readonly owned: boolean
  readonly tables = new Set<Table>()
  live = 0
  tombstones = 0
  provisional = 0
  characters = 0
  /** Created when the cap is exceeded for the first time. */
  evictionOrder: EvictionOrder<Row> | null = null

  constructor(cap: number, owned: boolean) {
    this.cap = cap
    this.owned = owned
  }
}

/** Rules that the simulation replaces to plant faults. */
export interface TableRules {
  /** Negative: `a` is older. */
  compare(a: Write, b: Write): number
  /** Time to keep the tombstone of an entry that had `leftMs` to live, ms. */
  tombstoneMs(leftMs: number): number
}

/** A tombstone outlives its entry by this much, ms: copies in transit when the entry was removed may arrive later. */
const TOMBSTONE_GRACE_MS = 60_000

const MAX_INTERNED_LENGTH = 128
const MAX_INTERNED = 4_096
/** Rows evicted from the largest pool before the pools are compared again. */
const EVICTED_PER_PASS = 64
/** Expiry times of one write that differ by less than this are treated as equal, ms. */
const TTL_TOLERANCE_MS = 1_000

export const TABLE_RULES: TableRules = { compare: compareWrites, tombstoneMs: leftMs => leftMs + TOMBSTONE_GRACE_MS }

/**
 * By stamp. Two different writes with one stamp come only from a faulty or hostile member; even then all holders choose the
 * same one.
 */
function compareWrites(a: Write, b: Write): number {
  const byStamp = compareStamps(a, b)
  if (byStamp !== 0) return byStamp
  const [left, right] = [a.value ?? '', b.value ?? '']
  return left < right ? -1 : left > right ? 1 : a.rank - b.rank
}

export type TakeResult = 'taken' | 'outdated' | 'evicted'

export class Tables {
  readonly all = new Map<string, Table>()
  readonly limits: StoreLimits
  /** Increases with every write that is taken. */
  version = 0
  /** Totals since the start. */
  evicted = 0
  expired = 0
  readonly #rules: TableRules
  readonly #unowned: Pool
  #live = 0
  #tombstones = 0
  #characters = 0
  #sweep: Iterator<Row> | null = null
  /** Short texts that many rows share (ids of servers, origins) are stored once. */
  readonly #interned = new Map<string, string>()

  constructor(limits: StoreLimits = STORE_LIMITS, rules: TableRules = TABLE_RULES) {
    this.limits = limits
    this.#rules = rules
    this.#unowned = new Pool(limits.unownedEntries, false)
  }

  /** Entries without tombstones, including expired ones that were not swept yet. */
  get live(): number {
    return this.#live
  }

  get rows(): number {
    return this.#live + this.#tombstones
  }

  /** Entries of tables that are not owned that fit before others are evicted. */
  get unownedCapacity(): number {
    return Math.max(0, this.#unowned.cap - this.#unowned.live)
  }

  isOwned(name: string): boolean {
    return this.all.get(name)?.pool.owned === true
  }

  /** Live rows by owned table; those of all other tables under ''. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const table of this.all.values()) if (table.pool.owned) counts[table.name] = table.rows.size - table.tombstones
    if (this.#unowned.live > 0) counts[''] = this.#unowned.live
    return counts
  }

  /** The row under a key; null: absent or expired. */
  find(name: string, key: string, now: number): Row | null {
    const row = this.all.get(name)?.rows.get(key)
    return row === undefined || row.until <= now ? null : row
  }

  /** Applies a write, own or another member's, if it is later than the held one. */
  take(name: string, write: Write, ttlMs: number, now: number): TakeResult {
    let table = this.all.get(name)
    const held = table?.rows.get(write.key)
    const until = Math.ceil(now + ttlMs)
    if (held !== undefined && held.until > now) {
      const order = this.#rules.compare(write, held)
      if (order < 0) return 'outdated'
      if (order === 0) {
        // The time to live left only decreases, however often a write is exchanged.
        if (until < held.until - TTL_TOLERANCE_MS) this.#replace(held, new Row(held.table, held, until))
        return 'outdated'
      }
    }
    if (table === undefined) {
      table = new Table(name, this.#unowned)
      this.all.set(name, table)
      this.#unowned.tables.add(table)
    }
    const { key, value, wall, count, rank } = write
    const interned = {
      key,
      value: value === null ? null : this.#intern(value),
      wall,
      count,
      origin: this.#intern(write.origin),
      rank,
    }
    const row = new Row(table, interned, until)
    if (held !== undefined) this.#delete(held)
    this.version++
    table.rows.set(row.key, row)
    this.#count(row, 1)
    this.#trackForEviction(row)
    this.#enforceCaps(table.pool)
    return table.rows.get(row.key) === row ? 'taken' : 'evicted'
  }

  /** Time to keep the tombstone of this row, ms. */
  tombstoneMs(row: Row, now: number): number {
    return Math.min(this.limits.ttlMs, Math.max(0, this.#rules.tombstoneMs(row.until - now)))
  }

  /**
   * Sets the owned tables and their caps; the whole list.
   * @returns names of tables that were not owned before
   */
  own(caps: ReadonlyMap<string, number>): readonly string[] {
    const added: string[] = []
    for (const [name, cap] of caps) {
      const table = this.all.get(name) ?? new Table(name, this.#unowned)
      this.all.set(name, table)
      if (table.pool.owned) table.pool.cap = cap
      else {
        this.#move(table, new Pool(cap, true))
        added.push(name)
      }
    }
    const affected = new Set<Pool>([this.#unowned])
    for (const table of [...this.all.values()]) {
      if (table.pool.owned && !caps.has(table.name)) this.#move(table, this.#unowned)
      affected.add(table.pool)
    }
    for (const pool of affected) this.#enforceCaps(pool)
    for (const table of [...this.all.values()]) this.#deleteIfEmpty(table)
    return added
  }

  /** Checks `rows` rows and removes expired ones. The next call continues from there. */
  sweep(rows: number, now: number): void {
    for (let i = 0; i < rows; i++) {
      this.#sweep ??= everyRow(this.all)
      const next = this.#sweep.next()
      if (next.done === true) {
        this.#sweep = null
        return
      }
      const row = next.value
      if (row.until > now) continue
      this.#delete(row)
      this.expired++
      this.#deleteIfEmpty(row.table)
    }
  }

  /**
   * The clock that stamps were made from was ahead by `byMs` and reads `wallMs` now. Stamps at or above `minMs` are moved back,
   * in the same order.
   * @returns the number of moved stamps
   */
  rewind(byMs: number, wallMs: number, minMs: number): number {
    let count = 0
    for (const table of this.all.values()) {
      for (const row of [...table.rows.values()]) {
        if (row.wall < minMs) continue
        const wall = Math.floor(Math.min(wallMs, Math.max(0, row.wall - byMs)))
        this.#replace(row, new Row(table, { ...writeOf(row), wall }, row.until))
        count++
      }
    }
    if (count > 0) this.version++
    return count
  }

  #replace(old: Row, row: Row): void {
    const { table } = old
    table.rows.set(row.key, row)
    if (table.dirty.delete(old)) table.dirty.add(row)
    this.#trackForEviction(row)
  }

  /**
   * Adds the row to the eviction order. While nothing is evicted, the order is dropped before obsolete versions pile up in it.
   */
  #trackForEviction(row: Row): void {
    const { pool } = row.table
    if (pool.evictionOrder === null || row.value === null) return
    if (pool.evictionOrder.size > 1.5 * pool.live + 64) pool.evictionOrder = null
    else pool.evictionOrder.push(row)
  }

  #intern(text: string): string {
    if (text.length > MAX_INTERNED_LENGTH) return text
    const known = this.#interned.get(text)
    if (known !== undefined) return known
    if (this.#interned.size >= MAX_INTERNED) this.#interned.clear()
    this.#interned.set(text, text)
    return text
  }

  #delete(row: Row): void {
    row.table.rows.delete(row.key)
    row.table.dirty.delete(row)
    this.#count(row, -1)
  }

  #count(row: Row, by: 1 | -1): void {
    const { table } = row
    const characters = by * (row.key.length + (row.value?.length ?? 0))
    table.characters += characters
    table.pool.characters += characters
    this.#characters += characters
    if (row.value === null) {
      table.tombstones += by
      table.pool.tombstones += by
      this.#tombstones += by
    } else {
      table.pool.live += by
      this.#live += by
      if (row.rank === 0) {
        table.provisional += by
        table.pool.provisional += by
      }
    }
  }

  #move(table: Table, to: Pool): void {
    const from = table.pool
    const live = table.rows.size - table.tombstones
    from.tables.delete(table)
    from.live -= live
    from.tombstones -= table.tombstones
    from.provisional -= table.provisional
    from.characters -= table.characters
    from.evictionOrder = null
    table.pool = to
    to.tables.add(table)
    to.live += live
    to.tombstones += table.tombstones
    to.provisional += table.provisional
    to.characters += table.characters
    to.evictionOrder = null
  }

  /** Enforces the cap of the pool and the caps of all tables together. */
  #enforceCaps(pool: Pool): void {
    const { entries, characters } = this.limits
    if (pool.tombstones > pool.cap) this.#evictTombstones(pool)
    while (pool.live > pool.cap && this.#evict(pool));
    if (this.#tombstones > entries) this.#evictFromLargest('tombstones', () => this.#tombstones, entries)
    if (this.#live > entries) this.#evictFromLargest('live', () => this.#live, entries)
    if (this.#characters > characters) this.#evictFromLargest('characters', () => this.#characters, characters)
  }

  /** Evicts from the largest pool, and a few more rows than required, so that no table loses rows because others are large. */
  #evictFromLargest(measure: 'tombstones' | 'live' | 'characters', held: () => number, max: number): void {
    const target = max - (max >> 8)
    while (held() > target) {
      let pool = this.#unowned
      for (const table of this.all.values()) if (table.pool[measure] > pool[measure]) pool = table.pool
      if (measure === 'tombstones' || (measure === 'characters' && pool.tombstones > pool.live)) this.#evictTombstones(pool)
      else for (let i = 0; i < EVICTED_PER_PASS && held() > target; i++) if (!this.#evict(pool)) return
    }
  }

  /** False: the pool has no live rows. */
  #evict(pool: Pool): boolean {
    pool.evictionOrder ??= new EvictionOrder(liveRows(pool), isHeld)
    const row = pool.evictionOrder.pop(pool.provisional, pool.cap)
    if (row === null) return false
    this.#delete(row)
    this.evicted++
    this.#deleteIfEmpty(row.table)
    return true
  }

  /** Evicts the oldest eighth, so that the sort is not repeated for each tombstone. */
  #evictTombstones(pool: Pool): void {
    const tombstones: Row[] = []
    for (const table of pool.tables) for (const row of table.rows.values()) if (row.value === null) tombstones.push(row)
    tombstones.sort(compareRanked)
    for (const tombstone of tombstones.slice(0, Math.max(1, tombstones.length >> 3))) {
      this.#delete(tombstone)
      this.#deleteIfEmpty(tombstone.table)
    }
  }

  #deleteIfEmpty(table: Table): void {
    if (table.rows.size > 0 || table.pool.owned) return
    this.all.delete(table.name)
    table.pool.tables.delete(table)
  }
}

export function entryOf(row: Row, now: number): Entry {
  const { table, key, value, wall, count, origin, rank, until } = row
  return { table: table.name, key, value, wall, count, origin, rank, ttlMs: Math.max(1, Math.ceil(until - now)) }
}

function writeOf({ key, value, wall, count, origin, rank }: Row): Write {
  return { key, value, wall, count, origin, rank }
}

function isHeld(row: Row): boolean {
  return row.value !== null && row.table.rows.get(row.key) === row
}

function liveRows(pool: Pool): Row[] {
  const rows: Row[] = []
  for (const table of pool.tables) for (const row of table.rows.values()) if (row.value !== null) rows.push(row)
  return rows
}

function* everyRow(tables: ReadonlyMap<string, Table>): Generator<Row> {
  for (const table of tables.values()) yield* table.rows.values()
}
