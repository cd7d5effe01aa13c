// Builds ClusterStatus (status.ts) from a running member: ids become names, times become durations.

import type { Core, MemberId } from './core/state.ts'
import type { Network } from './gossip/network.ts'
import type { Refusal } from './protocol.ts'
import type { ClusterStatus } from './status.ts'

export interface StatusSources {
  readonly cluster: string
  readonly core: Core
  readonly network: Network
  readonly counts: Readonly<Record<Refusal | 'replayed' | 'elections' | 'leaderChanges', number>>
  /** Monotonic, ms. */
  readonly now: number
  /** Offset of each member's wall clock from the cluster's time, ms. */
  readonly clockOffs: ReadonlyMap<MemberId, number>
}

export function statusView({ cluster, core, network, counts, now, clockOffs }: StatusSources): ClusterStatus {
  const { role, term, leader, held, target } = core
  const { self } = network
  const members = core.members()
  const names = new Map(members.map(member => [member.id, member.name]))
  const nameOf = (id: MemberId): string => names.get(id) ?? `~${id.slice(-6)}`
  return {
    cluster,
    self,
    name: nameOf(self),
    role,
    term,
    leader: leader === null ? null : { id: leader, name: nameOf(leader) },
    revision: held?.revision ?? null,
    hash: held?.hash ?? null,
    target,
    members: members.map(({ since, secretState: _, ...member }) => ({
      ...member,
      sinceMs: Math.max(0, Math.round(now - since)),
      clockOffMs: clockOffs.get(member.id) ?? null,
    })),
    connections: network.connections().map(connection => ({ ...connection, name: nameOf(connection.id) })),
    strangers: network.foreignPeers(),
    counts: {
      ...network.counts(),
      unknownVersion: counts.version,
      otherCluster: counts.cluster,
      malformed: counts.malformed + counts.large,
      replayed: counts.replayed,
      elections: counts.elections,
      leaderChanges: counts.leaderChanges,
    },
  }
}
