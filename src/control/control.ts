// The control thread of one replica. It runs the providers, distributes snapshots to the data workers, checks servers' health and
// serves the admin API. It never handles request bytes: if it stalls, traffic continues. In a cluster (cluster-adapter.ts) only the
// leader's providers read, and the result is replicated.

import type { Logger } from 'pino'
import { DEFAULT_CLUSTER } from '../../cluster/secret.ts'
import { startAdminApi } from '../admin/admin-api.ts'
import { diffSnapshots } from '../config/diff.ts'
import { resolveEntryPoints } from '../config/entry-points.ts'
import type { ConfigError, DynamicConfig, Snapshot } from '../config/model.ts'
import { formatRevision } from '../config/revision.ts'
import { MIDDLEWARES } from '../middlewares/registry.ts'
import type { RunOptions } from '../options/options.ts'
import { createProviders } from '../providers/registry.ts'
import type { ClusteredProvider } from '../providers/shared/provider.ts'
import { ownContainerId } from '../providers/swarm/sibling-replicas.ts'
import { SharedState } from '../shared-state/shared-state.ts'
import { assertAddressFree, hostAndPort } from '../util/listen-address.ts'
import { WorkerPool } from '../workers/pool.ts'
import type { Body } from './body-codec.ts'
import { ClusterAdapter } from './cluster-adapter.ts'
import { createHealthChecker } from './health/active-check.ts'
import { Reports } from './reports.ts'
import { RouteCheck } from './route-check.ts'
import { SnapshotBuilder } from './snapshot-builder.ts'
import { createSnapshotStore, type SnapshotStore } from './snapshot-store.ts'
import { startupMessage } from './startup-message.ts'
import { bodyOf, restoreStoredSnapshot, type StoredSnapshot } from './stored-snapshot.ts'
import { dnsLookups, TaskAddressMonitor } from './task-addresses.ts'

/** Reads of the swarm after a server was lost, and their interval: a manager may notice the loss later than a data worker. */
const REREADS = 3
const REREAD_INTERVAL_MS = 500

/**
 * How long a starting replica waits for its managers before it serves the stored configuration, whose addresses may belong to
 * other tasks by now.
 */
const DISK_AFTER_MS = 3000

/** Errors and warnings about labels logged for one snapshot. Ten thousand lines would hide all others and block this thread. */
const MAX_LOGGED_ERRORS = 100

export interface Replica {
  /** Ports of the entry points, by name, once they listen. */
  readonly ports: Promise<Readonly<Record<string, number>>>
  readonly adminPort: number | null
  /** Stops accepting, finishes requests in flight (within graceMs), then ends everything. */
  stop(): Promise<void>
}

/** Starts one replica. Rejects if it cannot listen on an address; later failures are logged and visible in the admin API. */
export async function startReplica(options: RunOptions, log: Logger): Promise<Replica> {
  for (const { name, host, port } of options.dataPlane.entryPoints) await assertAddressFree(`entry point ${name}`, host, port)
  const control = new Control(options, log)
  const admin = options.admin === null ? null : await startAdminApi(options.admin, control.reports, log)
  try {
    await control.start()
  } catch (error) {
    await Promise.all([control.stop(), admin?.stop()])
    throw error
  }
  return {
    ports: control.listening,
    adminPort: admin?.port ?? null,
    async stop() {
      await control.stop()
      await admin?.stop()
    },
  }
}

class Control {
  readonly listening: Promise<Readonly<Record<string, number>>>
  readonly reports: Reports
  private readonly options: RunOptions
  private readonly log: Logger
  private readonly workers: WorkerPool
  private readonly sharing: SharedState
  private readonly providers: readonly ClusteredProvider[]
  private readonly store: SnapshotStore<StoredSnapshot>
  private readonly builder: SnapshotBuilder
  /** null outside of a container, where Docker's DNS is not available. */
  private readonly taskAddresses: TaskAddressMonitor | null
  private readonly checker: ReturnType<typeof createHealthChecker>
  /** The configuration on disk at start. */
  private readonly stored: Body | null
  private readonly entryPoints: readonly string[]
  private readonly clusterAdapter: ClusterAdapter | null
  private current: Snapshot | null = null
  /** Errors of this replica alone, not part of the snapshot: entry points that it does not have. */
  private localErrors: readonly ConfigError[] = []
  private readonly routeCheck = new RouteCheck(MIDDLEWARES)
  /** Set by stop(): health answers 503 from then on. */
  private draining = false
  /** Set once no request is in flight any more. */
  private stopped = false
  private rereads = 0
  private rereadTimer: NodeJS.Timeout | undefined
  private opening = false
  private resolveListening: (ports: Readonly<Record<string, number>>) => void = () => {}
  private rejectListening: (error: Error) => void = () => {}
  private diskTimer: NodeJS.Timeout | undefined

  constructor(options: RunOptions, log: Logger) {
    this.options = options
    this.log = log
    this.listening = new Promise((resolve, reject) => {
      this.resolveListening = resolve
      this.rejectListening = reject
    })
    this.listening.catch(() => {})
    this.workers = new WorkerPool(options.dataPlane, options.workers, log)
    this.sharing = new SharedState({
      name: options.name,
      store: options.store,
      clustered: options.cluster !== null,
      claimMs: options.dataPlane.sessions.strictWaitMs,
      log,
      post: (message, except) => this.workers.broadcast(message, except),
      postTo: (index, message) => this.workers.postTo(index, message),
    })
    this.workers.sharing = this.sharing
    this.workers.onServerLost = () => this.rereadSwarm()
    this.workers.onUnreachableChange = () => this.clusterAdapter?.setUnreachable([...this.workers.relaying.keys()])
    this.checker = createHealthChecker(
      (service, server, healthy, _why, unreachable) => this.workers.setHealth(service, server, healthy, unreachable),
      log,
    )
    this.store = createSnapshotStore({
      dataDir: options.dataDir,
      cluster: options.cluster === null || options.cluster.name === DEFAULT_CLUSTER ? null : options.cluster.name,
      validate: value => restoreStoredSnapshot(value, warning => log.warn(warning)),
      warn: (fields, message) => log.warn(fields, message),
    })
    const stored = this.store.load()
    this.stored = stored === null ? null : bodyOf(stored)
    this.entryPoints = options.dataPlane.entryPoints.map(({ name }) => name)
    const { cluster } = options
    this.clusterAdapter =
      cluster === null
        ? null
        : new ClusterAdapter({ ...options, cluster }, log, this.stored, {
            providers: () => this.providers,
            publish: body => this.useAndStore(body),
            setRelays: peers => this.workers.setRelays(peers),
            setSessionKey: key => this.workers.setSessionKey(key),
            sharing: this.sharing,
          })
    this.taskAddresses =
      ownContainerId() === null
        ? null
        : new TaskAddressMonitor({
            ...dnsLookups(),
            managersUnreachable: () => this.managersUnreachable(),
            setReassigned: (service, server, reassigned) => this.workers.setReassigned(service, server, reassigned),
            log,
          })
    this.providers = createProviders({ options, log, cluster: this.clusterAdapter })
    this.builder = new SnapshotBuilder(
      this.providers.map(({ name }) => name),
      this.stored?.snapshot ?? null,
    )
    this.reports = new Reports({
      options,
      workers: this.workers,
      sharing: this.sharing,
      providers: this.providers,
      clusterAdapter: this.clusterAdapter,
      state: () => ({ current: this.current, localErrors: this.localErrors, draining: this.draining }),
    })
  }

  /** Rejects if it cannot listen on the cluster's address. */
  async start(): Promise<void> {
    this.workers.preload()
    const joined = this.clusterAdapter?.start()
    for (const provider of this.providers) provider.start(config => this.onConfig(provider.name, config))
    this.diskTimer = setTimeout(() => this.useStored(), DISK_AFTER_MS)
    this.taskAddresses?.start()
    await joined
  }

  private onConfig(provider: string, config: DynamicConfig): void {
    if (this.stopped) return
    if (this.clusterAdapter !== null) {
      void this.clusterAdapter.onConfig(provider, config)
      return
    }
    this.builder.put(provider, config)
    this.build()
  }

  /** Without a cluster: uses the providers' configuration once every provider has one, or the wait for it is over. */
  private build(): void {
    const snapshot = this.builder.next()
    if (snapshot !== null && snapshot.hash !== this.current?.hash) this.useAndStore({ snapshot, shared: {} })
  }

  private useAndStore(body: Body): void {
    if (this.stopped) return
    this.use(body.snapshot)
    void this.store.save({ ...body.snapshot, shared: body.shared })
  }

  /**
   * Reads the swarm at once, if this replica reads it at all. If a task has ended, Swarm may give its address to the next task
   * immediately. The sooner the swarm is read, the fewer requests go to an address that belongs to another service by then.
   */
  private rereadSwarm(): void {
    this.rereads = REREADS
    if (this.rereadTimer === undefined) this.reread()
  }

  private reread(): void {
    this.rereadTimer = undefined
    if (this.stopped || this.rereads <= 0) return
    this.rereads--
    for (const provider of this.providers) provider.refresh?.()
    this.rereadTimer = setTimeout(() => this.reread(), REREAD_INTERVAL_MS)
  }

  /** True while neither this replica nor any other member of the cluster has a healthy manager. */
  private managersUnreachable(): boolean {
    if (this.clusterAdapter !== null) return !this.clusterAdapter.hasHealthyManager
    const managers = this.providers.flatMap(provider => provider.status().managers ?? [])
    return managers.length > 0 && !managers.some(({ state }) => state === 'healthy')
  }

  /** The wait for the providers is over: uses the stored configuration for those that have none yet. */
  private useStored(): void {
    if (this.current !== null || this.draining) return
    if (this.clusterAdapter === null) {
      this.builder.fillMissing()
      this.build()
    }
    const pending = this.providers.filter(provider => !provider.status().synced).map(({ name }) => name)
    const message = startupMessage({ pending, serving: this.current !== null, stored: this.stored !== null })
    if (this.current !== null || this.stored === null) {
      this.log.warn(message)
      return
    }
    this.log.warn({ revision: formatRevision(this.stored.snapshot.revision) }, message)
    this.use(this.stored.snapshot)
  }

  /** Makes every data worker route by this snapshot. */
  private use(snapshot: Snapshot): void {
    const before = this.current
    this.current = snapshot
    // A new leader may publish the same content under a revision of its own.
    if (before !== null && before.hash === snapshot.hash) return
    const localBefore = this.localErrors
    const resolved = resolveEntryPoints(snapshot, this.entryPoints, this.options.swarm.labelPrefix)
    const routes = this.routeCheck.check(resolved.snapshot)
    this.localErrors = [...resolved.errors, ...routes.errors]
    this.workers.apply(routes.snapshot)
    this.sharing.apply(snapshot)
    this.checker.apply(Object.values(snapshot.services))
    this.taskAddresses?.apply(Object.values(snapshot.services))
    const change = diffSnapshots(before, snapshot)
    if (change !== '') this.log.info({ revision: formatRevision(snapshot.revision) }, `configuration: ${change}`)
    this.logNewErrors([...(before?.errors ?? []), ...localBefore], [...snapshot.errors, ...this.localErrors])
    if (!this.opening) void this.open()
  }

  private logNewErrors(before: readonly ConfigError[], after: readonly ConfigError[]): void {
    const known = new Set(before.map(keyOf))
    const fresh = after.filter(error => !known.has(keyOf(error)))
    for (const { severity, provider, source, key, value, message } of fresh.slice(0, MAX_LOGGED_ERRORS)) {
      const owner = provider === 'file' ? source : `service ${source}`
      // If two providers use one name, the key is that name and not a label.
      const isLabel = provider !== 'file' && !/^(?:service|router|middleware) /.test(key)
      const where = key === '' ? owner : `${owner}, ${isLabel ? `label ${key}` : key}`
      this.log.warn({ provider, source, label: key, value }, `${severity}: ${where}: ${message}`)
    }
    const more = fresh.length - MAX_LOGGED_ERRORS
    if (more > 0)
      this.log.warn({ more }, `${more} more errors and warnings: skein routes and /api/snapshot of the admin API list them all`)
  }

  /**
   * Opens the entry points with the first configuration: before it, a replica refuses connections instead of answering 404.
   * Also waits for the learned sessions of the other members, within a limit (SharedState.ready).
   */
  private async open(): Promise<void> {
    this.opening = true
    await this.sharing.ready()
    if (this.draining) return
    try {
      const ports = await this.workers.start()
      this.resolveListening(ports)
      for (const { name, host } of this.options.dataPlane.entryPoints) {
        const port = ports[name] as number
        this.log.info({ entryPoint: name, host, port }, `entry point ${name} listens on ${hostAndPort(host, port)}`)
      }
    } catch (error) {
      this.log.fatal({ err: error }, (error as Error).message)
      this.rejectListening(error as Error)
      process.exit(1)
    }
  }

  async stop(): Promise<void> {
    this.draining = true
    clearTimeout(this.diskTimer)
    // The configuration is followed until no request is in flight. Leadership moves to another member meanwhile.
    const { graceMs, drainDelayMs } = this.options
    await Promise.all([this.workers.stop(graceMs, drainDelayMs), this.clusterAdapter?.drain()])
    this.stopped = true
    clearTimeout(this.rereadTimer)
    this.taskAddresses?.stop()
    await Promise.all([...this.providers.map(provider => provider.stop()), this.checker.stop(), this.clusterAdapter?.stop()])
    await this.sharing.stop()
  }
}

function keyOf(error: ConfigError): string {
  return `${error.source} ${error.key} ${error.value} ${error.message}`
}
