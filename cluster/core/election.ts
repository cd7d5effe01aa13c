// Who leads: terms, one vote per term number, pre-vote, hand-over (as Raft does, with three differences: the quorum is a
// majority of the members believed alive, so that every component of a partition has a leader; a term is a pair, so that two
// components may elect at one number; and whoever has a healthy manager is preferred). No sockets, no timers, no clock. Spec:
// design, section 6 (election).

import { log, NOTHING, type PartEffect, type PartEvent, type World } from './context.ts'
import { displayName } from './display-names.ts'
import { bestOther, considerHandover, type Handover, rank } from './leadership-transfer.ts'
import { isUp, type Peer } from './membership.ts'
import { type Beat, compareTerms, LIMITS, type MemberId, type Message, type Term, type Timing } from './state.ts'

/** Without a leader for so long, a member stands even if a better one is there: that one may not be able to, ms. */
const PATIENCE_MS = 3000
/** Time-outs double with every failed round, so often: a slow network needs longer rounds. */
const MOST_DOUBLINGS = 3

interface Round {
  readonly number: number
  readonly pre: boolean
  readonly consent: boolean
  readonly votes: Set<MemberId>
  /** It is not won before: whoever is suspect may yet say that it lives. */
  readonly from: number
}

export interface ElectionState {
  role: 'leader' | 'follower'
  /** The highest term that it has led, followed, or holds a revision of. */
  term: Term
  leader: MemberId | null
  /** The highest term number heard of anywhere; a candidate stands above it. */
  floor: number
  /** The highest number in which it has voted, and for whom. */
  votedIn: number
  votedFor: MemberId | null
  round: Round | null
  /** Without a leader: when to stand. In a round: when it has failed. */
  standAt: number
  failures: number
  leaderlessSince: number
  /** Leader: since when it has no healthy manager while another member has one. */
  managerlessSince: number | null
  /** Leader: whom it has asked to take over. */
  handover: Handover | null
  /** When a leader of a lower term was last told of a higher one. */
  toldStaleAt: number
}

export function createElection(options: World['options']): ElectionState {
  const revision = options.held?.revision
  return {
    role: 'follower',
    term: revision === undefined ? { number: 0, leader: '' } : { number: revision.term, leader: revision.leader },
    leader: null,
    floor: revision?.term ?? 0,
    votedIn: 0,
    votedFor: null,
    round: null,
    standAt: options.now + options.timing.joinMs + options.random() * options.timing.electionMaxMs,
    failures: 0,
    leaderlessSince: options.now,
    managerlessSince: null,
    handover: null,
    toldStaleAt: Number.NEGATIVE_INFINITY,
  }
}

export function stepElection(world: World, event: PartEvent): readonly PartEffect[] {
  const done = handle(world, event)
  const more = review(world, event.kind === 'tick')
  return done.length === 0 ? more : more.length === 0 ? done : [...done, ...more]
}

function handle(world: World, event: PartEvent): readonly PartEffect[] {
  if (event.kind === 'resumed') return resumed(world, event.gapMs)
  if (event.kind !== 'message' || event.from === world.options.id) return NOTHING
  const { from, message } = event
  switch (message.kind) {
    case 'beat':
      return heardBeat(world, from, message)
    case 'announce': {
      const peer = world.membership.peers.get(from)
      return peer === undefined || isDeafToUs(world, from, peer.beat) ? NOTHING : heardTerm(world, message.term)
    }
    case 'vote?':
      return asked(world, from, message)
    case 'vote!':
      return answered(world, from, message)
    case 'handover':
      return takeOver(world, from, message.term)
    default:
      return NOTHING
  }
}

// ---- hearing of leaders ----

function heardBeat(world: World, from: MemberId, beat: Beat): readonly PartEffect[] {
  const { election, now } = world
  const peer = world.membership.peers.get(from)
  if (!isUp(peer) || peer.beat !== beat) return NOTHING
  raiseFloor(election, beat.term.number)
  if (beat.revision !== null) raiseFloor(election, beat.revision.term)
  if (isDeafToUs(world, from, beat)) return NOTHING
  if (beat.role !== 'leader' || beat.term.leader !== from) {
    if (election.role !== 'leader') return NOTHING
    if (compareTerms(beat.term, election.term) > 0) return heardTerm(world, beat.term)
    // It holds what was published in a term above this one: whoever leads must publish above that.
    const { revision } = beat
    if (revision === null) return NOTHING
    const term = { number: revision.term, leader: revision.leader }
    return compareTerms(term, election.term) > 0 ? stepDown(world, term, 0) : NOTHING
  }
  const order = compareTerms(beat.term, election.term)
  if (order > 0) return follow(world, from, beat.term)
  if (order === 0) return election.leader === from ? NOTHING : follow(world, from, beat.term)
  // A leader that does not know of a higher term, and nobody else may tell it.
  if (election.leader !== null || now - election.toldStaleAt < world.options.timing.leaderBeatMs) return NOTHING
  election.toldStaleAt = now
  return [{ kind: 'beat', to: from }]
}

/**
 * It misses this member, or may (its list is full): it is heard but does not hear, and nobody gives up a leader for such a
 * one. When a partition heals that is over with the next beat.
 */
function isDeafToUs(world: World, from: MemberId, beat: Beat): boolean {
  const { leader } = world.election
  if (leader === null || leader === from) return false
  return beat.suspects.includes(world.options.id) || beat.suspects.length >= LIMITS.suspects
}

/** A term above its own ends a leader's. */
function heardTerm(world: World, term: Term): readonly PartEffect[] {
  const { election } = world
  raiseFloor(election, term.number)
  if (election.role !== 'leader' || compareTerms(term, election.term) <= 0) return NOTHING
  // Its leader, if there is one, will be heard within a beat.
  return stepDown(world, term, term.leader === '' ? 0 : world.options.timing.leaderBeatMs)
}

function raiseFloor(election: ElectionState, number: number): void {
  if (number > election.floor) election.floor = number
}

function follow(world: World, leader: MemberId, term: Term): readonly PartEffect[] {
  const { election } = world
  const led = election.role === 'leader'
  const again = election.leader === leader
  becomeFollower(world, leader)
  election.term = term
  const fields = { leader: displayName(world, leader), term: term.number }
  const effects: PartEffect[] = led ? [{ kind: 'beat', to: null }] : []
  if (led) effects.push(log('info', fields, 'this member leads no more: another does, in a higher term'))
  else effects.push(log(again ? 'debug' : 'info', fields, 'another member leads'))
  return effects
}

function becomeFollower(world: World, leader: MemberId | null): void {
  const { election, now } = world
  election.role = 'follower'
  election.leader = leader
  election.round = null
  election.handover = null
  election.managerlessSince = null
  election.failures = 0
  if (leader === null) election.leaderlessSince = now
}

/** Leads no more, without knowing who does; listens for `listenMs`, then stands. */
function stepDown(world: World, term: Term, listenMs: number): readonly PartEffect[] {
  const { election, now } = world
  becomeFollower(world, null)
  election.standAt = now + listenMs + (listenMs === 0 ? 0 : timeout(world, 0))
  return [
    log('info', { term: election.term.number, heard: term.number }, 'this member leads no more: there is a higher term'),
    { kind: 'beat', to: null },
  ]
}

/** After having stood still, others may lead long since. */
function resumed(world: World, gapMs: number): readonly PartEffect[] {
  const { election, options, now } = world
  const listenMs = options.timing.leaderBeatMs
  if (gapMs <= options.timing.missedBeats * listenMs) return NOTHING
  election.round = null
  if (election.role === 'follower') {
    election.standAt = Math.max(election.standAt, now + listenMs + timeout(world, 0))
    if (election.leader === null) election.leaderlessSince = now
    return NOTHING
  }
  becomeFollower(world, null)
  election.standAt = now + 2 * listenMs + timeout(world, 0)
  return [
    log('warn', { term: election.term.number }, 'this member stood still for too long to go on leading: it listens'),
    { kind: 'beat', to: null },
  ]
}

// ---- votes ----

type Ask = Extract<Message, { kind: 'vote?' }>
type Answer = Extract<Message, { kind: 'vote!' }>

function asked(world: World, from: MemberId, ask: Ask): readonly PartEffect[] {
  const { election, options, now } = world
  if (ask.revision !== null) raiseFloor(election, ask.revision.term)
  const free = ask.term > election.votedIn || (ask.term === election.votedIn && election.votedFor === from)
  // Whoever asks although it leads has given up.
  const content = election.leader !== null && election.leader !== from
  const { round } = election
  // Two that ask at the same time would split the votes: the one with the lower id goes on, the other one lets it.
  const rivals = ask.pre && round?.pre === true
  const granted = ask.term > election.term.number && free && (ask.consent || !content) && !(rivals && options.id < from)
  const known: Term = election.votedIn > election.term.number ? { number: election.votedIn, leader: '' } : election.term
  if (!ask.pre) raiseFloor(election, ask.term)
  if (granted && rivals) election.round = null
  // Whoever might win gets the time to, rather than that everybody stands.
  if (granted && ask.pre) election.standAt = Math.max(election.standAt, now + options.timing.electionMinMs)
  if (granted && !ask.pre) {
    election.votedIn = ask.term
    election.votedFor = from
    if (election.role === 'follower') {
      // The winner gets the time to say so.
      election.round = null
      election.standAt = now + timeout(world, election.failures)
    }
  }
  return [{ kind: 'send', to: from, message: { kind: 'vote!', term: ask.term, pre: ask.pre, granted, known } }]
}

function answered(world: World, from: MemberId, answer: Answer): readonly PartEffect[] {
  const { election } = world
  raiseFloor(election, answer.known.number)
  if (answer.known.leader !== '') {
    const effects = heardTerm(world, answer.known)
    if (effects.length > 0) return effects
  }
  const { round } = election
  if (round === null || answer.term !== round.number || answer.pre !== round.pre) return NOTHING
  if (!answer.granted) {
    // The leader itself: it is well, and its beat will come.
    if (round.consent || answer.known.leader !== from || compareTerms(answer.known, election.term) < 0) return NOTHING
    election.round = null
    election.failures++
    election.standAt = world.now + world.options.timing.leaderBeatMs + timeout(world, election.failures)
    return NOTHING
  }
  round.votes.add(from)
  return count(world)
}

/** A round: asks all for their (pre-)votes. */
function stand(world: World, pre: boolean, consent: boolean): readonly PartEffect[] {
  const { election, options, replication, now } = world
  const revision = replication.held?.revision ?? null
  const number = Math.max(election.floor, election.votedIn, election.term.number, revision?.term ?? 0) + 1
  if (!pre) {
    election.votedIn = number
    election.votedFor = options.id
    raiseFloor(election, number)
  }
  const from = pre && hasSuspects(world) ? now + options.timing.electionMinMs : now
  election.round = { number, pre, consent, votes: new Set([options.id]), from }
  election.standAt = from + timeout(world, election.failures)
  const won = count(world)
  if (won.length > 0) return won
  return [{ kind: 'broadcast', message: { kind: 'vote?', term: number, pre, consent, revision } }]
}

function hasSuspects(world: World): boolean {
  for (const peer of world.membership.peers.values()) if (peer.state === 'suspect') return true
  return false
}

/** Has the round been won? A majority of those believed alive, itself included. */
function count(world: World): readonly PartEffect[] {
  const { election, membership } = world
  const { round } = election
  if (round === null || world.now < round.from) return NOTHING
  // Meanwhile it may have taken a revision of a term as high as this round: to lead in that number would be to go back.
  if (!round.pre && Math.max(election.term.number, world.replication.held?.revision.term ?? 0) >= round.number) {
    election.round = null
    return NOTHING
  }
  let votes = 1
  for (const id of round.votes) if (isUp(membership.peers.get(id))) votes++
  if (votes * 2 <= membership.alive + 1) return NOTHING
  return round.pre ? stand(world, false, round.consent) : lead(world, round.number)
}

function lead(world: World, number: number): readonly PartEffect[] {
  const { election, options } = world
  election.role = 'leader'
  election.leader = options.id
  election.term = { number, leader: options.id }
  election.round = null
  election.failures = 0
  election.handover = null
  election.managerlessSince = null
  const fields = { term: number, members: world.membership.alive + 1 }
  return [log('info', fields, 'this member leads'), { kind: 'beat', to: null }]
}

// ---- time ----

/** What follows from how things are now: a leader lost, a time-out, a quorum that has become smaller. */
function review(world: World, tick: boolean): readonly PartEffect[] {
  const { election, membership, replication, now } = world
  const revision = replication.held?.revision
  if (revision !== undefined && revision.term >= election.term.number && election.role === 'follower') {
    const held = { number: revision.term, leader: revision.leader }
    if (compareTerms(held, election.term) > 0) election.term = held
    raiseFloor(election, revision.term)
  }
  if (election.role === 'leader') return tick ? considerHandover(world) : NOTHING
  let lost: readonly PartEffect[] = NOTHING
  if (election.leader !== null) {
    const peer = membership.peers.get(election.leader)
    if (!isUp(peer) || peer.beat.role !== 'leader' || compareTerms(peer.beat.term, election.term) !== 0) lost = lose(world, peer)
  }
  if (election.round !== null && now < election.standAt) return lost.length === 0 ? count(world) : [...lost, ...count(world)]
  if (election.round !== null) {
    election.round = null
    if (election.leader === null) election.failures++
  } else if (now < election.standAt) return lost
  if (election.leader !== null) return lost
  if (mayStand(world)) return lost.length === 0 ? stand(world, true, false) : [...lost, ...stand(world, true, false)]
  election.standAt = now + timeout(world, 0)
  return lost
}

function lose(world: World, peer: Peer | undefined): readonly PartEffect[] {
  const { election, now } = world
  const leader = election.leader === null ? '' : displayName(world, election.leader)
  const { round, failures } = election
  becomeFollower(world, null)
  if (round !== null) {
    election.round = round
    election.failures = failures
  } else election.standAt = now + timeout(world, 0)
  const state = peer === undefined || peer.left ? 'left' : peer.state
  const why = state === 'alive' || state === 'draining' ? 'it leads no more' : state === 'left' ? 'it left' : `it is ${state}`
  return [log('info', { leader, term: election.term.number }, `the leader is lost: ${why}; another will be elected`)]
}

function timeout(world: World, failures: number): number {
  const { electionMinMs, electionMaxMs }: Timing = world.options.timing
  const drawn = electionMinMs + world.options.random() * (electionMaxMs - electionMinMs)
  return drawn * 2 ** Math.min(failures, MOST_DOUBLINGS)
}

/** No better one is there, or nobody better has made it for long. */
function mayStand(world: World): boolean {
  const { membership, local, election, now } = world
  if (now - election.leaderlessSince >= PATIENCE_MS) return true
  return bestOther(world, null) <= rank(membership.draining, local.managerHealthy)
}

// ---- being handed the lead ----

/** The leader asks this member to stand. */
function takeOver(world: World, from: MemberId, term: Term): readonly PartEffect[] {
  const { election, membership, local } = world
  if (election.leader !== from || compareTerms(term, election.term) !== 0 || election.round?.consent) return NOTHING
  // It knows better how it is than its last beat does.
  if (rank(membership.draining, local.managerHealthy) < bestOther(world, from)) return NOTHING
  election.round = null
  return stand(world, false, true)
}
