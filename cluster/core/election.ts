// Leader election: terms, one vote per term number, pre-vote and leadership transfer, as in Raft (Ongaro's thesis, sections
// 3.4, 3.10 and 9.6), with three differences. The quorum is a majority of the members believed alive, so every component of a
// partition elects a leader. A term is a pair of number and leader, so two components may elect in the same number. Members
// with a healthy manager are preferred. Pure: no sockets, timers or clock.

import { type CoreContext, type ElectionState, log, NOTHING, type PartEffect, type PartEvent } from './context.ts'
import { displayName } from './display-names.ts'
import { bestPeerRank, considerTransfer, leaderRank } from './leadership-transfer.ts'
import { isUp, type Peer } from './peer.ts'
import {
  type CoreOptions,
  compareTerms,
  type Heartbeat,
  LIMITS,
  type MemberId,
  type Message,
  type Term,
  type Timing,
} from './state.ts'

/**
 * After this time without a leader a member campaigns although a better-ranked one is up, which may be unable to campaign, ms.
 */
const RANK_OVERRIDE_MS = 3000
/** Election time-outs double with every failed round, at most this many times, because a slow network needs longer rounds. */
const MAX_DOUBLINGS = 3

export function createElection(options: CoreOptions): ElectionState {
  const revision = options.held?.revision
  return {
    role: 'follower',
    term: revision === undefined ? { number: 0, leader: '' } : { number: revision.term, leader: revision.leader },
    leader: null,
    highestTerm: revision?.term ?? 0,
    votedIn: 0,
    votedFor: null,
    round: null,
    campaignAt: options.now + options.timing.joinMs + options.random() * options.timing.electionMaxMs,
    failures: 0,
    leaderlessSince: options.now,
    outrankedSince: null,
    transfer: null,
    staleLeaderNotifiedAt: Number.NEGATIVE_INFINITY,
  }
}

export function stepElection(context: CoreContext, event: PartEvent): readonly PartEffect[] {
  const done = handle(context, event)
  const more = reevaluate(context, event.kind === 'tick')
  return done.length === 0 ? more : more.length === 0 ? done : [...done, ...more]
}

function handle(context: CoreContext, event: PartEvent): readonly PartEffect[] {
  if (event.kind === 'resumed') return onResumed(context, event.gapMs)
  if (event.kind !== 'message' || event.from === context.options.id) return NOTHING
  const { from, message } = event
  switch (message.kind) {
    case 'beat':
      return onHeartbeat(context, from, message)
    case 'announce': {
      const peer = context.membership.peers.get(from)
      return peer === undefined || isOneWay(context, from, peer.heartbeat) ? NOTHING : observeTerm(context, message.term)
    }
    case 'vote?':
      return onVoteRequest(context, from, message)
    case 'vote!':
      return onVoteResponse(context, from, message)
    case 'handover':
      return onTransferRequest(context, from, message.term)
    default:
      return NOTHING
  }
}

// ---- observing leaders and terms ----

function onHeartbeat(context: CoreContext, from: MemberId, heartbeat: Heartbeat): readonly PartEffect[] {
  const { election, now } = context
  const peer = context.membership.peers.get(from)
  if (!isUp(peer) || peer.heartbeat !== heartbeat) return NOTHING
  noteTerm(election, heartbeat.term.number)
  if (heartbeat.revision !== null) noteTerm(election, heartbeat.revision.term)
  if (isOneWay(context, from, heartbeat)) return NOTHING
  if (heartbeat.role !== 'leader' || heartbeat.term.leader !== from) {
    if (election.role !== 'leader') return NOTHING
    if (compareTerms(heartbeat.term, election.term) > 0) return observeTerm(context, heartbeat.term)
    // The peer holds a revision of a term above this leader's. Revisions published in the lower term would be ignored, so this
    // member must lead in a higher one.
    const { revision } = heartbeat
    if (revision === null) return NOTHING
    const term = { number: revision.term, leader: revision.leader }
    return compareTerms(term, election.term) > 0 ? stepDown(context, term, 0) : NOTHING
  }
  const order = compareTerms(heartbeat.term, election.term)
  if (order > 0) return follow(context, from, heartbeat.term)
  if (order === 0) return election.leader === from ? NOTHING : follow(context, from, heartbeat.term)
  // That leader has not received the higher term. While there is no current leader, no other message carries it.
  if (election.leader !== null || now - election.staleLeaderNotifiedAt < context.options.timing.leaderHeartbeatMs) return NOTHING
  election.staleLeaderNotifiedAt = now
  return [{ kind: 'heartbeat', to: from }]
}

/**
 * True when the sender suspects this member, or may suspect it (its list is full): messages arrive from it but not at it. Such a
 * sender changes neither the leader that this member follows nor its own leadership. The condition ends with the first heartbeat
 * after the partition heals.
 */
function isOneWay(context: CoreContext, from: MemberId, heartbeat: Heartbeat): boolean {
  const { leader } = context.election
  if (leader === null || leader === from) return false
  return heartbeat.suspects.includes(context.options.id) || heartbeat.suspects.length >= LIMITS.suspects
}

/** A leader steps down when it observes a higher term. */
function observeTerm(context: CoreContext, term: Term): readonly PartEffect[] {
  const { election } = context
  noteTerm(election, term.number)
  if (election.role !== 'leader' || compareTerms(term, election.term) <= 0) return NOTHING
  // If the higher term has a leader, its next heartbeat arrives within one leader interval.
  return stepDown(context, term, term.leader === '' ? 0 : context.options.timing.leaderHeartbeatMs)
}

function noteTerm(election: ElectionState, number: number): void {
  if (number > election.highestTerm) election.highestTerm = number
}

function follow(context: CoreContext, leader: MemberId, term: Term): readonly PartEffect[] {
  const { election } = context
  const led = election.role === 'leader'
  const again = election.leader === leader
  becomeFollower(context, leader)
  election.term = term
  const fields = { leader: displayName(context, leader), term: term.number }
  const effects: PartEffect[] = led ? [{ kind: 'heartbeat', to: null }] : []
  if (led) effects.push(log('info', fields, 'stepped down as leader: another member leads in a higher term'))
  else effects.push(log(again ? 'debug' : 'info', fields, 'following a new leader'))
  return effects
}

function becomeFollower(context: CoreContext, leader: MemberId | null): void {
  const { election, now } = context
  election.role = 'follower'
  election.leader = leader
  election.round = null
  election.transfer = null
  election.outrankedSince = null
  election.failures = 0
  if (leader === null) election.leaderlessSince = now
}

/** Steps down while the new leader is unknown. Waits `listenMs` for its heartbeat before this member campaigns. */
function stepDown(context: CoreContext, term: Term, listenMs: number): readonly PartEffect[] {
  const { election, now } = context
  becomeFollower(context, null)
  election.campaignAt = now + listenMs + (listenMs === 0 ? 0 : timeout(context, 0))
  return [
    log('info', { term: election.term.number, higher: term.number }, 'stepped down as leader: a message contains a higher term'),
    { kind: 'heartbeat', to: null },
  ]
}

/** After a pause of the process another member may have become leader. */
function onResumed(context: CoreContext, gapMs: number): readonly PartEffect[] {
  const { election, options, now } = context
  const listenMs = options.timing.leaderHeartbeatMs
  if (gapMs <= options.timing.missedHeartbeats * listenMs) return NOTHING
  election.round = null
  if (election.role === 'follower') {
    election.campaignAt = Math.max(election.campaignAt, now + listenMs + timeout(context, 0))
    if (election.leader === null) election.leaderlessSince = now
    return NOTHING
  }
  becomeFollower(context, null)
  election.campaignAt = now + 2 * listenMs + timeout(context, 0)
  return [
    log(
      'warn',
      { term: election.term.number },
      'stepped down as leader: the process was suspended; waiting for heartbeats of another leader',
    ),
    { kind: 'heartbeat', to: null },
  ]
}

// ---- votes ----

type VoteRequest = Extract<Message, { kind: 'vote?' }>
type VoteResponse = Extract<Message, { kind: 'vote!' }>

function onVoteRequest(context: CoreContext, from: MemberId, ask: VoteRequest): readonly PartEffect[] {
  const { election, options, now } = context
  if (ask.revision !== null) noteTerm(election, ask.revision.term)
  const free = ask.term > election.votedIn || (ask.term === election.votedIn && election.votedFor === from)
  // A vote request from the current leader means that it has stepped down.
  const otherLeader = election.leader !== null && election.leader !== from
  const { round } = election
  // Two concurrent pre-vote rounds would split the votes: the candidate with the lower id continues, the other one yields.
  const rivals = ask.pre && round?.pre === true
  const granted = ask.term > election.term.number && free && (ask.consent || !otherLeader) && !(rivals && options.id < from)
  const known: Term = election.votedIn > election.term.number ? { number: election.votedIn, leader: '' } : election.term
  if (!ask.pre) noteTerm(election, ask.term)
  if (granted && rivals) election.round = null
  // Wait for the candidate that may win instead of campaigning at the same time.
  if (granted && ask.pre) election.campaignAt = Math.max(election.campaignAt, now + options.timing.electionMinMs)
  if (granted && !ask.pre) {
    election.votedIn = ask.term
    election.votedFor = from
    if (election.role === 'follower') {
      // Leave time for the winner's first heartbeat.
      election.round = null
      election.campaignAt = now + timeout(context, election.failures)
    }
  }
  return [{ kind: 'send', to: from, message: { kind: 'vote!', term: ask.term, pre: ask.pre, granted, known } }]
}

function onVoteResponse(context: CoreContext, from: MemberId, answer: VoteResponse): readonly PartEffect[] {
  const { election } = context
  noteTerm(election, answer.known.number)
  if (answer.known.leader !== '') {
    const effects = observeTerm(context, answer.known)
    if (effects.length > 0) return effects
  }
  const { round } = election
  if (round === null || answer.term !== round.number || answer.pre !== round.pre) return NOTHING
  if (!answer.granted) {
    // The leader itself denied the vote: it is alive, so wait for its heartbeat.
    if (round.consent || answer.known.leader !== from || compareTerms(answer.known, election.term) < 0) return NOTHING
    election.round = null
    election.failures++
    election.campaignAt = context.now + context.options.timing.leaderHeartbeatMs + timeout(context, election.failures)
    return NOTHING
  }
  round.votes.add(from)
  return tallyVotes(context)
}

/** Starts a round: requests votes or pre-votes from all members. */
function campaign(context: CoreContext, pre: boolean, consent: boolean): readonly PartEffect[] {
  const { election, options, replication, now } = context
  const revision = replication.held?.revision ?? null
  const number = Math.max(election.highestTerm, election.votedIn, election.term.number, revision?.term ?? 0) + 1
  if (!pre) {
    election.votedIn = number
    election.votedFor = options.id
    noteTerm(election, number)
  }
  const notBefore = pre && hasSuspects(context) ? now + options.timing.electionMinMs : now
  election.round = { number, pre, consent, votes: new Set([options.id]), notBefore }
  election.campaignAt = notBefore + timeout(context, election.failures)
  const won = tallyVotes(context)
  if (won.length > 0) return won
  return [{ kind: 'broadcast', message: { kind: 'vote?', term: number, pre, consent, revision } }]
}

function hasSuspects(context: CoreContext): boolean {
  for (const peer of context.membership.peers.values()) if (peer.state === 'suspect') return true
  return false
}

/** Finishes the round when a majority of the members believed alive, this one included, has granted its vote. */
function tallyVotes(context: CoreContext): readonly PartEffect[] {
  const { election, membership } = context
  const { round } = election
  if (round === null || context.now < round.notBefore) return NOTHING
  // Meanwhile this member may have installed a revision of an equal or higher term. Leading now would repeat or lower it.
  if (!round.pre && Math.max(election.term.number, context.replication.held?.revision.term ?? 0) >= round.number) {
    election.round = null
    return NOTHING
  }
  let votes = 1
  for (const id of round.votes) if (isUp(membership.peers.get(id))) votes++
  if (votes * 2 <= membership.alive + 1) return NOTHING
  return round.pre ? campaign(context, false, round.consent) : becomeLeader(context, round.number)
}

function becomeLeader(context: CoreContext, number: number): readonly PartEffect[] {
  const { election, options } = context
  election.role = 'leader'
  election.leader = options.id
  election.term = { number, leader: options.id }
  election.round = null
  election.failures = 0
  election.transfer = null
  election.outrankedSince = null
  const fields = { term: number, members: context.membership.alive + 1 }
  return [log('info', fields, 'elected as leader'), { kind: 'heartbeat', to: null }]
}

// ---- time ----

/** Applies what follows from the current state: a lost leader, an election time-out, a quorum that has become smaller. */
function reevaluate(context: CoreContext, tick: boolean): readonly PartEffect[] {
  const { election, membership, replication, now } = context
  const revision = replication.held?.revision
  if (revision !== undefined && revision.term >= election.term.number && election.role === 'follower') {
    const held = { number: revision.term, leader: revision.leader }
    if (compareTerms(held, election.term) > 0) election.term = held
    noteTerm(election, revision.term)
  }
  if (election.role === 'leader') return tick ? considerTransfer(context) : NOTHING
  let lost: readonly PartEffect[] = NOTHING
  if (election.leader !== null) {
    const peer = membership.peers.get(election.leader)
    if (!isUp(peer) || peer.heartbeat.role !== 'leader' || compareTerms(peer.heartbeat.term, election.term) !== 0)
      lost = onLeaderLost(context, peer)
  }
  if (election.round !== null && now < election.campaignAt)
    return lost.length === 0 ? tallyVotes(context) : [...lost, ...tallyVotes(context)]
  if (election.round !== null) {
    election.round = null
    if (election.leader === null) election.failures++
  } else if (now < election.campaignAt) return lost
  if (election.leader !== null) return lost
  if (mayCampaign(context))
    return lost.length === 0 ? campaign(context, true, false) : [...lost, ...campaign(context, true, false)]
  election.campaignAt = now + timeout(context, 0)
  return lost
}

function onLeaderLost(context: CoreContext, peer: Peer | undefined): readonly PartEffect[] {
  const { election, now } = context
  const leader = election.leader === null ? '' : displayName(context, election.leader)
  const { round, failures } = election
  becomeFollower(context, null)
  if (round !== null) {
    election.round = round
    election.failures = failures
  } else election.campaignAt = now + timeout(context, 0)
  const state = peer === undefined || peer.left ? 'left' : peer.state
  const why = state === 'alive' || state === 'draining' ? 'it stepped down' : state === 'left' ? 'it left' : `it is ${state}`
  return [log('info', { leader, term: election.term.number }, `lost the leader: ${why}; starting an election`)]
}

function timeout(context: CoreContext, failures: number): number {
  const { electionMinMs, electionMaxMs }: Timing = context.options.timing
  const drawn = electionMinMs + context.options.random() * (electionMaxMs - electionMinMs)
  return drawn * 2 ** Math.min(failures, MAX_DOUBLINGS)
}

/** False while a better-ranked peer is up and RANK_OVERRIDE_MS without a leader have not passed. */
function mayCampaign(context: CoreContext): boolean {
  const { membership, local, election, now } = context
  if (now - election.leaderlessSince >= RANK_OVERRIDE_MS) return true
  return bestPeerRank(context, null) <= leaderRank(membership.draining, local.managerHealthy)
}

// ---- leadership transfer ----

/** The leader asks this member to campaign at once, with its consent. */
function onTransferRequest(context: CoreContext, from: MemberId, term: Term): readonly PartEffect[] {
  const { election, membership, local } = context
  if (election.leader !== from || compareTerms(term, election.term) !== 0 || election.round?.consent) return NOTHING
  // Its own state is newer than the last heartbeat that the leader has of it.
  if (leaderRank(membership.draining, local.managerHealthy) < bestPeerRank(context, from)) return NOTHING
  election.round = null
  return campaign(context, false, true)
}
