// Who is in the cluster and how each is doing, as this member sees it (as SWIM does: suspicion, second opinion, refutation).
// A closed connection or missed beats make a suspect; any fresh beat clears it; a second member's suspicion, or time, makes
// it gone. Says when this member's own beats are due. Spec: design, section 6 (membership).

import { log, NOTHING, type PartEffect, type PartEvent, type World } from './context.ts'
import { displayName, presentNamed } from './display-names.ts'
import { differs, isOlder, isReplaced, witness } from './heartbeat.ts'
import { makeRoom, tellFull } from './member-capacity.ts'
import { type Beat, LIMITS, type MemberId, type MemberState, type Timing } from './state.ts'

/**
 * Beats that a member may receive in a second from all followers together; the leader's 4 come on top. Up to SMALL members one
 * comes directly and costs some 0.3 ms; beyond, each is signed, comes three times and is handed on: 1.3 ms.
 */
const BEATS_PER_SECOND = { small: 15, large: 2 }
/** No beat is believed that promises the next one later than this, ms. */
const MAX_NEXT_MS = 60_000
/** Those gone are named to the others for so long, ms. */
const NAME_GONE_MS = 10_000
/** A member that comes and goes is told of so often in so long, ms; beyond that only on level debug. */
const TELL_MOST = 6
const TELL_MS = 60_000
/** What a member said before its connection closed may come so much later by way of others, ms. */
const IN_FLIGHT_MS = 250
/** One beat, and a little for its way. */
const ONE_BEAT = 1.2
/** In clusters larger than this, not everybody says at once what everybody sees. */
const SMALL = 16
/** A step later than this after the one before it was not idle but standing still, ms (ticks come 50 ms apart). */
export const PAUSE_MS = 200

/** Another member. */
export interface Peer {
  readonly id: MemberId
  /** The last one heard. */
  beat: Beat
  state: MemberState
  since: number
  firstBeatAt: number
  lastBeatAt: number
  /** It is suspect when nothing has been heard by then. */
  silentAt: number
  /** Why it is suspect. */
  reason: 'closed' | 'silent'
  /** When the last connection closed. */
  closedAt: number
  /** It has said that it ends; what comes later was sent before. */
  left: boolean
  /** Gone because it was started anew: one late beat does not bring it back. When such a one came; null: it is not that. */
  lateAt: number | null
  /** How often the log has been told that it came or went, and since when that is counted. */
  told: number
  toldSince: number
}

export interface MembershipState {
  readonly peers: Map<MemberId, Peer>
  readonly connected: Set<MemberId>
  /** This member is about to end. */
  draining: boolean
  /** Since when this member is alive or draining. */
  selfSince: number
  /** Peers alive or draining. */
  alive: number
  /** When the next beat is due, and when the last was said. */
  beatAt: number
  beatenAt: number
  refutedAt: number
  /** When it says once more that it lives. */
  againAt: number
  /** Names borne by two, of which the log has been told. */
  readonly twins: Set<string>
  fullLogged: boolean
}

export function createMembership(now: number): MembershipState {
  return {
    peers: new Map(),
    connected: new Set(),
    draining: false,
    selfSince: now,
    alive: 0,
    beatAt: now,
    beatenAt: Number.NEGATIVE_INFINITY,
    refutedAt: Number.NEGATIVE_INFINITY,
    againAt: Number.POSITIVE_INFINITY,
    twins: new Set(),
    fullLogged: false,
  }
}

/**
 * Ms between two beats of a member that does not lead, in a cluster of so many (itself included): grows so that receiving
 * stays cheap.
 */
export function beatInterval(members: number, timing: Timing): number {
  const perSecond = members <= SMALL ? BEATS_PER_SECOND.small : BEATS_PER_SECOND.large
  return Math.min(MAX_NEXT_MS, Math.max(timing.beatMs, Math.ceil(((members - 2) * 1000) / perSecond)))
}

/** Ms until the next beat of this member at the latest. */
export function nextBeatMs(world: World): number {
  return world.election.role === 'leader'
    ? world.options.timing.leaderBeatMs
    : beatInterval(world.membership.alive + 1, world.options.timing)
}

/** Alive or draining: counted in a quorum, may be asked for things. */
export function isUp(peer: Peer | undefined): peer is Peer {
  return peer !== undefined && (peer.state === 'alive' || peer.state === 'draining')
}

/** Whom this member suspects, and who is gone of late; at most LIMITS.suspects. */
export function suspectsOf(world: World): MemberId[] {
  const suspects: MemberId[] = []
  const gone: MemberId[] = []
  for (const peer of world.membership.peers.values()) {
    if (peer.state === 'suspect') suspects.push(peer.id)
    else if (peer.state === 'gone' && !peer.left && world.now - peer.since < NAME_GONE_MS) gone.push(peer.id)
  }
  return suspects.concat(gone).slice(0, LIMITS.suspects)
}

/**
 * A beat has been said to all: when the next is due. Followers' are spread a little, so that members started together do
 * not speak together.
 */
export function beatSaid(world: World): void {
  const { membership, options, election } = world
  const spread = election.role === 'leader' ? 1 : 0.9 + 0.1 * options.random()
  membership.beatenAt = world.now
  membership.beatAt = world.now + nextBeatMs(world) * spread
}

/** What others should know before the next beat is due: said soon, but not more often than a few times per interval. */
export function beatSoon(world: World): void {
  const { membership } = world
  membership.beatAt = Math.min(membership.beatAt, membership.beatenAt + Math.max(100, nextBeatMs(world) / 8))
}

export function stepMembership(world: World, event: PartEvent): readonly PartEffect[] {
  switch (event.kind) {
    case 'tick':
      return tick(world)
    case 'message':
      if (event.message.kind === 'beat') return heard(world, event.from, event.message)
      if (event.message.kind === 'leave') return left(world, event.from)
      return NOTHING
    case 'connected':
      return connected(world, event.peer)
    case 'disconnected':
      return disconnected(world, event.peer)
    case 'resumed':
      return resumed(world, event.gapMs)
    case 'local':
      beatSoon(world)
      return [{ kind: 'members' }]
    case 'drain':
      if (world.membership.draining) return NOTHING
      world.membership.draining = true
      world.membership.selfSince = world.now
      return [log('info', {}, 'this member drains: it takes no lead any more'), { kind: 'members' }, { kind: 'beat', to: null }]
    default:
      return NOTHING
  }
}

function tick(world: World): readonly PartEffect[] {
  const { membership, options, now } = world
  let effects: PartEffect[] | undefined
  for (const peer of membership.peers.values()) {
    if (peer.state === 'gone') {
      if (now - peer.since >= options.timing.forgetMs) {
        membership.peers.delete(peer.id)
        ;(effects ??= []).push({ kind: 'members' })
      }
    } else if (peer.state === 'suspect') {
      // Whoever only lost a connection has until its next beat to be heard by way of others.
      if (now >= Math.max(peer.since + options.timing.suspectMs, peer.lastBeatAt + promised(peer, options.timing))) {
        ;(effects ??= []).push(...gone(world, peer, 'nothing was heard of it'))
      }
    } else if (now >= peer.silentAt) {
      // Where everybody sees the same silence at the same time a few say so for all.
      const say = membership.alive <= SMALL || options.random() < SMALL / 2 / membership.alive
      ;(effects ??= []).push(...suspect(world, peer, 'silent', say))
    }
  }
  if (now >= Math.min(membership.beatAt, membership.againAt)) {
    membership.againAt = Number.POSITIVE_INFINITY
    ;(effects ??= []).push({ kind: 'beat', to: null })
  }
  return effects ?? NOTHING
}

function heard(world: World, from: MemberId, beat: Beat): readonly PartEffect[] {
  const { membership, options, now } = world
  if (from === options.id) return NOTHING
  const effects: PartEffect[] = []
  let peer = membership.peers.get(from)
  if (peer?.left) return NOTHING
  if (peer === undefined) {
    if (!makeRoom(membership.peers)) return tellFull(world, beat)
    peer = {
      id: from,
      beat,
      state: 'gone',
      since: now,
      firstBeatAt: now,
      lastBeatAt: now,
      silentAt: now,
      reason: 'silent',
      closedAt: Number.NEGATIVE_INFINITY,
      left: false,
      lateAt: null,
      told: 0,
      toldSince: now,
    }
    membership.peers.set(from, peer)
    enter(world, peer, beat.draining ? 'draining' : 'alive')
    effects.push(log('info', { member: displayName(world, from) }, 'a member joined'), { kind: 'members' })
  } else {
    if (isOlder(beat, peer.beat) || isLate(world, peer)) return NOTHING
    const before = peer.beat
    peer.beat = beat
    const state = beat.draining ? 'draining' : 'alive'
    if (peer.state !== state) {
      const was = peer.state
      enter(world, peer, state)
      if (was === 'suspect' || was === 'gone') effects.push(comeAndGo(world, peer, 'info', 'a member is back'))
      else if (state === 'draining') effects.push(log('info', { member: displayName(world, from) }, 'a member drains'))
      effects.push({ kind: 'members' })
    } else if (differs(before, beat)) effects.push({ kind: 'members' })
  }
  peer.lastBeatAt = now
  // A beat just after the connection closed may have come a longer way and be its last: the next is waited for, not the third.
  const isLast = now - peer.closedAt < IN_FLIGHT_MS && !membership.connected.has(from)
  peer.silentAt = now + (isLast ? ONE_BEAT : options.timing.missedBeats) * promised(peer, options.timing)
  effects.push(...secondOpinions(world, peer), ...sameName(world, peer))
  if (beat.suspects.includes(options.id)) effects.push(...refute(world))
  return effects
}

/** What the network still held of one that was killed comes all at once; whoever lives goes on. */
function isLate(world: World, peer: Peer): boolean {
  if (peer.lateAt === null) return false
  if (peer.lateAt === Number.NEGATIVE_INFINITY) peer.lateAt = world.now
  if (world.now - peer.lateAt < world.options.timing.leaderBeatMs) return true
  peer.lateAt = null
  return false
}

/**
 * Somebody else suspects whom this member suspects: it is gone. Where beats are rare the word of one who was connected with it is
 * worth more than its last promise: if it lives it will say so.
 */
function secondOpinions(world: World, by: Peer): PartEffect[] {
  const { membership, options, now } = world
  const effects: PartEffect[] = []
  for (const id of by.beat.suspects) {
    const peer = membership.peers.get(id)
    if (peer === undefined || id === by.id) continue
    if (peer.state === 'suspect') effects.push(...gone(world, peer, `${displayName(world, by.id)} misses it too`))
    else if (membership.alive > SMALL && isUp(peer) && !membership.connected.has(id))
      peer.silentAt = Math.min(peer.silentAt, Math.max(now, peer.lastBeatAt) + options.timing.suspectMs)
  }
  return effects
}

/** It hears itself suspected: the best answer is a beat. */
function refute(world: World): PartEffect[] {
  const { membership, now } = world
  const { leaderBeatMs, suspectMs } = world.options.timing
  const due = membership.refutedAt + Math.min(suspectMs / 2, Math.max(leaderBeatMs, nextBeatMs(world) / 4))
  // In a large cluster the suspicion may reach some later than the answer to it: a second answer follows.
  if (membership.alive > SMALL) membership.againAt = now + suspectMs / 2
  if (now < due) return []
  membership.refutedAt = now
  return [{ kind: 'beat', to: null }]
}

function left(world: World, from: MemberId): readonly PartEffect[] {
  const peer = world.membership.peers.get(from)
  if (peer === undefined || peer.left) return NOTHING
  peer.left = true
  if (peer.state === 'gone') return NOTHING
  const name = displayName(world, from)
  enter(world, peer, 'gone')
  return [log('info', { member: name }, 'a member left'), { kind: 'members' }]
}

function connected(world: World, id: MemberId): readonly PartEffect[] {
  const { membership } = world
  if (id === world.options.id || membership.connected.size >= 2 * LIMITS.members) return NOTHING
  membership.connected.add(id)
  // The newcomer shall not wait for the next beat to know who is here.
  const effects: PartEffect[] = [{ kind: 'beat', to: id }]
  const peer = membership.peers.get(id)
  if (peer?.state === 'suspect' && peer.reason === 'closed') {
    enter(world, peer, peer.beat.draining ? 'draining' : 'alive')
    // Its next beat is due as if one had come now.
    peer.silentAt = world.now + world.options.timing.missedBeats * promised(peer, world.options.timing)
    effects.push(comeAndGo(world, peer, 'info', 'a member is back'), { kind: 'members' })
  }
  return effects
}

function disconnected(world: World, id: MemberId): readonly PartEffect[] {
  world.membership.connected.delete(id)
  const peer = world.membership.peers.get(id)
  if (peer !== undefined) peer.closedAt = world.now
  return isUp(peer) ? suspect(world, peer, 'closed', true) : NOTHING
}

/** Everybody gets the time back in which this member was deaf. */
function resumed(world: World, gapMs: number): readonly PartEffect[] {
  const { membership, now, options } = world
  for (const peer of membership.peers.values()) {
    if (peer.state === 'gone') continue
    peer.lastBeatAt = Math.min(now, peer.lastBeatAt + gapMs)
    peer.silentAt = peer.lastBeatAt + options.timing.missedBeats * promised(peer, options.timing)
    if (peer.state === 'suspect') peer.since = Math.min(now, peer.since + gapMs)
  }
  return NOTHING
}

function suspect(world: World, peer: Peer, reason: 'closed' | 'silent', say: boolean): PartEffect[] {
  enter(world, peer, 'suspect')
  peer.reason = reason
  const why = reason === 'closed' ? 'its connection closed' : `no beat for ${Math.round(world.now - peer.lastBeatAt)} ms`
  const effects: PartEffect[] = [comeAndGo(world, peer, 'warn', `a member is suspect: ${why}`), { kind: 'members' }]
  const other = witness(world, peer)
  if (other !== null) effects.push(...gone(world, peer, `${displayName(world, other)} misses it too`))
  else if (isReplaced(world, peer)) effects.push(...replaced(world, peer))
  if (say) effects.push({ kind: 'beat', to: null })
  return effects
}

function gone(world: World, peer: Peer, why: string): PartEffect[] {
  const told = comeAndGo(world, peer, 'warn', `a member is gone: ${why}`)
  enter(world, peer, 'gone')
  return [told, { kind: 'members' }]
}

function replaced(world: World, peer: Peer): PartEffect[] {
  peer.lateAt = Number.NEGATIVE_INFINITY
  return gone(world, peer, 'it has been started anew')
}

function enter(world: World, peer: Peer, state: MemberState): void {
  peer.state = state
  peer.since = world.now
  let alive = 0
  for (const other of world.membership.peers.values()) if (isUp(other)) alive++
  world.membership.alive = alive
}

/** Told of on its level, but for a member that comes and goes all the time. */
function comeAndGo(world: World, peer: Peer, level: 'info' | 'warn', message: string): PartEffect {
  if (world.now - peer.toldSince >= TELL_MS) {
    peer.toldSince = world.now
    peer.told = 0
  }
  peer.told++
  return log(peer.told > TELL_MOST ? 'debug' : level, { member: displayName(world, peer.id) }, message)
}

/** What its last beat promises, within reason, ms. */
function promised(peer: Peer, timing: Timing): number {
  return Math.min(MAX_NEXT_MS, Math.max(timing.leaderBeatMs, peer.beat.nextMs))
}

/** Old ones of that name that are suspect are gone; two that both speak are told of once. */
function sameName(world: World, peer: Peer): PartEffect[] {
  const { membership, options } = world
  const name = peer.beat.name
  const others = presentNamed(world, name).filter(other => other !== peer)
  const effects: PartEffect[] = []
  let twin = name === options.name
  for (const other of others) {
    if (other.state === 'suspect' && other.beat.startedAt < peer.beat.startedAt) {
      effects.push(...replaced(world, other))
      continue
    }
    // Whoever was killed and started anew is not two: the elder must have spoken since the younger came.
    const [elder, younger] = other.firstBeatAt <= peer.firstBeatAt ? [other, peer] : [peer, other]
    if (isUp(other) && elder.lastBeatAt > younger.firstBeatAt) twin = true
  }
  if (!twin) {
    if (others.length === 0) membership.twins.delete(name)
    return effects
  }
  if (membership.twins.has(name)) return effects
  if (membership.twins.size < LIMITS.members) membership.twins.add(name)
  effects.push(
    log('warn', { name, member: displayName(world, peer.id) }, 'two members bear one name: give each replica a name of its own'),
  )
  return effects
}
