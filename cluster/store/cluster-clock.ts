// The cluster's time, from which stamps are made: the median of the members' wall clocks (with two members, the earlier). A
// clock that is months off then neither wins over all other writes nor loses against them. Every message carries its sender's
// cluster time and its wall clock's offset from it. A member whose clock is more than MAX_USED_OFFSET_MS off uses the cluster's
// time. Only wall clocks are compared, never times derived from them: a delay would feed back and move all members' time with
// each stall. Pure: callers pass both clocks.

import type { ClockReading, MemberId } from '../core/state.ts'

/** A wall clock further than this from the cluster's time is not used, so all members' times are within twice this value. */
const MAX_USED_OFFSET_MS = 30_000
/** A clock further off than this is reported in the status and the log. */
export const CLOCK_OFF_MS = 300_000
/** A member whose last message is older than this does not count, ms. */
const STALE_MS = 15_000
/** Its last readings are kept this long, to compare delayed ones with, ms. */
const KEPT_MS = 600_000
const MAX_PEERS = 256
/** A reading that differs from the member's last one by less than this changes nothing, ms. */
const TOLERANCE_MS = 1_000
/** A clock counts by its highest reading within one to two of these windows, ms: a delayed message makes a clock look behind. */
const WINDOW_MS = 3_000
/** A gap between messages counts towards the window up to this much, ms: messages sent before may have been delayed. */
const GAP_MS = 2_000
/** Length of a pause of this process's event loop after which messages may have been delayed, ms. */
const STALL_MS = 3_000
/** Time after such a pause during which readings of new members are ignored, ms. */
const SETTLE_MS = 5_000

/** The wall clock of another member, minus this member's monotonic clock. */
class PeerClock {
  /** Its wall clock minus its cluster time. */
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

  /** Shifts times by `ms`: this process was stopped, and messages that arrived meanwhile were not read. */
  pause(ms: number): void {
    this.at += ms
    this.#since += ms
  }
}

export class ClusterClock {
  readonly #peers = new Map<MemberId, PeerClock>()
  /** The cluster's time minus the monotonic clock; null: the own wall clock is used. */
  #base: number | null = null
  /** The last median of three clocks or more, minus the monotonic clock; null: there is none, or it has been superseded. */
  #agreed: number | null = null
  /** The own wall clock minus the monotonic one, and the number of counted members, at the last comparison. */
  #compared = Number.NaN
  #counted = 0
  #pruneAt = 0
  #lastAt = Number.NaN
  #settledAt = Number.NEGATIVE_INFINITY

  /** Whether the own clock is being compared with another member's. */
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

  /**
   * Records a reading just received from a member.
   * @returns whether the cluster's time may have changed
   */
  observe(from: MemberId, { time, off, agreed = false }: ClockReading, nowMs: number, wallMs: number): boolean {
    this.#notePause(nowMs)
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
    const same = Math.abs(known.wall - before) < TOLERANCE_MS && Math.abs(known.off - off) < TOLERANCE_MS && wasAgreed === agreed
    Object.assign(known, { off, agreed })
    return same ? this.tick(nowMs, wallMs) : this.#compare(nowMs, wallMs)
  }

  /**
   * Drops a member that disconnected or left; it returns under another id.
   * @returns as observe()
   */
  forget(id: MemberId, nowMs: number, wallMs: number): boolean {
    return this.#peers.delete(id) && this.#compare(nowMs, wallMs)
  }

  /**
   * Re-evaluates as time passes: the own wall clock may have been corrected, members may have become stale.
   * @returns as observe()
   */
  tick(nowMs: number, wallMs: number): boolean {
    this.#notePause(nowMs)
    if (nowMs >= this.#pruneAt) {
      this.#pruneAt = nowMs + TOLERANCE_MS
      for (const [id, { at }] of this.#peers) if (nowMs - at > KEPT_MS) this.#peers.delete(id)
      if (this.#freshPeers(nowMs).length !== this.#counted) return this.#compare(nowMs, wallMs)
    }
    return Math.abs(wallMs - nowMs - this.#compared) < TOLERANCE_MS ? false : this.#compare(nowMs, wallMs)
  }

  /** Offsets of the wall clocks of members that are not stale from the cluster's time, ms. */
  *offs(nowMs: number, wallMs: number): Iterable<readonly [MemberId, number]> {
    const time = this.time(nowMs, wallMs) - nowMs
    for (const [id, { wall, at }] of this.#peers) if (nowMs - at <= STALE_MS) yield [id, Math.round(wall - time)]
  }

  /** Detects that this process was stopped: messages read now may have been delayed by that long. */
  #notePause(nowMs: number): void {
    const pausedMs = nowMs - this.#lastAt
    this.#lastAt = nowMs
    if (!(pausedMs > STALL_MS)) return
    this.#settledAt = nowMs + SETTLE_MS
    for (const peer of this.#peers.values()) peer.pause(pausedMs)
  }

  #hasRoom(nowMs: number): boolean {
    if (this.#peers.size < MAX_PEERS) return true
    for (const [id, { at }] of this.#peers) if (nowMs - at > STALE_MS) return this.#peers.delete(id)
    return false
  }

  #freshPeers(nowMs: number): PeerClock[] {
    return [...this.#peers.values()].filter(({ at }) => nowMs - at <= STALE_MS)
  }

  #compare(nowMs: number, wallMs: number): boolean {
    const own = wallMs - nowMs
    const peers = this.#freshPeers(nowMs)
    this.#compared = own
    this.#counted = peers.length
    // Without peers a member keeps the time that it shared with them.
    if (peers.length === 0) return false
    const before = this.#base
    const time = peers.length === 1 ? this.#ofTwo(own, peers[0]!) : medianOf([own, ...peers.map(({ wall }) => wall)])
    if (peers.length > 1) this.#agreed = time
    this.#base = Math.abs(own - time) <= MAX_USED_OFFSET_MS ? null : time
    return this.#base !== before
  }

  /**
   * With two clocks that differ either may be right. The time agreed on while there were more members counts, else the earlier
   * clock: a stamp from the past wins over no other write.
   */
  #ofTwo(own: number, peer: PeerClock): number {
    const earlier = Math.min(own, peer.wall)
    if (Math.abs(own - peer.wall) <= MAX_USED_OFFSET_MS) this.#agreed = null
    else if (this.#agreed === null) return peer.agreed ? peer.time : earlier
    // The two members come from different groups.
    else if (peer.agreed && peer.time < this.#agreed - MAX_USED_OFFSET_MS) this.#agreed = peer.time
    return this.#agreed ?? earlier
  }
}

/** Of an even number, the lower of the middle two. */
function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1]!
}

export interface NamedClock {
  readonly name: string
  /** Its wall clock minus the cluster's time, ms. */
  readonly offMs: number
}

/** Names listed in one message. */
const MAX_NAMES = 8

/**
 * Describes clocks that disagree without showing which are wrong, because half of them or more are off to the same side. With
 * two clocks either may be right. null: the clocks agree, or the ones that are off are a minority.
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
  const names = clocks.slice(0, MAX_NAMES).map(({ name }) => name)
  return clocks.length > MAX_NAMES ? `${names.join(', ')} and ${clocks.length - MAX_NAMES} more` : names.join(', ')
}

/** Text for messages: `400 days ahead of`, `2 hours behind`. */
export function spanOf(offMs: number): string {
  return `${durationOf(offMs)} ${offMs > 0 ? 'ahead of' : 'behind'}`
}

function durationOf(ms: number): string {
  const minutes = Math.round(Math.abs(ms) / 60_000)
  if (minutes < 120) return `${minutes} minutes`
  return minutes < 2880 ? `${Math.round(minutes / 60)} hours` : `${Math.round(minutes / 1440)} days`
}
