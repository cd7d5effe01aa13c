// What a store says: its own writes to all, in batches, and answers to single members, one at a time, so that a store with much
// to say neither fills the network nor its own thread. What is overtaken before it is said is not said.

import type { MemberId } from '../core/state.ts'
import { BatchWriter, encodeStore } from './codec.ts'
import type { StoreWorld } from './context.ts'
import { FLUSH_MS } from './model.ts'
import { entryOf, type Row, type Table } from './tables.ts'

/** With more members each speaks less often, so that together they say about as much, ms. */
const FULL_RATE_UP_TO = 16
/** Own writes that wait; beyond it peers are told to take the whole state instead. */
const MOST_WAITING = 20_000
/** Between two messages to single members, ms. */
const DIRECT_MS = 50
/** Answers that wait: to one member, to all that there is no connection with, to all. */
const MOST_JOBS_OF_ONE = 24
const MOST_JOBS_OF_STRANGERS = 16
const MOST_JOBS = 256

export interface Job {
  readonly to: MemberId
  /** The next message, made when there is room for it; null: there is no more. */
  next(): Uint8Array | null
}

export class Outgoing {
  /** When it wants to be called, monotonic ms. */
  due = Number.POSITIVE_INFINITY
  readonly #world: StoreWorld
  readonly #tables = new Set<Table>()
  #jobs: Job[] = []
  #flushedAt = Number.NEGATIVE_INFINITY
  #directAt = Number.NEGATIVE_INFINITY
  /** At least as many as wait. */
  #waiting = 0
  #tooMuch = false

  constructor(world: StoreWorld) {
    this.#world = world
  }

  wrote(row: Row): void {
    if (this.#tooMuch) return
    const isFirst = !this.#hasNews
    row.table.dirty.add(row)
    this.#tables.add(row.table)
    if (++this.#waiting > MOST_WAITING) {
      this.#waiting = this.#count()
      if (this.#waiting > MOST_WAITING) this.#giveUp()
    }
    if (isFirst) this.#plan()
  }

  /** To one member, after what others are to be told; `urgent`: before it. */
  tell(job: Job, urgent = false): void {
    if (this.#jobs.length >= MOST_JOBS || !this.#hasRoomFor(job.to)) return
    if (urgent) this.#jobs.unshift(job)
    else this.#jobs.push(job)
    this.#plan()
  }

  say(to: MemberId, message: Parameters<typeof encodeStore>[0], urgent = false): void {
    let data: Uint8Array | null = encodeStore(message)
    this.tell({ to, next: () => [data, (data = null)][0] ?? null }, urgent)
  }

  /** Who asks and asks must not take the place of others. */
  #hasRoomFor(to: MemberId): boolean {
    const { peers } = this.#world
    const own = this.#jobs.filter(job => job.to === to).length
    if (peers.has(to)) return own < MOST_JOBS_OF_ONE
    return this.#jobs.filter(job => !peers.has(job.to)).length < MOST_JOBS_OF_STRANGERS
  }

  connected(): void {
    this.#plan()
  }

  disconnected(peer: MemberId): void {
    this.#jobs = this.#jobs.filter(job => job.to !== peer)
    this.#plan()
  }

  tick(): void {
    const { now, peers } = this.#world
    if (now < this.due) return
    if (this.#hasNews && peers.size > 0 && now >= this.#flushedAt + this.#intervalMs) this.flush()
    if (this.#jobs.length > 0 && now >= this.#directAt + DIRECT_MS) this.#direct()
    this.#plan()
  }

  get #hasNews(): boolean {
    return this.#tables.size > 0 || this.#tooMuch
  }

  get #intervalMs(): number {
    return FLUSH_MS * Math.max(1, this.#world.members / FULL_RATE_UP_TO)
  }

  #plan(): void {
    const flushAt = this.#hasNews && this.#world.peers.size > 0 ? this.#flushedAt + this.#intervalMs : Number.POSITIVE_INFINITY
    const directAt = this.#jobs.length > 0 ? this.#directAt + DIRECT_MS : Number.POSITIVE_INFINITY
    this.due = Math.min(flushAt, directAt)
  }

  /** One batch of what was written, now. Small tables first: a breaker does not wait behind ten thousand sessions. */
  flush(): void {
    const { now, effects, counts } = this.#world
    if (this.#tooMuch) {
      this.#tooMuch = false
      this.#flushedAt = now
      effects.push({ kind: 'broadcast', data: encodeStore({ kind: 'look' }) })
      return
    }
    const batch = new BatchWriter(false)
    const tables = [...this.#tables].sort((a, b) => a.dirty.size - b.dirty.size)
    fill: for (const table of tables) {
      for (const row of table.dirty) {
        if (row.until > now && !batch.add(entryOf(row, now))) break fill
        table.dirty.delete(row)
      }
      this.#tables.delete(table)
    }
    if (batch.count === 0) return
    this.#waiting = Math.max(0, this.#waiting - batch.count)
    this.#flushedAt = now
    counts.batchesSent++
    effects.push({ kind: 'broadcast', data: batch.done() })
  }

  #direct(): void {
    const { now, effects } = this.#world
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      const data = job.next()
      if (data === null) {
        this.#jobs.shift()
        continue
      }
      this.#directAt = now
      effects.push({ kind: 'send', to: job.to, data })
      // Everybody in turn: what one is told must not hold up what another waits for.
      const { to } = job
      this.#jobs = [...this.#jobs.filter(other => other.to !== to), ...this.#jobs.filter(other => other.to === to)]
      return
    }
  }

  #count(): number {
    let waiting = 0
    for (const table of this.#tables) waiting += table.dirty.size
    return waiting
  }

  #giveUp(): void {
    for (const table of this.#tables) table.dirty.clear()
    this.#tables.clear()
    this.#waiting = 0
    this.#tooMuch = true
  }
}

/** Batches of these rows, as far as they are held when it is their turn, and have a life worth handing over. */
export function batches(world: StoreWorld, to: MemberId, rows: readonly Row[]): Job {
  let at = 0
  return {
    to,
    next() {
      const batch = new BatchWriter(true)
      while (at < rows.length) {
        const row = rows[at]!
        if (isWorthIt(row, world.now) && !batch.add(entryOf(row, world.now))) break
        at++
      }
      if (batch.count === 0) return null
      world.counts.batchesSent++
      return batch.done()
    },
  }
}

const SHORTEST_LIFE_MS = 500

export function isWorthIt(row: Row, now: number): boolean {
  return row.until - now > SHORTEST_LIFE_MS && row.table.rows.get(row.key) === row
}
