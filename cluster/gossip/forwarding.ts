// Whether what one member has said is to be handed on to the others. In a cluster of up to 16 everybody hears everybody directly,
// and copies through third parties would only cost; but while a link between two is broken, or somebody has just joined, they are
// what holds the cluster together. Who misses another asks for them. Pure; the clock is handed in.

import type { MemberId } from '../core/state.ts'
import { FULL_UP_TO } from './mesh.ts'

/** After a connection has come or gone others may not know yet of whom it is with. */
const CHANGED_MS = 15_000
/** Who asks goes on asking, so often; what was asked for is given for a little longer. */
const REQUEST_INTERVAL_MS = 5_000
const FORWARD_MS = 12_000
/** In a small cluster everybody speaks at least once a second. */
const SILENT_MS = 1_500

export interface Forwarding {
  /** Whether messages are to be handed on now. */
  active(nowMs: number): boolean
  connectionChanged(nowMs: number): void
  /** Another member asks for it. */
  requested(nowMs: number): void
  received(author: MemberId, nowMs: number): void
  /** To be called often. True: the others are to be asked, now. */
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
