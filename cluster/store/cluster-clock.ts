// The time that stamps are made from: the wall clocks of all members, compared, so that one which is months off neither wins over
// all other writes nor loses against them. Every message carries its sender's cluster time, and how far the sender's wall clock
// is from that. A member whose clock is more than USED_OFF_MS from the cluster's (the median of the wall clocks; with
// two members the earlier) uses the cluster's instead. Pure; both clocks are handed in.

import type { MemberId } from '../model.ts'

/** The clock readings that a member sends. */
export interface ClockReading {
  /** The cluster's time by that member, ms since 1970. */
  readonly time: number
  /** Its own wall clock less that, ms; 0 while it uses its own. */
  readonly off: number
}

/** A wall clock that is further from the cluster's is not used, so that all members' times are within twice this. */
const USED_OFF_MS = 30_000
/** One that is further off than this is wrong, and is shown in the status and the log. */
export const CLOCK_OFF_MS = 300_000
/** A member that has sent nothing for this long no longer counts, ms. */
const SILENT_MS = 15_000
const MOST_PEERS = 256
/** A reading that differs by less than this from the member's last one changes nothing, ms. */
const SAME_MS = 1_000

interface Known {
  /** Its cluster time, and its wall clock, less this member's monotonic clock. */
  time: number
  wall: number
  at: number
}

export class ClusterClock {
  readonly #peers = new Map<MemberId, Known>()
  /** The cluster's time less the monotonic clock; null: the own wall clock is used. */
  #base: number | null = null
  /** The own wall clock less the monotonic one, when it was last compared. */
  #compared = Number.NaN
  #pruneAt = 0

  /** The cluster's time, ms. */
  time(nowMs: number, wallMs: number): number {
    return this.#base === null ? wallMs : Math.round(nowMs + this.#base)
  }

  reading(nowMs: number, wallMs: number): ClockReading {
    const time = this.time(nowMs, wallMs)
    return { time: Math.round(time), off: Math.round(wallMs - time) }
  }

  /** Takes a reading just received from a member. @returns whether the cluster's time may have changed */
  heard(from: MemberId, { time, off }: ClockReading, nowMs: number, wallMs: number): boolean {
    const known = this.#peers.get(from)
    const next = { time: time - nowMs, wall: time + off - nowMs, at: nowMs }
    if (known === undefined && this.#peers.size >= MOST_PEERS) return false
    this.#peers.set(from, next)
    const same = known !== undefined && Math.abs(known.time - next.time) < SAME_MS && Math.abs(known.wall - next.wall) < SAME_MS
    return same ? this.tick(nowMs, wallMs) : this.#compare(nowMs, wallMs)
  }

  /** Time has passed: the own wall clock may have been put right, members may be silent. @returns as heard() */
  tick(nowMs: number, wallMs: number): boolean {
    if (nowMs >= this.#pruneAt) {
      this.#pruneAt = nowMs + SAME_MS
      let pruned = false
      for (const [id, { at }] of this.#peers) if (nowMs - at > SILENT_MS) pruned = this.#peers.delete(id)
      if (pruned) return this.#compare(nowMs, wallMs)
    }
    return Math.abs(wallMs - nowMs - this.#compared) < SAME_MS ? false : this.#compare(nowMs, wallMs)
  }

  /** How far the wall clocks of members that are not silent are from the cluster's time, ms. */
  *offs(nowMs: number, wallMs: number): Iterable<readonly [MemberId, number]> {
    const time = this.time(nowMs, wallMs) - nowMs
    for (const [id, { wall }] of this.#peers) yield [id, Math.round(wall - time)]
  }

  #compare(nowMs: number, wallMs: number): boolean {
    const own = wallMs - nowMs
    this.#compared = own
    // On its own a member goes on with the time that it shared with the others.
    if (this.#peers.size === 0) return false
    const before = this.#base
    const peers = [...this.#peers.values()]
    // Of two clocks either may be right. The time agreed on while there were more members counts, else the earlier clock: a stamp
    // from the past wins over no other write.
    const times = this.#peers.size === 1 ? [before ?? own, peers[0]!.time] : [own, ...peers.map(({ wall }) => wall)]
    times.sort((a, b) => a - b)
    const median = times[(times.length - 1) >> 1]!
    this.#base = Math.abs(own - median) <= USED_OFF_MS ? null : median
    return this.#base !== before
  }
}

/** For people: `400 days ahead of`, `2 hours behind`. */
export function spanOf(offMs: number): string {
  const minutes = Math.round(Math.abs(offMs) / 60_000)
  const [count, unit] =
    minutes < 120
      ? [minutes, 'minutes']
      : minutes < 2880
        ? [Math.round(minutes / 60), 'hours']
        : [Math.round(minutes / 1440), 'days']
  return `${count} ${unit} ${offMs > 0 ? 'ahead of' : 'behind'}`
}
