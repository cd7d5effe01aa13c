// The seam between a source of configuration and the control thread. A provider turns its source into a DynamicConfig whenever it
// changes; it keeps the last good one through any outage and never throws out of start().

import type { DynamicConfig } from '../config/model.ts'

export interface Provider {
  readonly name: string
  /** Begins to watch. `emit` is called with the whole of the provider's configuration whenever its content changes. */
  start(emit: (config: DynamicConfig) => void): void
  /** Ends all connections and timers; resolves when nothing of it is left. */
  stop(): Promise<void>
  /**
   * `read`: this replica leads (or is alone) and fetches. `listen`: another one fetches for all; this one only keeps an event
   * stream open to its own source and makes no other call. Before the first call it reads.
   */
  setMode(mode: 'read' | 'listen'): void
  /** Others have seen events that this replica, which reads, may have missed: look again, or move to another source. */
  hint(keys: readonly string[]): void
  /**
   * What the leader's provider knows beyond the configuration and the others need (managers, the nodes' own addresses): plain
   * JSON, replicated beside the configuration. When only this changes, `emit` is called too.
   */
  shared(): unknown
  /** The leader's `shared`, as received: hostile until checked. */
  adopt(shared: unknown): void
  /** The own addresses of the nodes that run replicas, by replica name: reachable when the overlay is not. */
  nodeAddresses(): ReadonlyMap<string, string>
  /** For GET /api/managers and the log; plain data. */
  status(): ProviderStatus
}

/** What a provider tells a replica that is a member of a cluster; each may be called at any time after start(). */
export interface ProviderListener {
  /** Keys of events that its own source has just told (`service:<id>` ...). */
  saw(keys: readonly string[]): void
  /** The manager that it reads from or listens to, for people, and whether it is well; null: none. */
  manager(name: string | null, healthy: boolean): void
  /** Names of all members alive, this one's included, sorted; the managers are shared out among them. null: not a member. */
  members(): readonly string[] | null
  /** The other members that are not gone. */
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
  /** True once a whole configuration has been read from the source itself in this life. */
  readonly synced: boolean
  /** Milliseconds since the last successful fetch; null before the first. */
  readonly lastSuccessMs: number | null
  readonly lastError: string | null
  readonly managers: readonly ManagerStatus[]
}

export interface ManagerStatus {
  /** The endpoint as users write it: `tcp://10.0.0.1:2376`, `agent://10.0.0.1:7946`, `unix:///var/run/docker.sock`. */
  readonly endpoint: string
  /** Where the endpoint is known from. */
  readonly origin: 'option' | 'dns' | 'learned'
  /** True for the one this replica reads from now. */
  readonly current: boolean
  readonly state: 'unknown' | 'healthy' | 'hanging' | 'down'
  readonly healthyForMs: number | null
  readonly lastError: string | null
  readonly hostname: string | null
}
