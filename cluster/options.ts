// Options of a cluster member (member.ts).

import type { Held, Timing } from './core/state.ts'
import type { Lookup } from './gossip/discovery.ts'
import type { HostPort } from './gossip/multiaddr.ts'

export interface MemberOptions {
  /** For display: the node's host name. */
  readonly name: string
  /** Name of the cluster. Members of other clusters are refused. */
  readonly cluster: string
  /** Port 0: any free port. */
  readonly listen: HostPort
  /** IP addresses or DNS names; this member's own may be among them. */
  readonly peers: readonly HostPort[]
  /** Addresses (without port) that others use to reach this member, best first; empty: those of its interfaces. */
  readonly advertise: readonly string[]
  /** null: it does not relay. */
  readonly relayPort: number | null
  /** At least one. The first is used towards others; all are accepted. */
  readonly secrets: readonly string[]
  readonly version: string
  /** The configuration kept on disk; ignored when its hash does not match its body. */
  readonly held: Held | null
  /** Where the secret state is kept; absent or null: in memory only. */
  readonly secretDirectory?: string | null
  readonly timing?: Timing
  readonly lookup?: Lookup
}
