// The interface of a cluster member to src/: its status (GET /api/cluster, `skein status`, metrics; plain data), the hooks that
// it calls, and its methods.

import type { Held, LocalState, Member, MemberId, Revision, Term } from './core/state.ts'
import type { ForeignPeer } from './gossip/foreign-peers.ts'
import type { NetworkCounts } from './gossip/network.ts'
import type { SecretStore } from './secrets/replica.ts'
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
  /**
   * Foreign peers: addresses where a peer is expected and a process that is not of this cluster answers; at most
   * MAX_FOREIGN_PEERS. The field name is part of the admin API.
   */
  readonly strangers: readonly ForeignPeer[]
  readonly counts: ClusterCounts
}

export interface MemberStatus extends Omit<Member, 'since' | 'secretState'> {
  /** Time in its state, ms. */
  readonly sinceMs: number
  /** Its wall clock minus the cluster's time, ms; null: not reported. Beyond CLOCK_OFF_MS its clock is wrong. */
  readonly clockOffMs: number | null
}

export interface ClusterCounts extends NetworkCounts {
  /** Messages refused for an unknown version, another cluster, a malformed content, or a replayed number. */
  readonly unknownVersion: number
  readonly otherCluster: number
  readonly malformed: number
  readonly replayed: number
  readonly elections: number
  readonly leaderChanges: number
}

/** Calls from the cluster to the replica. */
export interface ClusterHooks {
  /** This member became leader or follower. Only a leader fetches. */
  role(role: 'leader' | 'follower', term: Term): void
  /** Route by this configuration from now on. Not called for content that this member published itself. */
  hold(held: Held): void
  members(members: readonly Member[]): void
  hint(keys: readonly string[]): void
  /** Checks a body from the network or the disk. @returns null when it may be used, otherwise the reason */
  check(body: string): string | null
  /** Entries of the secret state with these names were written or deleted, here or by another leader. */
  secretsChanged?(names: readonly string[]): void
  /** The shared store has applied these changes from other members. */
  shared(changes: readonly Change[]): void
}

/** A running member. */
export interface Cluster {
  readonly id: MemberId
  readonly port: number
  /**
   * Publishes new content of this replica's providers; ignored unless this member leads.
   * @returns its revision; null: not leading
   */
  publish(body: string): Revision | null
  setLocal(change: Partial<LocalState>): void
  /** Keys of swarm events that this replica's own manager has just reported. */
  reportEvents(keys: readonly string[]): void
  /** Further addresses of peers (`host:port`), for example those of the swarm's nodes. */
  setPeerAddresses(addresses: readonly string[]): void
  status(): ClusterStatus
  /** The state shared by the members beside the configuration. */
  readonly store: InnerStore
  /** Secrets that only the leader writes and every member holds, such as private keys. Never part of the configuration. */
  readonly secrets: SecretStore
  /**
   * Transfers leadership if it leads, and reports itself as draining. Resolves when another member leads, or after 1 s. Keeps
   * following.
   */
  drain(): Promise<void>
  stop(): Promise<void>
}
