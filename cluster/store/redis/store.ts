// A store over another one (gossip or memory) that replicates through Redis: own writes are written behind, other replicas'
// writes arrive on a channel, and `claim` asks Redis for the first writer. The inner store answers every read and keeps
// replicating, so nothing is lost or delayed while Redis is away; after that both are synchronized. One loop connects, watches
// and reconnects.

import { randomUUID } from 'node:crypto'
import { type ClusterLog, reasonOf } from '../../log.ts'
import { LogLimit } from '../../rate-limit.ts'
import type { Change, Entry, InnerStore, PutOptions, RedisStatus, SharedStore, StoreStatus } from '../model.ts'
import { STORE_LIMITS } from '../model.ts'
import { within } from './client.ts'
import { encodeValue, keyNames, keyOf, type Names, readBatch, readEntry } from './codec.ts'
import { type Link, openLink } from './link.ts'
import { createLocator, type Locate } from './locate.ts'
import { formatHostPort, type RedisStoreOptions } from './options.ts'
import { CLAIM, PULSE, WRITE } from './scripts.ts'
import { RedisConnectionStatus } from './status.ts'
import { load, type SyncContext, type Synced, synchronize } from './sync.ts'
import { type Slice, WriteQueue } from './write-queue.ts'

export interface RedisTimes {
  /** Own writes are collected this long, unless the last flush is at least as long ago. All times in ms. */
  readonly flushMs: number
  /** Interval between checks that Redis responds, the subscription works and the data is still there. */
  readonly watchMs: number
  /** Interval between queries for the current master. */
  readonly locateMs: number
  /** Delay before the first retry, longest delay, delay after a failure that a quick retry does not solve (a wrong password). */
  readonly retryMs: readonly [first: number, max: number, slowRetry: number]
  /** Longest wait of ready(). */
  readonly readyMs: number
}

/** Time limit of the last flush when the store stops, ms. */
const FINAL_FLUSH_MS = 500

const TIMES: RedisTimes = { flushMs: 5, watchMs: 1_000, locateMs: 5_000, retryMs: [100, 2_000, 5_000], readyMs: 2_000 }

export interface RedisStoreSetup {
  readonly options: RedisStoreOptions
  readonly log: ClusterLog
  /** Called with writes of other replicas that Redis delivered and that won. */
  readonly changed: (changes: readonly Change[]) => void
  readonly times?: Partial<RedisTimes>
}

/** Creates a store over `inner`; stopping it stops `inner`. */
export function redisStore(inner: InnerStore, setup: RedisStoreSetup): SharedStore {
  return new RedisStore(inner, setup)
}

class RedisStore implements SharedStore {
  readonly #inner: InnerStore
  readonly #options: RedisStoreOptions
  readonly #log: ClusterLog
  readonly #changed: RedisStoreSetup['changed']
  readonly #times: RedisTimes
  readonly #names: Names
  readonly #locate: Locate
  readonly #queue: WriteQueue
  readonly #connection: RedisConnectionStatus
  readonly #sender = randomUUID()
  readonly #malformedLog = new LogLimit(1, 60_000)
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>
  #link: Link | null = null
  #at = ''
  #reseeded = 0
  #malformed = 0
  #owned: ReadonlySet<string> = new Set()
  /** Tables owned since the last synchronization. Only some of their entries in Redis were kept, as of all unowned tables. */
  readonly #addedTables = new Set<string>()
  #wake: () => void = () => {}
  #flushTimer: NodeJS.Timeout | undefined
  #flushing: Promise<void> | null = null
  #flushedAt = Number.NEGATIVE_INFINITY
  #synced: () => void = () => {}
  readonly #firstSync = new Promise<void>(resolve => {
    this.#synced = resolve
  })

  constructor(inner: InnerStore, { options, log, changed, times }: RedisStoreSetup) {
    this.#inner = inner
    this.#options = options
    this.#log = log
    this.#changed = changed
    this.#times = { ...TIMES, ...times }
    this.#names = keyNames(options)
    this.#locate = createLocator(options, this.#names.generation)
    this.#queue = new WriteQueue(this.#names)
    this.#connection = new RedisConnectionStatus(options, log)
    inner.onWrite = entry => {
      this.#queue.add(entry, performance.now())
      this.#scheduleFlush()
    }
    this.#running = this.#run()
  }

  put(table: string, key: string, value: string, options: PutOptions): void {
    this.#inner.put(table, key, value, options)
  }

  remove(table: string, key: string): void {
    this.#inner.remove(table, key)
  }

  get(table: string, key: string): Entry | null {
    return this.#inner.get(table, key)
  }

  entries(table: string): Iterable<Entry> {
    return this.#inner.entries(table)
  }

  setTables(caps: ReadonlyMap<string, number>): void {
    this.#inner.setTables(caps)
    for (const table of caps.keys()) if (!this.#owned.has(table)) this.#addedTables.add(table)
    this.#owned = new Set(caps.keys())
    if (this.#addedTables.size > 0) this.#wake()
  }

  async claim(table: string, key: string, value: string, options: PutOptions & { readonly waitMs: number }): Promise<string> {
    const own = (): Promise<string> => this.#inner.claim(table, key, value, options)
    const link = this.#link
    if (link === null || this.#inner.get(table, key) !== null) return own()
    const { ttlMs, rank = 1, waitMs } = options
    const wall = this.#inner.time().ms
    const fits = table.length <= STORE_LIMITS.table && key.length <= STORE_LIMITS.key && value.length <= STORE_LIMITS.value
    if (!fits || encodeValue({ wall, count: 0, origin: this.#sender, rank, value }) === null) return own()
    const name = keyOf(this.#names, table.toWellFormed(), key.toWellFormed())
    const stamp = [wall, 0, rank, this.#sender, Math.max(1, Math.ceil(ttlMs)), value]
    const request = link.run(CLAIM, [name], [...this.#scriptPrefix(), ...stamp])
    const answer = await within(request, waitMs).catch(() => null)
    const [set, held, left] = Array.isArray(answer) ? (answer as unknown[]) : []
    const winner = typeof held === 'string' ? readEntry(this.#names, name, held, Number(left), this.#inner.time().ms) : null
    if (winner === null || winner.value === null) return own()
    if (set === 1) {
      // The inner store stamps the write as well, so that it replicates it.
      this.#inner.merge([winner])
      if (this.#inner.get(table, key)?.value === value) this.#inner.put(table, key, value, options)
    } else this.#take([winner])
    return this.#inner.get(table, key)?.value ?? winner.value
  }

  async ready(): Promise<void> {
    const { promise: timeout, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#times.readyMs)
    await Promise.race([Promise.all([this.#inner.ready(), this.#firstSync]), timeout])
    clearTimeout(timer)
  }

  status(): StoreStatus {
    const inner = this.#inner.status()
    const redis: RedisStatus = {
      mode: this.#options.mode,
      state: this.#connection.state,
      reason: this.#connection.reason,
      sinceMs: this.#connection.sinceMs,
      waiting: this.#queue.size,
      dropped: this.#queue.dropped,
      reseeded: this.#reseeded,
    }
    return { ...inner, kind: 'redis', counts: { ...inner.counts, refused: inner.counts.refused + this.#malformed }, redis }
  }

  /** Writes waiting entries first, if Redis accepts them in time. */
  async stop(): Promise<void> {
    this.#inner.onWrite = null
    clearTimeout(this.#flushTimer)
    if (this.#connection.state === 'up') await within(this.#flush(), FINAL_FLUSH_MS).catch(() => {})
    this.#stopping.abort()
    // A connection attempt in progress checks the signal itself and then does nothing.
    if (this.#link !== null) {
      this.#link.close()
      await this.#running
    }
    await this.#inner.stop()
  }

  // ---- connect, watch, reconnect ----

  async #run(): Promise<void> {
    let attempts = 0
    while (!this.#stopping.signal.aborted) {
      const started = performance.now()
      let slowRetry = false
      try {
        await this.#connectAndWatch()
      } catch (error) {
        if (this.#stopping.signal.aborted) break
        slowRetry = this.#connection.away(this.#at, error)
      }
      this.#link?.close()
      this.#link = null
      const [first, max, long] = this.#times.retryMs
      attempts = performance.now() - started > long ? 0 : attempts + 1
      await this.#sleep(slowRetry ? long : Math.min(max, first * 2 ** Math.min(attempts, 10)))
    }
    this.#link?.close()
    this.#link = null
  }

  /** Rejects with the reason when the link fails or another server is the master; returns when the store stops. */
  async #connectAndWatch(): Promise<void> {
    this.#at = this.#options.hosts.map(formatHostPort).join(', ')
    const link = await openLink(
      this.#options,
      this.#locate,
      this.#names.channel,
      body => this.#onChannelMessage(body),
      at => {
        this.#at = at
      },
    )
    if (this.#stopping.signal.aborted) return link.close()
    this.#link = link
    let generation = await this.#pulse(link)
    this.#connection.up(link.at, await Promise.race([this.#synchronize(link), link.lost]))
    this.#synced()
    this.#scheduleFlush()
    let locatedMs = performance.now()
    while (!this.#stopping.signal.aborted) {
      await Promise.race([this.#sleep(this.#times.watchMs), link.lost, this.#tableAdded()])
      if (this.#stopping.signal.aborted) return
      if (this.#addedTables.size > 0) await Promise.race([this.#loadAdded(link), link.lost])
      const [found] = await Promise.all([this.#pulse(link), link.ping()])
      if (found !== generation) {
        generation = found
        // Subscribed replicas have received all writes, so nothing is published.
        const { reseeded } = await Promise.race([this.#synchronize(link, true), link.lost])
        this.#log.info({ reseeded }, `Redis was emptied; wrote ${reseeded} entries to it again`)
      }
      if (this.#options.mode === 'single' || performance.now() - locatedMs < this.#times.locateMs) continue
      locatedMs = performance.now()
      const master = await this.#locate().catch(() => null)
      if (master !== null && formatHostPort(master) !== link.at) throw new Error(`the master is now ${formatHostPort(master)}`)
    }
  }

  async #pulse(link: Link): Promise<string> {
    return String(await link.run(PULSE, [this.#names.generation, this.#names.pulse], [randomUUID()]))
  }

  async #synchronize(link: Link, silent = false): Promise<Synced> {
    // The inner store holds all waiting writes.
    this.#queue.clear()
    this.#addedTables.clear()
    let strays = 0
    const accepts = (table: string): boolean => this.#owned.has(table) || (strays += 1) <= STORE_LIMITS.unownedEntries
    const synced = await synchronize(this.#syncContext(link, accepts, silent), link)
    this.#reseeded += synced.reseeded
    return synced
  }

  async #loadAdded(link: Link): Promise<void> {
    const tables = new Set(this.#addedTables)
    this.#addedTables.clear()
    await load(
      this.#syncContext(link, table => tables.has(table)),
      link,
    )
  }

  /** Resolves when there are new tables to load from Redis. */
  #tableAdded(): Promise<void> {
    if (this.#addedTables.size > 0) return Promise.resolve()
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }

  #syncContext(link: Link, accepts: SyncContext['accepts'], silent = false): SyncContext {
    return {
      names: this.#names,
      inner: this.#inner,
      wall: () => this.#inner.time().ms,
      accepts,
      take: entries => this.#take(entries),
      malformed: count => this.#countMalformed(count),
      write: slice => this.#write(link, slice, silent),
    }
  }

  /** Resolves early when the store stops. */
  #sleep(ms: number): Promise<void> {
    const { signal } = this.#stopping
    if (signal.aborted) return Promise.resolve()
    return new Promise(resolve => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      signal.addEventListener('abort', end)
    })
  }

  // ---- own writes to Redis ----

  #scheduleFlush(): void {
    if (this.#flushTimer !== undefined || this.#link === null || this.#queue.size === 0) return
    const { flushMs } = this.#times
    const waited = performance.now() - this.#flushedAt
    this.#flushTimer = setTimeout(
      () => {
        this.#flushTimer = undefined
        this.#flush().then(
          () => this.#scheduleFlush(),
          // The link is lost; the next one synchronizes all entries.
          () => {},
        )
      },
      Math.max(0, flushMs - waited),
    )
  }

  /** Flushes one at a time. Rejects when a write fails; that also fails the link. */
  #flush(): Promise<void> {
    this.#flushing ??= this.#flushAll().finally(() => {
      this.#flushing = null
      this.#flushedAt = performance.now()
    })
    return this.#flushing
  }

  async #flushAll(): Promise<void> {
    const link = this.#link
    if (link === null) return
    for (let slice = this.#queue.take(performance.now()); slice !== null; slice = this.#queue.take(performance.now()))
      await this.#write(link, slice)
  }

  /** @param silent do not publish to other replicas */
  async #write(link: Link, { keys, args }: Slice, silent = false): Promise<number> {
    const [channel, ...rest] = this.#scriptPrefix()
    try {
      return Number(await link.run(WRITE, keys, [silent ? '' : channel, ...rest, ...args]))
    } catch (error) {
      link.fail(error as Error)
      throw error
    }
  }

  /** The first arguments of every script. */
  #scriptPrefix(): readonly [channel: string, sender: string, latest: number] {
    return [this.#names.channel, this.#sender, this.#inner.time().latest]
  }

  // ---- writes of other replicas ----

  #onChannelMessage(body: Buffer): void {
    const batch = readBatch(this.#names, body, this.#inner.time().ms)
    if (batch?.sender === this.#sender) return
    this.#countMalformed(batch === null ? 1 : batch.malformed)
    if (batch !== null) this.#take(batch.entries)
  }

  #take(entries: readonly Entry[]): void {
    if (entries.length === 0) return
    const won = this.#inner.merge(entries)
    if (won.length === 0) return
    try {
      this.#changed(won)
    } catch (error) {
      // Data from Redis must not stop the replica.
      this.#log.error({ err: reasonOf(error) }, 'defect in Skein: writes received from Redis were not applied')
    }
  }

  #countMalformed(count: number): void {
    if (count === 0) return
    this.#malformed += count
    if (this.#malformedLog.take(performance.now()))
      this.#log.warn(
        { malformed: this.#malformed },
        `ignored data in Redis that no replica wrote (${this.#malformed} so far, keys ${this.#names.entries}*)`,
      )
  }
}
