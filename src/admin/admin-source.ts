// The answers of the admin API as types, and the interface through which it reads the control thread's state. Plain data, built anew
// on each call.

import type { ClusterStatus } from '../../cluster/status.ts'
import type { StoreStatus } from '../../cluster/store/model.ts'
import type { ConfigError, Middleware, Revision, Router, Server, Service } from '../config/model.ts'
import type { ManagerStatus, ProviderStatus } from '../providers/shared/provider.ts'

/** A provider with its sources; `managers` is empty where they are no managers. */
export type ProviderReport = ProviderStatus & { readonly managers: readonly ManagerStatus[] }

export interface HealthReport {
  /** `serving` is answered with 200, the others with 503. */
  readonly status: 'starting' | 'serving' | 'draining'
  readonly name: string
  /** null: this replica is not a member of a cluster. */
  readonly role: 'leader' | 'follower' | null
  readonly version: string
  readonly uptimeMs: number
  /** Revision of the snapshot in use; null before the first. */
  readonly revision: Revision | null
  readonly hash: string | null
  readonly workers: { readonly wanted: number; readonly ready: number }
  /** True once every provider has read its whole configuration since the start; false while the one on disk is served. */
  readonly synced: boolean
  readonly counts: { readonly routers: number; readonly services: number; readonly servers: number; readonly errors: number }
}

export interface ServerReport extends Omit<Server, 'state'> {
  /** The worst state that any data worker reports. */
  readonly state: 'active' | 'draining' | 'ejected' | 'unhealthy'
  /** Why it is ejected, and by which replica; absent unless it is. */
  readonly ejection?: EjectionReport
}

export interface EjectionReport {
  /** `refused`, `timeout`, `unreachable`, `silence`, `reset`, `errors`. */
  readonly cause: string
  /** Name of the replica that ejected it first. */
  readonly by: string
  readonly sinceMs: number
  /** Consecutive ejections. */
  readonly times: number
}

/** A breaker, and the cause of its state. */
export interface BreakerReport {
  readonly service: string
  readonly expression: string
  readonly state: 'closed' | 'open' | 'half-open' | 'recovering'
  /** Time in this state, ms. */
  readonly sinceMs: number
  /** Wall clock of the last change, ms since 1970, by the clock of the replica that made it; 0 if it has never changed. */
  readonly at: number
  /** Name of the replica that changed it; '' if it has never changed. */
  readonly by: string
  /** The figures that caused the change; null if it has never changed. */
  readonly because: BreakerFigures | null
  /** In state half-open: name of the member that probes. */
  readonly prober: string
  /** The cluster's current window, and the number of members that have contributed to it. */
  readonly now: BreakerFigures
  readonly members: number
  /** Since the start of this replica. */
  readonly opened: number
  readonly refusedRequests: number
}

export interface BreakerFigures {
  readonly requests: number
  readonly networkErrorRatio: number
  /** Share of 5xx responses among all. */
  readonly errorRatio: number
  readonly latencyP50Ms: number
  readonly latencyP99Ms: number
}

export interface StateReport {
  readonly store: StoreStatus
  readonly consistency: 'fast' | 'strict'
  /** Learned sessions by service, as this replica holds them. */
  readonly sessions: Readonly<Record<string, number>>
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

/** A service that this replica cannot reach and whose requests are relayed through a peer. */
export interface RelayReport {
  readonly service: string
  /** Name of the member that takes the requests; '' if none can. */
  readonly through: string
  readonly sinceMs: number
  /** Cause of the ejection of its servers: `timeout`, `unreachable`, `silence` ... */
  readonly cause: string
}

export interface RelayCounts {
  /** Requests relayed to peers, taken from peers, and failed because no peer could take them. */
  readonly out: number
  readonly in: number
  readonly failed: number
}

/** An option of a member that differs from the leader's and would give another configuration. */
export interface OptionDifference {
  readonly member: string
  /** As on the command line, without `--`. */
  readonly option: string
  readonly value: string
  /** The member that it is compared with, and that member's value, which is in effect for all. */
  readonly leader: string
  readonly leaderValue: string
  /** How long members have differed in this option, ms. */
  readonly forMs: number
  readonly severity: 'warning' | 'error'
}

export interface ClusterReport extends ClusterStatus {
  /** Options of members that would give another configuration than the leader's, which is in effect. */
  readonly differences: readonly OptionDifference[]
  readonly relaying: readonly RelayReport[]
  readonly relayed: RelayCounts
}

export interface AdminSource {
  /** null: this replica is not a member of a cluster. */
  cluster(): ClusterReport | null
  health(): HealthReport
  snapshot(): SnapshotReport
  managers(): readonly ProviderReport[]
  breakers(): readonly BreakerReport[]
  state(): StateReport
}
