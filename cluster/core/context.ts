// The state of one member's core and the contract of its parts (membership, election, replication, hints). Each part is a step
// function over the context: it writes its own state, reads the state of the others, and returns effects. Time and randomness
// come only from the context, so the same events produce the same effects.

import type { Peer } from './peer.ts'
import type { CoreEffect, CoreEvent, CoreOptions, Held, LocalState, MemberId, Revision, Term } from './state.ts'

export interface CoreContext {
  /** The clock's value, ms; never goes back. All times below are of this clock. */
  now: number
  readonly options: CoreOptions
  /** What this replica reports about itself, clamped to LIMITS. */
  local: LocalState
  readonly membership: MembershipState
  readonly election: ElectionState
  readonly replication: ReplicationState
  readonly hints: HintsState
}

/** Written by membership.ts. */
export interface MembershipState {
  readonly peers: Map<MemberId, Peer>
  readonly connected: Set<MemberId>
  /** This member is about to stop. */
  draining: boolean
  /** When this member became alive or draining. */
  selfSince: number
  /** Number of peers that are alive or draining. */
  alive: number
  /** When the next heartbeat is due, and when the last one was broadcast. */
  heartbeatDueAt: number
  heartbeatSentAt: number
  refutedAt: number
  /** When a refutation is repeated; Infinity: not pending. */
  repeatHeartbeatAt: number
  /** Names shared by two members that have been logged. */
  readonly duplicateNames: Set<string>
  capacityLogged: boolean
}

/** Written by election.ts. */
export interface ElectionState {
  role: 'leader' | 'follower'
  /** The highest term that this member has led, followed, or holds a revision of. */
  term: Term
  leader: MemberId | null
  /** The highest term number seen in any message. A candidate campaigns above it. */
  highestTerm: number
  /** The highest term number in which this member has voted, and for which candidate. */
  votedIn: number
  votedFor: MemberId | null
  round: ElectionRound | null
  /** Without a leader: when to campaign. In a round: when the round has failed. */
  campaignAt: number
  failures: number
  leaderlessSince: number
  /** Leader only: since when a better leader is available; null: none is. */
  outrankedSince: number | null
  /** Leader only: the leadership transfer in progress. */
  transfer: LeadershipTransfer | null
  /** When a leader of a lower term was last sent a heartbeat with the higher one. */
  staleLeaderNotifiedAt: number
}

export interface ElectionRound {
  readonly number: number
  readonly pre: boolean
  /** The leader asked this member to campaign. */
  readonly consent: boolean
  readonly votes: Set<MemberId>
  /** The round is not won before this time, so that a suspect member can refute the suspicion. */
  readonly notBefore: number
}

export interface LeadershipTransfer {
  /** The transferee asked last has until this time. */
  until: number
  readonly tried: Set<MemberId>
}

/** A revision and the hash of its body. */
export interface RevisionRef {
  readonly revision: Revision
  readonly hash: string
}

/** Written by replication.ts. */
export interface ReplicationState {
  held: Held | null
  /** The highest revision that the leader (`announcedBy`) has announced or sent in a heartbeat. */
  announced: RevisionRef | null
  announcedBy: MemberId | null
  pull: (RevisionRef & { readonly from: MemberId; readonly until: number }) | null
  /** Peers whose pull failed are not asked again before this time. */
  readonly backoffUntil: Map<MemberId, number>
  /** No pull starts before this time. */
  nextPullAt: number
  failures: number
  /** Leader only: content to publish once a higher revision has been pulled, or the wait for it has ended. */
  pending: { readonly hash: string; readonly body: string } | null
  /** Leader only: content published last, even if it was held already; null: nothing in this term. */
  published: { readonly hash: string; readonly body: string } | null
  leaderSince: number
  wasLeader: boolean
  /** A revision for which two contents were seen and logged. */
  conflict: Revision | null
}

/** Written by hints.ts. */
export interface HintsState {
  /** Keys of this member's own events and when they were last seen, oldest first. */
  readonly seen: Map<string, number>
  /** Own keys that the leader's heartbeats have not contained: when each was seen, and when its hint is due. */
  readonly pending: Map<string, { readonly at: number; readonly dueAt: number }>
  /** Keys that the leader's heartbeats have contained, and when last. */
  readonly reflected: Map<string, number>
  sentAt: number
}

export type PartEvent =
  | CoreEvent
  /**
   * The process was suspended for `gapMs` (SIGSTOP, a suspended machine, a clock that was put forward). Messages missed in
   * that time do not make a peer suspect.
   */
  | { readonly kind: 'resumed'; readonly gapMs: number }

export type PartEffect =
  | CoreEffect
  /** Send a heartbeat now, to all members or to one. core.ts builds it. */
  | { readonly kind: 'heartbeat'; readonly to: MemberId | null }

export type Step = (context: CoreContext, event: PartEvent) => readonly PartEffect[]

/** The shared empty result: an idle step allocates nothing. */
export const NOTHING: readonly PartEffect[] = Object.freeze([])

export function log(
  level: 'debug' | 'info' | 'warn',
  fields: Readonly<Record<string, string | number>>,
  message: string,
): PartEffect {
  return { kind: 'log', level, fields, message }
}
