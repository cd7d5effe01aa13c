// What the admin API shows: the shapes of its answers, and the seam through which it asks the control thread. Plain data, made
// afresh on each call.

import type { ClusterStatus } from '../../cluster/status.ts'
import type { ConfigError, Middleware, Revision, Router, Server, Service } from '../config/model.ts'
import type { ProviderStatus } from '../providers/provider.ts'

export interface HealthReport {
  /** `serving` answers 200, the others 503. */
  readonly status: 'starting' | 'serving' | 'draining'
  readonly name: string
  /** Whether it leads its cluster, or follows; null: it is on its own. */
  readonly role: 'leader' | 'follower' | null
  readonly version: string
  readonly uptimeMs: number
  /** Of the snapshot that is served; null before the first. */
  readonly revision: Revision | null
  readonly hash: string | null
  readonly workers: { readonly wanted: number; readonly ready: number }
  /** True once a whole configuration was read from every provider in this life; false while one from disk is served. */
  readonly synced: boolean
  readonly counts: { readonly routers: number; readonly services: number; readonly servers: number; readonly errors: number }
}

export interface ServerReport extends Omit<Server, 'state'> {
  /** As the data workers see it: the worst of them counts. */
  readonly state: 'active' | 'draining' | 'ejected' | 'unhealthy'
}

export interface ServiceReport extends Omit<Service, 'servers'> {
  readonly servers: readonly ServerReport[]
}

export interface SnapshotReport {
  readonly revision: Revision | null
  readonly hash: string | null
  readonly routers: Readonly<Record<string, Router>>
  readonly services: Readonly<Record<string, ServiceReport>>
  readonly middlewares: Readonly<Record<string, Middleware>>
  readonly errors: readonly ConfigError[]
}

/** A service that this replica cannot reach itself and whose requests go through a peer. */
export interface RelayReport {
  readonly service: string
  /** Name of the member that it goes through now. */
  readonly through: string
  readonly sinceMs: number
  /** Why it is relayed: `timeout`, `unreachable`, `silence` ... as servers were ejected for. */
  readonly cause: string
}

export interface RelayCounts {
  /** Requests that this replica handed to a peer, that peers handed to it, and that were to be relayed and found no peer. */
  readonly out: number
  readonly in: number
  readonly failed: number
}

export interface ClusterReport extends ClusterStatus {
  readonly relaying: readonly RelayReport[]
  readonly relayed: RelayCounts
}

export interface AdminSource {
  /** null: this replica is not a member of a cluster. */
  cluster(): ClusterReport | null
  health(): HealthReport
  snapshot(): SnapshotReport
  managers(): readonly ProviderStatus[]
}
