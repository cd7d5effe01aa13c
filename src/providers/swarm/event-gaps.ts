// Detects events that the manager's stream did not deliver, by comparing them with those that other replicas received. Pure;
// the clock is passed in.
//
// The key of an event is `type:action:id`, and for an update what changed: `service:update:<id>:updatestate=completed`.
// Every manager applies the same changes in the same order, so a key is the same on every manager. `time` and `timeNano` are
// not part of it: for a removal they are the manager's own clock. Only the attributes below are used, and only their new
// values, because every agent lets them pass. A manager that catches up from a snapshot of the store skips the changes in
// between; the key of another replica then costs one unnecessary read.

import type { DockerEvent } from '../docker-api/schemas.ts'

const KEY_ATTRIBUTES = ['updatestate.new', 'state.new', 'availability.new', 'role.new', 'reachability.new'] as const

/** Equal events within this time are announced once, ms. */
const BURST_MS = 250
const MAX_ANNOUNCED_PER_SECOND = 50
/** A hint matches an event that was received at most this long before it, ms. */
const MATCH_WINDOW_MS = 5_000
const MAX_REMEMBERED = 512
/** Hints of several replicas within this time are about one gap, ms. */
const SAME_GAP_MS = 1_500
/** A second gap within this time, or without any event since the first, means that the stream is unreliable, ms. */
const REPORTS_IGNORED_MS = 10_000

/** The same on every manager. null: the event has no usable id or action. */
export function eventKey(event: DockerEvent): string | null {
  const { ID, Attributes } = event.Actor
  if (!/^[A-Za-z0-9]{1,64}$/.test(ID) || !/^[a-z]{1,32}$/.test(event.Action)) return null
  const about = KEY_ATTRIBUTES.flatMap(name => {
    const value = Attributes[name]
    return value !== undefined && /^[a-z_]{1,32}$/.test(value) ? [`${name.replace('.new', '')}=${value}`] : []
  })
  return [event.Type, event.Action, ID, ...about.slice(0, 2)].join(':')
}

/**
 * `received`: the own stream delivered the events too. `missed`: it did not; a stream can lose an event while it is reopened.
 * `reopening`: a further hint so soon that the stream is being reopened already. `unreliable`: a repeated gap, although the
 * stream was reopened.
 */
export type HintVerdict = 'received' | 'missed' | 'reopening' | 'unreliable'

export interface EventGapDetector {
  /**
   * Records an event of the own stream. @returns the key to announce to other replicas; null: none (repeated, or above the rate
   * limit)
   */
  record(event: DockerEvent, nowMs: number): string | null
  /** Compares the keys that another replica received with the own stream. */
  compare(keys: readonly string[], nowMs: number): HintVerdict
  /** Forgets everything: the stream now comes from another manager. */
  reset(): void
}

export function createEventGapDetector(): EventGapDetector {
  const receivedAt = new Map<string, number>()
  const announcedAt = new Map<string, number>()
  let window = { since: 0, announced: 0 }
  let missedAt: number | null = null
  let receivedSinceMiss = false

  return {
    record(event, nowMs) {
      receivedSinceMiss = true
      const key = eventKey(event)
      if (key === null) return null
      remember(receivedAt, key, nowMs)
      const before = announcedAt.get(key)
      if (before !== undefined && nowMs - before < BURST_MS) return null
      if (nowMs - window.since >= 1_000) window = { since: nowMs, announced: 0 }
      if (window.announced++ >= MAX_ANNOUNCED_PER_SECOND) return null
      remember(announcedAt, key, nowMs)
      return key
    },
    compare(keys, nowMs) {
      if (keys.every(key => nowMs - (receivedAt.get(key) ?? -Infinity) <= MATCH_WINDOW_MS)) return 'received'
      const since = missedAt === null ? Infinity : nowMs - missedAt
      if (since <= SAME_GAP_MS) return 'reopening'
      const noEventSince = missedAt !== null && !receivedSinceMiss
      missedAt = nowMs
      receivedSinceMiss = false
      return noEventSince || since <= REPORTS_IGNORED_MS ? 'unreliable' : 'missed'
    },
    reset() {
      receivedAt.clear()
      missedAt = null
      receivedSinceMiss = false
    },
  }
}

/** Keeps the newest MAX_REMEMBERED entries. */
function remember(map: Map<string, number>, key: string, at: number): void {
  map.delete(key)
  map.set(key, at)
  if (map.size <= MAX_REMEMBERED) return
  const oldest = map.keys().next().value
  if (oldest !== undefined) map.delete(oldest)
}
