// What the parts of a member's mind (membership, election, replication, hints) see: the options, the time, and each other's
// state. Every part is a step function over it: it writes only the state that is its own, reads the others', and gives back
// effects. There is no clock, no randomness and no input or output in here but what is handed in: the same events make the
// same effects.

import type { ElectionState } from './election.ts'
import type { HintsState } from './hints.ts'
import type { MembershipState } from './membership.ts'
import type { ReplicationState } from './replication.ts'
import type { CoreEffect, CoreEvent, CoreOptions, LocalState, MemberId } from './state.ts'

export interface World {
  /** The clock's value, ms; never goes back. */
  now: number
  readonly options: CoreOptions
  /** What the replica says of itself, within LIMITS. */
  local: LocalState
  readonly membership: MembershipState
  readonly election: ElectionState
  readonly replication: ReplicationState
  readonly hints: HintsState
}

export type PartEvent =
  | CoreEvent
  /**
   * The process stood still for `gapMs` (SIGSTOP, a suspended machine, a clock that was put forward): others were not
   * silent, it was deaf.
   */
  | { readonly kind: 'resumed'; readonly gapMs: number }

export type PartEffect =
  | CoreEffect
  /** Say a beat now: to all, or to one member. core.ts puts it together. */
  | { readonly kind: 'beat'; readonly to: MemberId | null }

export type Step = (world: World, event: PartEvent) => readonly PartEffect[]

/** Given back by a step that has nothing to say, so that being idle makes no garbage. */
export const NOTHING: readonly PartEffect[] = Object.freeze([])

/** For the log. */
export function log(
  level: 'debug' | 'info' | 'warn',
  fields: Readonly<Record<string, string | number>>,
  message: string,
): PartEffect {
  return { kind: 'log', level, fields, message }
}
