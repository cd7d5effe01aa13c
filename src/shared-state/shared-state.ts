// Shared state in the control thread: the store and the parts that use it (sessions, breakers, ejections, reachability). A
// replica without a cluster has a store too, through which its data workers share what they learn.

import type { Logger } from 'pino'
import { memoryStore } from '../../cluster/store/memory.ts'
import type { Change, Entry, InnerStore, SharedStore, StoreStatus } from '../../cluster/store/model.ts'
import type { BreakerReport, EjectionReport } from '../admin/admin-source.ts'
import type { Snapshot } from '../config/model.ts'
import type { RunOptions } from '../options/options.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import { SharedBreakers } from './breakers.ts'
import { SharedEjections } from './ejections.ts'
import type { Peer, SharedStateHost, SharedStatePart } from './part.ts'
import { SharedReachability } from './reachability.ts'
import { SharedSessions } from './sessions.ts'

export interface SharedStateOptions {
  readonly name: string
  readonly store: RunOptions['store']
  /** A cluster's store will replace the memory store (join). */
  readonly clustered?: boolean
  /** Longest wait for the result of a session claim (`store.consistency: strict`), ms. */
  readonly claimMs?: number
  readonly log: Logger
  /** Sends to all data workers, or to all but one. */
  readonly post: (message: ToWorker, except?: number) => void
  readonly postTo: (index: number, message: ToWorker) => void
}

export class SharedState {
  private readonly breakers: SharedBreakers
  private readonly ejections: SharedEjections
  private readonly sessions: SharedSessions
  private readonly parts: readonly SharedStatePart[]
  private readonly options: SharedStateOptions
  private inner: InnerStore
  /** The store that the parts use: the inner store, or Redis over it once loaded. */
  private front: SharedStore
  private loading: Promise<void> = Promise.resolve()
  /** Resolves when the cluster's store has been joined; at once without a cluster. */
  private readonly joined: Promise<void>
  private onJoined: () => void = () => {}
  private known: readonly Peer[]
  private caps: ReadonlyMap<string, number> = new Map()
  private stopped = false

  constructor(options: SharedStateOptions) {
    const { name, log, post, postTo } = options
    this.known = [{ id: name, name, self: true }]
    this.options = options
    this.inner = memoryStore(name)
    this.front = this.inner
    this.joined = new Promise(resolve => {
      this.onJoined = resolve
    })
    if (options.clustered !== true) {
      this.useRedis()
      this.onJoined()
    }
    const host: SharedStateHost = {
      store: this.store(),
      log,
      post,
      postTo,
      now: () => performance.now(),
      peers: () => this.known,
    }
    this.sessions = new SharedSessions(host, options.claimMs)
    this.breakers = new SharedBreakers(host)
    this.ejections = new SharedEjections(host)
    this.parts = [this.sessions, this.breakers, this.ejections, new SharedReachability(host)]
  }

  /** Replaces the memory store by the cluster's; what was learned before is copied. */
  join(store: InnerStore): void {
    const before: Entry[] = [...this.inner.allEntries()]
    void this.front.stop()
    this.inner = store
    this.front = store
    store.setTables(this.caps)
    for (const { table, key, value, ttlMs, rank } of before) if (value !== null) store.put(table, key, value, { ttlMs, rank })
    this.useRedis()
    this.onJoined()
  }

  /** Puts Redis over the inner store, if configured. Its code is loaded only then; until it is, the inner store is used. */
  private useRedis(): void {
    const { log, store } = this.options
    const { redis } = store
    const { inner } = this
    if (redis === null) return
    const setup = { options: redis, log, changed: (changes: readonly Change[]) => this.changed(changes) }
    this.loading = import('../../cluster/store/redis/store.ts').then(
      ({ redisStore }) => {
        if (this.inner !== inner || this.stopped) return
        this.front = redisStore(inner, setup)
        this.front.setTables(this.caps)
      },
      (error: unknown) => log.error({ err: error }, 'Redis is not used: its client could not be loaded'),
    )
  }

  /** Resolves when the state of other members has been taken, or the wait for it is over. */
  async ready(): Promise<void> {
    await this.joined
    await this.loading
    await this.front.ready()
  }

  apply(snapshot: Snapshot): void {
    this.caps = new Map(this.parts.flatMap(part => [...part.tables(snapshot)]))
    this.front.setTables(this.caps)
    for (const part of this.parts) part.apply(snapshot)
  }

  fromWorker(index: number, message: SharedFromWorker): void {
    for (const part of this.parts) part.fromWorker(index, message)
  }

  workerExited(index: number): void {
    this.breakers.workerExited(index)
  }

  changed(changes: readonly Change[]): void {
    for (const part of this.parts) part.changed(changes)
  }

  seed(post: (message: ToWorker) => void): void {
    for (const part of this.parts) part.seed(post)
  }

  setPeers(peers: readonly Peer[]): void {
    this.known = peers
    for (const part of this.parts) part.members()
  }

  async stop(): Promise<void> {
    this.stopped = true
    for (const part of this.parts) part.stop()
    await this.front.stop()
  }

  // ---- admin API ----

  status(): StoreStatus {
    const status = this.front.status()
    const { redis } = this.options.store
    if (redis === null || status.redis !== null) return status
    const none = { reason: '', sinceMs: 0, waiting: 0, dropped: 0, reseeded: 0 }
    return { ...status, kind: 'redis', redis: { mode: redis.mode, state: 'connecting', ...none } }
  }

  breakerReports(): readonly BreakerReport[] {
    return this.breakers.reports()
  }

  ejectionOf(service: string, server: string): EjectionReport | null {
    return this.ejections.report(service, server)
  }

  sessionCounts(): Readonly<Record<string, number>> {
    return this.sessions.counts()
  }

  /** A store for the parts that delegates to the current one. */
  private store(): SharedStore {
    return {
      put: (table, key, value, options) => this.front.put(table, key, value, options),
      remove: (table, key) => this.front.remove(table, key),
      get: (table, key) => this.front.get(table, key),
      entries: table => this.front.entries(table),
      claim: (table, key, value, options) => this.front.claim(table, key, value, options),
      setTables: caps => this.front.setTables(caps),
      ready: () => this.front.ready(),
      status: () => this.front.status(),
      stop: () => this.front.stop(),
    }
  }
}
