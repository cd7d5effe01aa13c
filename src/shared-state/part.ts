// Interface of the parts of shared state (sessions, breakers, ejections, reachability). A part connects the data workers, which
// act, with the store (cluster/store), which replicates. shared-state.ts assembles the parts.

import type { Logger } from 'pino'
import type { Change, SharedStore } from '../../cluster/store/model.ts'
import type { Snapshot } from '../config/model.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'

/** A member of the cluster. */
export interface Peer {
  readonly id: string
  readonly name: string
  readonly self: boolean
}

export interface SharedStateHost {
  readonly store: SharedStore
  readonly log: Logger
  /** Sends to all data workers, or to all but one. */
  post(message: ToWorker, except?: number): void
  /** Sends to one worker by index; does nothing if it has exited. */
  postTo(index: number, message: ToWorker): void
  /** Monotonic ms. */
  now(): number
  /** Current members, this one included. A replica without a cluster is the only one. */
  peers(): readonly Peer[]
}

export interface SharedStatePart {
  /** Tables that this part owns under a configuration, with their caps. */
  tables(snapshot: Snapshot): Iterable<readonly [table: string, cap: number]>
  /** Applies a new configuration, after the workers received it. */
  apply(snapshot: Snapshot): void
  /** Handles a message of a data worker; ignores the kinds of other parts. */
  fromWorker(index: number, message: SharedFromWorker): void
  /** Handles writes that the store took from other members; ignores tables of other parts. */
  changed(changes: readonly Change[]): void
  /** Sends the full state to a worker that starts; it has the snapshot already. */
  seed(post: (message: ToWorker) => void): void
  /** Called when members joined or left. */
  members(): void
  stop(): void
}
