// Faults planted in a core on purpose, by wrapping the step functions of its parts: the simulation must notice each. A fault is
// an invariant's test: were it not noticed, the invariant would be worth nothing.

import { createCore, PARTS, type Parts } from '../../cluster/core.ts'
import { compareTerms } from '../../cluster/model.ts'
import { NOTHING, type Step } from '../../cluster/world.ts'
import type { MakeCore } from './world.ts'

const { membership, election, replication } = PARTS

/** A voter forgets whom it has voted for. */
const voteTwice: Step = (world, event) => {
  if (event.kind === 'message' && event.message.kind === 'vote?') {
    world.election.votedIn = 0
    world.election.votedFor = null
  }
  return election(world, event)
}

/** What arrives is taken, whatever is held. */
const takeOlder: Step = (world, event) => {
  const { held } = world.replication
  const arrives = event.kind === 'pulled' || (event.kind === 'message' && event.message.kind === 'announce')
  if (!arrives) return replication(world, event)
  world.replication.held = null
  const effects = replication(world, event)
  world.replication.held ??= held
  return effects
}

/** Whoever asks for a vote gets it, though the leader is well: as if nobody had to ask first. */
const noPreVote: Step = (world, event) => {
  const { leader, role } = world.election
  if (event.kind !== 'message' || event.message.kind !== 'vote?' || role === 'leader') return election(world, event)
  world.election.leader = null
  const effects = election(world, event)
  if (world.election.role === 'follower') world.election.leader ??= leader
  return effects
}

/** A leader does not listen to one of a higher term. */
const twoLeaders: Step = (world, event) => {
  const higher =
    event.kind === 'message' && 'term' in event.message && typeof event.message.term === 'object'
      ? compareTerms(event.message.term, world.election.term) > 0
      : false
  return higher && world.election.role === 'leader' ? NOTHING : election(world, event)
}

/** The silence of a leader is never noticed. */
const patience: Step = (world, event) => {
  const peer = world.election.leader === null ? undefined : world.membership.peers.get(world.election.leader)
  if (peer !== undefined) peer.silentAt = Number.POSITIVE_INFINITY
  return membership(world, event)
}

/** What a member publishes counts, whether it leads or not. */
const anybodyPublishes: Step = (world, event) => {
  const { role } = world.election
  if (event.kind !== 'publish') return replication(world, event)
  world.election.role = 'leader'
  const effects = [...replication(world, { kind: 'tick' }), ...replication(world, event)]
  world.election.role = role
  return effects
}

/** A leader without a manager keeps the lead. */
const keepsTheLead: Step = (world, event) => {
  world.election.managerlessSince = null
  return election(world, event)
}

/** Beats say nothing of revisions: what was missed stays missed. */
const noRepair: Step = (world, event) =>
  event.kind === 'message' && event.message.kind === 'beat' ? NOTHING : replication(world, event)

export const FAULTS: Readonly<Record<string, Partial<Parts>>> = {
  'vote-twice': { election: voteTwice },
  'take-older': { replication: takeOlder },
  'no-pre-vote': { election: noPreVote },
  'two-leaders': { election: twoLeaders },
  'never-suspect-leader': { membership: patience },
  'anybody-publishes': { replication: anybodyPublishes },
  'keeps-the-lead': { election: keepsTheLead },
  'no-repair': { replication: noRepair },
}

/** Cores with that fault. */
export function planted(fault: string): MakeCore {
  const parts = FAULTS[fault]
  if (parts === undefined) throw new Error(`--plant ${fault}: expected one of ${Object.keys(FAULTS).join(', ')}`)
  return options => createCore(options, parts)
}
