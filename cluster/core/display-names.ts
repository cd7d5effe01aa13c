// Member names for logs and the status: a member's own name, or `name~id` when two members share it. Pure.

import type { CoreContext } from './context.ts'
import { isUp, type Peer } from './peer.ts'
import type { Member, MemberId } from './state.ts'

/** Peers of this name that are not gone. */
export function peersNamed(context: CoreContext, name: string): Peer[] {
  const found: Peer[] = []
  for (const peer of context.membership.peers.values()) {
    if (peer.state !== 'gone' && peer.heartbeat.name === name) found.push(peer)
  }
  return found
}

/** The name of a member in log messages. O(members). */
export function displayName(context: CoreContext, id: MemberId): string {
  const name = id === context.options.id ? context.options.name : context.membership.peers.get(id)?.heartbeat.name
  if (name === undefined) return `~${id.slice(-6)}`
  let others = name === context.options.name && id !== context.options.id ? 1 : 0
  for (const peer of context.membership.peers.values()) {
    if (peer.id !== id && peer.heartbeat.name === name && isUp(peer)) others++
  }
  return others === 0 ? name : `${name}~${id.slice(-6)}`
}

/** All known members including this one, sorted by name, then id. `clockOffset` (ms) is subtracted from all times. */
export function listMembers(context: CoreContext, clockOffset: number): Member[] {
  const { options, membership, election, replication, local } = context
  const counts = new Map([[options.name, 1]])
  for (const peer of membership.peers.values()) {
    if (isUp(peer)) counts.set(peer.heartbeat.name, (counts.get(peer.heartbeat.name) ?? 0) + 1)
  }
  const displayed = (name: string, id: MemberId, up: boolean): string =>
    (counts.get(name) ?? 0) > (up ? 1 : 0) ? `${name}~${id.slice(-6)}` : name
  const members: Member[] = [
    {
      ...local,
      id: options.id,
      name: displayed(options.name, options.id, true),
      state: membership.draining ? 'draining' : 'alive',
      since: membership.selfSince - clockOffset,
      startedAt: options.startedAt,
      version: options.version,
      role: election.role,
      term: election.term,
      revision: replication.held?.revision ?? null,
      hash: replication.held?.hash ?? '',
      self: true,
    },
  ]
  for (const peer of membership.peers.values()) {
    const { heartbeat } = peer
    members.push({
      ...heartbeat.local,
      id: peer.id,
      name: displayed(heartbeat.name, peer.id, isUp(peer)),
      state: peer.state,
      since: peer.since - clockOffset,
      startedAt: heartbeat.startedAt,
      version: heartbeat.version,
      role: isUp(peer) ? heartbeat.role : 'follower',
      term: heartbeat.term,
      revision: heartbeat.revision,
      hash: heartbeat.hash,
      self: false,
    })
  }
  return members.sort((a, b) => (a.name === b.name ? (a.id < b.id ? -1 : 1) : a.name < b.name ? -1 : 1))
}
