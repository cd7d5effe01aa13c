// Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014). Stamps never go back, follow the wall clock while it
// goes forward, and are above every observed stamp, so members' wall clocks may differ and jump. Pure: callers pass the wall
// clock.

import { compareStamps, STORE_LIMITS, type Stamp } from './model.ts'

/**
 * The clock follows other members' stamps less far than it accepts them, by this much, ms. Members whose wall clocks are that
 * far behind then still accept own stamps.
 */
const FOLLOW_MARGIN_MS = 120_000
/** A counter above this carries over to the next millisecond. */
const MAX_COUNT = 2 ** 31

export class HybridClock {
  readonly #origin: string
  readonly #aheadMs: number
  #wall = 0
  #count = 0
  /** The highest accepted stamp, including those that the clock does not follow. */
  #highest = { wall: 0, count: 0 }

  constructor(origin: string, aheadMs: number = STORE_LIMITS.aheadMs) {
    this.#origin = origin
    this.#aheadMs = aheadMs
  }

  /** The highest stamp that this clock issued or followed. */
  get last(): { readonly wall: number; readonly count: number } {
    return { wall: this.#wall, count: this.#count }
  }

  /** The highest stamp issued or accepted. No stamp in the store is above it. */
  get highest(): { readonly wall: number; readonly count: number } {
    const { wall, count } = this.#highest
    return wall > this.#wall || (wall === this.#wall && count > this.#count) ? this.#highest : this.last
  }

  #accepted({ wall, count }: Pick<Stamp, 'wall' | 'count'>): void {
    const before = this.#highest
    if (wall > before.wall || (wall === before.wall && count > before.count)) this.#highest = { wall, count }
  }

  /** Issues the stamp of an own write: above all earlier ones, and above that of the entry it replaces (`held`). */
  stamp(wallMs: number, held: Stamp | null = null): Stamp {
    const stamp = this.#next(Math.floor(wallMs))
    if (held === null || compareStamps(stamp, held) > 0) return stamp
    // `held` is above what this clock follows.
    const { wall, count } = held
    const above = count < MAX_COUNT ? { ...stamp, wall, count: count + 1 } : { ...stamp, wall: wall + 1, count: 0 }
    this.#accepted(above)
    return above
  }

  #next(wall: number): Stamp {
    // The wall clock was far ahead and has been corrected. Other members would refuse stamps above the old reading.
    if (wall > this.#wall || this.#wall > wall + this.#aheadMs) {
      this.#wall = wall
      this.#count = 0
    } else if (this.#count < MAX_COUNT) this.#count++
    else {
      this.#wall++
      this.#count = 0
    }
    return { wall: this.#wall, count: this.#count, origin: this.#origin }
  }

  /**
   * The wall clock went back. Own stamps go back with it, as far as other members require to accept them.
   * @returns the wall clock of the highest stamp that this clock would follow
   */
  rewind(wallMs: number): number {
    const max = this.#maxFollowed(wallMs)
    if (this.#wall > max) {
      this.#wall = max
      this.#count = 0
    }
    if (this.#highest.wall > max) this.#highest = { wall: max, count: MAX_COUNT }
    return max
  }

  #maxFollowed(wallMs: number): number {
    return Math.floor(wallMs) + Math.max(0, this.#aheadMs - FOLLOW_MARGIN_MS)
  }

  /** Whether a stamp is accepted. A stamp far in the future would win over every write until that time. */
  accepts(stamp: Stamp, wallMs: number, aheadMs = this.#aheadMs): boolean {
    return stamp.wall <= wallMs + aheadMs && stamp.wall >= 0 && stamp.count >= 0 && stamp.count <= MAX_COUNT
  }

  /**
   * Records another member's accepted stamp. Own stamps follow it, unless it is within the last two minutes of the accepted
   * range. Otherwise one member whose clock is ahead by almost the limit would pull all members' stamps there, and members
   * whose clock is a little behind would refuse them.
   */
  observe(stamp: Stamp, wallMs: number): void {
    this.#accepted(stamp)
    if (stamp.wall > this.#maxFollowed(wallMs)) return
    if (stamp.wall < this.#wall || (stamp.wall === this.#wall && stamp.count <= this.#count)) return
    this.#wall = stamp.wall
    this.#count = stamp.count
  }
}
