// What shared state (sessions, breakers, ejections) looks like to the control thread: parts that all have the same few seams, put
// together by sharing.ts. A part stands between the data workers, which act, and the store (cluster/store), which spreads.

import type { Logger } from 'pino'
import type { Change, SharedStore } from '../../cluster/store/model.ts'
import type { Snapshot } from '../config/model.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'

/** A replica among others, as shared state sees it. */
export interface Peer {
  readonly id: string
  readonly name: string
  readonly self: boolean
}

export interface SharingHost {
  readonly store: SharedStore
  readonly log: Logger
  /** To all data workers, or to all but one. */
  post(message: ToWorker, except?: number): void
  /** To one, by its index; nobody, if it has died. */
  postTo(index: number, message: ToWorker): void
  /** Monotonic ms. */
  now(): number
  /** Members that are not gone, this one included; on its own a replica is the only one. */
  peers(): readonly Peer[]
}

export interface SharingPart {
  /** Tables that this part owns under a configuration, with their caps. */
  tables(snapshot: Snapshot): Iterable<readonly [table: string, cap: number]>
  /** A new configuration counts; workers have it already. */
  apply(snapshot: Snapshot): void
  /** A data worker's word; not this part's kinds: ignored. */
  fromWorker(index: number, message: SharedFromWorker): void
  /** What the store has taken from others; other tables than this part's: ignored. */
  changed(changes: readonly Change[]): void
  /** A worker that starts (or starts anew): all that it must know. It has the snapshot already. */
  seed(post: (message: ToWorker) => void): void
  /** Members have come or gone. */
  members(): void
  stop(): void
}
