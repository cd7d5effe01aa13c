// What a holder holds: tables of rows. Which of two writes under one key counts, how long a row lives (by the holder's own
// monotonic clock), which rows go when there are too many. Pure: no clock, no network; the same calls make the same tables.

import { compareRanked, Leaving } from './eviction.ts'
import { compareStamps, type Entry, STORE_LIMITS, type Stamp } from './model.ts'

export type StoreLimits = Readonly<Record<keyof typeof STORE_LIMITS, number>>

/** What a write is made of. */
export interface Write extends Stamp {
  readonly key: string
  readonly value: string | null
  readonly rank: 0 | 1
}

/** One version of an entry; a later one is another row. */
export class Row implements Write {
  readonly table: Table
  readonly key: string
  /** null: a grave. */
  readonly value: string | null
  readonly wall: number
  readonly count: number
  readonly origin: string
  readonly rank: 0 | 1
  /** Monotonic ms at which its life is over; a whole number, so that it costs no object of its own. */
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
  /** Own writes that were not told yet. */
  readonly dirty = new Set<Row>()
  graves = 0
  /** Live rows of rank 0. */
  provisional = 0
  /** Of keys and values, graves included. */
  characters = 0
  pool: Pool

  constructor(name: string, pool: Pool) {
    this.name = name
    this.pool = pool
  }
}

/** What is bounded together: a table that this replica owns, or all others. */
class Pool {
  cap: number
  readonly owned: boolean
  readonly tables = new Set<Table>()
  live = 0
  graves = 0
  provisional = 0
  characters = 0
  /** Made when there is too much for the first time. */
  lowest: Leaving<Row> | null = null

  constructor(cap: number, owned: boolean) {
    this.cap = cap
    this.owned = owned
  }
}

/** What could be otherwise; a simulation plants faults here. */
export interface TableRules {
  /** Below 0: the first is older. */
  compare(a: Write, b: Write): number
  /** How long the grave of an entry is kept that had `leftMs` to live. */
  graveMs(leftMs: number): number
}

/** Copies that are under way when an entry is removed may live on so much longer than it, ms. */
const GRAVE_MS = 60_000

const LONGEST_SHARED = 128
const MOST_SHARED = 4_096
/** When all together are too much, so many rows go at a time where most is held. */
const RELIEVED_AT_ONCE = 64
/** Lives of one write that differ by less are taken for the same, ms. */
const SAME_LIFE_MS = 1_000

export const TABLE_RULES: TableRules = { compare: compareWrites, graveMs: leftMs => leftMs + GRAVE_MS }

/** By stamp. Two writes of one stamp cannot be, but from a member that lies: even then all choose the same. */
function compareWrites(a: Write, b: Write): number {
  const byStamp = compareStamps(a, b)
  if (byStamp !== 0) return byStamp
  const [left, right] = [a.value ?? '', b.value ?? '']
  return left < right ? -1 : left > right ? 1 : a.rank - b.rank
}

export type Taken = 'taken' | 'outdated' | 'evicted'

export class Tables {
  readonly all = new Map<string, Table>()
  readonly limits: StoreLimits
  /** Grows with every write that is taken. */
  version = 0
  /** Since the start. */
  evicted = 0
  expired = 0
  readonly #rules: TableRules
  readonly #stray: Pool
  #live = 0
  #graves = 0
  #characters = 0
  #sweep: Iterator<Row> | null = null
  /** Short texts that many rows have in common (a server's id, a writer's) are kept once. */
  readonly #shared = new Map<string, string>()

  constructor(limits: StoreLimits = STORE_LIMITS, rules: TableRules = TABLE_RULES) {
    this.limits = limits
    this.#rules = rules
    this.#stray = new Pool(limits.strayEntries, false)
  }

  /** Entries, graves not counted, those included whose time is over but that were not swept yet. */
  get live(): number {
    return this.#live
  }

  get rows(): number {
    return this.#live + this.#graves
  }

  /** So many more entries of tables that are not owned may be taken before others have to go. */
  get strayRoom(): number {
    return Math.max(0, this.#stray.cap - this.#stray.live)
  }

  isOwned(name: string): boolean {
    return this.all.get(name)?.pool.owned === true
  }

  /** Live rows by owned table; all others under ''. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const table of this.all.values()) if (table.pool.owned) counts[table.name] = table.rows.size - table.graves
    if (this.#stray.live > 0) counts[''] = this.#stray.live
    return counts
  }

  /** The row under that key; null: there is none, or its time is over. */
  find(name: string, key: string, now: number): Row | null {
    const row = this.all.get(name)?.rows.get(key)
    return row === undefined || row.until <= now ? null : row
  }

  /** A write, own or another's, is taken if it is later than what is held. */
  take(name: string, write: Write, ttlMs: number, now: number): Taken {
    let table = this.all.get(name)
    const held = table?.rows.get(write.key)
    const until = Math.ceil(now + ttlMs)
    if (held !== undefined && held.until > now) {
      const order = this.#rules.compare(write, held)
      if (order < 0) return 'outdated'
      if (order === 0) {
        // What is left of its life only goes down, however often it is handed to and fro.
        if (until < held.until - SAME_LIFE_MS) this.#replace(held, new Row(held.table, held, until))
        return 'outdated'
      }
    }
    if (table === undefined) {
      table = new Table(name, this.#stray)
      this.all.set(name, table)
      this.#stray.tables.add(table)
    }
    const { key, value, wall, count, rank } = write
    const shared = {
      key,
      value: value === null ? null : this.#share(value),
      wall,
      count,
      origin: this.#share(write.origin),
      rank,
    }
    const row = new Row(table, shared, until)
    if (held !== undefined) this.#drop(held)
    this.version++
    table.rows.set(row.key, row)
    this.#count(row, 1)
    this.#rank(row)
    this.#shrink(table.pool)
    return table.rows.get(row.key) === row ? 'taken' : 'evicted'
  }

  /** How long the grave of this row is to be kept, ms. */
  graveMs(row: Row, now: number): number {
    return Math.min(this.limits.ttlMs, Math.max(0, this.#rules.graveMs(row.until - now)))
  }

  /** Tables that are owned from now on, with their caps; the whole list. @returns names of those that were not before */
  own(caps: ReadonlyMap<string, number>): readonly string[] {
    const added: string[] = []
    for (const [name, cap] of caps) {
      const table = this.all.get(name) ?? new Table(name, this.#stray)
      this.all.set(name, table)
      if (table.pool.owned) table.pool.cap = cap
      else {
        this.#move(table, new Pool(cap, true))
        added.push(name)
      }
    }
    const affected = new Set<Pool>([this.#stray])
    for (const table of [...this.all.values()]) {
      if (table.pool.owned && !caps.has(table.name)) this.#move(table, this.#stray)
      affected.add(table.pool)
    }
    for (const pool of affected) this.#shrink(pool)
    for (const table of [...this.all.values()]) this.#forgetEmpty(table)
    return added
  }

  /** Looks at so many rows, and takes out those whose time is over; the next call goes on from there. */
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
      this.#drop(row)
      this.expired++
      this.#forgetEmpty(row.table)
    }
  }

  /**
   * The clock that stamps were made from was ahead by `byMs`, and it is `wallMs` now: stamps from `mostMs` on are put back, in the
   * same order. @returns how many
   */
  putBack(byMs: number, wallMs: number, mostMs: number): number {
    let count = 0
    for (const table of this.all.values()) {
      for (const row of [...table.rows.values()]) {
        if (row.wall < mostMs) continue
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
    this.#rank(row)
  }

  /** Takes its place among those that may have to go; while none has to, versions that are no longer held must not pile up. */
  #rank(row: Row): void {
    const { pool } = row.table
    if (pool.lowest === null || row.value === null) return
    if (pool.lowest.size > 1.5 * pool.live + 64) pool.lowest = null
    else pool.lowest.push(row)
  }

  #share(text: string): string {
    if (text.length > LONGEST_SHARED) return text
    const known = this.#shared.get(text)
    if (known !== undefined) return known
    if (this.#shared.size >= MOST_SHARED) this.#shared.clear()
    this.#shared.set(text, text)
    return text
  }

  #drop(row: Row): void {
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
      table.graves += by
      table.pool.graves += by
      this.#graves += by
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
    const live = table.rows.size - table.graves
    from.tables.delete(table)
    from.live -= live
    from.graves -= table.graves
    from.provisional -= table.provisional
    from.characters -= table.characters
    from.lowest = null
    table.pool = to
    to.tables.add(table)
    to.live += live
    to.graves += table.graves
    to.provisional += table.provisional
    to.characters += table.characters
    to.lowest = null
  }

  /** Within the caps again: of the pool, and of all together. */
  #shrink(pool: Pool): void {
    const { entries, characters } = this.limits
    if (pool.graves > pool.cap) this.#shrinkGraves(pool)
    while (pool.live > pool.cap && this.#evict(pool));
    if (this.#graves > entries) this.#relieve('graves', () => this.#graves, entries)
    if (this.#live > entries) this.#relieve('live', () => this.#live, entries)
    if (this.#characters > characters) this.#relieve('characters', () => this.#characters, characters)
  }

  /** Those go that are where most is, and a few more than must: no table loses its own because others are large. */
  #relieve(what: 'graves' | 'live' | 'characters', held: () => number, most: number): void {
    const enough = most - (most >> 8)
    while (held() > enough) {
      let pool = this.#stray
      for (const table of this.all.values()) if (table.pool[what] > pool[what]) pool = table.pool
      if (what === 'graves' || (what === 'characters' && pool.graves > pool.live)) this.#shrinkGraves(pool)
      else for (let i = 0; i < RELIEVED_AT_ONCE && held() > enough; i++) if (!this.#evict(pool)) return
    }
  }

  /** False: nothing lives there. */
  #evict(pool: Pool): boolean {
    pool.lowest ??= new Leaving(liveRows(pool), isHeld)
    const row = pool.lowest.pop(pool.provisional, pool.cap)
    if (row === null) return false
    this.#drop(row)
    this.evicted++
    this.#forgetEmpty(row.table)
    return true
  }

  /** An eighth of them, the oldest, so that it is not done for each. */
  #shrinkGraves(pool: Pool): void {
    const graves: Row[] = []
    for (const table of pool.tables) for (const row of table.rows.values()) if (row.value === null) graves.push(row)
    graves.sort(compareRanked)
    for (const grave of graves.slice(0, Math.max(1, graves.length >> 3))) {
      this.#drop(grave)
      this.#forgetEmpty(grave.table)
    }
  }

  #forgetEmpty(table: Table): void {
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
