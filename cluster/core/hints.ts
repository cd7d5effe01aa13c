// Followers watch their own managers' events. What one saw and the leader's beats do not show in time becomes a hint: the
// leader may read from a stale manager. Keys seen travel in every member's beat. Pure. Spec: design, sections 5 (fetch) and
// 6.

import { fitText } from './clamp.ts'
import { log, NOTHING, type PartEffect, type PartEvent, type World } from './context.ts'
import { displayName } from './display-names.ts'
import { isUp } from './membership.ts'
import { LIMITS, type MemberId } from './state.ts'

/** A key seen is named in beats for so long, ms. */
const SEEN_MS = 5000
/** A hint that nobody could be given, for want of a leader, is kept for so long, ms. */
const KEEP_MS = 10_000
/** Between two hints of one member, ms. */
const GAP_MS = 250
/** Keys remembered at most, of each kind. */
const MOST = 256
/** In a cluster larger than this not everybody hints at once, but spread over SPREAD_MS. */
const SMALL = 8
const SPREAD_MS = 500

export interface HintsState {
  /** Own keys and when they were last seen, oldest first. */
  readonly seen: Map<string, number>
  /** Own keys that the leader has not shown, and when that was. */
  readonly open: Map<string, { readonly at: number; readonly dueAt: number }>
  /** Keys that the leader's beats have shown, and when last. */
  readonly shown: Map<string, number>
  sentAt: number
}

export function createHints(): HintsState {
  return { seen: new Map(), open: new Map(), shown: new Map(), sentAt: Number.NEGATIVE_INFINITY }
}

/** For this member's beats: of late, newest last. */
export function seenOf(world: World): string[] {
  const keys: string[] = []
  for (const [key, at] of world.hints.seen) if (world.now - at < SEEN_MS) keys.push(key)
  return keys.slice(-LIMITS.seen)
}

export function stepHints(world: World, event: PartEvent): readonly PartEffect[] {
  switch (event.kind) {
    case 'saw':
      saw(world, event.keys)
      return NOTHING
    case 'tick':
      return due(world)
    case 'message':
      if (event.message.kind === 'hint') return hinted(world, event.from, event.message.keys)
      if (event.message.kind === 'beat' && event.from === world.election.leader) shown(world, event.message.local.seen)
      return NOTHING
    default:
      return NOTHING
  }
}

function saw(world: World, keys: readonly string[]): void {
  const { hints, now, options, membership } = world
  for (const said of keys.slice(-MOST)) {
    const key = fitText(said)
    put(hints.seen, key, now)
    const spread = membership.alive > SMALL ? options.random() * SPREAD_MS : 0
    // The leader may have seen it first, and shows it still.
    const known = hints.shown.get(key)
    if (known === undefined || now - known > options.timing.hintMs) {
      put(hints.open, key, { at: now, dueAt: now + options.timing.hintMs + spread })
    }
  }
}

function shown(world: World, keys: readonly string[]): void {
  for (const key of keys) {
    put(world.hints.shown, key, world.now)
    world.hints.open.delete(key)
  }
}

function due(world: World): readonly PartEffect[] {
  const { hints, election, now } = world
  while (hints.shown.size > 0 && expired(hints.shown, now, KEEP_MS));
  while (hints.seen.size > 0 && expired(hints.seen, now, SEEN_MS));
  if (hints.open.size === 0) return NOTHING
  if (election.role === 'leader') {
    hints.open.clear()
    return NOTHING
  }
  const keys: string[] = []
  const mayTell = election.leader !== null && now - hints.sentAt >= GAP_MS
  for (const [key, { at, dueAt }] of hints.open) {
    if (now - at > KEEP_MS) hints.open.delete(key)
    else if (mayTell && now >= dueAt && keys.length < LIMITS.hint) {
      keys.push(key)
      hints.open.delete(key)
    }
  }
  if (keys.length === 0 || election.leader === null) return NOTHING
  hints.sentAt = now
  return [
    log('debug', { leader: displayName(world, election.leader), keys: keys.length }, 'the leader misses events: it gets a hint'),
    { kind: 'send', to: election.leader, message: { kind: 'hint', keys } },
  ]
}

/** To the leader: what it has seen itself is no news; what is news it shows from now on, so that one hint will do. */
function hinted(world: World, from: MemberId, keys: readonly string[]): readonly PartEffect[] {
  const { hints, election, membership, now } = world
  if (election.role !== 'leader' || !isUp(membership.peers.get(from))) return NOTHING
  const news = keys.filter(key => now - (hints.seen.get(key) ?? Number.NEGATIVE_INFINITY) >= SEEN_MS)
  for (const key of news) put(hints.seen, key, now)
  return news.length === 0 ? NOTHING : [{ kind: 'hint', keys: news, from }]
}

/** As the newest; the oldest goes when there are too many. */
function put<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  if (map.size >= MOST) for (const oldest of map.keys()) if (map.delete(oldest)) break
  map.set(key, value)
}

/** Takes out the oldest if it is older than that. */
function expired(map: Map<string, number>, now: number, ageMs: number): boolean {
  for (const [key, at] of map) return now - at >= ageMs && map.delete(key)
  return false
}
