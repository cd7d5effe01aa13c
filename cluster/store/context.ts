// What the parts of a store (outgoing, comparison, transfer, serving) see: the tables, the time, who is there, and what is to be
// done. There is no clock, no randomness and no network in here but what is handed in: the same events make the same effects.

import type { MemberId } from '../core/state.ts'
import type { HybridClock } from './clock.ts'
import type { HashWrite } from './digest.ts'
import type { Change, Entry, StoreCounts } from './model.ts'
import type { TableRules, Tables } from './tables.ts'

export type StoreEffect =
  | { readonly kind: 'broadcast'; readonly data: Uint8Array }
  | { readonly kind: 'send'; readonly to: MemberId; readonly data: Uint8Array }
  /** Others' writes were taken. */
  | { readonly kind: 'changed'; readonly changes: readonly Change[] }
  /** Get the body with this hash from this member; answered by `pulled` or `pullFailed`. One at a time. */
  | { readonly kind: 'pull'; readonly from: MemberId; readonly hash: string }
  /** The others' state is here, or is not to be waited for any more. Once. */
  | { readonly kind: 'ready' }
  /** For the log, once a minute for each subject and member. */
  | { readonly kind: 'warn'; readonly subject: string; readonly from: MemberId; readonly message: string }

/** What could be otherwise; a simulation plants faults here. */
export interface StoreRules extends TableRules {
  readonly hash: HashWrite
}

export type Counts = { -readonly [name in keyof StoreCounts]: number }

export interface StoreWorld {
  /** Monotonic, ms. */
  now: number
  /** The wall clock, ms. */
  wall: number
  readonly tables: Tables
  readonly clock: HybridClock
  readonly rules: StoreRules
  readonly counts: Counts
  /** Members that there is a connection with. */
  readonly peers: Set<MemberId>
  /** Members of the cluster, as far as it is known. */
  members: number
  /** From 0 up to 1. */
  readonly random: () => number
  readonly effects: StoreEffect[]
  /** Takes others' entries in, and says which of them won. */
  merge(from: MemberId, entries: readonly Entry[], lessMs: number): readonly Entry[]
}
