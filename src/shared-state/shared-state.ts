// Shared state in the control thread: the store, and the parts that use it (sessions, breakers, ejections). On its own a replica
// has a store too: its data workers share what they learn through it.

import type { Logger } from 'pino'
import { memoryStore } from '../../cluster/store/memory.ts'
import type { Change, Entry, InnerStore, SharedStore, StoreStatus } from '../../cluster/store/model.ts'
import type { BreakerReport, EjectionReport } from '../admin/admin-source.ts'
import type { Snapshot } from '../config/model.ts'
import type { RunOptions } from '../options/options.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import { BreakerSharing } from './breakers.ts'
import { EjectionSharing } from './ejections.ts'
import type { Peer, SharingHost, SharingPart } from './part.ts'
import { ReachSharing } from './reachability.ts'
import { SessionSharing } from './sessions.ts'

export interface SharingOptions {
  readonly name: string
  readonly store: RunOptions['store']
  /** The cluster's store takes the place of the own memory (join). */
  readonly clustered?: boolean
  /** How long it may take to find out who was first to claim a session (`store.consistency: strict`), ms. */
  readonly claimMs?: number
  readonly log: Logger
  /** To all data workers, or to all but one. */
  readonly post: (message: ToWorker, except?: number) => void
  readonly postTo: (index: number, message: ToWorker) => void
}

export class Sharing {
  private readonly breakers: BreakerSharing
  private readonly ejections: EjectionSharing
  private readonly sessions: SessionSharing
  private readonly parts: readonly SharingPart[]
  private readonly options: SharingOptions
  private inner: InnerStore
  /** What the parts use: the inner store, or Redis over it once that is loaded. */
  private front: SharedStore
  private loading: Promise<void> = Promise.resolve()
  /** Resolves when the cluster's store is here; at once where there is none. */
  private readonly joined: Promise<void>
  private onJoined: () => void = () => {}
  private known: readonly Peer[]
  private caps: ReadonlyMap<string, number> = new Map()
  private stopped = false

  constructor(options: SharingOptions) {
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
    const host: SharingHost = {
      store: this.store(),
      log,
      post,
      postTo,
      now: () => performance.now(),
      peers: () => this.known,
    }
    this.sessions = new SessionSharing(host, options.claimMs)
    this.breakers = new BreakerSharing(host)
    this.ejections = new EjectionSharing(host)
    this.parts = [this.sessions, this.breakers, this.ejections, new ReachSharing(host)]
  }

  /** The store that members share takes the place of the own memory; what was learned before is carried over. */
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

  /** Redis over the inner store, if that is wanted. Loaded only then; until it is, the inner store does alone. */
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
      (error: unknown) => log.error({ err: error }, 'Redis is not used: its part of Skein cannot be loaded'),
    )
  }

  /** The whole state of the others is here, or it takes too long. */
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

  // ---- what the admin API asks ----

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

  /** One store for the parts, whichever is behind it. */
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
