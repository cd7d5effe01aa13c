// Passive ejection: what the data plane has seen of a server decides whether it goes on getting requests, and for how long not.
// Pure: fields of the server and a time in, fields out. A failed connect ejects at once, resets after three in a row; each
// ejection is twice as long as the one before, and a run of good answers shortens them again. Re-admission is by a probe (a
// background TCP connect), not by a user's request. Spec: design, sections 7 and 8. That the last server is never lost is the
// balancers' part (eligible.ts).

import type { FailureCause, UpstreamServer } from '../upstream-server.ts'

const RESETS_IN_A_ROW = 3
/**
 * A task that has just started refuses connects for a moment, and a refusal costs nothing: look again soon, and never wait long.
 */
const REFUSED_FIRST_MS = 150
const REFUSED_LONGEST_MS = 5000
const FIRST_MS = 1000
const LONGEST_MS = 60_000
/**
 * After the probe is due: how long its verdict may take before the server is let in without one (a lost probe must not lose a
 * server).
 */
const PROBE_VERDICT_MS = 3000
/** Good answers in a row that halve the count of ejections. */
const ANSWERS_TO_FORGIVE = 16

/** A request, or a connect for one, failed at the server. True if that ejected the server now. */
export function noteFailure(server: UpstreamServer, nowMs: number, cause: FailureCause): boolean {
  server.failures++
  server.successes = 0
  server.lastFailure = cause
  server.answers++
  server.errors++
  // All the requests that were under way fail together: that is one piece of news, not sixty-four.
  if (nowMs < server.ejectedUntilMs) return false
  if (cause === 'reset' && server.failures < RESETS_IN_A_ROW) return false
  eject(server, nowMs, cause)
  return true
}

/**
 * A response head arrived. A server that finishes old requests while it refuses new ones stays ejected: only a probe re-admits.
 */
export function noteSuccess(server: UpstreamServer): void {
  server.failures = 0
  if (server.ejections === 0 || server.ejectedUntilMs !== 0) return
  if (++server.successes < ANSWERS_TO_FORGIVE) return
  server.successes = 0
  server.ejections >>= 1
}

/** True when a background connect should find out whether the server may come back; call `noteProbeStarted` before it. */
export function dueForProbe(server: UpstreamServer, nowMs: number): boolean {
  return server.probeAtMs !== 0 && nowMs >= server.probeAtMs
}

/** A probe is under way: nobody else need start one, and the server stays out until its verdict (3 s at most). */
export function noteProbeStarted(server: UpstreamServer, nowMs: number): void {
  server.probeAtMs = Number.POSITIVE_INFINITY
  server.ejectedUntilMs = Math.max(server.ejectedUntilMs, nowMs + PROBE_VERDICT_MS)
}

/**
 * The probe's verdict: back in, or out for twice as long. `cause` is what the probe found, which may be another one than that of
 * the ejection: a host that is up again refuses at first. Then it begins anew, since the two differ in length.
 */
export function noteProbe(
  server: UpstreamServer,
  ok: boolean,
  nowMs: number,
  cause: FailureCause | null = server.ejectedFor ?? server.lastFailure,
): void {
  if (!ok) {
    server.lastFailure = cause
    if ((cause === 'refused') !== (server.ejectedFor === 'refused')) server.ejections = 0
    eject(server, nowMs, cause ?? 'timeout')
    return
  }
  server.ejectedUntilMs = 0
  server.probeAtMs = 0
  server.failures = 0
  server.successes = 0
}

/**
 * A server of which nothing is known, where others of its kind cannot be reached: out until a probe, due at once, has found it.
 */
export function suspect(server: UpstreamServer, nowMs: number): void {
  if (server.ejectedUntilMs > nowMs) return
  server.ejectedFor = 'unreachable'
  server.probeAtMs = nowMs
  server.ejectedUntilMs = nowMs + PROBE_VERDICT_MS
}

/** Length in ms of an ejection after `before` others: doubling, bounded. */
export function ejectionMs(before: number, cause: FailureCause): number {
  const first = cause === 'refused' ? REFUSED_FIRST_MS : FIRST_MS
  const longest = cause === 'refused' ? REFUSED_LONGEST_MS : LONGEST_MS
  return Math.min(longest, first * 2 ** Math.min(before, 16))
}

function eject(server: UpstreamServer, nowMs: number, cause: FailureCause): void {
  server.probeAtMs = nowMs + ejectionMs(server.ejections, cause)
  server.ejectedUntilMs = server.probeAtMs + PROBE_VERDICT_MS
  server.ejections = Math.min(16, server.ejections + 1)
  server.ejectedFor = cause
  server.failures = 0
}
