// The cluster's rolling window of one service: ten seconds of what requests came to, this member's and what all others say of
// theirs. Pure: time is handed in. A window is started anew by a number (its epoch), which all members' counts bear, so that what
// was before is not held against a service that has just come back.

import type { Outcomes } from '../../proxy/breaker/tally.ts'
import { Counts, type PackedCounts, unpackCounts } from './counts.ts'

const SECONDS = 10
const SECOND_MS = 1_000
const MOST_MEMBERS = 128
/** Characters of a packed value: with room to spare below what a store takes. */
const MOST_CHARS = 7_000
/** What others said is added up anew so often at least, ms, as it grows old. */
const OTHERS_MS = 250

interface Second {
  /** Its number, by the own clock. */
  readonly at: number
  readonly counts: Counts
}

interface Other {
  readonly epoch: number
  readonly heardMs: number
  /** The first is the second in which it was said. */
  readonly seconds: readonly (Counts | null)[]
}

export class Window {
  epoch = 0
  private own: Second[] = []
  private readonly others = new Map<string, Other>()
  /** What others said, added up: asked for far more often than it changes. */
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

  /** Takes what another member says of itself; `ageMs` is how long ago. @returns false: it is not as it should be */
  heard(member: string, packed: string, nowMs: number, ageMs: number): boolean {
    const other = unpack(packed, nowMs - ageMs)
    if (other === null) return false
    this.merged = null
    this.others.delete(member)
    this.others.set(member, other)
    for (const oldest of this.others.keys()) {
      if (this.others.size <= MOST_MEMBERS) break
      this.others.delete(oldest)
    }
    return true
  }

  forget(member: string): void {
    this.merged = null
    this.others.delete(member)
  }

  /** What counts now of this member's own; only what happened at least `olderS` seconds ago. */
  ownTotal(nowMs: number, olderS = 0): Counts {
    const total = new Counts()
    const at = Math.floor(nowMs / SECOND_MS)
    for (const second of this.own) {
      const ageS = at - second.at
      if (ageS < SECONDS && ageS >= olderS) total.addAll(second.counts)
    }
    return total
  }

  /** All that counts now; `own`, if given, is what ownTotal has just said, and is added to. */
  total(nowMs: number, own = this.ownTotal(nowMs)): Counts {
    own.addAll(this.othersTotal(nowMs))
    return own
  }

  /** The same but for what one member has said; only what happened at least `olderS` seconds ago. */
  totalWithout(without: string, nowMs: number, olderS = 0): Counts {
    const total = this.ownTotal(nowMs, olderS)
    this.addOthers(total, nowMs, without, olderS)
    return total
  }

  private othersTotal(nowMs: number): Counts {
    const { merged } = this
    if (merged !== null && merged.epoch === this.epoch && nowMs - merged.atMs < OTHERS_MS) return merged.counts
    const total = new Counts()
    this.addOthers(total, nowMs)
    this.merged = { counts: total, epoch: this.epoch, atMs: nowMs }
    return total
  }

  private addOthers(total: Counts, nowMs: number, without = '', olderS = 0): void {
    for (const [member, other] of this.others) {
      const ageS = (nowMs - other.heardMs) / SECOND_MS
      if (ageS >= SECONDS) this.others.delete(member)
      else if (other.epoch === this.epoch && member !== without) {
        for (const [i, counts] of other.seconds.entries())
          if (counts !== null && ageS + i < SECONDS && ageS + i >= olderS) total.addAll(counts)
      }
    }
  }

  /** Members with requests within the window, this one included. */
  members(nowMs: number): number {
    const at = Math.floor(nowMs / SECOND_MS)
    let members = this.own.some(second => at - second.at < SECONDS) ? 1 : 0
    for (const { epoch, heardMs, seconds } of this.others.values()) {
      const left = SECONDS - (nowMs - heardMs) / SECOND_MS
      if (epoch === this.epoch && seconds.some((counts, i) => counts !== null && i < left)) members++
    }
    return members
  }

  /** The own counts, for the others. */
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
      // What is oldest goes first where so much happened that not all can be told.
      if (packed.length <= MOST_CHARS || keep === 0) return packed
    }
  }

  private drop(at: number): void {
    if (this.own.length > 0 && at - this.own[0]!.at >= SECONDS) this.own = this.own.filter(second => at - second.at < SECONDS)
  }
}

function unpack(packed: string, heardMs: number): Other | null {
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
  return { epoch: epoch as number, heardMs, seconds }
}
