// How many members there is room for: those longest gone are forgotten first; who does not fit is left out, and that is said.
// Pure.

import { type CoreContext, log, NOTHING, type PartEffect } from './context.ts'
import type { Peer } from './peer.ts'
import { type Heartbeat, LIMITS, type MemberId } from './state.ts'

/** Forgets the one longest gone when there are too many. */
export function reserveSlot(peers: Map<MemberId, Peer>): boolean {
  if (peers.size < LIMITS.members - 1) return true
  let oldest: Peer | null = null
  for (const peer of peers.values()) {
    if (peer.state === 'gone' && (oldest === null || peer.since < oldest.since)) oldest = peer
  }
  if (oldest !== null) peers.delete(oldest.id)
  return oldest !== null
}

/** Said once. */
export function logAtCapacity(context: CoreContext, heartbeat: Heartbeat): readonly PartEffect[] {
  if (context.membership.capacityLogged) return NOTHING
  context.membership.capacityLogged = true
  return [log('warn', { name: heartbeat.name }, `a member is left out: a cluster has at most ${LIMITS.members}`)]
}
