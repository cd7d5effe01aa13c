// Redis beside the replicas' own memory: own writes are written behind, others' writes come over a channel, and `claim` asks who
// was first. The store within (gossip, or memory on its own) answers every read and goes on beneath, so that nothing is lost and
// nobody waits while Redis is away; when it is back, both are brought to the same state. One loop connects, keeps watch and
// connects again.

import { randomUUID } from 'node:crypto'
import { type ClusterLog, reasonOf } from '../../log.ts'
import { LogLimit } from '../../rate-limit.ts'
import type { Change, Entry, InnerStore, PutOptions, RedisStatus, SharedStore, StoreStatus } from '../model.ts'
import { STORE_LIMITS } from '../model.ts'
import { within } from './client.ts'
import { encodeValue, keyOf, type Names, namesOf, readBatch, readEntry } from './codec.ts'
import { type Link, openLink } from './link.ts'
import { type Locate, locator } from './locate.ts'
import { type RedisStoreOptions, written } from './options.ts'
import { CLAIM, PULSE, WRITE } from './scripts.ts'
import { RedisState } from './status.ts'
import { load, type Synced, type SyncHost, synchronize } from './sync.ts'
import { type Slice, WriteQueue } from './write-queue.ts'

export interface RedisTimes {
  /** Own writes are collected for so long, unless there were none for as long. */
  readonly flushMs: number
  /** Between two looks whether Redis still answers, listens and holds what was written. */
  readonly watchMs: number
  /** Between two questions who the master is. */
  readonly locateMs: number
  /** Before the first and the later attempts to connect; with a wrong password. */
  readonly retryMs: readonly [first: number, most: number, patient: number]
  /** ready() waits so long at most. */
  readonly readyMs: number
}

/** What waits when the store stops is given so long to be written. */
const LAST_WORD_MS = 500

const TIMES: RedisTimes = { flushMs: 5, watchMs: 1_000, locateMs: 5_000, retryMs: [100, 2_000, 5_000], readyMs: 2_000 }

export interface RedisStoreSetup {
  readonly options: RedisStoreOptions
  readonly log: ClusterLog
  /** What Redis brought and won; never own writes. */
  readonly changed: (changes: readonly Change[]) => void
  readonly times?: Partial<RedisTimes>
}

/** A store over `inner`, which it stops with itself. */
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
  readonly #state: RedisState
  readonly #sender = randomUUID()
  readonly #malformedLog = new LogLimit(1, 60_000)
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>
  #link: Link | null = null
  #at = ''
  #reseeded = 0
  #malformed = 0
  #owned: ReadonlySet<string> = new Set()
  /** Tables owned since Redis was read: of what it holds of them only some was kept, as of all strays. */
  readonly #added = new Set<string>()
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
    this.#names = namesOf(options)
    this.#locate = locator(options, this.#names.generation)
    this.#queue = new WriteQueue(this.#names)
    this.#state = new RedisState(options, log)
    inner.onWrite = entry => {
      this.#queue.add(entry, performance.now())
      this.#flushSoon()
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
    for (const table of caps.keys()) if (!this.#owned.has(table)) this.#added.add(table)
    this.#owned = new Set(caps.keys())
    if (this.#added.size > 0) this.#wake()
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
    const asked = link.run(CLAIM, [name], [...this.#script(), ...stamp])
    const answer = await within(asked, waitMs).catch(() => null)
    const [set, held, left] = Array.isArray(answer) ? (answer as unknown[]) : []
    const winner = typeof held === 'string' ? readEntry(this.#names, name, held, Number(left), this.#inner.time().ms) : null
    if (winner === null || winner.value === null) return own()
    if (set === 1) {
      // Stamped by the store within, too, so that it hands it on beneath.
      this.#inner.merge([winner])
      if (this.#inner.get(table, key)?.value === value) this.#inner.put(table, key, value, options)
    } else this.#take([winner])
    return this.#inner.get(table, key)?.value ?? winner.value
  }

  async ready(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#times.readyMs)
    await Promise.race([Promise.all([this.#inner.ready(), this.#firstSync]), late])
    clearTimeout(timer)
  }

  status(): StoreStatus {
    const inner = this.#inner.status()
    const redis: RedisStatus = {
      mode: this.#options.mode,
      state: this.#state.state,
      reason: this.#state.reason,
      sinceMs: this.#state.sinceMs,
      waiting: this.#queue.size,
      dropped: this.#queue.dropped,
      reseeded: this.#reseeded,
    }
    return { ...inner, kind: 'redis', counts: { ...inner.counts, refused: inner.counts.refused + this.#malformed }, redis }
  }

  /** What waits is written first, if Redis takes it at once. */
  async stop(): Promise<void> {
    this.#inner.onWrite = null
    clearTimeout(this.#flushTimer)
    if (this.#state.state === 'up') await within(this.#flush(), LAST_WORD_MS).catch(() => {})
    this.#stopping.abort()
    // Who still connects finds out by itself, and touches nothing any more.
    if (this.#link !== null) {
      this.#link.close()
      await this.#running
    }
    await this.#inner.stop()
  }

  // ---- connecting, watching, connecting again ----

  async #run(): Promise<void> {
    let attempts = 0
    while (!this.#stopping.signal.aborted) {
      const started = performance.now()
      let patient = false
      try {
        await this.#connectAndWatch()
      } catch (error) {
        if (this.#stopping.signal.aborted) break
        patient = this.#state.away(this.#at, error)
      }
      this.#link?.close()
      this.#link = null
      const [first, most, long] = this.#times.retryMs
      attempts = performance.now() - started > long ? 0 : attempts + 1
      await this.#pause(patient ? long : Math.min(most, first * 2 ** Math.min(attempts, 10)))
    }
    this.#link?.close()
    this.#link = null
  }

  /** Returns when there is another master; rejects with what is wrong. */
  async #connectAndWatch(): Promise<void> {
    this.#at = this.#options.hosts.map(written).join(', ')
    const link = await openLink(
      this.#options,
      this.#locate,
      this.#names.channel,
      body => this.#heard(body),
      at => {
        this.#at = at
      },
    )
    if (this.#stopping.signal.aborted) return link.close()
    this.#link = link
    let generation = await this.#pulse(link)
    this.#state.up(link.at, await Promise.race([this.#synchronize(link), link.lost]))
    this.#synced()
    this.#flushSoon()
    let locatedMs = performance.now()
    while (!this.#stopping.signal.aborted) {
      await Promise.race([this.#pause(this.#times.watchMs), link.lost, this.#addition()])
      if (this.#stopping.signal.aborted) return
      if (this.#added.size > 0) await Promise.race([this.#loadAdded(link), link.lost])
      const [found] = await Promise.all([this.#pulse(link), link.ping()])
      if (found !== generation) {
        generation = found
        // All who listen have listened all the time.
        const { reseeded } = await Promise.race([this.#synchronize(link, true), link.lost])
        this.#log.info({ reseeded }, `Redis was emptied: ${reseeded} entries were written to it anew`)
      }
      if (this.#options.mode === 'single' || performance.now() - locatedMs < this.#times.locateMs) continue
      locatedMs = performance.now()
      const master = await this.#locate().catch(() => null)
      if (master !== null && written(master) !== link.at) throw new Error(`${written(master)} is the master now`)
    }
  }

  async #pulse(link: Link): Promise<string> {
    return String(await link.run(PULSE, [this.#names.generation, this.#names.pulse], [randomUUID()]))
  }

  async #synchronize(link: Link, quietly = false): Promise<Synced> {
    // All that waits is held within, too.
    this.#queue.clear()
    this.#added.clear()
    let strays = 0
    const wants = (table: string): boolean => this.#owned.has(table) || (strays += 1) <= STORE_LIMITS.unownedEntries
    const synced = await synchronize(this.#syncHost(link, wants, quietly), link)
    this.#reseeded += synced.reseeded
    return synced
  }

  async #loadAdded(link: Link): Promise<void> {
    const tables = new Set(this.#added)
    this.#added.clear()
    await load(
      this.#syncHost(link, table => tables.has(table)),
      link,
    )
  }

  /** Resolves when tables were added that are to be read from Redis. */
  #addition(): Promise<void> {
    if (this.#added.size > 0) return Promise.resolve()
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }

  #syncHost(link: Link, wants: SyncHost['wants'], quietly = false): SyncHost {
    return {
      names: this.#names,
      inner: this.#inner,
      wall: () => this.#inner.time().ms,
      wants,
      take: entries => this.#take(entries),
      malformed: count => this.#refuse(count),
      write: slice => this.#write(link, slice, quietly),
    }
  }

  /** Ends early when the store stops. */
  #pause(ms: number): Promise<void> {
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

  #flushSoon(): void {
    if (this.#flushTimer !== undefined || this.#link === null || this.#queue.size === 0) return
    const { flushMs } = this.#times
    const waited = performance.now() - this.#flushedAt
    this.#flushTimer = setTimeout(
      () => {
        this.#flushTimer = undefined
        this.#flush().then(
          () => this.#flushSoon(),
          // The link is closed with it; the next one starts with all that is held.
          () => {},
        )
      },
      Math.max(0, flushMs - waited),
    )
  }

  /** One at a time. Rejects when Redis does not take it; the loop is told. */
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

  /** `quietly`: the others are not told. */
  async #write(link: Link, { keys, args }: Slice, quietly = false): Promise<number> {
    const [channel, ...rest] = this.#script()
    try {
      return Number(await link.run(WRITE, keys, [quietly ? '' : channel, ...rest, ...args]))
    } catch (error) {
      link.fail(error as Error)
      throw error
    }
  }

  /** What every script is given first. */
  #script(): readonly [channel: string, sender: string, latest: number] {
    return [this.#names.channel, this.#sender, this.#inner.time().latest]
  }

  // ---- what others wrote ----

  #heard(body: Buffer): void {
    const batch = readBatch(this.#names, body, this.#inner.time().ms)
    if (batch?.sender === this.#sender) return
    this.#refuse(batch === null ? 1 : batch.malformed)
    if (batch !== null) this.#take(batch.entries)
  }

  #take(entries: readonly Entry[]): void {
    if (entries.length === 0) return
    const won = this.#inner.merge(entries)
    if (won.length === 0) return
    try {
      this.#changed(won)
    } catch (error) {
      // Whatever was written to Redis: the replica goes on.
      this.#log.error({ err: reasonOf(error) }, 'a defect in Skein: what came from Redis could not be passed on')
    }
  }

  #refuse(count: number): void {
    if (count === 0) return
    this.#malformed += count
    if (this.#malformedLog.take(performance.now()))
      this.#log.warn(
        { malformed: this.#malformed },
        `Redis holds or tells what no replica wrote, and it is ignored (${this.#malformed} so far, keys ${this.#names.entries}*)`,
      )
  }
}
