// The seam between a source of configuration and the control thread. A provider turns its source into a DynamicConfig whenever it
// changes; it keeps the last good one through any outage and never throws out of start().

import type { DynamicConfig } from '../config/model.ts'

export interface Provider {
  readonly name: string
  /** Begins to watch. `emit` is called with the whole of the provider's configuration whenever its content changes. */
  start(emit: (config: DynamicConfig) => void): void
  /** Ends all connections and timers; resolves when nothing of it is left. */
  stop(): Promise<void>
  /** For GET /api/managers and the log; plain data. */
  status(): ProviderStatus
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
