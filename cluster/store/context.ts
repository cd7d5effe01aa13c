// The context that the parts of a store core share (outbox, anti-entropy, state transfer, state server): tables, time, peers,
// and the effects to carry out. Clock, randomness and network are passed in, so equal events produce equal effects.

import type { MemberId } from '../core/state.ts'
import type { HybridClock } from './clock.ts'
import type { HashWrite } from './digest.ts'
import type { Change, Entry, StoreCounts } from './model.ts'
import type { TableRules, Tables } from './tables.ts'

export type StoreEffect =
  | { readonly kind: 'broadcast'; readonly data: Uint8Array }
  | { readonly kind: 'send'; readonly to: MemberId; readonly data: Uint8Array }
  /** Writes of other members were taken. */
  | { readonly kind: 'changed'; readonly changes: readonly Change[] }
  /** Fetch the body with this hash from this member. The result is the event `pulled` or `pullFailed`. One at a time. */
  | { readonly kind: 'pull'; readonly from: MemberId; readonly hash: string }
  /** Another member's state has been taken, or the wait for it is over. Once. */
  | { readonly kind: 'ready' }
  /** Log line; the network limits it to one a minute per subject and member. */
  | { readonly kind: 'warn'; readonly subject: string; readonly from: MemberId; readonly message: string }

/** Rules that the simulation replaces to plant faults. */
export interface StoreRules extends TableRules {
  readonly hash: HashWrite
}

export type Counts = { -readonly [name in keyof StoreCounts]: number }

export interface StoreContext {
  /** Monotonic, ms. */
  now: number
  /** The wall clock, ms. */
  wall: number
  readonly tables: Tables
  readonly clock: HybridClock
  readonly rules: StoreRules
  readonly counts: Counts
  /** Members with an open connection. */
  readonly peers: Set<MemberId>
  /** Number of known members of the cluster. */
  members: number
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly effects: StoreEffect[]
  /**
   * Merges entries of another member.
   * @param ageMs time since their times to live were computed
   * @returns the entries that won
   */
  merge(from: MemberId, entries: readonly Entry[], ageMs: number): readonly Entry[]
}
