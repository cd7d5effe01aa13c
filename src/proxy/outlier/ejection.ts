// Passive ejection of servers (outlier detection). Pure functions over the fields of one server and a time.
// A failed connect ejects at once. Resets and requests without a response eject after three in a row. 5xx responses eject after a
// run of the length that the service sets, if its other servers do better. Each ejection lasts twice as long as the previous one,
// up to a limit, and a run of successes shortens the next. A background TCP connect (probe) re-admits a server; after 5xx
// responses the ejection ends by time alone, because a connect proves nothing.
// A slow connect, or a report from another replica, only puts a server under suspicion: it gets no new request until a connect
// succeeds or fails. panic.ts limits how many servers of a service are out at once. Ejection is advisory: balancers use ejected
// servers when no other is left (eligible.ts).

import { type FailureCause, NO_MEMBERS, type UpstreamServer } from '../upstream/upstream-server.ts'
import { hasProvenOther, mayEject, othersDoBetter } from './panic.ts'

const MAX_UNCERTAIN_FAILURES = 3
/**
 * A task that has just started refuses connects for a moment. A refused connect is cheap, so the first probe comes early and the
 * interval stays short.
 */
const REFUSED_BASE_MS = 150
const REFUSED_MAX_MS = 5000
const BASE_EJECTION_MS = 1000
const MAX_EJECTION_MS = 60_000
/** A server that returns 5xx is re-admitted to user requests, not to a probe, so it stays out longer. */
const ERRORS_BASE_MS = 5000
/**
 * Time limit for the result of a probe that is due, ms. Without a result the server is re-admitted, so that it does not stay out
 * for ever.
 */
const PROBE_RESULT_MS = 3000
/** Successive responses below 500 that halve the count of ejections. */
const SUCCESSES_TO_HALVE = 16
/** Limit of the count of consecutive ejections. */
const MAX_EJECTIONS = 16
/**
 * Interval between reported suspicions of one server, and the time for which reports are ignored after a successful check, ms.
 */
const SUSPECT_INTERVAL_MS = 1000
const REPORTS_IGNORED_MS = 5000
/**
 * A connect within a cluster takes a few milliseconds. A server is suspected after this time, ms, or after SUSPECT_AFTER_FACTOR
 * times the mean connect time, whichever is longer.
 */
export const SUSPECT_AFTER_MS = 300
const SUSPECT_AFTER_FACTOR = 3
/** Peers are queried earlier, so that their answers are here when the server becomes suspected. */
const QUERY_AFTER_MS = 25
const QUERY_AFTER_FACTOR = 1.5
/** Minimum time between two queries for one server, ms. The next query drops older answers. */
export const QUERY_INTERVAL_MS = 1000
/** An answer that is older than this when a server is ejected is dropped, because the path may have changed since, ms. */
const STALE_REACH_MS = 5000
/** Time for which another replica's trouble with a server counts, ms. */
const TROUBLE_MS = 2000
/** Limit of the members kept in `reachedBy`. It is larger than the number of members that answer one query. */
const MAX_REACHED_BY = 16

/** Counts a failed request or connect. @returns whether the server is ejected by this failure */
export function noteFailure(server: UpstreamServer, nowMs: number, cause: FailureCause): boolean {
  server.failures++
  server.successes = 0
  server.lastFailure = cause
  server.answers++
  server.errors++
  // All requests in flight fail together. They count as one failure.
  if (isOut(server, nowMs)) return false
  // After a reset or a timed-out response the server still accepts connections: the request may be the cause.
  const certain = cause !== 'reset' && cause !== 'late'
  if (!certain && (server.failures < MAX_UNCERTAIN_FAILURES || !mayEject(server, nowMs))) return false
  eject(server, nowMs, cause)
  return true
}

/**
 * Counts a response head. A server that finishes old requests while it refuses new connections stays ejected: only a probe
 * re-admits it.
 */
export function noteSuccess(server: UpstreamServer): void {
  server.failures = 0
  if (server.ejections === 0 || server.ejectedUntilMs !== 0) return
  if (++server.successes < SUCCESSES_TO_HALVE) return
  server.successes = 0
  server.ejections >>= 1
}

/** Judges a run of 5xx responses (observations.ts). @returns whether the server is ejected now */
export function noteErrorRun(server: UpstreamServer, nowMs: number): boolean {
  if (nowMs < server.ejectedUntilMs || !mayEject(server, nowMs) || !othersDoBetter(server, nowMs)) return false
  eject(server, nowMs, 'errors')
  return true
}

/**
 * Applies the ejection that another replica has decided by responses or resets: its `times`th in a row, `forMs` ms from now.
 * @returns whether the server is ejected now
 */
export function applyRemoteEjection(
  server: UpstreamServer,
  nowMs: number,
  cause: FailureCause,
  forMs: number,
  times: number,
): boolean {
  if (forMs <= 0 || isOut(server, nowMs) || !mayEject(server, nowMs)) return false
  server.ejections = Math.max(server.ejections, Math.min(MAX_EJECTIONS, times) - 1)
  eject(server, nowMs, cause)
  server.probeAtMs = nowMs + Math.min(MAX_EJECTION_MS, forMs)
  server.ejectedUntilMs = server.probeAtMs + PROBE_RESULT_MS
  return true
}

/** Time after which an unfinished connect makes the server suspected, ms. */
export function suspectAfterMs(server: UpstreamServer): number {
  return Math.max(SUSPECT_AFTER_MS, server.connectMs * SUSPECT_AFTER_FACTOR)
}

/** Time after which peers are queried about a server with an unfinished connect, ms. */
export function queryAfterMs(server: UpstreamServer): number {
  return Math.max(QUERY_AFTER_MS, server.connectMs * QUERY_AFTER_FACTOR)
}

/** Records that the member `by` reaches the server, for `forMs` ms; 0 removes the record. */
export function noteReachedBy(server: UpstreamServer, nowMs: number, by: string, forMs: number): void {
  if (forMs <= 0) {
    server.reachedBy = server.reachedBy.filter(id => id !== by)
    return
  }
  if (server.reachedUntilMs <= nowMs) server.reachedBy = NO_MEMBERS
  const untilMs = server.reachedBy.length === 0 ? 0 : server.reachedUntilMs
  server.reachedUntilMs = Math.max(untilMs, nowMs + forMs)
  if (!server.reachedBy.includes(by)) server.reachedBy = [by, ...server.reachedBy].slice(0, MAX_REACHED_BY)
  server.reachedAtMs = nowMs
}

/** True if the cause of the ejection may be the network path from this replica. */
export function mayBeUnreachableHere({ ejectedFor }: UpstreamServer): boolean {
  return ejectedFor === 'timeout' || ejectedFor === 'unreachable' || ejectedFor === 'silence' || ejectedFor === 'doubt'
}

/**
 * True while it is unknown whether the server is lost: a connect may still succeed, or another replica may report that it reaches
 * the server. No session moves until then.
 */
export function isVerdictPending(server: UpstreamServer, nowMs: number): boolean {
  return server.ejectedUntilMs > nowMs && (server.ejectedFor === 'doubt' || server.reachReportsUntilMs > nowMs)
}

/** Records that the replica named `by` has trouble with connects to the server, or asks others about it. */
export function noteTroubleAt(server: UpstreamServer, nowMs: number, by: string): void {
  if (nowMs - server.troubleAtMs > TROUBLE_MS) server.troubledPeers = NO_MEMBERS
  server.troubleAtMs = nowMs
  if (!server.troubledPeers.includes(by)) server.troubledPeers = [by, ...server.troubledPeers].slice(0, MAX_REACHED_BY)
}

/** True if the replica named `by` had trouble with the server recently. */
export function hasTroubleAt(server: UpstreamServer, nowMs: number, by: string): boolean {
  return nowMs - server.troubleAtMs <= TROUBLE_MS && server.troubledPeers.includes(by)
}

/** True while peers may still report that they reach the server, which is suspected or ejected because of its connects. */
export function isReachReportPending(server: UpstreamServer, nowMs: number): boolean {
  return server.ejectedUntilMs > nowMs && server.reachReportsUntilMs > nowMs && mayBeUnreachableHere(server)
}

/**
 * Puts a server under suspicion because a connect takes too long. The connect goes on; noteProbe or noteFailure follows.
 * @returns whether the server is out until then. It is not if there is no proven server to use instead.
 */
export function noteSuspicion(server: UpstreamServer, nowMs: number): boolean {
  if (nowMs < server.ejectedUntilMs || !mayEject(server, nowMs) || !hasProvenOther(server, nowMs)) return false
  forgetStaleReach(server, nowMs)
  server.ejectedFor = 'doubt'
  server.probeAtMs = Number.POSITIVE_INFINITY
  server.ejectedUntilMs = nowMs + PROBE_RESULT_MS
  return true
}

/** Counts a connect that succeeded after `ms`. @returns whether this re-admits a suspected server */
export function noteConnect(server: UpstreamServer, nowMs: number, ms: number): boolean {
  server.connectMs = server.connectMs === 0 ? ms : server.connectMs + (ms - server.connectMs) / 8
  if (nowMs >= server.ejectedUntilMs) {
    // A recent answer is kept: if the path breaks now, peers are not queried again within the interval.
    if (nowMs - server.reachedAtMs > QUERY_INTERVAL_MS) server.reachedBy = NO_MEMBERS
    return false
  }
  if (server.ejectedFor !== 'doubt') return false
  noteProbe(server, true, nowMs)
  return true
}

/** True if a report from another replica justifies a check of the server. */
export function acceptsReports(server: UpstreamServer, nowMs: number): boolean {
  return nowMs >= server.reportsIgnoredUntilMs && nowMs >= server.ejectedUntilMs
}

/** Records that a check has started (`found` false) or has succeeded (`found` true). Both suppress further checks for a while. */
export function noteChecked(server: UpstreamServer, nowMs: number, found: boolean): void {
  server.reportsIgnoredUntilMs = nowMs + (found ? REPORTS_IGNORED_MS : SUSPECT_INTERVAL_MS)
}

/** Another replica connects to the server again: a server that is ejected because of connects is probed now. */
export function noteRecoveredElsewhere(server: UpstreamServer, nowMs: number): void {
  if (nowMs >= server.ejectedUntilMs || server.ejectedFor === 'errors') return
  if (server.probeAtMs !== Number.POSITIVE_INFINITY) server.probeAtMs = Math.min(server.probeAtMs, nowMs)
}

/** True if the ejection ends by time, because a connect would prove nothing. */
export function endsWithoutProbe(server: UpstreamServer): boolean {
  return server.ejectedFor === 'errors'
}

/**
 * True if a background connect is due to decide whether the server is re-admitted. Call `noteProbeStarted` before the connect.
 */
export function dueForProbe(server: UpstreamServer, nowMs: number): boolean {
  return server.probeAtMs !== 0 && nowMs >= server.probeAtMs
}

/** A probe has started: no other starts, and the server stays out until its result (3 s at most). */
export function noteProbeStarted(server: UpstreamServer, nowMs: number): void {
  server.probeAtMs = Number.POSITIVE_INFINITY
  server.ejectedUntilMs = Math.max(server.ejectedUntilMs, nowMs + PROBE_RESULT_MS)
}

/**
 * The result of a probe: re-admitted, or out for twice as long. `cause` is what the probe found. It may differ from the cause of
 * the ejection: a host that restarts first refuses connects. The doubling then starts again, because the base times differ.
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
  server.errorRun = 0
  server.successes = 0
  server.reachedBy = NO_MEMBERS
  server.reachReportsUntilMs = 0
}

/** A new server of a service that cannot be reached: out until a probe, which is due at once, succeeds. */
export function ejectUntilProbed(server: UpstreamServer, nowMs: number): void {
  if (server.ejectedUntilMs > nowMs) return
  forgetStaleReach(server, nowMs)
  server.ejectedFor = 'unreachable'
  server.probeAtMs = nowMs
  server.ejectedUntilMs = nowMs + PROBE_RESULT_MS
}

/** Length of an ejection after `before` consecutive ones, ms: doubled each time, up to a limit. */
export function ejectionMs(before: number, cause: FailureCause): number {
  const first = cause === 'refused' ? REFUSED_BASE_MS : cause === 'errors' ? ERRORS_BASE_MS : BASE_EJECTION_MS
  const longest = cause === 'refused' ? REFUSED_MAX_MS : MAX_EJECTION_MS
  return Math.min(longest, first * 2 ** Math.min(before, 16))
}

/** Ejected, and not only suspected. */
function isOut(server: UpstreamServer, nowMs: number): boolean {
  return nowMs < server.ejectedUntilMs && server.ejectedFor !== 'doubt'
}

function forgetStaleReach(server: UpstreamServer, nowMs: number): void {
  if (server.ejectedUntilMs <= nowMs && nowMs - server.reachedAtMs > STALE_REACH_MS) server.reachedBy = NO_MEMBERS
}

function eject(server: UpstreamServer, nowMs: number, cause: FailureCause): void {
  forgetStaleReach(server, nowMs)
  server.probeAtMs = nowMs + ejectionMs(server.ejections, cause)
  server.ejectedUntilMs = server.probeAtMs + PROBE_RESULT_MS
  server.ejections = Math.min(MAX_EJECTIONS, server.ejections + 1)
  server.ejectedFor = cause
  server.failures = 0
  server.errorRun = 0
}
