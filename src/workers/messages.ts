// What control and data workers say to each other: plain data only, one union each way.

import type { Snapshot } from '../config/model.ts'
import type { DataPlaneOptions } from '../options/options.ts'
import type { LogLevel } from '../proxy/worker-context.ts'

/** Given to a worker as it starts. */
export interface WorkerStart {
  readonly index: number
  readonly options: DataPlaneOptions
  readonly counters: SharedArrayBuffer
}

export type ToWorker =
  /** Listen; the ports are the options' own unless 0 was asked for and another worker has found one. */
  | { readonly kind: 'listen'; readonly ports: Readonly<Record<string, number>> }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot; readonly slots: ReadonlyMap<string, number> }
  | { readonly kind: 'health'; readonly service: string; readonly server: string; readonly healthy: boolean }
  | {
      readonly kind: 'ejection'
      readonly service: string
      readonly server: string
      readonly out: boolean
      readonly cause: string
    }
  | { readonly kind: 'drain'; readonly graceMs: number }

export type FromWorker =
  | { readonly kind: 'listening'; readonly ports: Readonly<Record<string, number>> }
  | { readonly kind: 'failed'; readonly entryPoint: string; readonly code: string; readonly message: string }
  | { readonly kind: 'applied'; readonly hash: string }
  | {
      readonly kind: 'ejection'
      readonly service: string
      readonly server: string
      readonly out: boolean
      readonly cause: string
    }
  | { readonly kind: 'logs'; readonly lines: readonly LogLine[]; readonly suppressed: number }
  | { readonly kind: 'access'; readonly text: string }
  /** Nothing is in flight any more after a drain. */
  | { readonly kind: 'drained' }

export interface LogLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, string | number>>
}
