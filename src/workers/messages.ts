// The messages between the control thread and the data workers: plain data only, one union for each direction.

import type { Snapshot } from '../config/model.ts'
import type { DataPlaneOptions } from '../options/options.ts'
import type { Gate } from '../proxy/breaker/service-breaker.ts'
import type { Outcomes } from '../proxy/breaker/tally.ts'
import type { LogLevel } from '../proxy/worker-context.ts'

/** Passed to a worker at its start. */
export interface WorkerStart {
  readonly index: number
  readonly options: DataPlaneOptions
  readonly counters: SharedArrayBuffer
}

/** The key of the relay port among the ports of the entry points, whose names have no parentheses. */
export const RELAY_PORT = '(relay)'

export type ToWorker =
  /** Listen. `ports` replaces the options' ports if those were 0 and another worker has already bound one. */
  | { readonly kind: 'listen'; readonly ports: Readonly<Record<string, number>> }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot; readonly slots: ReadonlyMap<string, number> }
  | {
      readonly kind: 'health'
      readonly service: string
      readonly server: string
      readonly healthy: boolean
      /** It is unhealthy because no connection can be opened from here. */
      readonly unreachable: boolean
    }
  /** An ejection by another worker of this replica. */
  | Ejection
  /** Peers through which requests may be relayed; always the whole list. */
  | { readonly kind: 'relays'; readonly peers: readonly RelayPeer[] }
  /** Another worker of this replica can reach no server of this service, or can again. */
  | { readonly kind: 'serviceReach'; readonly service: string; readonly reachable: boolean; readonly cause: string }
  /** Sessions that other workers or replicas have learned, moved or refreshed; for `rows` see SESSION_ROW. */
  | SessionsMessage
  /** Hash sessions with this key. Sessions hashed with the previous key follow again. */
  | { readonly kind: 'sessionKey'; readonly key: string }
  /** The server of a session requested with `claim`. */
  | { readonly kind: 'claimed'; readonly ticket: number; readonly server: string }
  /** The state of a breaker that this replica's workers apply. */
  | { readonly kind: 'gate'; readonly service: string; readonly gate: Gate }
  /** A report of another replica about a server: to be checked by a probe, or to be applied for some time. */
  | {
      readonly kind: 'remoteEjection'
      readonly service: string
      readonly server: string
      readonly cause: string
      /** Apply the ejection for this time, ms; 0: only probe the server. */
      readonly forMs: number
      /** Ejections in a row, including this one. */
      readonly times: number
      /** Name of the reporting member; '': another worker of this replica. */
      readonly by: string
    }
  /** The member with this id reaches the server, presumably for another `forMs`; 0: no longer. */
  | {
      readonly kind: 'peerReach'
      readonly service: string
      readonly server: string
      readonly by: string
      readonly forMs: number
    }
  /** The drain delay has begun: keep accepting, but announce that this replica will drain. */
  | { readonly kind: 'announceDrain' }
  | { readonly kind: 'drain'; readonly graceMs: number }

/**
 * Numbers per session in `rows`: high and low half of the key's hash, index into `servers`, remaining time to live in seconds, and
 * flags: CONFIRMED (1), KEPT_ALIVE (2), BOUND_BY_HASH (4), as in proxy/sessions/service-sessions.ts.
 */
export const SESSION_ROW = 5

export interface SessionsMessage {
  readonly kind: 'sessions'
  readonly service: string
  /** Ids of the servers that rows refer to. */
  readonly servers: readonly string[]
  readonly rows: Uint32Array
}

/** Messages about shared state; handled by src/shared-state/. */
export type SharedFromWorker =
  | SessionsMessage
  /** Requests the owner of a session before its first request is sent (`store.consistency: strict`); answered by `claimed`. */
  | {
      readonly kind: 'claim'
      readonly ticket: number
      readonly service: string
      readonly high: number
      readonly low: number
      readonly server: string
    }
  | { readonly kind: 'outcomes'; readonly services: readonly Outcomes[] }
  /** A half-open breaker has admitted a probe (`probing`), and the probe has ended (`probed`). */
  | { readonly kind: 'probing'; readonly service: string }
  | {
      readonly kind: 'probed'
      readonly service: string
      /** 0: the probe gave no result. */
      readonly status: number
      readonly ms: number
      /** As in Outcomes. */
      readonly networkError: boolean
    }
  | Ejection
  /** A server is suspected (cause `doubt`), or another probe has failed. Not an ejection, but other replicas may probe it. */
  | (Omit<Ejection, 'kind' | 'out' | 'by'> & { readonly kind: 'healthReport' })
  /** `reachQuery`: do others reach this server? `reachAnswer`: it is reached from here, though another replica has trouble. */
  | { readonly kind: 'reachQuery' | 'reachAnswer'; readonly service: string; readonly server: string }

/** This worker has ejected a server or uses it again. */
export interface Ejection {
  readonly kind: 'ejection'
  readonly service: string
  readonly server: string
  readonly out: boolean
  readonly cause: string
  /** Ejections in a row, including this one. */
  readonly times: number
  /** Time until it is probed, ms; 0 if it is used again. */
  readonly forMs: number
  /** Name of the replica that reported it first; '' if this one did. */
  readonly by: string
}

export type FromWorker =
  | { readonly kind: 'listening'; readonly ports: Readonly<Record<string, number>> }
  | { readonly kind: 'failed'; readonly entryPoint: string; readonly code: string; readonly message: string }
  | { readonly kind: 'applied'; readonly hash: string }
  /** This worker now relays a service through a peer (`through`, a member's name), or reaches it again. */
  | {
      readonly kind: 'serviceReach'
      readonly service: string
      readonly reachable: boolean
      readonly cause: string
      readonly through: string
    }
  | SharedFromWorker
  | { readonly kind: 'logs'; readonly lines: readonly LogLine[]; readonly suppressed: number }
  | { readonly kind: 'access'; readonly text: string }
  /** The drain is complete: no request is in flight. */
  | { readonly kind: 'drained' }

/** A member of the cluster as data workers need it. */
export interface RelayPeer {
  readonly id: string
  readonly name: string
  /** Addresses of its relay port in order of preference. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  /** Services that it cannot reach either. */
  readonly unreachable: readonly string[]
}

export interface LogLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, string | number>>
}
