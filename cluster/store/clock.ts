// Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): stamps that never go back, follow the wall clock as far
// as that goes forward, and come after every stamp that was seen, so that members' wall clocks may differ and jump. Pure; the
// wall clock is handed in.

import { STORE_LIMITS, type Stamp } from './model.ts'

/** A count beyond this is carried over to the next millisecond. */
const MOST_COUNT = 2 ** 31

export class HybridClock {
  readonly #origin: string
  readonly #aheadMs: number
  #wall = 0
  #count = 0

  constructor(origin: string, aheadMs: number = STORE_LIMITS.aheadMs) {
    this.#origin = origin
    this.#aheadMs = aheadMs
  }

  /** The highest stamp given or seen. */
  get last(): { readonly wall: number; readonly count: number } {
    return { wall: this.#wall, count: this.#count }
  }

  /** The stamp of an own write: higher than all before. */
  stamp(wallMs: number): Stamp {
    const wall = Math.floor(wallMs)
    if (wall > this.#wall) {
      this.#wall = wall
      this.#count = 0
    } else if (this.#count < MOST_COUNT) this.#count++
    else {
      this.#wall++
      this.#count = 0
    }
    return { wall: this.#wall, count: this.#count, origin: this.#origin }
  }

  /** Whether a stamp may be believed: one from far in the future would win over every write for that long. */
  accepts(stamp: Stamp, wallMs: number): boolean {
    return stamp.wall <= wallMs + this.#aheadMs && stamp.wall >= 0 && stamp.count >= 0 && stamp.count <= MOST_COUNT
  }

  /** Another's stamp has been taken: own ones come after it. */
  observe(stamp: Stamp): void {
    if (stamp.wall < this.#wall || (stamp.wall === this.#wall && stamp.count <= this.#count)) return
    this.#wall = stamp.wall
    this.#count = stamp.count
  }
}
