// Detection of event gaps: the leader may read from a stale manager. Followers watch the events of their own managers. A key
// that the leader's heartbeats do not contain within `hintMs` is sent to the leader as a hint. Pure.

import { clampText } from './clamp.ts'
import { type CoreContext, type HintsState, log, NOTHING, type PartEffect, type PartEvent } from './context.ts'
import { displayName } from './display-names.ts'
import { isUp } from './peer.ts'
import { LIMITS, type MemberId } from './state.ts'

/** An event key is included in heartbeats for this long, ms. */
const SEEN_MS = 5000
/** A hint that cannot be sent because there is no leader is kept for this long, ms. */
const PENDING_MS = 10_000
/** Minimum time between two hints of one member, ms. */
const MIN_INTERVAL_MS = 250
/** Keys remembered of each kind. */
const MAX_KEYS = 256
/** Members of clusters larger than this spread their hints over SPREAD_MS. */
const SMALL_CLUSTER = 8
const SPREAD_MS = 500

export function createHints(): HintsState {
  return { seen: new Map(), pending: new Map(), reflected: new Map(), sentAt: Number.NEGATIVE_INFINITY }
}

/** Keys for this member's heartbeats, newest last; at most LIMITS.seen. */
export function seenOf(context: CoreContext): string[] {
  const keys: string[] = []
  for (const [key, at] of context.hints.seen) if (context.now - at < SEEN_MS) keys.push(key)
  return keys.slice(-LIMITS.seen)
}

export function stepHints(context: CoreContext, event: PartEvent): readonly PartEffect[] {
  switch (event.kind) {
    case 'eventsSeen':
      onEventsSeen(context, event.keys)
      return NOTHING
    case 'tick':
      return sendDueHints(context)
    case 'message':
      if (event.message.kind === 'hint') return onHint(context, event.from, event.message.keys)
      if (event.message.kind === 'beat' && event.from === context.election.leader) onReflected(context, event.message.local.seen)
      return NOTHING
    default:
      return NOTHING
  }
}

function onEventsSeen(context: CoreContext, keys: readonly string[]): void {
  const { hints, now, options, membership } = context
  for (const said of keys.slice(-MAX_KEYS)) {
    const key = clampText(said)
    setNewest(hints.seen, key, now)
    const spread = membership.alive > SMALL_CLUSTER ? options.random() * SPREAD_MS : 0
    // The leader may have seen the event first, and still includes it in its heartbeats.
    const known = hints.reflected.get(key)
    if (known === undefined || now - known > options.timing.hintMs) {
      setNewest(hints.pending, key, { at: now, dueAt: now + options.timing.hintMs + spread })
    }
  }
}

function onReflected(context: CoreContext, keys: readonly string[]): void {
  for (const key of keys) {
    setNewest(context.hints.reflected, key, context.now)
    context.hints.pending.delete(key)
  }
}

function sendDueHints(context: CoreContext): readonly PartEffect[] {
  const { hints, election, now } = context
  while (hints.reflected.size > 0 && evictExpired(hints.reflected, now, PENDING_MS));
  while (hints.seen.size > 0 && evictExpired(hints.seen, now, SEEN_MS));
  if (hints.pending.size === 0) return NOTHING
  if (election.role === 'leader') {
    hints.pending.clear()
    return NOTHING
  }
  const keys: string[] = []
  const maySend = election.leader !== null && now - hints.sentAt >= MIN_INTERVAL_MS
  for (const [key, { at, dueAt }] of hints.pending) {
    if (now - at > PENDING_MS) hints.pending.delete(key)
    else if (maySend && now >= dueAt && keys.length < LIMITS.hint) {
      keys.push(key)
      hints.pending.delete(key)
    }
  }
  if (keys.length === 0 || election.leader === null) return NOTHING
  hints.sentAt = now
  return [
    log(
      'debug',
      { leader: displayName(context, election.leader), keys: keys.length },
      'the leader has not reported events seen here: sending it a hint',
    ),
    { kind: 'send', to: election.leader, message: { kind: 'hint', keys } },
  ]
}

/**
 * A hint received by the leader. Keys that the leader has seen itself are ignored. New ones enter its heartbeats, so other
 * followers send no further hint.
 */
function onHint(context: CoreContext, from: MemberId, keys: readonly string[]): readonly PartEffect[] {
  const { hints, election, membership, now } = context
  if (election.role !== 'leader' || !isUp(membership.peers.get(from))) return NOTHING
  const news = keys.filter(key => now - (hints.seen.get(key) ?? Number.NEGATIVE_INFINITY) >= SEEN_MS)
  for (const key of news) setNewest(hints.seen, key, now)
  return news.length === 0 ? NOTHING : [{ kind: 'hint', keys: news, from }]
}

/** Inserts the key as the newest one; evicts the oldest at MAX_KEYS. */
function setNewest<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  if (map.size >= MAX_KEYS) for (const oldest of map.keys()) if (map.delete(oldest)) break
  map.set(key, value)
}

/** Evicts the oldest key if it is at least `ageMs` old. @returns true when it did */
function evictExpired(map: Map<string, number>, now: number, ageMs: number): boolean {
  for (const [key, at] of map) return now - at >= ageMs && map.delete(key)
  return false
}
