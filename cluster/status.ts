// The cluster as it is shown: GET /api/cluster, `skein status`, metrics. Plain data.

import type { Held, LocalState, Member, MemberId, Revision, Term } from './core/state.ts'
import type { ForeignPeer } from './gossip/foreign-peers.ts'
import type { NetworkCounts } from './gossip/network.ts'
import type { Change, InnerStore } from './store/model.ts'

export interface ClusterStatus {
  readonly cluster: string
  readonly self: MemberId
  readonly name: string
  readonly role: 'leader' | 'follower'
  readonly term: Term
  /** Name and id of the leader; null: none is known. */
  readonly leader: { readonly id: MemberId; readonly name: string } | null
  readonly revision: Revision | null
  readonly hash: string | null
  /** The leader's revision; equals `revision` when this member is up to date. */
  readonly target: Revision | null
  readonly members: readonly MemberStatus[]
  readonly connections: readonly {
    readonly id: MemberId
    readonly name: string
    readonly address: string
    readonly direction: 'in' | 'out'
  }[]
  /** Where a peer is expected and something answers that is not of this cluster; at most MAX_FOREIGN_PEERS. */
  readonly strangers: readonly ForeignPeer[]
  readonly counts: ClusterCounts
}

export interface MemberStatus extends Omit<Member, 'since'> {
  /** For so long in its state, ms. */
  readonly sinceMs: number
  /** Its wall clock less the cluster's time, ms; null: not reported. Beyond CLOCK_OFF_MS its clock is wrong. */
  readonly clockOffMs: number | null
}

export interface ClusterCounts extends NetworkCounts {
  /** Messages of an unknown version, of another cluster, malformed, replayed. */
  readonly unknownVersion: number
  readonly otherCluster: number
  readonly malformed: number
  readonly replayed: number
  readonly elections: number
  readonly leaderChanges: number
}

/** What cluster.ts tells the replica. */
export interface ClusterHooks {
  /** Leading begins or ends: only a leader fetches. */
  role(role: 'leader' | 'follower', term: Term): void
  /** Route by this from now on (never called for what this member published itself). */
  hold(held: Held): void
  members(members: readonly Member[]): void
  hint(keys: readonly string[]): void
  /** Checks a body from the network or the disk: null when it may be used, else the reason why not. */
  check(body: string): string | null
  /** The shared store has taken these from others. */
  shared(changes: readonly Change[]): void
}

/** One member, running. */
export interface Cluster {
  readonly id: MemberId
  readonly port: number
  /**
   * New content of this replica's providers: of effect only while it leads. @returns its revision, or null when it does not lead
   */
  publish(body: string): Revision | null
  setLocal(change: Partial<LocalState>): void
  /** Keys of swarm events that this replica's own manager has just told. */
  reportEvents(keys: readonly string[]): void
  /** Further addresses of peers (`host:port`), e.g. the nodes' own from the swarm. */
  setPeerAddresses(addresses: readonly string[]): void
  status(): ClusterStatus
  /** What members share beside the configuration. */
  readonly store: InnerStore
  /** Hands over if it leads and tells the others; resolves when another leads or after 1 s. Goes on following. */
  drain(): Promise<void>
  stop(): Promise<void>
}
