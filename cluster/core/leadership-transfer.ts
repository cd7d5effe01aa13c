// Who is the better leader, and how one that is not hands over: a leader that drains, or has no healthy manager while another
// member has one, asks the best of those better than itself to stand, and the next when nothing comes of it. Pure; a part of
// election.ts.

import { log, NOTHING, type PartEffect, type World } from './context.ts'
import { displayName } from './display-names.ts'
import { isUp, type Peer } from './membership.ts'
import { compareRevisions, type MemberId } from './state.ts'

/** A hand-over under way. */
export interface Handover {
  /** The one asked has until then. */
  until: number
  readonly tried: Set<MemberId>
}

/** Members that stay come before those that drain; with a healthy manager before without. */
export function rank(draining: boolean, managerHealthy: boolean): number {
  return (draining ? 0 : 2) + (managerHealthy ? 1 : 0)
}

/** The rank of the best peer that is up; -1: there is none. */
export function bestOther(world: World, except: MemberId | null): number {
  let best = -1
  for (const peer of world.membership.peers.values()) {
    if (peer.id === except || !isUp(peer)) continue
    best = Math.max(best, rank(peer.beat.draining, peer.beat.local.managerHealthy))
  }
  return best
}

/** On every tick of a leader. */
export function considerHandover(world: World): readonly PartEffect[] {
  const { election, membership, local, options, now } = world
  const own = rank(membership.draining, local.managerHealthy)
  if (own === 3 || bestOther(world, null) <= own) {
    election.managerlessSince = null
    election.handover = null
    return NOTHING
  }
  election.managerlessSince ??= now
  if (!membership.draining && now - election.managerlessSince < options.timing.handOverMs) return NOTHING
  if (election.handover !== null && now < election.handover.until) return NOTHING
  election.handover ??= { until: 0, tried: new Set() }
  let to = heir(world, election.handover.tried)
  if (to === null) {
    election.handover.tried.clear()
    to = heir(world, election.handover.tried)
  }
  if (to === null) return NOTHING
  election.handover.tried.add(to)
  election.handover.until = now + options.timing.electionMinMs + options.timing.electionMaxMs
  const why = membership.draining ? 'it drains' : 'it has no healthy manager, another member has'
  return [
    log('info', { to: displayName(world, to), term: election.term.number }, `this member hands over the lead: ${why}`),
    { kind: 'send', to, message: { kind: 'handover', term: election.term } },
  ]
}

/** The best of those better than this member: by rank, up to date, lowest id. */
function heir(world: World, tried: ReadonlySet<MemberId>): MemberId | null {
  const held = world.replication.held?.revision ?? null
  const value = (peer: Peer): number => {
    const { revision } = peer.beat
    const upToDate = held === null || (revision !== null && compareRevisions(revision, held) >= 0)
    return rank(peer.beat.draining, peer.beat.local.managerHealthy) * 2 + (upToDate ? 1 : 0)
  }
  const own = rank(world.membership.draining, world.local.managerHealthy)
  let best: Peer | null = null
  for (const peer of world.membership.peers.values()) {
    if (!isUp(peer) || tried.has(peer.id) || rank(peer.beat.draining, peer.beat.local.managerHealthy) <= own) continue
    const order = best === null ? 1 : value(peer) - value(best)
    if (best === null || order > 0 || (order === 0 && peer.id < best.id)) best = peer
  }
  return best?.id ?? null
}
