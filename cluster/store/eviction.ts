// Which rows go first when a table is full: provisional ones before confirmed ones, the oldest of each first; but a small part of
// the table is left to provisional ones, or a table full of confirmed ones would take in nothing new. Heaps of rows that forget
// lazily: a row that is no longer held is passed over when its turn comes. Pure.

import { compareStamps, type Stamp } from './model.ts'

export interface Ranked extends Stamp {
  readonly rank: 0 | 1
}

/** Below 0: the first goes before the second. The same on every member, so that full tables come to hold the same. */
export function compareRanked(a: Ranked, b: Ranked): number {
  return a.rank - b.rank || compareStamps(a, b)
}

export class Lowest<R extends Ranked> {
  readonly #rows: R[]
  readonly #isHeld: (row: R) => boolean

  /** `rows` becomes its own. */
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

  /** The first of those that are held, taken out; null: there is none. */
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

/** Of a full table so much (a part, by bits) is left to provisional rows; the same as in a worker's table of sessions. */
const PROVISIONAL_SHIFT = 5

/** The rows of a full table in the order in which they go. Whatever order they came in, the same ones stay. */
export class Leaving<R extends Ranked> {
  readonly #byRank: readonly [Lowest<R>, Lowest<R>]

  constructor(rows: readonly R[], isHeld: (row: R) => boolean) {
    const of = (rank: 0 | 1): Lowest<R> =>
      new Lowest(
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

  /** The next to go from a table of `cap` that holds so many provisional rows, taken out; null: there is none. */
  pop(provisional: number, cap: number): R | null {
    const first = provisional > cap >> PROVISIONAL_SHIFT ? 0 : 1
    return this.#byRank[first].pop() ?? this.#byRank[(1 - first) as 0 | 1].pop()
  }
}
