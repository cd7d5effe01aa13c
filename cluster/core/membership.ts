// Membership and failure detection as in SWIM and Lifeguard (arXiv:1707.00788): suspicion, second opinion, refutation. A closed
// connection or missed heartbeats make a member suspect. A newer heartbeat clears the suspicion. The suspicion of a second
// member, or time, makes it gone. Also schedules this member's own heartbeats. Pure.

import { type CoreContext, log, type MembershipState, NOTHING, type PartEffect, type PartEvent } from './context.ts'
import { displayName, peersNamed } from './display-names.ts'
import { differs, findSuspicionWitness, isOlder, isReplaced } from './heartbeat.ts'
import { logAtCapacity, reserveSlot } from './member-capacity.ts'
import { isUp, type Peer } from './peer.ts'
import { type Heartbeat, LIMITS, type MemberId, type MemberState, type Timing } from './state.ts'

/**
 * Heartbeats per second that a member receives from all followers together, in addition to the leader's four. Up to
 * SMALL_CLUSTER members, a heartbeat arrives directly and costs about 0.3 ms of CPU. In larger clusters it is signed, arrives
 * three times and is forwarded, for about 1.3 ms.
 */
const HEARTBEATS_PER_SECOND = { small: 15, large: 2 }
/** Upper bound for the interval that a heartbeat announces, ms. */
const MAX_NEXT_MS = 60_000
/** Members that are gone are listed among the suspects for this long, ms. */
const NAME_GONE_MS = 10_000
/** Transitions of one member logged at their level within TRANSITION_LOG_MS; further ones at debug. */
const MAX_TRANSITION_LOGS = 6
const TRANSITION_LOG_MS = 60_000
/** A message sent before the connection closed may arrive through other peers this much later, ms. */
const IN_FLIGHT_MS = 250
/** One heartbeat interval with a margin for the transport. */
const ONE_INTERVAL = 1.2
/** Up to this number of members each one broadcasts its suspicions. In larger clusters a few do: all suspect the same members. */
const SMALL_CLUSTER = 16
/** A longer gap between two steps means that the process was suspended, ms. Ticks are 50 ms apart. */
export const MIN_PAUSE_MS = 200

export function createMembership(now: number): MembershipState {
  return {
    peers: new Map(),
    connected: new Set(),
    draining: false,
    selfSince: now,
    alive: 0,
    heartbeatDueAt: now,
    heartbeatSentAt: Number.NEGATIVE_INFINITY,
    refutedAt: Number.NEGATIVE_INFINITY,
    repeatHeartbeatAt: Number.POSITIVE_INFINITY,
    duplicateNames: new Set(),
    capacityLogged: false,
  }
}

/**
 * Interval between two heartbeats of a follower, ms. It grows with the number of members (this one included), which bounds the
 * cost of receiving them.
 */
export function heartbeatInterval(members: number, timing: Timing): number {
  const perSecond = members <= SMALL_CLUSTER ? HEARTBEATS_PER_SECOND.small : HEARTBEATS_PER_SECOND.large
  return Math.min(MAX_NEXT_MS, Math.max(timing.heartbeatMs, Math.ceil(((members - 2) * 1000) / perSecond)))
}

/** Time until this member's next heartbeat at the latest, ms. */
export function nextHeartbeatMs(context: CoreContext): number {
  return context.election.role === 'leader'
    ? context.options.timing.leaderHeartbeatMs
    : heartbeatInterval(context.membership.alive + 1, context.options.timing)
}

/** Members that this one suspects, then those gone recently; at most LIMITS.suspects. */
export function suspectsOf(context: CoreContext): MemberId[] {
  const suspects: MemberId[] = []
  const gone: MemberId[] = []
  for (const peer of context.membership.peers.values()) {
    if (peer.state === 'suspect') suspects.push(peer.id)
    else if (peer.state === 'gone' && !peer.left && context.now - peer.since < NAME_GONE_MS) gone.push(peer.id)
  }
  return suspects.concat(gone).slice(0, LIMITS.suspects)
}

/**
 * Schedules the next heartbeat after a broadcast. Followers vary the interval by 10 %, so that members started together do not
 * send together.
 */
export function heartbeatSent(context: CoreContext): void {
  const { membership, options, election } = context
  const spread = election.role === 'leader' ? 1 : 0.9 + 0.1 * options.random()
  membership.heartbeatSentAt = context.now
  membership.heartbeatDueAt = context.now + nextHeartbeatMs(context) * spread
}

/** Brings the next heartbeat forward to report a change, but keeps an eighth of the interval since the last one. */
export function advanceHeartbeat(context: CoreContext): void {
  const { membership } = context
  membership.heartbeatDueAt = Math.min(
    membership.heartbeatDueAt,
    membership.heartbeatSentAt + Math.max(100, nextHeartbeatMs(context) / 8),
  )
}

export function stepMembership(context: CoreContext, event: PartEvent): readonly PartEffect[] {
  switch (event.kind) {
    case 'tick':
      return tick(context)
    case 'message':
      if (event.message.kind === 'beat') return onHeartbeat(context, event.from, event.message)
      if (event.message.kind === 'leave') return onLeave(context, event.from)
      return NOTHING
    case 'connected':
      return onConnected(context, event.peer)
    case 'disconnected':
      return onDisconnected(context, event.peer)
    case 'resumed':
      return onResumed(context, event.gapMs)
    case 'local':
      advanceHeartbeat(context)
      return [{ kind: 'members' }]
    case 'drain':
      if (context.membership.draining) return NOTHING
      context.membership.draining = true
      context.membership.selfSince = context.now
      return [
        log('info', {}, 'draining: this member no longer becomes leader'),
        { kind: 'members' },
        { kind: 'heartbeat', to: null },
      ]
    default:
      return NOTHING
  }
}

function tick(context: CoreContext): readonly PartEffect[] {
  const { membership, options, now } = context
  let effects: PartEffect[] | undefined
  for (const peer of membership.peers.values()) {
    if (peer.state === 'gone') {
      if (now - peer.since >= options.timing.forgetMs) {
        membership.peers.delete(peer.id)
        ;(effects ??= []).push({ kind: 'members' })
      }
    } else if (peer.state === 'suspect') {
      // A member that only lost a connection may still be reached by gossip: wait for its next heartbeat.
      if (
        now >= Math.max(peer.since + options.timing.suspectMs, peer.lastHeartbeatAt + expectedIntervalMs(peer, options.timing))
      ) {
        ;(effects ??= []).push(...markGone(context, peer, 'no heartbeat arrived in time'))
      }
    } else if (now >= peer.suspectAt) {
      // In a large cluster all members miss the same heartbeats: a few of them, chosen at random, report it.
      const reports = membership.alive <= SMALL_CLUSTER || options.random() < SMALL_CLUSTER / 2 / membership.alive
      ;(effects ??= []).push(...markSuspect(context, peer, 'silent', reports))
    }
  }
  if (now >= Math.min(membership.heartbeatDueAt, membership.repeatHeartbeatAt)) {
    membership.repeatHeartbeatAt = Number.POSITIVE_INFINITY
    ;(effects ??= []).push({ kind: 'heartbeat', to: null })
  }
  return effects ?? NOTHING
}

function onHeartbeat(context: CoreContext, from: MemberId, heartbeat: Heartbeat): readonly PartEffect[] {
  const { membership, options, now } = context
  if (from === options.id) return NOTHING
  const effects: PartEffect[] = []
  let peer = membership.peers.get(from)
  if (peer?.left) return NOTHING
  if (peer === undefined) {
    if (!reserveSlot(membership.peers)) return logAtCapacity(context, heartbeat)
    peer = {
      id: from,
      heartbeat,
      state: 'gone',
      since: now,
      firstHeartbeatAt: now,
      lastHeartbeatAt: now,
      suspectAt: now,
      reason: 'silent',
      disconnectedAt: Number.NEGATIVE_INFINITY,
      left: false,
      firstLateAt: null,
      transitionLogs: 0,
      transitionLogsSince: now,
    }
    membership.peers.set(from, peer)
    setState(context, peer, heartbeat.draining ? 'draining' : 'alive')
    effects.push(log('info', { member: displayName(context, from) }, 'a member joined'), { kind: 'members' })
  } else {
    if (isOlder(heartbeat, peer.heartbeat) || isLateHeartbeat(context, peer)) return NOTHING
    const before = peer.heartbeat
    peer.heartbeat = heartbeat
    const state = heartbeat.draining ? 'draining' : 'alive'
    if (peer.state !== state) {
      const was = peer.state
      setState(context, peer, state)
      if (was === 'suspect' || was === 'gone') effects.push(logTransition(context, peer, 'info', 'a member is back'))
      else if (state === 'draining') effects.push(log('info', { member: displayName(context, from) }, 'a member is draining'))
      effects.push({ kind: 'members' })
    } else if (differs(before, heartbeat)) effects.push({ kind: 'members' })
  }
  peer.lastHeartbeatAt = now
  // A heartbeat just after the connection closed may have taken a longer path and be the last. Wait for one interval, not
  // three.
  const isLast = now - peer.disconnectedAt < IN_FLIGHT_MS && !membership.connected.has(from)
  peer.suspectAt = now + (isLast ? ONE_INTERVAL : options.timing.missedHeartbeats) * expectedIntervalMs(peer, options.timing)
  effects.push(...applyRemoteSuspicions(context, peer), ...checkDuplicateName(context, peer))
  if (heartbeat.suspects.includes(options.id)) effects.push(...refute(context))
  return effects
}

/**
 * True for a heartbeat of a killed process that was still in the network. These arrive together; a live member sends further
 * ones.
 */
function isLateHeartbeat(context: CoreContext, peer: Peer): boolean {
  if (peer.firstLateAt === null) return false
  if (peer.firstLateAt === Number.NEGATIVE_INFINITY) peer.firstLateAt = context.now
  if (context.now - peer.firstLateAt < context.options.timing.leaderHeartbeatMs) return true
  peer.firstLateAt = null
  return false
}

/**
 * A member that another one suspects too is gone. In a large cluster, where heartbeats are rare, the suspicion of a peer that
 * was connected shortens the wait for the next heartbeat: a live member refutes it in time.
 */
function applyRemoteSuspicions(context: CoreContext, by: Peer): PartEffect[] {
  const { membership, options, now } = context
  const effects: PartEffect[] = []
  for (const id of by.heartbeat.suspects) {
    const peer = membership.peers.get(id)
    if (peer === undefined || id === by.id) continue
    if (peer.state === 'suspect') effects.push(...markGone(context, peer, `${displayName(context, by.id)} suspects it too`))
    else if (membership.alive > SMALL_CLUSTER && isUp(peer) && !membership.connected.has(id))
      peer.suspectAt = Math.min(peer.suspectAt, Math.max(now, peer.lastHeartbeatAt) + options.timing.suspectMs)
  }
  return effects
}

/** This member is suspected: a heartbeat refutes it. */
function refute(context: CoreContext): PartEffect[] {
  const { membership, now } = context
  const { leaderHeartbeatMs, suspectMs } = context.options.timing
  const due = membership.refutedAt + Math.min(suspectMs / 2, Math.max(leaderHeartbeatMs, nextHeartbeatMs(context) / 4))
  // In a large cluster the suspicion may reach some members after the refutation, so it is repeated once.
  if (membership.alive > SMALL_CLUSTER) membership.repeatHeartbeatAt = now + suspectMs / 2
  if (now < due) return []
  membership.refutedAt = now
  return [{ kind: 'heartbeat', to: null }]
}

function onLeave(context: CoreContext, from: MemberId): readonly PartEffect[] {
  const peer = context.membership.peers.get(from)
  if (peer === undefined || peer.left) return NOTHING
  peer.left = true
  if (peer.state === 'gone') return NOTHING
  const name = displayName(context, from)
  setState(context, peer, 'gone')
  return [log('info', { member: name }, 'a member left'), { kind: 'members' }]
}

function onConnected(context: CoreContext, id: MemberId): readonly PartEffect[] {
  const { membership } = context
  if (id === context.options.id || membership.connected.size >= 2 * LIMITS.members) return NOTHING
  membership.connected.add(id)
  // A new peer gets the state of this member at once instead of with the next heartbeat.
  const effects: PartEffect[] = [{ kind: 'heartbeat', to: id }]
  const peer = membership.peers.get(id)
  if (peer?.state === 'suspect' && peer.reason === 'closed') {
    setState(context, peer, peer.heartbeat.draining ? 'draining' : 'alive')
    // The next heartbeat is due as if one had arrived now.
    peer.suspectAt = context.now + context.options.timing.missedHeartbeats * expectedIntervalMs(peer, context.options.timing)
    effects.push(logTransition(context, peer, 'info', 'a member is back'), { kind: 'members' })
  }
  return effects
}

function onDisconnected(context: CoreContext, id: MemberId): readonly PartEffect[] {
  context.membership.connected.delete(id)
  const peer = context.membership.peers.get(id)
  if (peer !== undefined) peer.disconnectedAt = context.now
  return isUp(peer) ? markSuspect(context, peer, 'closed', true) : NOTHING
}

/** Extends all deadlines by the time in which this process was suspended. */
function onResumed(context: CoreContext, gapMs: number): readonly PartEffect[] {
  const { membership, now, options } = context
  for (const peer of membership.peers.values()) {
    if (peer.state === 'gone') continue
    peer.lastHeartbeatAt = Math.min(now, peer.lastHeartbeatAt + gapMs)
    peer.suspectAt = peer.lastHeartbeatAt + options.timing.missedHeartbeats * expectedIntervalMs(peer, options.timing)
    if (peer.state === 'suspect') peer.since = Math.min(now, peer.since + gapMs)
  }
  return NOTHING
}

function markSuspect(context: CoreContext, peer: Peer, reason: 'closed' | 'silent', reports: boolean): PartEffect[] {
  setState(context, peer, 'suspect')
  peer.reason = reason
  const why =
    reason === 'closed' ? 'its last connection closed' : `no heartbeat for ${Math.round(context.now - peer.lastHeartbeatAt)} ms`
  const effects: PartEffect[] = [logTransition(context, peer, 'warn', `a member is suspect: ${why}`), { kind: 'members' }]
  const other = findSuspicionWitness(context, peer)
  if (other !== null) effects.push(...markGone(context, peer, `${displayName(context, other)} suspects it too`))
  else if (isReplaced(context, peer)) effects.push(...markReplaced(context, peer))
  if (reports) effects.push({ kind: 'heartbeat', to: null })
  return effects
}

function markGone(context: CoreContext, peer: Peer, why: string): PartEffect[] {
  const transition = logTransition(context, peer, 'warn', `a member is gone: ${why}`)
  setState(context, peer, 'gone')
  return [transition, { kind: 'members' }]
}

function markReplaced(context: CoreContext, peer: Peer): PartEffect[] {
  peer.firstLateAt = Number.NEGATIVE_INFINITY
  return markGone(context, peer, 'it was restarted')
}

function setState(context: CoreContext, peer: Peer, state: MemberState): void {
  peer.state = state
  peer.since = context.now
  let alive = 0
  for (const other of context.membership.peers.values()) if (isUp(other)) alive++
  context.membership.alive = alive
}

/** Logs a transition. A member that changes its state often is logged at debug. */
function logTransition(context: CoreContext, peer: Peer, level: 'info' | 'warn', message: string): PartEffect {
  if (context.now - peer.transitionLogsSince >= TRANSITION_LOG_MS) {
    peer.transitionLogsSince = context.now
    peer.transitionLogs = 0
  }
  peer.transitionLogs++
  return log(peer.transitionLogs > MAX_TRANSITION_LOGS ? 'debug' : level, { member: displayName(context, peer.id) }, message)
}

/** The interval announced by its last heartbeat, within bounds, ms. */
function expectedIntervalMs(peer: Peer, timing: Timing): number {
  return Math.min(MAX_NEXT_MS, Math.max(timing.leaderHeartbeatMs, peer.heartbeat.nextMs))
}

/** Of two members with one name, an older one that is suspect is gone at once. If both send heartbeats, this is logged once. */
function checkDuplicateName(context: CoreContext, peer: Peer): PartEffect[] {
  const { membership, options } = context
  const name = peer.heartbeat.name
  const others = peersNamed(context, name).filter(other => other !== peer)
  const effects: PartEffect[] = []
  let duplicate = name === options.name
  for (const other of others) {
    if (other.state === 'suspect' && other.heartbeat.startedAt < peer.heartbeat.startedAt) {
      effects.push(...markReplaced(context, other))
      continue
    }
    // A process that was killed and restarted is not a duplicate: the older one must have sent a heartbeat since the younger
    // one joined.
    const [elder, younger] = other.firstHeartbeatAt <= peer.firstHeartbeatAt ? [other, peer] : [peer, other]
    if (isUp(other) && elder.lastHeartbeatAt > younger.firstHeartbeatAt) duplicate = true
  }
  if (!duplicate) {
    if (others.length === 0) membership.duplicateNames.delete(name)
    return effects
  }
  if (membership.duplicateNames.has(name)) return effects
  if (membership.duplicateNames.size < LIMITS.members) membership.duplicateNames.add(name)
  effects.push(
    log(
      'warn',
      { name, member: displayName(context, peer.id) },
      'two members have the same name: set a different --name on each replica',
    ),
  )
  return effects
}
