// One store's mind: tables, clock, and what is said to others, as a pure machine. Calls and events come with the time; effects
// say what is to be done, and `due` when it wants to be called again. gossip.ts carries it to the network, memory.ts runs it
// alone, test/simulation runs whole clusters of it.

import type { MemberId } from '../core/state.ts'
import { Comparison } from './anti-entropy.ts'
import { HybridClock } from './clock.ts'
import { type ClockReading, ClusterClock, spanOf } from './cluster-clock.ts'
import { decodeStore, type StoreMessage } from './codec.ts'
import type { StoreEffect, StoreRules, StoreWorld } from './context.ts'
import { hashWrite } from './digest.ts'
import { type Entry, type PutOptions, STORE_LIMITS, type StoreStatus } from './model.ts'
import { Outgoing } from './outbox.ts'
import { Serving } from './state-server.ts'
import { Transfer } from './state-transfer.ts'
import { entryOf, type StoreLimits, TABLE_RULES, Tables } from './tables.ts'

export interface At {
  /** Monotonic, ms; never goes back. */
  readonly now: number
  /** The wall clock, ms; may jump. */
  readonly wall: number
}

export type StoreEvent =
  /** Time has passed; wanted at `due` at the latest. */
  | { readonly kind: 'tick' }
  /** `from` is authenticated by the network; nothing else is known of it. */
  | { readonly kind: 'message'; readonly from: MemberId; readonly data: Uint8Array }
  | { readonly kind: 'connected'; readonly peer: MemberId }
  | { readonly kind: 'disconnected'; readonly peer: MemberId }
  /** So many members are in the cluster, this one included. */
  | { readonly kind: 'members'; readonly count: number }
  /** A member has left or failed; it comes back under another id. */
  | { readonly kind: 'gone'; readonly member: MemberId }
  /** The clock readings in a member's message; comes before that message. */
  | { readonly kind: 'clock'; readonly from: MemberId; readonly reading: ClockReading }
  /** What `pull` asked for; its hash is right. */
  | { readonly kind: 'pulled'; readonly from: MemberId; readonly hash: string; readonly body: string }
  | { readonly kind: 'pullFailed'; readonly from: MemberId; readonly hash: string }
  /** The replica ends: what was written and not told yet is told now. */
  | { readonly kind: 'end' }

export interface StoreCoreOptions {
  readonly origin: string
  readonly at: At
  readonly random: () => number
  readonly limits?: Partial<StoreLimits>
  readonly rules?: Partial<StoreRules>
}

/** Questions and answers of one member that are looked at: so many at once, so many a second. */
const ASKED_AT_ONCE = 40
const ASKED_PER_SECOND = 10
const SWEEP_MS = 250
/** Two readings of the same time may differ by this much, ms. */
const JITTER_MS = 1_000
const LEAST_SWEPT = 1_000
/** Every row is looked at within so many sweeps. */
const SWEEPS = 20

export class StoreCore {
  readonly tables: Tables
  /** How often stamps were put back because this member's clock was ahead. */
  putBacks = 0
  readonly #world: StoreWorld
  readonly #outgoing: Outgoing
  readonly #comparison: Comparison
  readonly #transfer: Transfer
  readonly #serving: Serving
  readonly #limits: StoreLimits
  readonly #origin: string
  readonly #clusterClock = new ClusterClock()
  /** Connected members that send clock readings with their messages; that send none, as those of earlier versions. */
  readonly #telling = new Set<MemberId>()
  readonly #clockless = new Set<MemberId>()
  /** How far ahead a stamp may be now, ms. */
  #aheadMs: number
  /** The wall clock as it was handed in. */
  #rawWall: number
  readonly #patience = new Map<MemberId, { left: number; at: number }>()
  #sweepAt: number

  constructor({ origin, at, random, limits, rules }: StoreCoreOptions) {
    const all = { ...TABLE_RULES, hash: hashWrite, ...rules }
    this.#origin = origin
    this.#rawWall = at.wall
    this.#limits = { ...STORE_LIMITS, ...limits }
    this.#aheadMs = this.#limits.uncomparedAheadMs
    this.tables = new Tables(this.#limits, all)
    this.#world = {
      ...at,
      tables: this.tables,
      clock: new HybridClock(origin, this.#limits.aheadMs),
      rules: all,
      counts: { ...NO_COUNTS },
      peers: new Set(),
      members: 1,
      random,
      effects: [],
      merge: (from, entries, lessMs) => this.#merge(from, entries, lessMs),
    }
    this.#outgoing = new Outgoing(this.#world)
    this.#transfer = new Transfer(this.#world, this.#outgoing)
    this.#comparison = new Comparison(this.#world, this.#outgoing, peer => this.#transfer.differs(peer))
    this.#serving = new Serving(this.#world, this.#outgoing, () => this.#transfer.isReady)
    this.#sweepAt = at.now + SWEEP_MS
  }

  /** When it wants a tick at the latest, monotonic ms. */
  get due(): number {
    return Math.min(this.#sweepAt, this.#outgoing.due, this.#comparison.due, this.#transfer.due, this.#serving.due)
  }

  // ---- what the replica asks ----

  /** @throws RangeError when something is beyond STORE_LIMITS */
  put(table: string, key: string, value: string, { ttlMs, rank = 1 }: PutOptions, at: At): Entry {
    checkText('table', table, 1, this.#limits.table)
    checkText('key', key, 1, this.#limits.key)
    checkText('value', value, 0, this.#limits.value)
    if (!(ttlMs >= 1 && ttlMs <= this.#limits.ttlMs)) {
      throw new RangeError(`ttlMs ${ttlMs}: expected 1 to ${this.#limits.ttlMs}`)
    }
    this.#enter(at)
    return this.#write(table.toWellFormed(), key.toWellFormed(), value.toWellFormed(), rank, Math.ceil(ttlMs))
  }

  /** null: there was nothing to be removed. */
  remove(table: string, key: string, at: At): Entry | null {
    this.#enter(at)
    const row = this.tables.find(table.toWellFormed(), key.toWellFormed(), at.now)
    if (row === null || row.value === null) return null
    const ttlMs = this.tables.graveMs(row, at.now)
    return this.#write(row.table.name, row.key, null, row.rank, ttlMs)
  }

  get(table: string, key: string, { now }: At): Entry | null {
    const row = this.tables.find(table.toWellFormed(), key.toWellFormed(), now)
    return row === null || row.value === null ? null : entryOf(row, now)
  }

  *entries(table: string, { now }: At): Iterable<Entry> {
    const rows = this.tables.all.get(table.toWellFormed())?.rows.values() ?? []
    for (const row of rows) if (row.until > now && row.value !== null) yield entryOf(row, now)
  }

  *everything({ now }: At): Iterable<Entry> {
    for (const table of this.tables.all.values()) {
      for (const row of table.rows.values()) if (row.until > now) yield entryOf(row, now)
    }
  }

  /** @throws RangeError when something is beyond STORE_LIMITS */
  setTables(caps: ReadonlyMap<string, number>, at: At): void {
    for (const [table, cap] of caps) {
      checkText('table', table, 1, this.#limits.table)
      if (!Number.isInteger(cap) || cap < 0 || cap > this.#limits.entries) {
        throw new RangeError(
          `cap ${cap} of table ${table.slice(0, 64)}: expected a whole number from 0 to ${this.#limits.entries}`,
        )
      }
    }
    this.#enter(at)
    const added = this.tables.own(caps)
    if (added.length === 0) return
    this.#transfer.owned(added)
    // What others hold of them was not kept until now.
    if (this.#world.peers.size > 0) this.#comparison.soon(at.now + 500)
  }

  /** Entries that came another way; not handed on. @returns those that won */
  merge(entries: readonly Entry[], at: At): readonly Entry[] {
    this.#enter(at)
    const fitting = entries.filter(entry => this.#isFit(entry))
    this.#world.counts.refused += entries.length - fitting.length
    return this.#merge('', fitting, 0)
  }

  status(): StoreStatus {
    const { counts } = this.#world
    const { live, evicted, expired } = this.tables
    return { kind: 'gossip', entries: live, tables: this.tables.counts(), counts: { ...counts, evicted, expired }, redis: null }
  }

  /** The cluster's time, ms since 1970, and the latest stamp that is accepted now. */
  time(at: At): { readonly ms: number; readonly latest: number } {
    this.#enter(at)
    const { wall } = this.#world
    return { ms: Math.floor(wall), latest: Math.floor(wall) + this.#aheadMs }
  }

  /** This member's clock readings, to send. */
  reading(at: At): ClockReading {
    this.#enter(at)
    return this.#clusterClock.reading(this.#world.now, this.#rawWall)
  }

  /** How far the wall clocks of members are from the cluster's time, ms; this one's included. */
  clockOffs(at: At): ReadonlyMap<MemberId, number> {
    const { off } = this.reading(at)
    return new Map([[this.#origin, off], ...this.#clusterClock.offs(this.#world.now, this.#rawWall)])
  }

  bodyOf(hash: string): string | null {
    return this.#serving.bodyOf(hash)
  }

  // ---- what happens ----

  step(event: StoreEvent, at: At): void {
    this.#enter(at)
    switch (event.kind) {
      case 'tick':
        break
      case 'clock':
        this.#heardClock(event.from, event.reading)
        break
      case 'message':
        this.#received(event.from, event.data)
        break
      case 'connected':
        this.#world.peers.add(event.peer)
        this.#outgoing.connected()
        this.#transfer.connected(event.peer)
        this.#comparison.connected(event.peer)
        break
      case 'disconnected':
        this.#world.peers.delete(event.peer)
        this.#patience.delete(event.peer)
        this.#telling.delete(event.peer)
        this.#clockless.delete(event.peer)
        this.#clusterClock.gone(event.peer, this.#world.now, at.wall)
        this.#setWall()
        this.#outgoing.disconnected(event.peer)
        this.#transfer.disconnected(event.peer)
        break
      case 'members':
        this.#world.members = event.count
        break
      case 'gone':
        this.#clusterClock.gone(event.member, this.#world.now, at.wall)
        this.#setWall()
        break
      case 'pulled':
        this.#transfer.pulled(event.from, event.hash, event.body)
        break
      case 'pullFailed':
        this.#transfer.pullFailed(event.from, event.hash)
        break
      case 'end':
        this.#outgoing.flush()
        return
    }
    this.#pass()
  }

  /** What is to be done, in order; each is given once. */
  take(): readonly StoreEffect[] {
    return this.#world.effects.splice(0)
  }

  #enter({ now, wall }: At): void {
    this.#world.now = Math.max(this.#world.now, now)
    this.#rawWall = wall
    this.#clusterClock.tick(this.#world.now, wall)
    this.#setWall()
  }

  #setWall(): void {
    const { now, wall: before, clock, tables } = this.#world
    const time = this.#clusterClock.time(now, this.#rawWall)
    this.#world.wall = time
    const isStrict = this.#clusterClock.isCompared && this.#clockless.size === 0
    const aheadBefore = this.#aheadMs
    this.#aheadMs = isStrict ? this.#limits.aheadMs : this.#limits.uncomparedAheadMs
    // What was accepted while clocks were not compared, and no longer is.
    const isBeyond = this.#aheadMs < aheadBefore && clock.highest.wall > time + this.#aheadMs
    const backMs = before - time
    if (backMs <= JITTER_MS && !isBeyond) return
    // Writes stamped by a wrong clock must be accepted by other members, and must not win over theirs.
    const followed = clock.putBack(time)
    if (tables.putBack(Math.max(0, backMs), time, followed) === 0) return
    this.putBacks++
    this.#comparison.soon(now)
  }

  #heardClock(from: MemberId, reading: ClockReading): void {
    const { now } = this.#world
    if (this.#world.peers.has(from)) this.#telling.add(from)
    this.#clockless.delete(from)
    this.#clusterClock.heard(from, reading, now, this.#rawWall)
    this.#setWall()
  }

  /** Time passes for the parts. */
  #pass(): void {
    const { now } = this.#world
    if (now >= this.#sweepAt) {
      this.tables.sweep(Math.max(LEAST_SWEPT, Math.ceil(this.tables.rows / SWEEPS)), now)
      this.#sweepAt = now + SWEEP_MS
    }
    this.#transfer.tick()
    this.#comparison.tick()
    this.#serving.tick()
    this.#outgoing.tick()
  }

  #write(table: string, key: string, value: string | null, rank: 0 | 1, ttlMs: number): Entry {
    const { now, wall, clock, counts } = this.#world
    const write = { key, value, rank, ...clock.stamp(wall, this.tables.find(table, key, now)) }
    counts.written++
    const entry = { table, ...write, ttlMs: Math.max(1, ttlMs) }
    if (this.tables.take(table, write, ttlMs, now) !== 'taken') return entry
    const row = this.tables.find(table, key, now)
    if (row !== null) this.#outgoing.wrote(row)
    return entry
  }

  // ---- what others say ----

  #received(from: MemberId, data: Uint8Array): void {
    if (this.#world.peers.has(from) && !this.#telling.has(from)) {
      this.#clockless.add(from)
      this.#setWall()
    }
    const decoded = decodeStore(data)
    if (!decoded.ok) {
      this.#world.counts.refused++
      this.#warn('malformed', from, `a message of the shared state was dropped: ${decoded.reason}`)
      return
    }
    const { message } = decoded
    if (message.kind !== 'batch' && !this.#hasPatience(from)) {
      this.#world.counts.refused++
      return
    }
    this.#take(from, message)
  }

  #take(from: MemberId, message: StoreMessage): void {
    const { counts } = this.#world
    switch (message.kind) {
      case 'batch': {
        counts.batchesReceived++
        const won = this.#merge(from, message.entries, 0)
        if (message.repair) this.#mended(won.length)
        return
      }
      case 'fill':
        counts.batchesReceived++
        this.#mended(this.#merge(from, message.entries, 0).length)
        this.#comparison.onFill(from, message)
        return
      case 'roots':
        this.#comparison.onRoots(from, message)
        return
      case 'buckets':
        this.#comparison.onBuckets(from, message)
        return
      case 'look':
        this.#transfer.onLook(from)
        return
      case 'state?':
        this.#serving.onAsk(from)
        return
      case 'state':
        this.#transfer.onState(from, message)
        return
    }
  }

  #mended(entries: number): void {
    this.#world.counts.repaired += entries
    if (entries > 0) this.#comparison.mended()
  }

  /** @param lessMs what has passed since their lives were told */
  #merge(from: MemberId, entries: readonly Entry[], lessMs: number): readonly Entry[] {
    const { now, wall, clock, counts, effects } = this.#world
    const won: Entry[] = []
    for (const entry of entries) {
      if (!clock.accepts(entry, wall, this.#aheadMs)) {
        counts.refused++
        if (from !== '')
          this.#warn(
            'ahead',
            from,
            `it sent writes that are stamped ${spanOf(entry.wall - wall)} the cluster's time; they are not taken`,
          )
        continue
      }
      const ttlMs = entry.ttlMs - lessMs
      if (ttlMs <= 0) continue
      clock.observe(entry, wall)
      const taken = this.tables.take(entry.table, entry, ttlMs, now)
      if (taken === 'taken') won.push(lessMs === 0 ? entry : { ...entry, ttlMs: Math.max(1, Math.ceil(ttlMs)) })
      else if (taken === 'outdated') counts.outdated++
    }
    counts.taken += won.length
    // Who calls merge() tells of it (redis.ts).
    if (won.length > 0 && from !== '') effects.push({ kind: 'changed', changes: won })
    return won
  }

  #isFit({ table, key, value, wall, count, origin, ttlMs }: Entry): boolean {
    const limits = this.#limits
    return (
      isWithin(table, 1, limits.table) &&
      isWithin(key, 1, limits.key) &&
      (value === null || isWithin(value, 0, limits.value)) &&
      isWithin(origin, 1, 256) &&
      Number.isInteger(wall) &&
      Number.isInteger(count) &&
      ttlMs >= 1 &&
      ttlMs <= limits.ttlMs
    )
  }

  /** Members without a connection have it together: they may be any number. */
  #hasPatience(member: MemberId): boolean {
    const { now, peers } = this.#world
    const from = peers.has(member) ? member : ''
    const known = this.#patience.get(from)
    const left = Math.min(
      ASKED_AT_ONCE,
      known === undefined ? ASKED_AT_ONCE : known.left + ((now - known.at) / 1000) * ASKED_PER_SECOND,
    )
    if (known === undefined && this.#patience.size >= 1024) this.#patience.clear()
    this.#patience.set(from, { left: Math.max(0, left - 1), at: now })
    return left >= 1
  }

  #warn(subject: string, from: MemberId, message: string): void {
    this.#world.effects.push({ kind: 'warn', subject, from, message })
  }
}

function checkText(what: string, text: string, least: number, most: number): void {
  if (text.length < least || text.length > most) {
    throw new RangeError(`${what} of ${text.length} characters: expected ${least} to ${most}`)
  }
}

function isWithin(text: string, least: number, most: number): boolean {
  return text.length >= least && text.length <= most && text.isWellFormed()
}

const NO_COUNTS = {
  written: 0,
  taken: 0,
  outdated: 0,
  refused: 0,
  evicted: 0,
  expired: 0,
  repaired: 0,
  batchesSent: 0,
  batchesReceived: 0,
  pulls: 0,
  served: 0,
}
