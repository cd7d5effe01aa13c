// Anti-entropy: every few seconds a store compares its tables with one other member, and both repair differences. They exchange
// one digest per table, then one per bucket of keys, then the entries of buckets that differ. When very much differs, the whole
// state is taken instead (state-transfer.ts). Compared are tables that both own, and writes old enough to have arrived
// everywhere.

import type { MemberId } from '../core/state.ts'
import { type Cut, encodeStore, FillWriter, type StoreMessage } from './codec.ts'
import type { StoreContext } from './context.ts'
import { bucketDigests, bucketOf, bucketsFor, comparedRows, digestOf, hashText } from './digest.ts'
import { batchJob, isWorthSending, type Outbox } from './outbox.ts'
import { entryOf, type Row, type Table, type Write } from './tables.ts'

/** Interval between comparisons; after one that found differences; range of the delay after a connection opens, ms. */
const INTERVAL_MS = 5_000
const REPEAT_MS = 1_000
const AFTER_CONNECT_MS = [200, 1_200] as const
/** Writes of the last one to two of these intervals may still be in transit and are not compared, ms. */
const SETTLE_MS = 1_000
/** Tables that one response covers, and that one request names. */
const MAX_TABLES = 16
const MAX_ROOTS = 2_000
/** Number of entries up to which differences are repaired by bucket; beyond it the whole state is taken. */
const MAX_FILL_ENTRIES = 4_000

type Of<K extends StoreMessage['kind']> = Extract<StoreMessage, { kind: K }>

export class AntiEntropy {
  due = 0
  readonly #context: StoreContext
  readonly #outbox: Outbox
  /** Called when too much differs to repair it by bucket. */
  readonly #onLargeDifference: (peer: MemberId) => void
  /** Order of the next peers to compare with. */
  #peerOrder: MemberId[] = []
  #settledCut: Cut = { wall: 0, count: 0 }
  #markedCut: Cut = { wall: 0, count: 0 }
  #markAt = 0
  #compareAt = 0
  #repairedLately = false
  #repeatMs = REPEAT_MS / 2

  constructor(context: StoreContext, outbox: Outbox, onLargeDifference: (peer: MemberId) => void) {
    this.#context = context
    this.#outbox = outbox
    this.#onLargeDifference = onLargeDifference
    this.#markAt = context.now + SETTLE_MS
    this.#compareAt = context.now + INTERVAL_MS
    this.due = this.#markAt
  }

  connected(peer: MemberId): void {
    const { now, random } = this.#context
    this.#peerOrder = [peer, ...this.#peerOrder.filter(id => id !== peer)]
    const [min, max] = AFTER_CONNECT_MS
    this.schedule(now + min + random() * (max - min))
  }

  /** Compares at this time at the latest (monotonic ms). */
  schedule(at: number): void {
    this.#compareAt = Math.min(this.#compareAt, at)
    this.due = Math.min(this.due, this.#compareAt)
  }

  /** A difference was found: there may be more, and other members may have it too. */
  repaired(): void {
    this.#repairedLately = true
    this.schedule(this.#context.now + this.#repeatMs)
  }

  tick(): void {
    const { now, clock, random } = this.#context
    if (now < this.due) return
    if (now >= this.#markAt) {
      this.#settledCut = this.#markedCut
      this.#markedCut = clock.highest
      this.#markAt = now + SETTLE_MS
    }
    if (now >= this.#compareAt) {
      // The first repeat comes sooner, later ones back off: under constant writes there is always a difference.
      this.#repeatMs = this.#repairedLately ? Math.min(INTERVAL_MS, 2 * this.#repeatMs) : REPEAT_MS / 2
      this.#compareAt = now + (this.#repairedLately ? this.#repeatMs : INTERVAL_MS) * (0.8 + 0.4 * random())
      this.#repairedLately = false
      this.#sendRoots()
    }
    this.due = Math.min(this.#markAt, this.#compareAt)
  }

  #sendRoots(): void {
    const { tables, peers, random, rules } = this.#context
    const peer = this.#nextPeer(peers, random)
    if (peer === null) return
    const cut = this.#settledCut
    const owned = [...tables.all.values()].filter(({ pool }) => pool.owned)
    const roots = sampleRotated(owned, MAX_ROOTS, random).map(table => ({
      name: hashText(table.name),
      ...digestOf(table, cut, this.#context.now, rules.hash),
    }))
    if (roots.length > 0) this.#outbox.send(peer, { kind: 'roots', cut, roots })
  }

  /** Every peer onceJob, in random order, then again. */
  #nextPeer(peers: ReadonlySet<MemberId>, random: () => number): MemberId | null {
    if (peers.size === 0) return null
    for (;;) {
      if (this.#peerOrder.length === 0) {
        this.#peerOrder = [...peers]
          .map(peer => ({ peer, at: random() }))
          .sort((a, b) => a.at - b.at)
          .map(({ peer }) => peer)
      }
      const peer = this.#peerOrder.shift()!
      if (peers.has(peer)) return peer
    }
  }

  onRoots(from: MemberId, { cut, roots }: Of<'roots'>): void {
    const { tables, rules, random } = this.#context
    const owned = new Map<number, Table>()
    for (const table of tables.all.values()) if (table.pool.owned) owned.set(hashText(table.name), table)
    const differing: { readonly table: Table; readonly count: number }[] = []
    for (const root of roots) {
      const table = owned.get(root.name)
      if (table === undefined) continue
      owned.delete(root.name)
      const own = digestOf(table, cut, this.#context.now, rules.hash)
      if (own.count !== root.count || own.digest !== root.digest) {
        differing.push({ table, count: Math.max(own.count, root.count) })
      }
    }
    for (const { table, count } of sampleRotated(differing, MAX_TABLES, random)) {
      this.repaired()
      this.#outbox.enqueue(onceJob(from, () => this.#buckets(table, cut, bucketsFor(count))))
    }
  }

  #buckets(table: Table, cut: Cut, size: number): StoreMessage & { kind: 'buckets' } {
    const { now, rules } = this.#context
    const digests = bucketDigests(table, cut, now, size, rules.hash)
    return { kind: 'buckets', table: table.name, cut, count: table.rows.size, digests }
  }

  onBuckets(from: MemberId, { table: name, cut, count, digests }: Of<'buckets'>): void {
    const { tables, now, rules } = this.#context
    if (!tables.isOwned(name)) return
    const table = tables.all.get(name)!
    const size = digests.length
    const own = bucketDigests(table, cut, now, size, rules.hash)
    const differing = new Map<number, Row[]>()
    for (let bucket = 0; bucket < size; bucket++) if (own[bucket] !== digests[bucket]) differing.set(bucket, [])
    if (differing.size === 0) return
    this.repaired()
    if ((differing.size / size) * Math.max(count, table.rows.size) > MAX_FILL_ENTRIES) {
      this.#onLargeDifference(from)
      return
    }
    for (const row of comparedRows(table, cut, now)) differing.get(bucketOf(row.key, size))?.push(row)
    this.#outbox.enqueue(this.#fillJob(from, name, cut, size, [...differing]))
  }

  /**
   * Sends bucket after bucket. A bucket that does not fit into one message is sent in batches, and nothing is requested in
   * return.
   */
  #fillJob(to: MemberId, name: string, cut: Cut, size: number, buckets: (readonly [number, readonly Row[]])[]) {
    const context = this.#context
    let at = 0
    return {
      to,
      next: (): Uint8Array | null => {
        if (at >= buckets.length) return null
        const message = new FillWriter(name, cut, size)
        for (let first = true; at < buckets.length; first = false) {
          const [bucket, rows] = buckets[at]!
          const entries = rows.filter(row => isWorthSending(row, context.now)).map(row => entryOf(row, context.now))
          const fits = message.add(bucket, entries)
          if (!fits && !first) break
          if (!fits) this.#outbox.enqueue(batchJob(context, to, rows))
          at++
        }
        context.counts.batchesSent++
        return message.done()
      },
    }
  }

  /** The entries of these buckets have been merged. Sends the ones that the other member lacks. */
  onFill(from: MemberId, { table: name, cut, size, buckets, entries }: Of<'fill'>): void {
    const { tables, now, rules } = this.#context
    const table = tables.all.get(name)
    if (table === undefined || buckets.length === 0) return
    const requested = new Set(buckets)
    const remoteWrites = new Map<string, Write>()
    for (const entry of entries) if (entry.table === name) remoteWrites.set(entry.key, entry)
    const missing: Row[] = []
    for (const row of comparedRows(table, cut, now)) {
      if (!requested.has(bucketOf(row.key, size))) continue
      const remote = remoteWrites.get(row.key)
      if (remote === undefined || rules.compare(row, remote) > 0) missing.push(row)
    }
    if (missing.length === 0) return
    this.repaired()
    this.#outbox.enqueue(batchJob(this.#context, from, missing))
  }
}

function onceJob(to: MemberId, make: () => StoreMessage & { kind: 'buckets' }) {
  let sent = false
  return {
    to,
    next: (): Uint8Array | null => {
      if (sent) return null
      sent = true
      return encodeStore(make())
    },
  }
}

/** At most `max` items, starting at a random one. */
function sampleRotated<T>(list: readonly T[], max: number, random: () => number): readonly T[] {
  if (list.length <= max) return list
  const from = Math.floor(random() * list.length)
  return [...list.slice(from), ...list.slice(0, from)].slice(0, max)
}
