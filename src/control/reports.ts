// Builds the answers of the admin API (AdminSource) from the state of the control thread. Every call builds a new object; nothing
// is cached.

import type {
  AdminSource,
  BreakerReport,
  ClusterReport,
  HealthReport,
  ServerReport,
  SnapshotReport,
  StateReport,
} from '../admin/admin-source.ts'
import type { ConfigError, Server, Snapshot } from '../config/model.ts'
import type { RunOptions } from '../options/options.ts'
import type { Provider } from '../providers/shared/provider.ts'
import type { SharedState } from '../shared-state/shared-state.ts'
import { readVersion } from '../util/version.ts'
import type { WorkerPool } from '../workers/pool.ts'
import type { ClusterAdapter } from './cluster-adapter.ts'

/** The parts of the control thread that reports read. */
export interface ReportSources {
  readonly options: RunOptions
  readonly workers: WorkerPool
  readonly sharing: SharedState
  readonly providers: readonly Provider[]
  /** null: this replica is not a member of a cluster. */
  readonly clusterAdapter: ClusterAdapter | null
  readonly state: () => ServingState
}

export interface ServingState {
  /** The snapshot in use; null before the first. */
  readonly current: Snapshot | null
  /** Errors that concern this replica only and are not part of the snapshot. */
  readonly localErrors: readonly ConfigError[]
  readonly draining: boolean
}

export class Reports implements AdminSource {
  private readonly sources: ReportSources
  private readonly startedMs = performance.now()

  constructor(sources: ReportSources) {
    this.sources = sources
  }

  health(): HealthReport {
    const { options, workers, providers, clusterAdapter } = this.sources
    const { current, localErrors, draining } = this.sources.state()
    return {
      status: draining ? 'draining' : workers.alive > 0 ? 'serving' : 'starting',
      name: options.name,
      role: clusterAdapter?.role ?? null,
      version: readVersion(),
      uptimeMs: Math.round(performance.now() - this.startedMs),
      revision: current?.revision ?? null,
      hash: current?.hash ?? null,
      workers: { wanted: options.workers, ready: workers.alive },
      synced: clusterAdapter?.synced ?? providers.every(provider => provider.status().synced),
      counts: {
        routers: Object.keys(current?.routers ?? {}).length,
        services: Object.keys(current?.services ?? {}).length,
        servers: Object.values(current?.services ?? {}).reduce((n, service) => n + service.servers.length, 0),
        errors: (current?.errors.length ?? 0) + localErrors.length,
      },
    }
  }

  snapshot(): SnapshotReport {
    const { current, localErrors } = this.sources.state()
    if (current === null) return { revision: null, hash: null, routers: {}, services: {}, middlewares: {}, errors: [] }
    const services: SnapshotReport['services'] = Object.fromEntries(
      Object.entries(current.services).map(([name, service]) => [
        name,
        { ...service, servers: service.servers.map((server): ServerReport => this.serverReport(name, server)) },
      ]),
    )
    const { revision, hash, routers, middlewares, errors } = current
    return { revision, hash, routers, services, middlewares, errors: [...errors, ...localErrors] }
  }

  private serverReport(service: string, server: Server): ServerReport {
    const state = this.serverState(service, server)
    const ejection = state === 'ejected' ? this.sources.sharing.ejectionOf(service, server.id) : null
    return ejection === null ? { ...server, state } : { ...server, state, ejection }
  }

  private serverState(service: string, server: Server): ServerReport['state'] {
    const { workers } = this.sources
    if (server.state === 'draining') return 'draining'
    if (!workers.isHealthy(service, server.id)) return 'unhealthy'
    return workers.ejected.get(service)?.has(server.id) ? 'ejected' : 'active'
  }

  cluster(): ClusterReport | null {
    const { clusterAdapter, workers } = this.sources
    const status = clusterAdapter?.status() ?? null
    if (clusterAdapter === null || status === null) return null
    return {
      ...status,
      differences: clusterAdapter.optionDifferences(),
      relaying: [...workers.relaying.values()],
      relayed: workers.relayCounts(),
    }
  }

  breakers(): readonly BreakerReport[] {
    return this.sources.sharing.breakerReports()
  }

  state(): StateReport {
    const { options, sharing } = this.sources
    const { consistency } = options.dataPlane.sessions
    return { store: sharing.status(), consistency, sessions: sharing.sessionCounts() }
  }

  managers(): ReturnType<AdminSource['managers']> {
    return this.sources.providers.map(provider => {
      const status = provider.status()
      return { ...status, managers: status.managers ?? [] }
    })
  }
}
