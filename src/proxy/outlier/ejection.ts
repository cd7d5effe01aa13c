// Passive ejection: what the data plane has seen of a server decides whether it goes on getting requests, and for how long not.
// Pure: fields of the server and a time in, fields out. A failed connect ejects at once, resets and requests that wait in vain
// after three in a row, 5xx answers after as many in a row as the service says, if its other servers do better; each ejection is
// twice as long as the one before, up to a bound, and a run of good answers shortens them again. Re-admission is by a probe (a
// background TCP connect), not by a user's request; after 5xx, which a connect says nothing of, by time alone. What others say of
// a server, or a connect that takes suspiciously long, makes it doubtful: it gets no new request until a connect has shown what
// it is. Spec: design, sections 7 and 8. How many may be out at a time is panic.ts' to say; that the last server is never lost is
// the balancers' part (eligible.ts).

import { type FailureCause, NO_MEMBERS, type UpstreamServer } from '../upstream/upstream-server.ts'
import { hasProvenOther, mayEject, othersDoBetter } from './panic.ts'

const MAX_UNCERTAIN_FAILURES = 3
/**
 * A task that has just started refuses connects for a moment, and a refusal costs nothing: look again soon, and never wait long.
 */
const REFUSED_BASE_MS = 150
const REFUSED_MAX_MS = 5000
const BASE_EJECTION_MS = 1000
const MAX_EJECTION_MS = 60_000
/** A server that answers 5xx comes back to users, not to a probe: rather later. */
const ERRORS_BASE_MS = 5000
/**
 * After the probe is due: how long its verdict may take before the server is let in without one (a lost probe must not lose a
 * server).
 */
const PROBE_RESULT_MS = 3000
/** Good answers in a row that halve the count of ejections. */
const SUCCESSES_TO_HALVE = 16
/** Ejections in a row are counted so far. */
const MAX_EJECTIONS = 16
/** How long it is no news that a server is in doubt, and how long nobody's word counts after it was found to be there. */
const SUSPECT_INTERVAL_MS = 1000
const REPORTS_IGNORED_MS = 5000
/** A connect within a cluster takes a few milliseconds; one that takes so long, and so many times the usual, is in doubt. */
export const SUSPECT_AFTER_MS = 300
const SUSPECT_AFTER_FACTOR = 3
/** Others are asked rather sooner whether they reach it: their answer should be here when it is in doubt. */
const QUERY_AFTER_MS = 25
const QUERY_AFTER_FACTOR = 1.5
/** Others are asked for a server no sooner again, ms; a word older than that is dropped with the next question. */
export const QUERY_INTERVAL_MS = 1000
/** What another replica said so long before a server fell out says nothing of why it did. */
const STALE_REACH_MS = 5000
/** So many of those who reach a server are known: more than would answer. */
const MAX_REACHED_BY = 16

/** A request, or a connect for one, failed at the server. True if that ejected the server now. */
export function noteFailure(server: UpstreamServer, nowMs: number, cause: FailureCause): boolean {
  server.failures++
  server.successes = 0
  server.lastFailure = cause
  server.answers++
  server.errors++
  // All the requests that were under way fail together: that is one piece of news, not sixty-four.
  if (isOut(server, nowMs)) return false
  // It takes connections: it may be this request that it cannot answer.
  const certain = cause !== 'reset' && cause !== 'late'
  if (!certain && (server.failures < MAX_UNCERTAIN_FAILURES || !mayEject(server, nowMs))) return false
  eject(server, nowMs, cause)
  return true
}

/**
 * A response head arrived. A server that finishes old requests while it refuses new ones stays ejected: only a probe re-admits.
 */
export function noteSuccess(server: UpstreamServer): void {
  server.failures = 0
  if (server.ejections === 0 || server.ejectedUntilMs !== 0) return
  if (++server.successes < SUCCESSES_TO_HALVE) return
  server.successes = 0
  server.ejections >>= 1
}

/** 5xx answers have come in a row (observations.ts). True if that ejected the server now. */
export function noteErrorRun(server: UpstreamServer, nowMs: number): boolean {
  if (nowMs < server.ejectedUntilMs || !mayEject(server, nowMs) || !othersDoBetter(server, nowMs)) return false
  eject(server, nowMs, 'errors')
  return true
}

/**
 * Others have ejected it, as their `times`th in a row and for `forMs` from now, for what its connections or answers were. True if
 * that ejected it here.
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

/** After so long, ms, a connect to it is in doubt. */
export function suspectAfterMs(server: UpstreamServer): number {
  return Math.max(SUSPECT_AFTER_MS, server.connectMs * SUSPECT_AFTER_FACTOR)
}

/** After so long, ms, of a connect to it others are asked whether they reach it. */
export function queryAfterMs(server: UpstreamServer): number {
  return Math.max(QUERY_AFTER_MS, server.connectMs * QUERY_AFTER_FACTOR)
}

/** Another member says that it reaches the server, to be believed for `forMs`; 0: no longer. */
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

/** Nobody has found a way to it from here, but what it is ejected for may be the way. */
export function mayBeUnreachableHere({ ejectedFor }: UpstreamServer): boolean {
  return ejectedFor === 'timeout' || ejectedFor === 'unreachable' || ejectedFor === 'silence' || ejectedFor === 'doubt'
}

/**
 * Whether it is lost is not known yet: a connect may still stand, or another replica say that it reaches it. Until then no
 * session moves.
 */
export function isVerdictPending(server: UpstreamServer, nowMs: number): boolean {
  return server.ejectedUntilMs > nowMs && (server.ejectedFor === 'doubt' || server.reachReportsUntilMs > nowMs)
}

/**
 * A connect to it takes suspiciously long and goes on; the verdict is noteProbe's or noteFailure's. True if it is out until then:
 * not where requests have nowhere better to go.
 */
export function noteSuspicion(server: UpstreamServer, nowMs: number): boolean {
  if (nowMs < server.ejectedUntilMs || !mayEject(server, nowMs) || !hasProvenOther(server, nowMs)) return false
  forgetStaleReach(server, nowMs)
  server.ejectedFor = 'doubt'
  server.probeAtMs = Number.POSITIVE_INFINITY
  server.ejectedUntilMs = nowMs + PROBE_RESULT_MS
  return true
}

/** A connect stood after `ms`. True if that let a doubtful server in again. */
export function noteConnect(server: UpstreamServer, nowMs: number, ms: number): boolean {
  server.connectMs = server.connectMs === 0 ? ms : server.connectMs + (ms - server.connectMs) / 8
  if (nowMs >= server.ejectedUntilMs) {
    // A word that has just come stays: should the way be lost in the next moment, nobody may be asked again so soon.
    if (nowMs - server.reachedAtMs > QUERY_INTERVAL_MS) server.reachedBy = NO_MEMBERS
    return false
  }
  if (server.ejectedFor !== 'doubt') return false
  noteProbe(server, true, nowMs)
  return true
}

/** Is it worth while to look at a server because others say that something is wrong with it? */
export function acceptsReports(server: UpstreamServer, nowMs: number): boolean {
  return nowMs >= server.reportsIgnoredUntilMs && nowMs >= server.ejectedUntilMs
}

/** It is being looked at, or has just been found to be there. */
export function noteChecked(server: UpstreamServer, nowMs: number, found: boolean): void {
  server.reportsIgnoredUntilMs = nowMs + (found ? REPORTS_IGNORED_MS : SUSPECT_INTERVAL_MS)
}

/** Others can connect to it again: what it was ejected for by itself is worth a probe now. */
export function noteRecoveredElsewhere(server: UpstreamServer, nowMs: number): void {
  if (nowMs >= server.ejectedUntilMs || server.ejectedFor === 'errors') return
  if (server.probeAtMs !== Number.POSITIVE_INFINITY) server.probeAtMs = Math.min(server.probeAtMs, nowMs)
}

/** Its ejection ends by time: there is nothing that a connect could find out. */
export function endsWithoutProbe(server: UpstreamServer): boolean {
  return server.ejectedFor === 'errors'
}

/** True when a background connect should find out whether the server may come back; call `noteProbeStarted` before it. */
export function dueForProbe(server: UpstreamServer, nowMs: number): boolean {
  return server.probeAtMs !== 0 && nowMs >= server.probeAtMs
}

/** A probe is under way: nobody else need start one, and the server stays out until its verdict (3 s at most). */
export function noteProbeStarted(server: UpstreamServer, nowMs: number): void {
  server.probeAtMs = Number.POSITIVE_INFINITY
  server.ejectedUntilMs = Math.max(server.ejectedUntilMs, nowMs + PROBE_RESULT_MS)
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
  server.errorRun = 0
  server.successes = 0
  server.reachedBy = NO_MEMBERS
  server.reachReportsUntilMs = 0
}

/**
 * A server of which nothing is known, where others of its kind cannot be reached: out until a probe, due at once, has found it.
 */
export function ejectUntilProbed(server: UpstreamServer, nowMs: number): void {
  if (server.ejectedUntilMs > nowMs) return
  forgetStaleReach(server, nowMs)
  server.ejectedFor = 'unreachable'
  server.probeAtMs = nowMs
  server.ejectedUntilMs = nowMs + PROBE_RESULT_MS
}

/** Length in ms of an ejection after `before` others: doubling, bounded. */
export function ejectionMs(before: number, cause: FailureCause): number {
  const first = cause === 'refused' ? REFUSED_BASE_MS : cause === 'errors' ? ERRORS_BASE_MS : BASE_EJECTION_MS
  const longest = cause === 'refused' ? REFUSED_MAX_MS : MAX_EJECTION_MS
  return Math.min(longest, first * 2 ** Math.min(before, 16))
}

/** Ejected, and not only in doubt. */
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
