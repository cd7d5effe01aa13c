// Whether the manager in use is well, as the other members of the cluster are told: one whose manager is not well gives up
// leading to one whose manager is. Pure; the clock is handed in.
//
// While a swarm elects its leader (about ten seconds) every manager hangs, for a replica that reads and for those that only
// listen; these notice nothing, for their event streams stay open. Were the reading one to call its manager unwell, leading would
// go round. So a manager that hangs but answers a ping is well for a while; then somebody else may try. When that does not help
// either (no quorum, for hours) each further try is given twice the time.
//
// Nor does an event stream say that reads succeed: a manager may tell events and answer nothing else. Who has led and given up
// without a single read that succeeded is unwell for a while when it listens again, or leading would go round several times a
// second.

import type { EndpointHealth } from './manager-selection.ts'

const PATIENCE_MS = 15_000
const PATIENCE_MOST_MS = 10 * 60_000
const REST_MS = 5_000
/** Going over to listening may open a new event stream; one that opens later than this was lost in between, ms. */
const SETTLED_MS = 3_000

export interface ManagerHealth {
  /** `pong`: it has answered a ping since it began to hang; null: that is being found out. */
  judge(mode: 'read' | 'listen', health: EndpointHealth | undefined, pong: boolean | null, nowMs: number): boolean
  /** A read has succeeded. */
  read(): void
}

export function createManagerHealth(): ManagerHealth {
  let patienceMs = PATIENCE_MS
  let restMs = REST_MS
  /** Since when it rests from reading in vain, and until when. */
  let rest = { since: 0, until: Number.NEGATIVE_INFINITY }
  let before: 'read' | 'listen' = 'listen'
  let hasRead = false
  let inVain = false
  let well = false
  let gaveUp: number | null = null

  function judge(mode: 'read' | 'listen', health: EndpointHealth | undefined, pong: boolean | null, nowMs: number): boolean {
    if (health?.state === 'healthy') return mode === 'read' || nowMs >= rest.until || health.since >= rest.since + SETTLED_MS
    if (mode === 'listen' || health?.state !== 'hanging') return false
    if (pong === null) return well
    if (!pong || gaveUp === health.since) return false
    if (nowMs - health.since < patienceMs) return true
    gaveUp = health.since
    patienceMs = Math.min(patienceMs * 2, PATIENCE_MOST_MS)
    return false
  }

  function turn(mode: 'read' | 'listen', nowMs: number): void {
    if (mode === before) return
    before = mode
    if (mode === 'listen' && inVain) {
      rest = { since: nowMs, until: nowMs + restMs }
      restMs = Math.min(restMs * 2, PATIENCE_MOST_MS)
    }
    hasRead = false
    inVain = false
  }

  return {
    judge(mode, health, pong, nowMs) {
      turn(mode, nowMs)
      well = judge(mode, health, pong, nowMs)
      inVain = mode === 'read' && !well && !hasRead && (health?.state === 'down' || health?.state === 'hanging')
      return well
    },
    read() {
      patienceMs = PATIENCE_MS
      restMs = REST_MS
      gaveUp = null
      hasRead = true
    },
  }
}
