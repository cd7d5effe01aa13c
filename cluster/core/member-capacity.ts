// How many members there is room for: those longest gone are forgotten first; who does not fit is left out, and that is said.
// Pure.

import { log, NOTHING, type PartEffect, type World } from './context.ts'
import type { Peer } from './membership.ts'
import { type Beat, LIMITS, type MemberId } from './state.ts'

/** Forgets the one longest gone when there are too many. */
export function makeRoom(peers: Map<MemberId, Peer>): boolean {
  if (peers.size < LIMITS.members - 1) return true
  let oldest: Peer | null = null
  for (const peer of peers.values()) {
    if (peer.state === 'gone' && (oldest === null || peer.since < oldest.since)) oldest = peer
  }
  if (oldest !== null) peers.delete(oldest.id)
  return oldest !== null
}

/** Said once. */
export function tellFull(world: World, beat: Beat): readonly PartEffect[] {
  if (world.membership.fullLogged) return NOTHING
  world.membership.fullLogged = true
  return [log('warn', { name: beat.name }, `a member is left out: a cluster has at most ${LIMITS.members}`)]
}
