// The core of a member's store as a pure state machine: tables, clock, and the replication protocol. Calls and events carry the
// time; effects say what to do, and `due` when to tick next. gossip.ts connects it to the network, memory.ts runs it alone, and
// test/simulation runs whole clusters of it.

import type { ClockReading, MemberId } from '../core/state.ts'
import { AntiEntropy } from './anti-entropy.ts'
import { HybridClock } from './clock.ts'
import { ClusterClock, spanOf } from './cluster-clock.ts'
import { decodeStore, type StoreMessage } from './codec.ts'
import type { StoreContext, StoreEffect, StoreRules } from './context.ts'
import { hashWrite } from './digest.ts'
import { type Entry, type PutOptions, STORE_LIMITS, type StoreStatus } from './model.ts'
import { Outbox } from './outbox.ts'
import { StateServer } from './state-server.ts'
import { StateTransfer } from './state-transfer.ts'
import { entryOf, type StoreLimits, TABLE_RULES, Tables } from './tables.ts'

export interface At {
  /** Monotonic, ms; never goes back. */
  readonly now: number
  /** Wall clock, ms; may jump. */
  readonly wall: number
}

export type StoreEvent =
  /** Time has passed. Required at `due` at the latest. */
  | { readonly kind: 'tick' }
  /** The network has authenticated `from`; the data is untrusted. */
  | { readonly kind: 'message'; readonly from: MemberId; readonly data: Uint8Array }
  | { readonly kind: 'connected'; readonly peer: MemberId }
  | { readonly kind: 'disconnected'; readonly peer: MemberId }
  /** Number of members of the cluster, this one included. */
  | { readonly kind: 'members'; readonly count: number }
  /** A member has left or failed; it returns under another id. */
  | { readonly kind: 'gone'; readonly member: MemberId }
  /** The clock readings of a message, given before the message. */
  | { readonly kind: 'clock'; readonly from: MemberId; readonly reading: ClockReading }
  /** The body that `pull` requested; its hash has been verified. */
  | { readonly kind: 'pulled'; readonly from: MemberId; readonly hash: string; readonly body: string }
  | { readonly kind: 'pullFailed'; readonly from: MemberId; readonly hash: string }
  /** The replica stops: unsent writes are sent now. */
  | { readonly kind: 'end' }

export interface StoreCoreOptions {
  readonly origin: string
  readonly at: At
  readonly random: () => number
  readonly limits?: Partial<StoreLimits>
  readonly rules?: Partial<StoreRules>
}

/** Requests and responses that are processed per member: burst, and rate per second. */
const REQUEST_BURST = 40
const REQUESTS_PER_SECOND = 10
const SWEEP_MS = 250
/** Difference between two readings of the same time that is ignored, ms. */
const JITTER_MS = 1_000
const MIN_SWEPT_ROWS = 1_000
/** Number of sweeps in which every row is checked once. */
const SWEEPS_PER_CYCLE = 20

export class StoreCore {
  readonly tables: Tables
  /** Number of times that stamps were moved back because the clock of this member was ahead. */
  rewinds = 0
  readonly #context: StoreContext
  readonly #outbox: Outbox
  readonly #antiEntropy: AntiEntropy
  readonly #stateTransfer: StateTransfer
  readonly #stateServer: StateServer
  readonly #limits: StoreLimits
  readonly #origin: string
  readonly #clusterClock = new ClusterClock()
  /** Connected members that send clock readings with their messages; those that do not (earlier versions). */
  readonly #sendClocks = new Set<MemberId>()
  readonly #sendNoClocks = new Set<MemberId>()
  /** How far ahead of the cluster's time a stamp may be now, ms. */
  #aheadMs: number
  /** The wall clock as passed in. */
  #rawWall: number
  readonly #requestBudgets = new Map<MemberId, { left: number; at: number }>()
  #sweepAt: number

  constructor({ origin, at, random, limits, rules }: StoreCoreOptions) {
    const allRules = { ...TABLE_RULES, hash: hashWrite, ...rules }
    this.#origin = origin
    this.#rawWall = at.wall
    this.#limits = { ...STORE_LIMITS, ...limits }
    this.#aheadMs = this.#limits.uncomparedAheadMs
    this.tables = new Tables(this.#limits, allRules)
    this.#context = {
      ...at,
      tables: this.tables,
      clock: new HybridClock(origin, this.#limits.aheadMs),
      rules: allRules,
      counts: { ...NO_COUNTS },
      peers: new Set(),
      members: 1,
      random,
      effects: [],
      merge: (from, entries, ageMs) => this.#merge(from, entries, ageMs),
    }
    this.#outbox = new Outbox(this.#context)
    this.#stateTransfer = new StateTransfer(this.#context, this.#outbox)
    this.#antiEntropy = new AntiEntropy(this.#context, this.#outbox, peer => this.#stateTransfer.reconcile(peer))
    this.#stateServer = new StateServer(this.#context, this.#outbox, () => this.#stateTransfer.isReady)
    this.#sweepAt = at.now + SWEEP_MS
  }

  /** Latest time of the next tick, monotonic ms. */
  get due(): number {
    return Math.min(this.#sweepAt, this.#outbox.due, this.#antiEntropy.due, this.#stateTransfer.due, this.#stateServer.due)
  }

  // ---- calls of the replica ----

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

  /** null: there was no live entry. */
  remove(table: string, key: string, at: At): Entry | null {
    this.#enter(at)
    const row = this.tables.find(table.toWellFormed(), key.toWellFormed(), at.now)
    if (row === null || row.value === null) return null
    const ttlMs = this.tables.tombstoneMs(row, at.now)
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

  *allEntries({ now }: At): Iterable<Entry> {
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
    this.#stateTransfer.onTablesOwned(added)
    // Entries of these tables that other members hold were not kept until now.
    if (this.#context.peers.size > 0) this.#antiEntropy.schedule(at.now + 500)
  }

  /**
   * Merges entries from another source (Redis); they are not forwarded.
   * @returns the entries that won
   */
  merge(entries: readonly Entry[], at: At): readonly Entry[] {
    this.#enter(at)
    const valid = entries.filter(entry => this.#isValidEntry(entry))
    this.#context.counts.refused += entries.length - valid.length
    return this.#merge('', valid, 0)
  }

  status(): StoreStatus {
    const { counts } = this.#context
    const { live, evicted, expired } = this.tables
    return { kind: 'gossip', entries: live, tables: this.tables.counts(), counts: { ...counts, evicted, expired }, redis: null }
  }

  /** The cluster's time, ms since 1970, and the latest stamp that is accepted now. */
  time(at: At): { readonly ms: number; readonly latest: number } {
    this.#enter(at)
    const { wall } = this.#context
    return { ms: Math.floor(wall), latest: Math.floor(wall) + this.#aheadMs }
  }

  /** This member's clock readings, for its messages. */
  reading(at: At): ClockReading {
    this.#enter(at)
    return this.#clusterClock.reading(this.#context.now, this.#rawWall)
  }

  /** Offsets of the members' wall clocks from the cluster's time, ms, this member included. */
  clockOffs(at: At): ReadonlyMap<MemberId, number> {
    const { off } = this.reading(at)
    return new Map([[this.#origin, off], ...this.#clusterClock.offs(this.#context.now, this.#rawWall)])
  }

  bodyOf(hash: string): string | null {
    return this.#stateServer.bodyOf(hash)
  }

  // ---- events ----

  step(event: StoreEvent, at: At): void {
    this.#enter(at)
    switch (event.kind) {
      case 'tick':
        break
      case 'clock':
        this.#onClockReading(event.from, event.reading)
        break
      case 'message':
        this.#onMessage(event.from, event.data)
        break
      case 'connected':
        this.#context.peers.add(event.peer)
        this.#outbox.connected()
        this.#stateTransfer.connected(event.peer)
        this.#antiEntropy.connected(event.peer)
        break
      case 'disconnected':
        this.#context.peers.delete(event.peer)
        this.#requestBudgets.delete(event.peer)
        this.#sendClocks.delete(event.peer)
        this.#sendNoClocks.delete(event.peer)
        this.#clusterClock.forget(event.peer, this.#context.now, at.wall)
        this.#setWall()
        this.#outbox.disconnected(event.peer)
        this.#stateTransfer.disconnected(event.peer)
        break
      case 'members':
        this.#context.members = event.count
        break
      case 'gone':
        this.#clusterClock.forget(event.member, this.#context.now, at.wall)
        this.#setWall()
        break
      case 'pulled':
        this.#stateTransfer.pulled(event.from, event.hash, event.body)
        break
      case 'pullFailed':
        this.#stateTransfer.pullFailed(event.from, event.hash)
        break
      case 'end':
        this.#outbox.flush()
        return
    }
    this.#tickParts()
  }

  /** The pending effects, in order; removes them. */
  take(): readonly StoreEffect[] {
    return this.#context.effects.splice(0)
  }

  #enter({ now, wall }: At): void {
    this.#context.now = Math.max(this.#context.now, now)
    this.#rawWall = wall
    this.#clusterClock.tick(this.#context.now, wall)
    this.#setWall()
  }

  #setWall(): void {
    const { now, wall: before, clock, tables } = this.#context
    const time = this.#clusterClock.time(now, this.#rawWall)
    this.#context.wall = time
    const isStrict = this.#clusterClock.isCompared && this.#sendNoClocks.size === 0
    const aheadBefore = this.#aheadMs
    this.#aheadMs = isStrict ? this.#limits.aheadMs : this.#limits.uncomparedAheadMs
    // Some stamps were accepted while clocks were not compared and are beyond the limit now.
    const isBeyond = this.#aheadMs < aheadBefore && clock.highest.wall > time + this.#aheadMs
    const backMs = before - time
    if (backMs <= JITTER_MS && !isBeyond) return
    // Writes stamped by a wrong clock must be acceptable to other members and must not win over theirs.
    const followed = clock.rewind(time)
    if (tables.rewind(Math.max(0, backMs), time, followed) === 0) return
    this.rewinds++
    this.#antiEntropy.schedule(now)
  }

  #onClockReading(from: MemberId, reading: ClockReading): void {
    const { now } = this.#context
    if (this.#context.peers.has(from)) this.#sendClocks.add(from)
    this.#sendNoClocks.delete(from)
    this.#clusterClock.observe(from, reading, now, this.#rawWall)
    this.#setWall()
  }

  #tickParts(): void {
    const { now } = this.#context
    if (now >= this.#sweepAt) {
      this.tables.sweep(Math.max(MIN_SWEPT_ROWS, Math.ceil(this.tables.rows / SWEEPS_PER_CYCLE)), now)
      this.#sweepAt = now + SWEEP_MS
    }
    this.#stateTransfer.tick()
    this.#antiEntropy.tick()
    this.#stateServer.tick()
    this.#outbox.tick()
  }

  #write(table: string, key: string, value: string | null, rank: 0 | 1, ttlMs: number): Entry {
    const { now, wall, clock, counts } = this.#context
    const write = { key, value, rank, ...clock.stamp(wall, this.tables.find(table, key, now)) }
    counts.written++
    const entry = { table, ...write, ttlMs: Math.max(1, ttlMs) }
    if (this.tables.take(table, write, ttlMs, now) !== 'taken') return entry
    const row = this.tables.find(table, key, now)
    if (row !== null) this.#outbox.enqueueWrite(row)
    return entry
  }

  // ---- messages of other members ----

  #onMessage(from: MemberId, data: Uint8Array): void {
    if (this.#context.peers.has(from) && !this.#sendClocks.has(from)) {
      this.#sendNoClocks.add(from)
      this.#setWall()
    }
    const decoded = decodeStore(data)
    if (!decoded.ok) {
      this.#context.counts.refused++
      this.#warn('malformed', from, `dropped a message of the shared state: ${decoded.reason}`)
      return
    }
    const { message } = decoded
    if (message.kind !== 'batch' && !this.#takeRequestBudget(from)) {
      this.#context.counts.refused++
      return
    }
    this.#dispatch(from, message)
  }

  #dispatch(from: MemberId, message: StoreMessage): void {
    const { counts } = this.#context
    switch (message.kind) {
      case 'batch': {
        counts.batchesReceived++
        const won = this.#merge(from, message.entries, 0)
        if (message.repair) this.#noteRepaired(won.length)
        return
      }
      case 'fill':
        counts.batchesReceived++
        this.#noteRepaired(this.#merge(from, message.entries, 0).length)
        this.#antiEntropy.onFill(from, message)
        return
      case 'roots':
        this.#antiEntropy.onRoots(from, message)
        return
      case 'buckets':
        this.#antiEntropy.onBuckets(from, message)
        return
      case 'stateOffer':
        this.#stateTransfer.onStateOffer(from)
        return
      case 'stateRequest':
        this.#stateServer.onStateRequest(from)
        return
      case 'state':
        this.#stateTransfer.onState(from, message)
        return
    }
  }

  #noteRepaired(entries: number): void {
    this.#context.counts.repaired += entries
    if (entries > 0) this.#antiEntropy.repaired()
  }

  /** @param ageMs time since the entries' times to live were computed */
  #merge(from: MemberId, entries: readonly Entry[], ageMs: number): readonly Entry[] {
    const { now, wall, clock, counts, effects } = this.#context
    const won: Entry[] = []
    for (const entry of entries) {
      if (!clock.accepts(entry, wall, this.#aheadMs)) {
        counts.refused++
        if (from !== '')
          this.#warn('ahead', from, `refused its writes: their stamps are ${spanOf(entry.wall - wall)} the cluster's time`)
        continue
      }
      const ttlMs = entry.ttlMs - ageMs
      if (ttlMs <= 0) continue
      clock.observe(entry, wall)
      const taken = this.tables.take(entry.table, entry, ttlMs, now)
      if (taken === 'taken') won.push(ageMs === 0 ? entry : { ...entry, ttlMs: Math.max(1, Math.ceil(ttlMs)) })
      else if (taken === 'outdated') counts.outdated++
    }
    counts.taken += won.length
    // The caller of merge() reports these changes itself (redis/store.ts).
    if (won.length > 0 && from !== '') effects.push({ kind: 'changed', changes: won })
    return won
  }

  #isValidEntry({ table, key, value, wall, count, origin, ttlMs }: Entry): boolean {
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

  /** Members without a connection share one budget: there may be any number of them. */
  #takeRequestBudget(member: MemberId): boolean {
    const { now, peers } = this.#context
    const from = peers.has(member) ? member : ''
    const known = this.#requestBudgets.get(from)
    const left = Math.min(
      REQUEST_BURST,
      known === undefined ? REQUEST_BURST : known.left + ((now - known.at) / 1000) * REQUESTS_PER_SECOND,
    )
    if (known === undefined && this.#requestBudgets.size >= 1024) this.#requestBudgets.clear()
    this.#requestBudgets.set(from, { left: Math.max(0, left - 1), at: now })
    return left >= 1
  }

  #warn(subject: string, from: MemberId, message: string): void {
    this.#context.effects.push({ kind: 'warn', subject, from, message })
  }
}

function checkText(what: string, text: string, min: number, max: number): void {
  if (text.length < min || text.length > max) {
    throw new RangeError(`${what} of ${text.length} characters: expected ${min} to ${max}`)
  }
}

function isWithin(text: string, min: number, max: number): boolean {
  return text.length >= min && text.length <= max && text.isWellFormed()
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
