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

/** Under which the relay port stands among the ports of the entry points, whose names have no parentheses. */
export const RELAY_PORT = '(relay)'

export type ToWorker =
  /** Listen; the ports are the options' own unless 0 was asked for and another worker has found one. */
  | { readonly kind: 'listen'; readonly ports: Readonly<Record<string, number>> }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot; readonly slots: ReadonlyMap<string, number> }
  | {
      readonly kind: 'health'
      readonly service: string
      readonly server: string
      readonly healthy: boolean
      /** It is not healthy because it cannot be connected to from here. */
      readonly unreachable: boolean
    }
  | {
      readonly kind: 'ejection'
      readonly service: string
      readonly server: string
      readonly out: boolean
      readonly cause: string
    }
  /** Peers that requests may be relayed through; the whole list each time. */
  | { readonly kind: 'relays'; readonly peers: readonly RelayPeer[] }
  /** Another worker of this replica can reach no server of this service (or can again). */
  | { readonly kind: 'reach'; readonly service: string; readonly reachable: boolean; readonly cause: string }
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
  /** This worker goes over to relaying a service through a peer (`through`, a member's name), or has come back. */
  | {
      readonly kind: 'reach'
      readonly service: string
      readonly reachable: boolean
      readonly cause: string
      readonly through: string
    }
  | { readonly kind: 'logs'; readonly lines: readonly LogLine[]; readonly suppressed: number }
  | { readonly kind: 'access'; readonly text: string }
  /** Nothing is in flight any more after a drain. */
  | { readonly kind: 'drained' }

/** A member of the cluster as the data plane needs it. */
export interface RelayPeer {
  readonly id: string
  readonly name: string
  /** Addresses of its relay port, best first. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  /** Services that it cannot reach either. */
  readonly unreachable: readonly string[]
}

export interface LogLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, string | number>>
}
