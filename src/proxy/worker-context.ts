// What the connections of one data worker share: options, clock, routes, counters, log. One object, made once per worker.

import type { DataPlaneOptions } from '../options/options.ts'
import type { BreakerEvents } from './breaker/service-breaker.ts'
import type { WorkerCounters } from './counters.ts'
import type { Sweep } from './forward/deadlines.ts'
import type { Exchange } from './forward/exchange.ts'
import type { Forwarder } from './forward/forwarder.ts'
import type { RequestIds } from './message/local-reply.ts'
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
  /** Shutting down: every answer closes its connection. */
  draining: boolean
  /** The listeners are closed and the grace runs: no connection is kept longer than it needs. */
  closing: boolean
  /** Client connections in a long linger after their last answer; counted by ClientConnection. */
  lingering: number
  log(level: LogLevel, message: string, fields: Record<string, string | number>): void
  /** Called for each finished request when the access log is on. */
  access(x: Exchange, ms: number): void
}
