// What a member of a cluster is started with (cluster.ts).

import type { Held, Timing } from './core/state.ts'
import type { Lookup } from './gossip/discovery.ts'
import type { HostPort } from './gossip/multiaddr.ts'

export interface MemberOptions {
  /** For people: the node's host name. */
  readonly name: string
  /** Members of clusters of other names are refused. */
  readonly cluster: string
  /** Port 0: any. */
  readonly listen: HostPort
  /** Addresses or DNS names; this member's own may be among them. */
  readonly peers: readonly HostPort[]
  /** Addresses (without port) under which others may reach this member, best first; empty: those of its interfaces. */
  readonly advertise: readonly string[]
  /** null: it relays nothing. */
  readonly relayPort: number | null
  /** At least one; the first is used, all are accepted. */
  readonly secrets: readonly string[]
  readonly version: string
  /** What was kept on disk; ignored when its hash is not that of its body. */
  readonly held: Held | null
  readonly timing?: Timing
  readonly lookup?: Lookup
}
