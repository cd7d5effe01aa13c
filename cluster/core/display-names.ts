// Names for people: a member's own, and `name~id` where two bear one name; and the list of members as it is shown.

import type { World } from './context.ts'
import { isUp, type Peer } from './membership.ts'
import type { Member, MemberId } from './state.ts'

/** Peers of that name that are not gone. */
export function presentNamed(world: World, name: string): Peer[] {
  const found: Peer[] = []
  for (const peer of world.membership.peers.values()) {
    if (peer.state !== 'gone' && peer.beat.name === name) found.push(peer)
  }
  return found
}

/** How a member is called in the log. O(members). */
export function displayName(world: World, id: MemberId): string {
  const name = id === world.options.id ? world.options.name : world.membership.peers.get(id)?.beat.name
  if (name === undefined) return `~${id.slice(-6)}`
  let others = name === world.options.name && id !== world.options.id ? 1 : 0
  for (const peer of world.membership.peers.values()) {
    if (peer.id !== id && peer.beat.name === name && isUp(peer)) others++
  }
  return others === 0 ? name : `${name}~${id.slice(-6)}`
}

/** All members known, this one included, sorted by name, then id. `skew` is taken off all times. */
export function listMembers(world: World, skew: number): Member[] {
  const { options, membership, election, replication, local } = world
  const counts = new Map([[options.name, 1]])
  for (const peer of membership.peers.values()) {
    if (isUp(peer)) counts.set(peer.beat.name, (counts.get(peer.beat.name) ?? 0) + 1)
  }
  const shown = (name: string, id: MemberId, up: boolean): string =>
    (counts.get(name) ?? 0) > (up ? 1 : 0) ? `${name}~${id.slice(-6)}` : name
  const members: Member[] = [
    {
      ...local,
      id: options.id,
      name: shown(options.name, options.id, true),
      state: membership.draining ? 'draining' : 'alive',
      since: membership.selfSince - skew,
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
    const { beat } = peer
    members.push({
      ...beat.local,
      id: peer.id,
      name: shown(beat.name, peer.id, isUp(peer)),
      state: peer.state,
      since: peer.since - skew,
      startedAt: beat.startedAt,
      version: beat.version,
      role: isUp(peer) ? beat.role : 'follower',
      term: beat.term,
      revision: beat.revision,
      hash: beat.hash,
      self: false,
    })
  }
  return members.sort((a, b) => (a.name === b.name ? (a.id < b.id ? -1 : 1) : a.name < b.name ? -1 : 1))
}
