// What control and data workers say to each other: plain data only, one union each way.

import type { Snapshot } from '../config/model.ts'
import type { DataPlaneOptions } from '../options/options.ts'
import type { Gate } from '../proxy/breaker/service-breaker.ts'
import type { Outcomes } from '../proxy/breaker/tally.ts'
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
  /** What another worker of this replica has seen. */
  | Ejection
  /** Peers that requests may be relayed through; the whole list each time. */
  | { readonly kind: 'relays'; readonly peers: readonly RelayPeer[] }
  /** Another worker of this replica can reach no server of this service (or can again). */
  | { readonly kind: 'serviceReach'; readonly service: string; readonly reachable: boolean; readonly cause: string }
  /** Sessions that others have learned, moved, or kept alive; `rows` as SESSION_ROW says. */
  | SessionsMessage
  /** Sessions are made under this key from now on; those made under the previous key are sent anew. */
  | { readonly kind: 'sessionKey'; readonly key: string }
  /** Who got a session that was asked for with `claim`. */
  | { readonly kind: 'claimed'; readonly ticket: number; readonly server: string }
  /** A breaker's state, as this replica's workers are to act by it. */
  | { readonly kind: 'gate'; readonly service: string; readonly gate: Gate }
  /** What other replicas say of servers: to be checked, or to be believed for so long. */
  | {
      readonly kind: 'remoteEjection'
      readonly service: string
      readonly server: string
      readonly cause: string
      /** Believe it for so long, ms; 0: only look for yourself. */
      readonly forMs: number
      /** Ejections in a row, this one included. */
      readonly times: number
      /** Name of the member that says so; '': it was found here, by another worker. */
      readonly by: string
    }
  /** The member with this id reaches the server, for all it knows for so long, ms; 0: no longer. */
  | {
      readonly kind: 'peerReach'
      readonly service: string
      readonly server: string
      readonly by: string
      readonly forMs: number
    }
  /** The drain delay has begun: the replica still accepts, and announces that it is going to drain. */
  | { readonly kind: 'announceDrain' }
  | { readonly kind: 'drain'; readonly graceMs: number }

/**
 * Words of one session in `rows`: high and low half of its key, index into `servers`, seconds left to live, flags: 1 confirmed
 * (its rank), 2 only kept alive, which says nothing new of its server, 4 guessed (proxy/sessions/service-sessions.ts).
 */
export const SESSION_ROW = 5

export interface SessionsMessage {
  readonly kind: 'sessions'
  readonly service: string
  /** Ids of servers that rows refer to. */
  readonly servers: readonly string[]
  readonly rows: Uint32Array
}

/** Words about shared state, handed on to sharing/. */
export type SharedFromWorker =
  | SessionsMessage
  /** Asks who owns a session, before its first request goes out (`store.consistency: strict`); answered by `claimed`. */
  | {
      readonly kind: 'claim'
      readonly ticket: number
      readonly service: string
      readonly high: number
      readonly low: number
      readonly server: string
    }
  | { readonly kind: 'outcomes'; readonly services: readonly Outcomes[] }
  /** A half-open breaker has let a probe through; it has ended. */
  | { readonly kind: 'probing'; readonly service: string }
  | {
      readonly kind: 'probed'
      readonly service: string
      /** 0: nothing was learned. */
      readonly status: number
      readonly ms: number
      /** As in Outcomes. */
      readonly networkError: boolean
    }
  | Ejection
  /** A server is in doubt (cause `doubt`), or was found missing by one more probe: no ejection, but others may want to look. */
  | (Omit<Ejection, 'kind' | 'out' | 'by'> & { readonly kind: 'healthReport' })
  /** Do others reach this server (`asked`)? It is reached from here, though another has trouble with it (`found`). */
  | { readonly kind: 'reachQuery' | 'reachAnswer'; readonly service: string; readonly server: string }

/** A server fell out, or came back, by what this worker saw. */
export interface Ejection {
  readonly kind: 'ejection'
  readonly service: string
  readonly server: string
  readonly out: boolean
  readonly cause: string
  /** Ejections in a row, this one included. */
  readonly times: number
  /** Out for so long before a probe, ms; 0 when it is back. */
  readonly forMs: number
  /** Name of another replica that had said so first; '': nobody had. */
  readonly by: string
}

export type FromWorker =
  | { readonly kind: 'listening'; readonly ports: Readonly<Record<string, number>> }
  | { readonly kind: 'failed'; readonly entryPoint: string; readonly code: string; readonly message: string }
  | { readonly kind: 'applied'; readonly hash: string }
  /** This worker goes over to relaying a service through a peer (`through`, a member's name), or has come back. */
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
