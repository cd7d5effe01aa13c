// Decides whether a replica announces its manager as healthy. A leader whose manager is unhealthy hands leadership to a member
// whose manager is healthy. Pure; the clock is passed in.
//
// While a swarm elects its leader (about ten seconds) every manager hangs. Only the replica that reads notices; the event
// streams of the others stay open. If the reader announced its manager as unhealthy at once, leadership would go round. A
// manager that hangs but answers a ping therefore counts as healthy for a while. If another leader does not help either (no
// quorum, for hours), each further attempt gets twice the time.
//
// An open event stream does not prove that reads succeed. A replica that led and stepped down without one successful read
// is unhealthy for a while after it returns to listening, or leadership would change several times a second.

import type { EndpointHealth } from './manager-selection.ts'

const HANG_GRACE_MS = 15_000
const MAX_BACKOFF_MS = 10 * 60_000
const BACKOFF_MS = 5_000
/** A switch to listening may open a new event stream. One that opens later than this was lost in between, ms. */
const REOPEN_MS = 3_000

export interface ManagerHealth {
  /** `pingAnswered`: the manager has answered a ping since it began to hang; null: the ping is under way. */
  isHealthy(mode: 'read' | 'listen', health: EndpointHealth | undefined, pingAnswered: boolean | null, nowMs: number): boolean
  readSucceeded(): void
}

export function createManagerHealth(): ManagerHealth {
  let hangGraceMs = HANG_GRACE_MS
  let backoffMs = BACKOFF_MS
  /** After reads that all failed this replica announces an unhealthy manager during this time. */
  let backoff = { since: 0, until: Number.NEGATIVE_INFINITY }
  let lastMode: 'read' | 'listen' = 'listen'
  let hasRead = false
  let readFailed = false
  let healthy = false
  let reportedHang: number | null = null

  function evaluate(
    mode: 'read' | 'listen',
    health: EndpointHealth | undefined,
    pingAnswered: boolean | null,
    nowMs: number,
  ): boolean {
    if (health?.state === 'healthy') return mode === 'read' || nowMs >= backoff.until || health.since >= backoff.since + REOPEN_MS
    if (mode === 'listen' || health?.state !== 'hanging') return false
    if (pingAnswered === null) return healthy
    if (!pingAnswered || reportedHang === health.since) return false
    if (nowMs - health.since < hangGraceMs) return true
    reportedHang = health.since
    hangGraceMs = Math.min(hangGraceMs * 2, MAX_BACKOFF_MS)
    return false
  }

  function onMode(mode: 'read' | 'listen', nowMs: number): void {
    if (mode === lastMode) return
    lastMode = mode
    if (mode === 'listen' && readFailed) {
      backoff = { since: nowMs, until: nowMs + backoffMs }
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)
    }
    hasRead = false
    readFailed = false
  }

  return {
    isHealthy(mode, health, pingAnswered, nowMs) {
      onMode(mode, nowMs)
      healthy = evaluate(mode, health, pingAnswered, nowMs)
      readFailed = mode === 'read' && !healthy && !hasRead && (health?.state === 'down' || health?.state === 'hanging')
      return healthy
    },
    readSucceeded() {
      hangGraceMs = HANG_GRACE_MS
      backoffMs = BACKOFF_MS
      reportedHang = null
      hasRead = true
    },
  }
}
