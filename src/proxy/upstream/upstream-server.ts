// One server of a service as a data worker sees it: the plain fields that balancing, health and ejection read and write on every
// request. It outlives snapshots: a new snapshot reuses the object (with its connections and its history) when id, scheme, host
// and port are the same.

import type { Server } from '../../config/model.ts'

/**
 * Why a server did not serve: see balancing/ejection.ts. `errors`: a run of 5xx answers; `late`: no answer in time, though it
 * takes connections; `doubt`: a connect to it takes
 * suspiciously long, and what becomes of it is not known yet.
 */
export type FailureCause = 'refused' | 'unreachable' | 'timeout' | 'silence' | 'reset' | 'late' | 'errors' | 'doubt'

/** Nobody has said that he reaches a server. */
export const NO_MEMBERS: readonly string[] = []

/** The servers of one service, among which at most half may be out for what is not certain (balancing/panic.ts). */
export interface ServerPool {
  readonly servers: readonly UpstreamServer[]
}

export class UpstreamServer {
  readonly id: string
  readonly scheme: 'http' | 'https'
  host: string
  port: number
  weight: number
  draining: boolean
  node: string
  /** Verdict of active health checks; true until one says otherwise. */
  healthy = true
  /** The verdict is bad because the check could not even connect. */
  checkUnreachable = false
  /** A connect to it has succeeded, or a health check was answered. */
  reached = false
  /** When it came into the configuration (monotonic ms). */
  readonly addedMs = performance.now()
  /** Name of the replica behind it; '' for a server of a service. */
  peerName = ''
  /** Requests under way through this worker. */
  inFlight = 0
  /** Passive ejection: monotonic ms (performance.now) until which it gets no request; 0 when in. See ejection.ts. */
  ejectedUntilMs = 0
  /** Cause of the ejection that lasts, or of the last one. */
  ejectedFor: FailureCause | null = null
  /** Ejections in a row; sets the length of the next. */
  ejections = 0
  /** Connect failures and resets since the last success. */
  failures = 0
  /** When an ejected server is worth a probe (monotonic ms); 0 when it is in, Infinity while a probe is under way. */
  probeAtMs = 0
  /** Cause of the last failure; it sets how long the next ejection is. */
  lastFailure: FailureCause | null = null
  /** Answers in a row while `ejections` is above 0; enough of them shorten the next ejection. */
  successes = 0
  /** Answers and, among them, failures and 500 to 504, of late: halved by dynamic round robin as time passes. */
  answers = 0
  errors = 0
  /** Until then (monotonic ms) faults in its answers are put right without a log line. */
  repairLogQuietUntilMs = 0
  /** 5xx answers in a row. */
  errorRun = 0
  /** So many of them in a row eject it (the service's `outliers.errors`); 0: never. */
  errorLimit = 0
  /** Share of 5xx among its answers of late, 0 to 1; negative before the first. */
  errorShare = -1
  /** Until then (monotonic ms) neither what others say of it nor an own doubt is news: it was looked at a moment ago. */
  reportsIgnoredUntilMs = 0
  /** Until then (monotonic ms) another replica may not be able to reach it: sessions that must move rather go elsewhere. */
  unreachableElsewhereUntilMs = 0
  /**
   * Ids of members that have said of late that they reach this server, when that was heard last and how long it counts (monotonic
   * ms). Forgotten when the server is reached from here.
   */
  reachedBy: readonly string[] = NO_MEMBERS
  reachedAtMs = 0
  reachedUntilMs = 0
  /** Others were asked then (monotonic ms) whether they reach it; until when their answer is awaited before a session moves. */
  peersQueriedMs = Number.NEGATIVE_INFINITY
  /** When it was looked at last because others asked (monotonic ms). */
  queriedMs = Number.NEGATIVE_INFINITY
  reachReportsUntilMs = 0
  /** Mean time that a connect takes, ms; 0 before the first. */
  connectMs = 0
  /** Its service's servers; null: it belongs to none (a peer). */
  pool: ServerPool | null = null
  /** What dynamic round robin makes of the weight, 0 < factor <= 1. */
  weightFactor = 1
  /** No session is bound to it before, if there are others; monotonic ms (runtime.ts). */
  warmUpEndsMs = 0
  /** Hash of the id for rendezvous; 0 until computed. */
  idHash = 0
  /** Exponentially weighted mean time to the response head, ms; 0 before the first answer. */
  latencyMs = 0
  /** Scratch of smooth weighted round robin. */
  currentWeight = 0
  /**
   * What names it in a sticky cookie, what goes before and after a session's tag in the line that sets it, and what Traefik v1
   * would have written; '' until sticky-cookie.ts has computed them.
   */
  cookieMark = ''
  /** The same under each other key that is accepted (DataPlaneOptions.otherCookieKeys). */
  otherMarks: readonly string[] = []
  cookieStart = ''
  cookieEnd = ''
  traefikValue = ''
  /** Its number among the servers that learned sessions lead to (sessions/service-sessions.ts). */
  sessionNumber = 0

  constructor(server: Server) {
    this.id = server.id
    this.scheme = server.scheme
    this.host = server.host
    this.port = server.port
    this.weight = server.weight
    this.draining = server.state === 'draining'
    this.node = server.node
  }
}
