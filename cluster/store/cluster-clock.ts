// The time that stamps are made from: the wall clocks of all members, compared, so that one which is months off neither wins over
// all other writes nor loses against them. Every message carries its sender's cluster time, and how far the sender's wall clock
// is from that. A member whose clock is more than USED_OFF_MS from the cluster's (the median of the wall clocks; with
// two members the earlier) uses the cluster's instead. Only wall clocks are compared, never times derived from them: a delay would
// feed back and move the time of both members further with each hang. Pure; both clocks are handed in.

import type { MemberId } from '../core/state.ts'

/** The clock readings that a member sends. */
export interface ClockReading {
  /** The cluster's time by that member, ms since 1970. */
  readonly time: number
  /** Its own wall clock less that, ms; 0 while it uses its own. */
  readonly off: number
  /** Its time comes from the median of three clocks or more. */
  readonly agreed?: boolean | undefined
}

/** A wall clock that is further from the cluster's is not used, so that all members' times are within twice this. */
const USED_OFF_MS = 30_000
/** One that is further off than this is wrong, and is shown in the status and the log. */
export const CLOCK_OFF_MS = 300_000
/** A member that has sent nothing for this long no longer counts, ms. */
const SILENT_MS = 15_000
/** Its last readings are kept for so long, to compare delayed ones with, ms. */
const KEPT_MS = 600_000
const MOST_PEERS = 256
/** A reading that differs by less than this from the member's last one changes nothing, ms. */
const SAME_MS = 1_000
/** A clock counts by its highest reading within one to two of these, ms: a delayed message makes a clock look behind. */
const WINDOW_MS = 3_000
/** Silence of a member counts towards that window for so long at most, ms: what it sent before may have waited. */
const GAP_MS = 2_000
/** A pause of the own event loop from which on messages may have waited, ms. */
const STALL_MS = 3_000
/** After such a pause readings of members not heard before are ignored for so long, ms. */
const SETTLE_MS = 5_000

/** The wall clock of another member, less this member's monotonic clock. */
class PeerClock {
  /** Its wall clock less its cluster time. */
  off = 0
  agreed = false
  at: number
  #highest: number
  #before = Number.NEGATIVE_INFINITY
  #since: number

  constructor(wall: number, nowMs: number) {
    this.#highest = wall
    this.#since = nowMs
    this.at = nowMs
  }

  get wall(): number {
    return Math.max(this.#highest, this.#before)
  }

  get time(): number {
    return this.wall - this.off
  }

  take(wall: number, nowMs: number): void {
    this.#since += Math.max(0, nowMs - this.at - GAP_MS)
    this.at = nowMs
    if (nowMs - this.#since > WINDOW_MS) {
      this.#before = this.#highest
      this.#highest = wall
      this.#since = nowMs
    } else this.#highest = Math.max(this.#highest, wall)
  }

  /** This member was stopped for so long: no time has passed for what it received. */
  pause(ms: number): void {
    this.at += ms
    this.#since += ms
  }
}

export class ClusterClock {
  readonly #peers = new Map<MemberId, PeerClock>()
  /** The cluster's time less the monotonic clock; null: the own wall clock is used. */
  #base: number | null = null
  /** The last median of three clocks or more, less the monotonic clock; null: there was none, or it counts no longer. */
  #agreed: number | null = null
  /** The own wall clock less the monotonic one, and how many members counted, when they were last compared. */
  #compared = Number.NaN
  #counted = 0
  #pruneAt = 0
  #lastAt = Number.NaN
  #settledAt = Number.NEGATIVE_INFINITY

  /** Whether the own clock is compared with that of another member. */
  get isCompared(): boolean {
    return this.#counted > 0
  }

  /** The cluster's time, ms. */
  time(nowMs: number, wallMs: number): number {
    return this.#base === null ? wallMs : Math.round(nowMs + this.#base)
  }

  reading(nowMs: number, wallMs: number): ClockReading {
    const time = this.time(nowMs, wallMs)
    const reading = { time: Math.round(time), off: Math.round(wallMs - time) }
    return this.#agreed === null ? reading : { ...reading, agreed: true }
  }

  /** Takes a reading just received from a member. @returns whether the cluster's time may have changed */
  heard(from: MemberId, { time, off, agreed = false }: ClockReading, nowMs: number, wallMs: number): boolean {
    this.#passed(nowMs)
    const wall = time + off - nowMs
    const known = this.#peers.get(from)
    if (known === undefined) {
      if (nowMs < this.#settledAt || !this.#hasRoom(nowMs)) return false
      const peer = new PeerClock(wall, nowMs)
      this.#peers.set(from, Object.assign(peer, { off, agreed }))
      return this.#compare(nowMs, wallMs)
    }
    const before = known.wall
    const wasAgreed = known.agreed
    known.take(wall, nowMs)
    const same = Math.abs(known.wall - before) < SAME_MS && Math.abs(known.off - off) < SAME_MS && wasAgreed === agreed
    Object.assign(known, { off, agreed })
    return same ? this.tick(nowMs, wallMs) : this.#compare(nowMs, wallMs)
  }

  /** The connection with a member is closed, or it has left: it comes back under another id. @returns as heard() */
  gone(id: MemberId, nowMs: number, wallMs: number): boolean {
    return this.#peers.delete(id) && this.#compare(nowMs, wallMs)
  }

  /** Time has passed: the own wall clock may have been put right, members may be silent. @returns as heard() */
  tick(nowMs: number, wallMs: number): boolean {
    this.#passed(nowMs)
    if (nowMs >= this.#pruneAt) {
      this.#pruneAt = nowMs + SAME_MS
      for (const [id, { at }] of this.#peers) if (nowMs - at > KEPT_MS) this.#peers.delete(id)
      if (this.#counting(nowMs).length !== this.#counted) return this.#compare(nowMs, wallMs)
    }
    return Math.abs(wallMs - nowMs - this.#compared) < SAME_MS ? false : this.#compare(nowMs, wallMs)
  }

  /** How far the wall clocks of members that are not silent are from the cluster's time, ms. */
  *offs(nowMs: number, wallMs: number): Iterable<readonly [MemberId, number]> {
    const time = this.time(nowMs, wallMs) - nowMs
    for (const [id, { wall, at }] of this.#peers) if (nowMs - at <= SILENT_MS) yield [id, Math.round(wall - time)]
  }

  /** Notices that this member was stopped: what it reads now may have waited for so long. */
  #passed(nowMs: number): void {
    const pausedMs = nowMs - this.#lastAt
    this.#lastAt = nowMs
    if (!(pausedMs > STALL_MS)) return
    this.#settledAt = nowMs + SETTLE_MS
    for (const peer of this.#peers.values()) peer.pause(pausedMs)
  }

  #hasRoom(nowMs: number): boolean {
    if (this.#peers.size < MOST_PEERS) return true
    for (const [id, { at }] of this.#peers) if (nowMs - at > SILENT_MS) return this.#peers.delete(id)
    return false
  }

  #counting(nowMs: number): PeerClock[] {
    return [...this.#peers.values()].filter(({ at }) => nowMs - at <= SILENT_MS)
  }

  #compare(nowMs: number, wallMs: number): boolean {
    const own = wallMs - nowMs
    const peers = this.#counting(nowMs)
    this.#compared = own
    this.#counted = peers.length
    // On its own a member goes on with the time that it shared with the others.
    if (peers.length === 0) return false
    const before = this.#base
    const time = peers.length === 1 ? this.#ofTwo(own, peers[0]!) : medianOf([own, ...peers.map(({ wall }) => wall)])
    if (peers.length > 1) this.#agreed = time
    this.#base = Math.abs(own - time) <= USED_OFF_MS ? null : time
    return this.#base !== before
  }

  /**
   * Of two clocks that differ either may be right. The time agreed on while there were more members counts, else the earlier clock:
   * a stamp from the past wins over no other write.
   */
  #ofTwo(own: number, peer: PeerClock): number {
    const earlier = Math.min(own, peer.wall)
    if (Math.abs(own - peer.wall) <= USED_OFF_MS) this.#agreed = null
    else if (this.#agreed === null) return peer.agreed ? peer.time : earlier
    // Both come from different groups.
    else if (peer.agreed && peer.time < this.#agreed - USED_OFF_MS) this.#agreed = peer.time
    return this.#agreed ?? earlier
  }
}

/** Of an even count the lower of the two in the middle. */
function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1]!
}

export interface NamedClock {
  readonly name: string
  /** Its wall clock less the cluster's time, ms. */
  readonly offMs: number
}

/** Names in one message, at most. */
const MOST_NAMES = 8

/**
 * For people: that the clocks differ, when they do not show which are wrong, as half of them or more are off to the same side; of
 * two that differ either may be right. null: they agree, or the clocks that are off are wrong.
 */
export function clocksDiffer(clocks: readonly NamedClock[]): string | null {
  const ahead = clocks.filter(({ offMs }) => offMs > CLOCK_OFF_MS)
  const behind = clocks.filter(({ offMs }) => offMs < -CLOCK_OFF_MS)
  const off = ahead.length >= behind.length ? ahead : behind
  if (off.length === 0 || off.length * 2 < clocks.length) return null
  const others = clocks.filter(clock => !off.includes(clock))
  if (others.length === 0) return null
  const all = clocks.map(({ offMs }) => offMs)
  const span = durationOf(Math.max(...all) - Math.min(...all))
  if (clocks.length === 2)
    return `the clocks of ${others[0]!.name} and ${off[0]!.name} differ by ${span}; two clocks do not show which is wrong: check both`
  return `the clocks of ${listOf(others)} and those of ${listOf(off)} differ by up to ${span}; they do not show which are wrong: check all`
}

function listOf(clocks: readonly NamedClock[]): string {
  const names = clocks.slice(0, MOST_NAMES).map(({ name }) => name)
  return clocks.length > MOST_NAMES ? `${names.join(', ')} and ${clocks.length - MOST_NAMES} more` : names.join(', ')
}

/** For people: `400 days ahead of`, `2 hours behind`. */
export function spanOf(offMs: number): string {
  return `${durationOf(offMs)} ${offMs > 0 ? 'ahead of' : 'behind'}`
}

function durationOf(ms: number): string {
  const minutes = Math.round(Math.abs(ms) / 60_000)
  if (minutes < 120) return `${minutes} minutes`
  return minutes < 2880 ? `${Math.round(minutes / 60)} hours` : `${Math.round(minutes / 1440)} days`
}
