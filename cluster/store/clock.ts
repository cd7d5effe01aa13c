// Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): stamps that never go back, follow the wall clock as
// far as that goes forward, and come after every stamp that was seen, so that members' wall clocks may differ and jump. Pure; the
// wall clock is handed in.

import { compareStamps, STORE_LIMITS, type Stamp } from './model.ts'

/**
 * The own clock follows others' stamps less far than they are believed, ms: members whose wall clocks are so far behind believe
 * it.
 */
const FOLLOWED_LESS_MS = 120_000
/** A count beyond this is carried over to the next millisecond. */
const MOST_COUNT = 2 ** 31

export class HybridClock {
  readonly #origin: string
  readonly #aheadMs: number
  #wall = 0
  #count = 0
  /** The highest stamp taken, also from beyond what this clock follows. */
  #highest = { wall: 0, count: 0 }

  constructor(origin: string, aheadMs: number = STORE_LIMITS.aheadMs) {
    this.#origin = origin
    this.#aheadMs = aheadMs
  }

  /** The highest stamp given or seen. */
  get last(): { readonly wall: number; readonly count: number } {
    return { wall: this.#wall, count: this.#count }
  }

  /** The highest stamp given or taken: no stamp in the store is above it. */
  get highest(): { readonly wall: number; readonly count: number } {
    const { wall, count } = this.#highest
    return wall > this.#wall || (wall === this.#wall && count > this.#count) ? this.#highest : this.last
  }

  #took({ wall, count }: Pick<Stamp, 'wall' | 'count'>): void {
    const before = this.#highest
    if (wall > before.wall || (wall === before.wall && count > before.count)) this.#highest = { wall, count }
  }

  /** The stamp of an own write: higher than all before, and than that of what it takes the place of. */
  stamp(wallMs: number, held: Stamp | null = null): Stamp {
    const stamp = this.#next(Math.floor(wallMs))
    if (held === null || compareStamps(stamp, held) > 0) return stamp
    // From beyond what this clock follows.
    const { wall, count } = held
    const above = count < MOST_COUNT ? { ...stamp, wall, count: count + 1 } : { ...stamp, wall: wall + 1, count: 0 }
    this.#took(above)
    return above
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

  /**
   * The wall clock was put back: own stamps go back with it, as far as needed for other members to accept them.
   * @returns the wall clock of the highest stamp that this clock would follow
   */
  putBack(wallMs: number): number {
    const most = this.#mostFollowed(wallMs)
    if (this.#wall > most) {
      this.#wall = most
      this.#count = 0
    }
    if (this.#highest.wall > most) this.#highest = { wall: most, count: MOST_COUNT }
    return most
  }

  #mostFollowed(wallMs: number): number {
    return Math.floor(wallMs) + Math.max(0, this.#aheadMs - FOLLOWED_LESS_MS)
  }

  /** Whether a stamp is accepted: one from far in the future would win over every write for that long. */
  accepts(stamp: Stamp, wallMs: number, aheadMs = this.#aheadMs): boolean {
    return stamp.wall <= wallMs + aheadMs && stamp.wall >= 0 && stamp.count >= 0 && stamp.count <= MOST_COUNT
  }

  /**
   * Another member's stamp has been taken: own stamps come after it, unless it is within the last two minutes of the accepted
   * range. Else one member whose clock is ahead by almost the accepted limit would drag all others' stamps there, and members whose
   * clock is a little behind would refuse them.
   */
  observe(stamp: Stamp, wallMs: number): void {
    this.#took(stamp)
    if (stamp.wall > this.#mostFollowed(wallMs)) return
    if (stamp.wall < this.#wall || (stamp.wall === this.#wall && stamp.count <= this.#count)) return
    this.#wall = stamp.wall
    this.#count = stamp.count
  }
}
