// Bounds the number of members. Members that have been gone for longest are forgotten first; a new member beyond the limit is
// ignored and logged. Pure.

import { type CoreContext, log, NOTHING, type PartEffect } from './context.ts'
import type { Peer } from './peer.ts'
import { type Heartbeat, LIMITS, type MemberId } from './state.ts'

/** Makes space for one more peer. @returns false when all LIMITS.members are in use */
export function reserveSlot(peers: Map<MemberId, Peer>): boolean {
  if (peers.size < LIMITS.members - 1) return true
  let oldest: Peer | null = null
  for (const peer of peers.values()) {
    if (peer.state === 'gone' && (oldest === null || peer.since < oldest.since)) oldest = peer
  }
  if (oldest !== null) peers.delete(oldest.id)
  return oldest !== null
}

/** Logged once. */
export function logAtCapacity(context: CoreContext, heartbeat: Heartbeat): readonly PartEffect[] {
  if (context.membership.capacityLogged) return NOTHING
  context.membership.capacityLogged = true
  return [log('warn', { name: heartbeat.name }, `a member is ignored: a cluster has at most ${LIMITS.members} members`)]
}
