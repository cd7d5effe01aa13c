// Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): stamps that never go back, follow the wall clock as
// far as that goes forward, and come after every stamp that was seen, so that members' wall clocks may differ and jump. Pure; the
// wall clock is handed in.

import { compareStamps, STORE_LIMITS, type Stamp } from './model.ts'

/**
 * The own clock follows others' stamps less far than they are believed, ms: members whose wall clocks are so far behind believe
 * it.
 */
const FOLLOWED_LESS_MS = 3_600_000
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

  /** The stamp of an own write: higher than all before, and than that of what it takes the place of. */
  stamp(wallMs: number, held: Stamp | null = null): Stamp {
    const stamp = this.#next(Math.floor(wallMs))
    if (held === null || compareStamps(stamp, held) > 0) return stamp
    // From beyond what this clock follows.
    const { wall, count } = held
    return count < MOST_COUNT ? { ...stamp, wall, count: count + 1 } : { ...stamp, wall: wall + 1, count: 0 }
  }

  #next(wall: number): Stamp {
    // The wall clock was days ahead and was put right: nobody would believe what comes after that.
    if (wall > this.#wall || this.#wall > wall + this.#aheadMs) {
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

  /**
   * Another's stamp has been taken: own ones come after it. Not those from the last hour of what is believed: one member whose
   * clock is about as far ahead as may be would have all others' writes refused by whoever's clock is a little behind.
   */
  observe(stamp: Stamp, wallMs: number): void {
    if (stamp.wall > wallMs + Math.max(0, this.#aheadMs - FOLLOWED_LESS_MS)) return
    if (stamp.wall < this.#wall || (stamp.wall === this.#wall && stamp.count <= this.#count)) return
    this.#wall = stamp.wall
    this.#count = stamp.count
  }
}
