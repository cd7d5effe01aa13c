// Decides whether gossip messages are forwarded. Up to 16 members all are connected directly, so forwarded copies would only
// cost CPU. While a link between two members is broken, or a member has just joined, forwarding keeps the cluster connected; a
// member that misses another requests it. Pure: the clock is handed in.

import type { MemberId } from '../core/state.ts'
import { FULL_UP_TO } from './mesh.ts'

/** Forward for this long after a connection change, until all members have reacted to it, ms. */
const CHANGED_MS = 15_000
/** A member repeats its request at this interval; each request is granted for a little longer, ms. */
const REQUEST_INTERVAL_MS = 5_000
const FORWARD_MS = 12_000
/** In a small cluster every member sends at least once a second; longer without a message means a missing link, ms. */
const SILENT_MS = 1_500

export interface Forwarding {
  /** Whether messages are to be forwarded now. */
  active(nowMs: number): boolean
  connectionChanged(nowMs: number): void
  /** Another member requested forwarding. */
  requested(nowMs: number): void
  received(author: MemberId, nowMs: number): void
  /** Called regularly. True: send a request to the other members now. */
  requestNeeded(members: Iterable<MemberId>, connected: ReadonlySet<MemberId>, nowMs: number): boolean
}

export function createForwarding(): Forwarding {
  const lastReceivedAt = new Map<MemberId, number>()
  let until = 0
  let large = false
  let requestedAt = Number.NEGATIVE_INFINITY
  const extend = (to: number): void => void (until = Math.max(until, to))

  return {
    active: nowMs => large || nowMs < until,
    connectionChanged: nowMs => extend(nowMs + CHANGED_MS),
    requested: nowMs => extend(nowMs + FORWARD_MS),
    received: (author, nowMs) => void lastReceivedAt.set(author, nowMs),

    requestNeeded(members, connected, nowMs) {
      const ids = new Set(members)
      large = ids.size >= FULL_UP_TO
      for (const id of lastReceivedAt.keys()) if (!ids.has(id)) lastReceivedAt.delete(id)
      let missing = false
      for (const id of ids) {
        const at = lastReceivedAt.get(id)
        if (at === undefined) lastReceivedAt.set(id, nowMs)
        if (!connected.has(id) || (at !== undefined && nowMs - at > SILENT_MS)) missing = true
      }
      if (large || !missing) return false
      extend(nowMs + FORWARD_MS)
      if (nowMs - requestedAt < REQUEST_INTERVAL_MS) return false
      requestedAt = nowMs
      return true
    },
  }
}
