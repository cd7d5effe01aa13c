// The control thread of one replica: providers in, snapshots out to the data workers, health checks, the admin API. It never
// touches a request's bytes; if it stalls, traffic flows. In a cluster (clustered.ts) the leader's providers read for all.

import type { Logger } from 'pino'
import { DEFAULT_CLUSTER } from '../../cluster/secret.ts'
import { startAdminApi } from '../admin/admin-api.ts'
import type {
  AdminSource,
  BreakerReport,
  ClusterReport,
  HealthReport,
  ServerReport,
  SnapshotReport,
  StateReport,
} from '../admin/admin-source.ts'
import { diffSnapshots } from '../config/diff.ts'
import { resolveEntryPoints } from '../config/entry-points.ts'
import type { ConfigError, DynamicConfig, Server, Snapshot } from '../config/model.ts'
import { labelOptionsOf } from '../labels/shared/options.ts'
import { type ParsedFile, readTraefikV1Files } from '../labels/traefik-v1/file.ts'
import { readTraefikV1 } from '../labels/traefik-v1/reader.ts'
import type { RunOptions } from '../options/options.ts'
import type { DiscoveredService, EdgeNetworks } from '../providers/discovered.ts'
import { createFileProvider } from '../providers/file/file-provider.ts'
import type { Provider } from '../providers/provider.ts'
import { ownContainerId } from '../providers/swarm/sibling-replicas.ts'
import { createSwarmProvider } from '../providers/swarm/swarm-provider.ts'
import { Sharing } from '../shared-state/shared-state.ts'
import { assertAddressFree, hostAndPort } from '../util/listen-address.ts'
import { readVersion } from '../util/version.ts'
import { WorkerPool } from '../workers/pool.ts'
import { type Body, sharedOf } from './body-codec.ts'
import { ClusterAdapter } from './cluster-adapter.ts'
import { createHealthChecker } from './health/active-check.ts'
import { formatRevision, restoreSnapshot, SnapshotBuilder } from './snapshot-builder.ts'
import { createSnapshotStore, type SnapshotStore } from './snapshot-store.ts'
import { startupMessage } from './startup-message.ts'
import { dnsLookups, TaskAddressMonitor } from './task-addresses.ts'

/** How often the swarm is read after a server was lost, and at which interval, ms: a manager may notice the loss later. */
const LOOKS = 3
const LOOK_AGAIN_MS = 500

/**
 * How long a starting replica waits for its managers before it serves what it kept on disk: addresses on disk may be others' by
 * now.
 */
const DISK_AFTER_MS = 3000

/** Mistakes in labels told in the log at once, at most. */
const ERRORS_TOLD = 100

export interface Replica {
  /** Ports of the entry points, by name, once they listen. */
  readonly ports: Promise<Readonly<Record<string, number>>>
  readonly adminPort: number | null
  /** Stops accepting, finishes what is in flight (graceMs), ends everything. */
  stop(): Promise<void>
}

/** Starts one replica. Rejects when an address cannot be had; everything later is told in the log and the admin API. */
export async function startReplica(options: RunOptions, log: Logger): Promise<Replica> {
  for (const { name, host, port } of options.dataPlane.entryPoints) await assertAddressFree(`entry point ${name}`, host, port)
  const control = new Control(options, log)
  const admin = options.admin === null ? null : await startAdminApi(options.admin, control, log)
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

class Control implements AdminSource {
  readonly listening: Promise<Readonly<Record<string, number>>>
  private readonly options: RunOptions
  private readonly log: Logger
  private readonly workers: WorkerPool
  private readonly sharing: Sharing
  private readonly providers: readonly Provider[]
  private readonly store: SnapshotStore<KeptSnapshot>
  private readonly builder: SnapshotBuilder
  /** null: outside of a container, where Docker's DNS is missing. */
  private readonly taskNames: TaskAddressMonitor | null
  private readonly checker: ReturnType<typeof createHealthChecker>
  private readonly kept: Body | null
  private readonly entryPoints: readonly string[]
  private readonly clustered: ClusterAdapter | null
  private readonly startedMs = performance.now()
  private current: Snapshot | null = null
  /** Findings of this replica alone, not part of the snapshot: entry points that it does not have. */
  private ownErrors: readonly ConfigError[] = []
  /** SIGTERM was received: other replicas are to be used instead. */
  private draining = false
  /** Nothing is under way any more. */
  private stopped = false
  private looks = 0
  private lookTimer: NodeJS.Timeout | undefined
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
    this.sharing = new Sharing({
      name: options.name,
      store: options.store,
      clustered: options.cluster !== null,
      claimMs: options.dataPlane.sessions.strictWaitMs,
      log,
      post: (message, except) => this.workers.broadcast(message, except),
      postTo: (index, message) => this.workers.postTo(index, message),
    })
    this.workers.sharing = this.sharing
    this.workers.onServerLost = () => this.lookAgain()
    this.workers.onUnreachableChange = () => this.clustered?.setUnreachable([...this.workers.relaying.keys()])
    this.checker = createHealthChecker(
      (service, server, healthy, _why, unreachable) => this.workers.setHealth(service, server, healthy, unreachable),
      log,
    )
    this.store = createSnapshotStore({
      dataDir: options.dataDir,
      cluster: options.cluster === null || options.cluster.name === DEFAULT_CLUSTER ? null : options.cluster.name,
      validate: value => restoreKept(value, warning => log.warn(warning)),
      warn: (fields, message) => log.warn(fields, message),
    })
    const kept = this.store.load()
    this.kept = kept === null ? null : bodyOf(kept)
    this.entryPoints = options.dataPlane.entryPoints.map(({ name }) => name)
    const labels = labelOptionsOf(options)
    const source = { ...options.swarm, name: options.name, secret: options.secrets[0] ?? null, dataDir: options.dataDir }
    const { cluster } = options
    this.clustered =
      cluster === null
        ? null
        : new ClusterAdapter({ ...options, cluster }, log, this.kept, {
            providers: () => this.providers,
            publish: body => this.take(body),
            setRelays: peers => this.workers.setRelays(peers),
            setSessionKey: key => this.workers.setSessionKey(key),
            sharing: this.sharing,
          })
    const discover = (services: readonly DiscoveredService[], edges: EdgeNetworks | null): DynamicConfig =>
      readTraefikV1(services, { ...labels, edges })
    this.taskNames =
      ownContainerId() === null
        ? null
        : new TaskAddressMonitor({
            ...dnsLookups(),
            blind: () => this.isBlind(),
            setReassigned: (service, server, absent) => this.workers.setReassigned(service, server, absent),
            log,
          })
    this.providers = [
      ...(options.swarm.managers.length === 0 ? [] : [createSwarmProvider(source, log, discover, this.clustered)]),
      ...(options.files.length === 0 ? [] : [createFileProvider({ paths: options.files }, log, files => this.readFiles(files))]),
    ]
    this.builder = new SnapshotBuilder(
      this.providers.map(({ name }) => name),
      this.kept?.snapshot ?? null,
    )
  }

  /** Rejects when the cluster's address cannot be had. */
  async start(): Promise<void> {
    this.workers.warm()
    const joined = this.clustered?.start()
    for (const provider of this.providers) provider.start(config => this.onConfig(provider.name, config))
    this.diskTimer = setTimeout(() => this.fromDisk(), DISK_AFTER_MS)
    this.taskNames?.start()
    await joined
  }

  /** Takes the content of the services files, which members compare even while they do not lead. */
  private readFiles(files: readonly ParsedFile[]): DynamicConfig {
    const config = readTraefikV1Files(files)
    this.clustered?.setFiles(config)
    return config
  }

  private onConfig(provider: string, config: DynamicConfig): void {
    if (this.stopped) return
    if (this.clustered !== null) {
      void this.clustered.onConfig(provider, config)
      return
    }
    this.builder.put(provider, config)
    this.build()
  }

  /** Without a cluster: routes by what the providers say, once all have spoken or have been waited for. */
  private build(): void {
    const snapshot = this.builder.next()
    if (snapshot !== null && snapshot.hash !== this.current?.hash) this.take({ snapshot, shared: {} })
  }

  /** Routes by it and keeps it. */
  private take(body: Body): void {
    if (this.stopped) return
    this.publish(body.snapshot)
    void this.store.save({ ...body.snapshot, shared: body.shared })
  }

  /**
   * Reads the swarm at once, if this replica reads it at all. A task may have ended, and Swarm gives its address to the next one at
   * once: the sooner the swarm is read, the fewer requests go to an address that belongs to another service by then.
   */
  private lookAgain(): void {
    this.looks = LOOKS
    if (this.lookTimer === undefined) this.look()
  }

  private look(): void {
    this.lookTimer = undefined
    if (this.stopped || this.looks <= 0) return
    this.looks--
    for (const provider of this.providers) provider.hint([])
    this.lookTimer = setTimeout(() => this.look(), LOOK_AGAIN_MS)
  }

  /** Neither this replica nor any other member of the cluster is in touch with a manager. */
  private isBlind(): boolean {
    if (this.clustered !== null) return !this.clustered.readsManagers
    const managers = this.providers.flatMap(provider => provider.status().managers)
    return managers.length > 0 && !managers.some(({ state }) => state === 'healthy')
  }

  /** Some provider has not answered in time: what is known of its services counts, and what the others say. */
  private fromDisk(): void {
    if (this.current !== null || this.draining) return
    if (this.clustered === null) {
      this.builder.fillMissing()
      this.build()
    }
    const silent = this.providers.filter(provider => !provider.status().synced).map(({ name }) => name)
    const words = startupMessage({ silent, serves: this.current !== null, kept: this.kept !== null })
    if (this.current !== null || this.kept === null) {
      this.log.warn(words)
      return
    }
    this.log.warn({ revision: formatRevision(this.kept.snapshot.revision) }, words)
    this.publish(this.kept.snapshot)
  }

  /** From here on every worker routes by this snapshot. */
  private publish(snapshot: Snapshot): void {
    const before = this.current
    this.current = snapshot
    // Another leader may say the same under a number of its own.
    if (before !== null && before.hash === snapshot.hash) return
    const own = this.ownErrors
    const resolved = resolveEntryPoints(snapshot, this.entryPoints, this.options.swarm.labelPrefix)
    this.ownErrors = resolved.errors
    this.workers.apply(resolved.snapshot)
    this.sharing.apply(snapshot)
    this.checker.apply(Object.values(snapshot.services))
    this.taskNames?.apply(Object.values(snapshot.services))
    const change = diffSnapshots(before, snapshot)
    if (change !== '') this.log.info({ revision: formatRevision(snapshot.revision) }, `configuration: ${change}`)
    this.tellErrors([...(before?.errors ?? []), ...own], [...snapshot.errors, ...this.ownErrors])
    if (!this.opening) void this.open()
  }

  /** What was not known before; bounded, for ten thousand lines would bury all others and hold up this thread. */
  private tellErrors(before: readonly ConfigError[], after: readonly ConfigError[]): void {
    const known = new Set(before.map(keyOf))
    const fresh = after.filter(error => !known.has(keyOf(error)))
    for (const { severity, provider, source, key, value, message } of fresh.slice(0, ERRORS_TOLD)) {
      const whose = provider === 'file' ? source : `service ${source}`
      // Where two providers clash, the key is the name of what clashes.
      const isLabel = provider !== 'file' && !/^(?:service|router|middleware) /.test(key)
      const where = key === '' ? whose : `${whose}, ${isLabel ? `label ${key}` : key}`
      this.log.warn({ provider, source, label: key, value }, `${severity}: ${where}: ${message}`)
    }
    const more = fresh.length - ERRORS_TOLD
    if (more > 0)
      this.log.warn({ more }, `${more} more errors and warnings: skein routes, or /api/snapshot of the admin API, lists all`)
  }

  /**
   * Entry points open with the first configuration: a replica that knows nothing refuses connections rather than answer 404. And
   * not before it has heard which sessions are where, or has waited long enough for that (SharedStore.ready).
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
    // Traffic first: configuration is followed until nothing is in flight any more. Another leads meanwhile.
    const { graceMs, drainDelayMs } = this.options
    await Promise.all([this.workers.stop(graceMs, drainDelayMs), this.clustered?.drain()])
    this.stopped = true
    clearTimeout(this.lookTimer)
    this.taskNames?.stop()
    await Promise.all([...this.providers.map(provider => provider.stop()), this.checker.stop(), this.clustered?.stop()])
    await this.sharing.stop()
  }

  // ---- what the admin API asks ----

  health(): HealthReport {
    const { current, options, workers } = this
    return {
      status: this.draining ? 'draining' : workers.alive > 0 ? 'serving' : 'starting',
      name: options.name,
      role: this.clustered?.role ?? null,
      version: readVersion(),
      uptimeMs: Math.round(performance.now() - this.startedMs),
      revision: current?.revision ?? null,
      hash: current?.hash ?? null,
      workers: { wanted: options.workers, ready: workers.alive },
      synced: this.clustered?.synced ?? this.providers.every(provider => provider.status().synced),
      counts: {
        routers: Object.keys(current?.routers ?? {}).length,
        services: Object.keys(current?.services ?? {}).length,
        servers: Object.values(current?.services ?? {}).reduce((n, service) => n + service.servers.length, 0),
        errors: (current?.errors.length ?? 0) + this.ownErrors.length,
      },
    }
  }

  snapshot(): SnapshotReport {
    const { current } = this
    if (current === null) return { revision: null, hash: null, routers: {}, services: {}, middlewares: {}, errors: [] }
    const services: SnapshotReport['services'] = Object.fromEntries(
      Object.entries(current.services).map(([name, service]) => [
        name,
        {
          ...service,
          servers: service.servers.map((server): ServerReport => this.reportOf(name, server)),
        },
      ]),
    )
    const { revision, hash, routers, middlewares, errors } = current
    return { revision, hash, routers, services, middlewares, errors: [...errors, ...this.ownErrors] }
  }

  private reportOf(service: string, server: Server): ServerReport {
    const state = this.stateOf(service, server)
    const ejection = state === 'ejected' ? this.sharing.ejectionOf(service, server.id) : null
    return ejection === null ? { ...server, state } : { ...server, state, ejection }
  }

  private stateOf(service: string, server: { id: string; state: 'active' | 'draining' }): ServerReport['state'] {
    if (server.state === 'draining') return 'draining'
    if (!this.workers.isHealthy(service, server.id)) return 'unhealthy'
    return this.workers.ejected.get(service)?.has(server.id) ? 'ejected' : 'active'
  }

  cluster(): ClusterReport | null {
    const status = this.clustered?.status() ?? null
    if (status === null) return null
    return {
      ...status,
      differences: this.clustered?.optionDifferences() ?? [],
      relaying: [...this.workers.relaying.values()],
      relayed: this.workers.relayCounts(),
    }
  }

  breakers(): readonly BreakerReport[] {
    return this.sharing.breakerReports()
  }

  state(): StateReport {
    const { consistency } = this.options.dataPlane.sessions
    return { store: this.sharing.status(), consistency, sessions: this.sharing.sessionCounts() }
  }

  managers(): ReturnType<AdminSource['managers']> {
    return this.providers.map(provider => provider.status())
  }
}

/** What is on disk: a snapshot, and what the providers knew beyond it. */
type KeptSnapshot = Snapshot & { readonly shared?: Readonly<Record<string, unknown>> }

function restoreKept(value: unknown, warn: (message: string) => void): KeptSnapshot | string {
  const snapshot = restoreSnapshot(value, warn)
  if (typeof snapshot === 'string') return snapshot
  const shared = sharedOf(value)
  return typeof shared === 'string' ? shared : { ...snapshot, shared }
}

function bodyOf({ shared, ...snapshot }: KeptSnapshot): Body {
  return { snapshot, shared: shared ?? {} }
}

function keyOf(error: ConfigError): string {
  return `${error.source} ${error.key} ${error.value} ${error.message}`
}
