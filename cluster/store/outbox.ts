// Outgoing messages of a store: own writes to all members in batches, and jobs for single members, one message at a time, so
// that a large amount of data floods neither the network nor this thread. A write that is superseded before it is sent is not
// sent.

import type { MemberId } from '../core/state.ts'
import { BatchWriter, encodeStore } from './codec.ts'
import type { StoreContext } from './context.ts'
import { FLUSH_MS } from './model.ts'
import { entryOf, type Row, type Table } from './tables.ts'

/** Above this number of members the flush interval grows, so that the whole cluster sends about the same amount. */
const FULL_RATE_MEMBERS = 16
/** Own writes that may wait. Beyond it peers are asked to take the whole state instead. */
const MAX_WAITING_WRITES = 20_000
/** Interval between two messages to single members, ms. */
const SEND_INTERVAL_MS = 50
/** Jobs that may wait: for one member, for all members without a connection, in total. */
const MAX_JOBS_PER_PEER = 24
const MAX_JOBS_UNCONNECTED = 16
const MAX_JOBS = 256

export interface Job {
  readonly to: MemberId
  /** The next message, built when it can be sent; null: the job is finished. */
  next(): Uint8Array | null
}

export class Outbox {
  /** Time of the next tick, monotonic ms. */
  due = Number.POSITIVE_INFINITY
  readonly #context: StoreContext
  readonly #tables = new Set<Table>()
  #jobs: Job[] = []
  #flushedAt = Number.NEGATIVE_INFINITY
  #sentAt = Number.NEGATIVE_INFINITY
  /** Upper bound of the number of waiting writes. */
  #waiting = 0
  #overflowed = false

  constructor(context: StoreContext) {
    this.#context = context
  }

  enqueueWrite(row: Row): void {
    if (this.#overflowed) return
    const isFirst = !this.#hasWrites
    row.table.dirty.add(row)
    this.#tables.add(row.table)
    if (++this.#waiting > MAX_WAITING_WRITES) {
      this.#waiting = this.#countWaiting()
      if (this.#waiting > MAX_WAITING_WRITES) this.#overflow()
    }
    if (isFirst) this.#schedule()
  }

  /** Queues a job for one member; `urgent`: at the front. */
  enqueue(job: Job, urgent = false): void {
    if (this.#jobs.length >= MAX_JOBS || !this.#hasCapacityFor(job.to)) return
    if (urgent) this.#jobs.unshift(job)
    else this.#jobs.push(job)
    this.#schedule()
  }

  send(to: MemberId, message: Parameters<typeof encodeStore>[0], urgent = false): void {
    let data: Uint8Array | null = encodeStore(message)
    this.enqueue({ to, next: () => [data, (data = null)][0] ?? null }, urgent)
  }

  /** A member that sends many requests must not crowd out others. */
  #hasCapacityFor(to: MemberId): boolean {
    const { peers } = this.#context
    const own = this.#jobs.filter(job => job.to === to).length
    if (peers.has(to)) return own < MAX_JOBS_PER_PEER
    return this.#jobs.filter(job => !peers.has(job.to)).length < MAX_JOBS_UNCONNECTED
  }

  connected(): void {
    this.#schedule()
  }

  disconnected(peer: MemberId): void {
    this.#jobs = this.#jobs.filter(job => job.to !== peer)
    this.#schedule()
  }

  tick(): void {
    const { now, peers } = this.#context
    if (now < this.due) return
    if (this.#hasWrites && peers.size > 0 && now >= this.#flushedAt + this.#intervalMs) this.flush()
    if (this.#jobs.length > 0 && now >= this.#sentAt + SEND_INTERVAL_MS) this.#sendNext()
    this.#schedule()
  }

  get #hasWrites(): boolean {
    return this.#tables.size > 0 || this.#overflowed
  }

  get #intervalMs(): number {
    return FLUSH_MS * Math.max(1, this.#context.members / FULL_RATE_MEMBERS)
  }

  #schedule(): void {
    const flushAt =
      this.#hasWrites && this.#context.peers.size > 0 ? this.#flushedAt + this.#intervalMs : Number.POSITIVE_INFINITY
    const sendAt = this.#jobs.length > 0 ? this.#sentAt + SEND_INTERVAL_MS : Number.POSITIVE_INFINITY
    this.due = Math.min(flushAt, sendAt)
  }

  /** Sends one batch of own writes now, small tables first: a breaker does not wait behind ten thousand sessions. */
  flush(): void {
    const { now, effects, counts } = this.#context
    if (this.#overflowed) {
      this.#overflowed = false
      this.#flushedAt = now
      effects.push({ kind: 'broadcast', data: encodeStore({ kind: 'stateOffer' }) })
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

  #sendNext(): void {
    const { now, effects } = this.#context
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      const data = job.next()
      if (data === null) {
        this.#jobs.shift()
        continue
      }
      this.#sentAt = now
      effects.push({ kind: 'send', to: job.to, data })
      // Round robin: a long job for one member must not delay the others.
      const { to } = job
      this.#jobs = [...this.#jobs.filter(other => other.to !== to), ...this.#jobs.filter(other => other.to === to)]
      return
    }
  }

  #countWaiting(): number {
    let waiting = 0
    for (const table of this.#tables) waiting += table.dirty.size
    return waiting
  }

  #overflow(): void {
    for (const table of this.#tables) table.dirty.clear()
    this.#tables.clear()
    this.#waiting = 0
    this.#overflowed = true
  }
}

/** A job that sends these rows in batches, skipping those that are replaced or about to expire by then. */
export function batchJob(context: StoreContext, to: MemberId, rows: readonly Row[]): Job {
  let at = 0
  return {
    to,
    next() {
      const batch = new BatchWriter(true)
      while (at < rows.length) {
        const row = rows[at]!
        if (isWorthSending(row, context.now) && !batch.add(entryOf(row, context.now))) break
        at++
      }
      if (batch.count === 0) return null
      context.counts.batchesSent++
      return batch.done()
    },
  }
}

const MIN_TTL_MS = 500

export function isWorthSending(row: Row, now: number): boolean {
  return row.until - now > MIN_TTL_MS && row.table.rows.get(row.key) === row
}
