// Anti-entropy: now and then a store compares what it holds with one other member, and both mend where they differ: first one
// number for each table, then one for each bucket of its keys, then the entries of the buckets that differ. Where very much
// differs, the whole state is taken instead (transfer.ts). Only tables that both own are compared, and only writes that had
// time to arrive.

import type { MemberId } from '../core/state.ts'
import { type Cut, encodeStore, FillWriter, type StoreMessage } from './codec.ts'
import type { StoreWorld } from './context.ts'
import { bucketDigests, bucketOf, bucketsFor, comparedRows, digestOf, hashText } from './digest.ts'
import { batches, isWorthIt, type Outgoing } from './outbox.ts'
import { entryOf, type Row, type Table, type Write } from './tables.ts'

/** Between two comparisons; after one that found something; after a connection is there: between these two, ms. */
const EVERY_MS = 5_000
const AGAIN_MS = 1_000
const CONNECTED_MS = [200, 1_200] as const
/** Writes of the last second or two are still on their way, and not compared. */
const SETTLE_MS = 1_000
/** Tables that one answer goes into, and that one question names. */
const MOST_TABLES = 16
const MOST_ROOTS = 2_000
/** About so many entries are mended one by one; beyond that the whole state is taken. */
const MOST_FILLED = 4_000

type Of<K extends StoreMessage['kind']> = Extract<StoreMessage, { kind: K }>

export class Comparison {
  due = 0
  readonly #world: StoreWorld
  readonly #outgoing: Outgoing
  /** Very much differs from what this member holds. */
  readonly #onMuch: (peer: MemberId) => void
  /** Whose turn it is, first to last. */
  #turns: MemberId[] = []
  #settled: Cut = { wall: 0, count: 0 }
  #marked: Cut = { wall: 0, count: 0 }
  #markAt = 0
  #compareAt = 0
  #mended = false
  #againMs = AGAIN_MS / 2

  constructor(world: StoreWorld, outgoing: Outgoing, onMuch: (peer: MemberId) => void) {
    this.#world = world
    this.#outgoing = outgoing
    this.#onMuch = onMuch
    this.#markAt = world.now + SETTLE_MS
    this.#compareAt = world.now + EVERY_MS
    this.due = this.#markAt
  }

  connected(peer: MemberId): void {
    const { now, random } = this.#world
    this.#turns = [peer, ...this.#turns.filter(id => id !== peer)]
    const [least, most] = CONNECTED_MS
    this.soon(now + least + random() * (most - least))
  }

  /** Something may be missing: compare at that time at the latest. */
  soon(at: number): void {
    this.#compareAt = Math.min(this.#compareAt, at)
    this.due = Math.min(this.due, this.#compareAt)
  }

  /** Something differed: there may be more, and others may lack it too. */
  mended(): void {
    this.#mended = true
    this.soon(this.#world.now + this.#againMs)
  }

  tick(): void {
    const { now, clock, random } = this.#world
    if (now < this.due) return
    if (now >= this.#markAt) {
      this.#settled = this.#marked
      this.#marked = clock.highest
      this.#markAt = now + SETTLE_MS
    }
    if (now >= this.#compareAt) {
      // Once it is quicker, then slower and slower: where entries come and go all the time there is always something.
      this.#againMs = this.#mended ? Math.min(EVERY_MS, 2 * this.#againMs) : AGAIN_MS / 2
      this.#compareAt = now + (this.#mended ? this.#againMs : EVERY_MS) * (0.8 + 0.4 * random())
      this.#mended = false
      this.#ask()
    }
    this.due = Math.min(this.#markAt, this.#compareAt)
  }

  #ask(): void {
    const { tables, peers, random, rules } = this.#world
    const peer = this.#nextPeer(peers, random)
    if (peer === null) return
    const cut = this.#settled
    const owned = [...tables.all.values()].filter(({ pool }) => pool.owned)
    const roots = rotated(owned, MOST_ROOTS, random).map(table => ({
      name: hashText(table.name),
      ...digestOf(table, cut, this.#world.now, rules.hash),
    }))
    if (roots.length > 0) this.#outgoing.say(peer, { kind: 'roots', cut, roots })
  }

  /** Everybody in turn, in an order of its own. */
  #nextPeer(peers: ReadonlySet<MemberId>, random: () => number): MemberId | null {
    if (peers.size === 0) return null
    for (;;) {
      if (this.#turns.length === 0) {
        this.#turns = [...peers]
          .map(peer => ({ peer, at: random() }))
          .sort((a, b) => a.at - b.at)
          .map(({ peer }) => peer)
      }
      const peer = this.#turns.shift()!
      if (peers.has(peer)) return peer
    }
  }

  onRoots(from: MemberId, { cut, roots }: Of<'roots'>): void {
    const { tables, rules, random } = this.#world
    const owned = new Map<number, Table>()
    for (const table of tables.all.values()) if (table.pool.owned) owned.set(hashText(table.name), table)
    const differing: { readonly table: Table; readonly count: number }[] = []
    for (const root of roots) {
      const table = owned.get(root.name)
      if (table === undefined) continue
      owned.delete(root.name)
      const own = digestOf(table, cut, this.#world.now, rules.hash)
      if (own.count !== root.count || own.digest !== root.digest) {
        differing.push({ table, count: Math.max(own.count, root.count) })
      }
    }
    for (const { table, count } of rotated(differing, MOST_TABLES, random)) {
      this.mended()
      this.#outgoing.tell(once(from, () => this.#buckets(table, cut, bucketsFor(count))))
    }
  }

  #buckets(table: Table, cut: Cut, size: number): StoreMessage & { kind: 'buckets' } {
    const { now, rules } = this.#world
    const digests = bucketDigests(table, cut, now, size, rules.hash)
    return { kind: 'buckets', table: table.name, cut, count: table.rows.size, digests }
  }

  onBuckets(from: MemberId, { table: name, cut, count, digests }: Of<'buckets'>): void {
    const { tables, now, rules } = this.#world
    if (!tables.isOwned(name)) return
    const table = tables.all.get(name)!
    const size = digests.length
    const own = bucketDigests(table, cut, now, size, rules.hash)
    const differing = new Map<number, Row[]>()
    for (let bucket = 0; bucket < size; bucket++) if (own[bucket] !== digests[bucket]) differing.set(bucket, [])
    if (differing.size === 0) return
    this.mended()
    if ((differing.size / size) * Math.max(count, table.rows.size) > MOST_FILLED) {
      this.#onMuch(from)
      return
    }
    for (const row of comparedRows(table, cut, now)) differing.get(bucketOf(row.key, size))?.push(row)
    this.#outgoing.tell(this.#fills(from, name, cut, size, [...differing]))
  }

  /** The buckets one after the other; one that does not fit into a message is handed over, but nothing is asked for in return. */
  #fills(to: MemberId, name: string, cut: Cut, size: number, buckets: (readonly [number, readonly Row[]])[]) {
    const world = this.#world
    let at = 0
    return {
      to,
      next: (): Uint8Array | null => {
        if (at >= buckets.length) return null
        const message = new FillWriter(name, cut, size)
        for (let first = true; at < buckets.length; first = false) {
          const [bucket, rows] = buckets[at]!
          const entries = rows.filter(row => isWorthIt(row, world.now)).map(row => entryOf(row, world.now))
          const fits = message.add(bucket, entries)
          if (!fits && !first) break
          if (!fits) this.#outgoing.tell(batches(world, to, rows))
          at++
        }
        world.counts.batchesSent++
        return message.done()
      },
    }
  }

  /** What the other holds in these buckets was taken in; what it lacks goes back. */
  onFill(from: MemberId, { table: name, cut, size, buckets, entries }: Of<'fill'>): void {
    const { tables, now, rules } = this.#world
    const table = tables.all.get(name)
    if (table === undefined || buckets.length === 0) return
    const asked = new Set(buckets)
    const theirs = new Map<string, Write>()
    for (const entry of entries) if (entry.table === name) theirs.set(entry.key, entry)
    const lacking: Row[] = []
    for (const row of comparedRows(table, cut, now)) {
      if (!asked.has(bucketOf(row.key, size))) continue
      const their = theirs.get(row.key)
      if (their === undefined || rules.compare(row, their) > 0) lacking.push(row)
    }
    if (lacking.length === 0) return
    this.mended()
    this.#outgoing.tell(batches(this.#world, from, lacking))
  }
}

function once(to: MemberId, make: () => StoreMessage & { kind: 'buckets' }) {
  let said = false
  return {
    to,
    next: (): Uint8Array | null => {
      if (said) return null
      said = true
      return encodeStore(make())
    },
  }
}

/** At most so many, from a place that is drawn. */
function rotated<T>(list: readonly T[], most: number, random: () => number): readonly T[] {
  if (list.length <= most) return list
  const from = Math.floor(random() * list.length)
  return [...list.slice(from), ...list.slice(0, from)].slice(0, most)
}
