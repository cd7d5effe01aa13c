// The interface of a provider: a source of configuration for the control thread. A provider turns its source into a DynamicConfig,
// keeps the last good one through any outage, and never throws out of start(). A provider is a folder beside shared/ and one
// line in registry.ts.

import type { Logger } from 'pino'
import type { DynamicConfig } from '../../config/model.ts'
import type { RunOptions } from '../../options/options.ts'

export interface Provider {
  readonly name: string
  /** Starts to watch the source. `emit` is called with the provider's whole configuration whenever its content changes. */
  start(emit: (config: DynamicConfig) => void): void
  /** Closes all connections and timers; resolves when nothing is left running. */
  stop(): Promise<void>
  /** For GET /api/managers and the log; plain data. */
  status(): ProviderStatus
  /** Reads the source again at once, because a server was lost. Absent: the source is watched closely enough. */
  refresh?(): void
  /** Absent: every replica reads the source, and the leader's configuration is used (leader-only.ts). */
  readonly cluster?: ClusterPart
}

/** The part of a provider that takes part in a cluster. Only `setMode` is required. */
export interface ClusterPart {
  setMode(mode: ProviderMode): void
  /** Other replicas saw events (`service:<id>` ...) that this replica, which reads, may have missed. */
  hint?(keys: readonly string[]): void
  /**
   * Facts beside the configuration that followers need, as plain JSON; replicated with it. `emit` is called when only they
   * change, too.
   */
  shared?(): unknown
  /** Takes the leader's `shared()` as received; untrusted. */
  adopt?(shared: unknown): void
  /** Addresses of the nodes that run replicas, by replica name: reachable when the overlay network is not. */
  nodeAddresses?(): ReadonlyMap<string, string>
}

/** A provider as the control thread uses it. */
export type ClusteredProvider = Provider & { readonly cluster: ClusterPart }

/**
 * `read`: this replica leads (or has no cluster) and reads its source. `listen`: the leader reads for all; this replica keeps at
 * most an event stream open to its own source. A provider starts in mode `read`.
 */
export type ProviderMode = 'read' | 'listen'

/** The cluster as providers use it. Each method may be called at any time after start(). */
export interface ClusterLink {
  /** Announces events that this replica's own source has reported, by key. */
  eventsSeen(keys: readonly string[]): void
  /** Announces the manager that this replica reads from or listens to, and whether it is healthy; null: none. */
  managerHealth(name: string | null, healthy: boolean): void
  /** Takes the configuration of this replica's own source, whether or not it leads; members compare it with the leader's. */
  localConfig(provider: string, config: DynamicConfig): void
  /** Names of all members alive, this one's included, sorted; the managers are distributed among them. null: not a member. */
  members(): readonly string[] | null
  /** The other members that have not left. */
  others(): readonly OtherMember[]
}

export interface OtherMember {
  /** `name~id` where two members have the same name. */
  readonly name: string
  /** IP addresses that it announces. */
  readonly addresses: readonly string[]
  /** Addresses of all its interfaces, with prefix lengths (`10.0.1.7/24`); null: it does not announce them. */
  readonly networks: readonly string[] | null
}

export interface ProviderStatus {
  readonly provider: string
  /** True once this process has read a whole configuration from the source itself. */
  readonly synced: boolean
  /** Milliseconds since the last successful read; null before the first. */
  readonly lastSuccessMs: number | null
  readonly lastError: string | null
  /** Where the sources are Swarm managers. */
  readonly managers?: readonly ManagerStatus[]
  /** Where they are anything else. */
  readonly sources?: readonly SourceStatus[]
}

export interface SourceStatus {
  /** As users write it: a path, a URL. */
  readonly source: string
  readonly state: 'healthy' | 'down'
  readonly lastError: string | null
}

export interface ManagerStatus {
  /** The endpoint as users write it: `tcp://10.0.0.1:2376`, `agent://10.0.0.1:7946`, `unix:///var/run/docker.sock`. */
  readonly endpoint: string
  /** How the endpoint became known. */
  readonly origin: 'option' | 'dns' | 'learned'
  /** True for the manager that this replica uses now. */
  readonly current: boolean
  readonly state: 'unknown' | 'healthy' | 'hanging' | 'down'
  readonly healthyForMs: number | null
  readonly lastError: string | null
  readonly hostname: string | null
}

export interface ProviderContext {
  readonly options: RunOptions
  readonly log: Logger
  /** null: this replica is not a member of a cluster. */
  readonly cluster: ClusterLink | null
}

/** An entry of the registry. */
export interface ProviderType {
  readonly name: string
  /** null: the options name no source for this provider. */
  create(context: ProviderContext): Provider | null
}
