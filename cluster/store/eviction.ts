// Order of eviction from a full table: provisional rows before confirmed ones, the oldest first. A small share is reserved for
// provisional rows; otherwise a table full of confirmed ones would accept nothing new. The heaps delete lazily: rows that are
// no longer held are skipped when popped. Pure.

import { compareStamps, type Stamp } from './model.ts'

export interface Ranked extends Stamp {
  readonly rank: 0 | 1
}

/** Negative: `a` is evicted before `b`. All members use this order, so full tables converge to the same rows. */
export function compareRanked(a: Ranked, b: Ranked): number {
  return a.rank - b.rank || compareStamps(a, b)
}

export class RankHeap<R extends Ranked> {
  readonly #rows: R[]
  readonly #isHeld: (row: R) => boolean

  /** Takes ownership of `rows`. */
  constructor(rows: R[], isHeld: (row: R) => boolean) {
    this.#rows = rows
    this.#isHeld = isHeld
    this.#heapify()
  }

  /** Rows in here, those that are no longer held included. */
  get size(): number {
    return this.#rows.length
  }

  push(row: R): void {
    const rows = this.#rows
    let at = rows.length
    rows.push(row)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (compareRanked(rows[parent]!, row) <= 0) break
      rows[at] = rows[parent]!
      at = parent
    }
    rows[at] = row
  }

  /** Removes and returns the first row that is still held; null: there is none. */
  pop(): R | null {
    const rows = this.#rows
    while (rows.length > 0) {
      const first = rows[0]!
      const last = rows.pop()!
      if (rows.length > 0) this.#sink(0, last)
      if (this.#isHeld(first)) return first
    }
    return null
  }

  #heapify(): void {
    const rows = this.#rows
    for (let at = (rows.length >> 1) - 1; at >= 0; at--) this.#sink(at, rows[at]!)
  }

  #sink(from: number, row: R): void {
    const rows = this.#rows
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= rows.length) break
      if (child + 1 < rows.length && compareRanked(rows[child + 1]!, rows[child]!) < 0) child++
      if (compareRanked(row, rows[child]!) <= 0) break
      rows[at] = rows[child]!
      at = child
    }
    rows[at] = row
  }
}

/** Share of a full table that is reserved for provisional rows: 1 / 2^5. The same as in a worker's session table. */
const PROVISIONAL_SHIFT = 5

/** Rows of a full table in their order of eviction. The result does not depend on insertion order. */
export class EvictionOrder<R extends Ranked> {
  readonly #byRank: readonly [RankHeap<R>, RankHeap<R>]

  constructor(rows: readonly R[], isHeld: (row: R) => boolean) {
    const of = (rank: 0 | 1): RankHeap<R> =>
      new RankHeap(
        rows.filter(row => row.rank === rank),
        isHeld,
      )
    this.#byRank = [of(0), of(1)]
  }

  /** Rows in here, those that are no longer held included. */
  get size(): number {
    return this.#byRank[0].size + this.#byRank[1].size
  }

  push(row: R): void {
    this.#byRank[row.rank].push(row)
  }

  /**
   * Removes and returns the next row to evict from a table of `cap` rows with this many provisional ones; null: there is none.
   */
  pop(provisional: number, cap: number): R | null {
    const first = provisional > cap >> PROVISIONAL_SHIFT ? 0 : 1
    return this.#byRank[first].pop() ?? this.#byRank[(1 - first) as 0 | 1].pop()
  }
}
