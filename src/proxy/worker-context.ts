// What the connections of one data worker share: options, clock, routes, counters, log. Created once per worker.

import type { DataPlaneOptions } from '../options/options.ts'
import type { BreakerEvents } from './breaker/service-breaker.ts'
import type { WorkerCounters } from './counters.ts'
import type { Sweep } from './forward/deadlines.ts'
import type { Exchange } from './forward/exchange.ts'
import type { Forwarder } from './forward/forwarder.ts'
import type { RequestIds } from './message/request-ids.ts'
import type { Runtime } from './runtime.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface WorkerContext {
  readonly options: DataPlaneOptions
  readonly sweep: Sweep
  readonly runtime: Runtime
  readonly forwarder: Forwarder
  readonly counters: WorkerCounters
  readonly ids: RequestIds
  readonly breakerEvents: BreakerEvents
  /** Shutting down: every response closes its connection. */
  draining: boolean
  /** The listeners are closed and the grace period runs: no connection is kept longer than necessary. */
  closing: boolean
  /** Client connections in a long linger after their last response; maintained by ClientConnection. */
  lingering: number
  log(level: LogLevel, message: string, fields: Record<string, string | number>): void
  /** Called for each finished request if the access log is enabled. */
  access(x: Exchange, ms: number): void
}
