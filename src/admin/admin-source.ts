// What the admin API shows: the shapes of its answers, and the seam through which it asks the control thread. Plain data, made
// afresh on each call.

import type { ClusterStatus } from '../../cluster/status.ts'
import type { StoreStatus } from '../../cluster/store/model.ts'
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
  /** Why it is ejected, and who saw it; absent when it is not. */
  readonly ejection?: EjectionReport
}

export interface EjectionReport {
  /** `refused`, `timeout`, `unreachable`, `silence`, `reset`, `errors`. */
  readonly cause: string
  /** Name of the replica that found it. */
  readonly by: string
  readonly sinceMs: number
  /** Ejections in a row. */
  readonly times: number
}

/** A breaker, and where its state comes from. */
export interface BreakerReport {
  readonly service: string
  readonly expression: string
  readonly state: 'closed' | 'open' | 'half-open' | 'recovering'
  /** In this state for so long, ms. */
  readonly sinceMs: number
  /** Wall clock of the change, ms since 1970, by the clock of the replica that made it; 0: it has never changed. */
  readonly at: number
  /** Name of the replica that changed it; '' when it has never changed. */
  readonly by: string
  /** The figures that it was changed for; null when it has never changed. */
  readonly because: BreakerFigures | null
  /** While half-open: name of the member that probes. */
  readonly prober: string
  /** The cluster's window now, and how many members have given counts to it. */
  readonly now: BreakerFigures
  readonly members: number
  /** Since the start of this replica. */
  readonly opened: number
  readonly refusedRequests: number
}

export interface BreakerFigures {
  readonly requests: number
  readonly networkErrorRatio: number
  /** Share of 5xx among all. */
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
  /** Members whose options would make another configuration than the leader's, which counts. */
  readonly differences: readonly OptionDifference[]
  readonly relaying: readonly RelayReport[]
  readonly relayed: RelayCounts
}

export interface AdminSource {
  /** null: this replica is not a member of a cluster. */
  cluster(): ClusterReport | null
  health(): HealthReport
  snapshot(): SnapshotReport
  managers(): readonly ProviderStatus[]
  breakers(): readonly BreakerReport[]
  state(): StateReport
}
