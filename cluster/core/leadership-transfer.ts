// Leadership transfer (Raft, Ongaro's thesis, section 3.10). A leader that drains, or has no healthy manager while another
// member has one, asks the best-ranked member above it to campaign, and the next one when no transfer happens in time. Pure;
// used by election.ts.

import { type CoreContext, log, NOTHING, type PartEffect } from './context.ts'
import { displayName } from './display-names.ts'
import { isUp, type Peer } from './peer.ts'
import { compareRevisions, type MemberId } from './state.ts'

/**
 * Rank of a member as a leader, 0 to 3: members that stay rank above draining ones, then those with a healthy manager above
 * others.
 */
export function leaderRank(draining: boolean, managerHealthy: boolean): number {
  return (draining ? 0 : 2) + (managerHealthy ? 1 : 0)
}

/** The highest rank among peers that are up; -1: there is none. */
export function bestPeerRank(context: CoreContext, except: MemberId | null): number {
  let best = -1
  for (const peer of context.membership.peers.values()) {
    if (peer.id === except || !isUp(peer)) continue
    best = Math.max(best, leaderRank(peer.heartbeat.draining, peer.heartbeat.local.managerHealthy))
  }
  return best
}

/** Called on every tick of a leader. */
export function considerTransfer(context: CoreContext): readonly PartEffect[] {
  const { election, membership, local, options, now } = context
  const own = leaderRank(membership.draining, local.managerHealthy)
  if (own === 3 || bestPeerRank(context, null) <= own) {
    election.outrankedSince = null
    election.transfer = null
    return NOTHING
  }
  election.outrankedSince ??= now
  if (!membership.draining && now - election.outrankedSince < options.timing.transferDelayMs) return NOTHING
  if (election.transfer !== null && now < election.transfer.until) return NOTHING
  election.transfer ??= { until: 0, tried: new Set() }
  let to = chooseTransferee(context, election.transfer.tried)
  if (to === null) {
    election.transfer.tried.clear()
    to = chooseTransferee(context, election.transfer.tried)
  }
  if (to === null) return NOTHING
  election.transfer.tried.add(to)
  election.transfer.until = now + options.timing.electionMinMs + options.timing.electionMaxMs
  const why = membership.draining ? 'this member is draining' : 'this member has no healthy manager and another member has one'
  return [
    log('info', { to: displayName(context, to), term: election.term.number }, `transferring leadership: ${why}`),
    { kind: 'send', to, message: { kind: 'handover', term: election.term } },
  ]
}

/** The member to ask: highest rank, then up to date, then lowest id; only ranks above this member's own. Null: none. */
function chooseTransferee(context: CoreContext, tried: ReadonlySet<MemberId>): MemberId | null {
  const held = context.replication.held?.revision ?? null
  const value = (peer: Peer): number => {
    const { revision } = peer.heartbeat
    const upToDate = held === null || (revision !== null && compareRevisions(revision, held) >= 0)
    return leaderRank(peer.heartbeat.draining, peer.heartbeat.local.managerHealthy) * 2 + (upToDate ? 1 : 0)
  }
  const own = leaderRank(context.membership.draining, context.local.managerHealthy)
  let best: Peer | null = null
  for (const peer of context.membership.peers.values()) {
    if (!isUp(peer) || tried.has(peer.id) || leaderRank(peer.heartbeat.draining, peer.heartbeat.local.managerHealthy) <= own)
      continue
    const order = best === null ? 1 : value(peer) - value(best)
    if (best === null || order > 0 || (order === 0 && peer.id < best.id)) best = peer
  }
  return best?.id ?? null
}
