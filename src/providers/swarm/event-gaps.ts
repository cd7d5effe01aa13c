// What a replica hears from its manager, and what it makes of being told by others that it missed something. Pure; the clock is
// handed in.
//
// The key of an event is `type:action:id`, and for an update what it was about: `service:update:<id>:updatestate=completed`. All
// of these come from the swarm's own store, in which every manager applies the same changes in the same order, so they are the
// same on every manager. Not so `time` and `timeNano`: of a removal they are each manager's own clock. Of the attributes only
// those named below are used, and the new values only: they pass through every agent. A manager that catches up by a copy of the
// store skips what lay between; then another replica's key is a hint too many, which costs one fetch.

import type { DockerEvent } from '../docker-api/schemas.ts'

const TOLD_ATTRIBUTES = ['updatestate.new', 'state.new', 'availability.new', 'role.new', 'reachability.new'] as const

/** A burst of equal events within this is one, ms. */
const BURST_MS = 250
/** Keys told to others in a second, at most: a manager's word is bounded like anything else. */
const MAX_TOLD = 50
/** An event that came so long before the hint is the one that is meant, ms. */
const HEARD_MS = 5_000
const MAX_HEARD = 512
/** Several replicas hint at one event; within this they are one hint, ms. */
const SAME_HINT_MS = 1_500
/** A second missed event within this, or with nothing heard since the first, means that the manager tells us nothing, ms. */
const REPORTS_IGNORED_MS = 10_000

/** The event's name, the same on every manager; null: the event names nothing that could be a key. */
export function eventKey(event: DockerEvent): string | null {
  const { ID, Attributes } = event.Actor
  if (!/^[A-Za-z0-9]{1,64}$/.test(ID) || !/^[a-z]{1,32}$/.test(event.Action)) return null
  const about = TOLD_ATTRIBUTES.flatMap(name => {
    const value = Attributes[name]
    return value !== undefined && /^[a-z_]{1,32}$/.test(value) ? [`${name.replace('.new', '')}=${value}`] : []
  })
  return [event.Type, event.Action, ID, ...about.slice(0, 2)].join(':')
}

/**
 * `heard`: our own stream told it too. `missed`: it did not; a stream can lose an event when it is opened anew. `again`: so
 * soon after that that the stream is being opened anew already. `deaf`: not for the first time, and a stream opened anew did
 * not help.
 */
export type HintVerdict = 'heard' | 'missed' | 'again' | 'deaf'

export interface EventGapDetector {
  /** An event of our own stream. @returns the key to tell the others; null: nothing to tell (part of a burst, or of a flood) */
  hear(event: DockerEvent, nowMs: number): string | null
  hint(keys: readonly string[], nowMs: number): HintVerdict
  /** Another manager is listened to. */
  reset(): void
}

export function createEventGapDetector(): EventGapDetector {
  const heardAt = new Map<string, number>()
  const toldAt = new Map<string, number>()
  let window = { since: 0, told: 0 }
  let missedAt: number | null = null
  let heardSince = false

  return {
    hear(event, nowMs) {
      heardSince = true
      const key = eventKey(event)
      if (key === null) return null
      remember(heardAt, key, nowMs)
      const before = toldAt.get(key)
      if (before !== undefined && nowMs - before < BURST_MS) return null
      if (nowMs - window.since >= 1_000) window = { since: nowMs, told: 0 }
      if (window.told++ >= MAX_TOLD) return null
      remember(toldAt, key, nowMs)
      return key
    },
    hint(keys, nowMs) {
      if (keys.every(key => nowMs - (heardAt.get(key) ?? -Infinity) <= HEARD_MS)) return 'heard'
      const since = missedAt === null ? Infinity : nowMs - missedAt
      if (since <= SAME_HINT_MS) return 'again'
      const nothing = missedAt !== null && !heardSince
      missedAt = nowMs
      heardSince = false
      return nothing || since <= REPORTS_IGNORED_MS ? 'deaf' : 'missed'
    },
    reset() {
      heardAt.clear()
      missedAt = null
      heardSince = false
    },
  }
}

/** The newest are kept. */
function remember(map: Map<string, number>, key: string, at: number): void {
  map.delete(key)
  map.set(key, at)
  if (map.size <= MAX_HEARD) return
  const oldest = map.keys().next().value
  if (oldest !== undefined) map.delete(oldest)
}
