// The cluster's rolling window of one service: ten seconds of outcomes, this member's and those received from others. Pure:
// callers pass the time. A window is restarted by a number, its epoch, which all counts carry, so that earlier failures do not
// count against a service that has just recovered.

import type { Outcomes } from '../../proxy/breaker/tally.ts'
import { Counts, type PackedCounts, unpackCounts } from './counts.ts'

const SECONDS = 10
const SECOND_MS = 1_000
const MAX_MEMBERS = 128
/** Characters of a packed value: below the store's limit with a margin. */
const MAX_CHARACTERS = 7_000
/** Longest reuse of the sum of remote counts, ms; they age. */
const REMOTE_CACHE_MS = 250

interface Second {
  /** Number of the second, by the own clock. */
  readonly at: number
  readonly counts: Counts
}

interface RemoteCounts {
  readonly epoch: number
  readonly receivedMs: number
  /** The first entry is the second in which the counts were sent. */
  readonly seconds: readonly (Counts | null)[]
}

export class Window {
  epoch = 0
  private own: Second[] = []
  private readonly remote = new Map<string, RemoteCounts>()
  /** Cached sum of remote counts: it is read far more often than it changes. */
  private merged: { readonly counts: Counts; readonly epoch: number; readonly atMs: number } | null = null

  restart(epoch: number): void {
    this.epoch = epoch
    this.own = []
  }

  add(outcomes: Outcomes, nowMs: number): void {
    const at = Math.floor(nowMs / SECOND_MS)
    let last = this.own.at(-1)
    if (last === undefined || last.at !== at) {
      this.drop(at)
      last = { at, counts: new Counts() }
      this.own.push(last)
    }
    last.counts.add(outcomes)
  }

  /**
   * Stores another member's counts, sent `ageMs` ago.
   * @returns false: malformed
   */
  receive(member: string, packed: string, nowMs: number, ageMs: number): boolean {
    const other = unpack(packed, nowMs - ageMs)
    if (other === null) return false
    this.merged = null
    this.remote.delete(member)
    this.remote.set(member, other)
    for (const oldest of this.remote.keys()) {
      if (this.remote.size <= MAX_MEMBERS) break
      this.remote.delete(oldest)
    }
    return true
  }

  forget(member: string): void {
    this.merged = null
    this.remote.delete(member)
  }

  /** This member's counts within the window, at least `olderS` seconds old. */
  ownTotal(nowMs: number, olderS = 0): Counts {
    const total = new Counts()
    const at = Math.floor(nowMs / SECOND_MS)
    for (const second of this.own) {
      const ageS = at - second.at
      if (ageS < SECONDS && ageS >= olderS) total.addAll(second.counts)
    }
    return total
  }

  /**
   * All counts within the window.
   * @param own result of ownTotal, which is added to
   */
  total(nowMs: number, own = this.ownTotal(nowMs)): Counts {
    own.addAll(this.remoteTotal(nowMs))
    return own
  }

  /** All counts except one member's, at least `olderS` seconds old. */
  totalWithout(without: string, nowMs: number, olderS = 0): Counts {
    const total = this.ownTotal(nowMs, olderS)
    this.addRemote(total, nowMs, without, olderS)
    return total
  }

  private remoteTotal(nowMs: number): Counts {
    const { merged } = this
    if (merged !== null && merged.epoch === this.epoch && nowMs - merged.atMs < REMOTE_CACHE_MS) return merged.counts
    const total = new Counts()
    this.addRemote(total, nowMs)
    this.merged = { counts: total, epoch: this.epoch, atMs: nowMs }
    return total
  }

  private addRemote(total: Counts, nowMs: number, without = '', olderS = 0): void {
    for (const [member, other] of this.remote) {
      const ageS = (nowMs - other.receivedMs) / SECOND_MS
      if (ageS >= SECONDS) this.remote.delete(member)
      else if (other.epoch === this.epoch && member !== without) {
        for (const [i, counts] of other.seconds.entries())
          if (counts !== null && ageS + i < SECONDS && ageS + i >= olderS) total.addAll(counts)
      }
    }
  }

  /** Number of members with requests within the window, this one included. */
  members(nowMs: number): number {
    const at = Math.floor(nowMs / SECOND_MS)
    let members = this.own.some(second => at - second.at < SECONDS) ? 1 : 0
    for (const { epoch, receivedMs, seconds } of this.remote.values()) {
      const left = SECONDS - (nowMs - receivedMs) / SECOND_MS
      if (epoch === this.epoch && seconds.some((counts, i) => counts !== null && i < left)) members++
    }
    return members
  }

  /** The own counts as text for other members. */
  pack(nowMs: number): string {
    const at = Math.floor(nowMs / SECOND_MS)
    this.drop(at)
    for (let keep = SECONDS; ; keep--) {
      const seconds: (PackedCounts | 0)[] = []
      for (const second of this.own) {
        const i = at - second.at
        if (i >= keep) continue
        while (seconds.length <= i) seconds.push(0)
        seconds[i] = second.counts.pack()
      }
      const packed = JSON.stringify([this.epoch, seconds])
      // Above the limit the oldest seconds are omitted.
      if (packed.length <= MAX_CHARACTERS || keep === 0) return packed
    }
  }

  private drop(at: number): void {
    if (this.own.length > 0 && at - this.own[0]!.at >= SECONDS) this.own = this.own.filter(second => at - second.at < SECONDS)
  }
}

function unpack(packed: string, receivedMs: number): RemoteCounts | null {
  let value: unknown
  try {
    value = JSON.parse(packed)
  } catch {
    return null
  }
  if (!Array.isArray(value) || value.length !== 2) return null
  const [epoch, list] = value as readonly unknown[]
  if (!Number.isSafeInteger(epoch) || !Array.isArray(list) || list.length > SECONDS) return null
  const seconds: (Counts | null)[] = []
  for (const one of list as readonly unknown[]) {
    const counts = one === 0 ? null : unpackCounts(one)
    if (counts === null && one !== 0) return null
    seconds.push(counts)
  }
  return { epoch: epoch as number, receivedMs, seconds }
}
