// One server of a service in a data worker: configuration, active streams, and the state that balancing, health checks and ejection
// keep about it in plain fields. It outlives snapshots: a new snapshot reuses the object, with its streams and its history, while id,
// scheme, host and port are the same.

import type { Server } from '../../config/model.ts'
import type { Transport, TransportFactory, UpstreamStream } from './upstream-stream.ts'

/**
 * Why a server did not serve (outlier/ejection.ts). `errors`: a run of 5xx responses; `late`: no response in time, though it accepts
 * connections; `silence`: no response, and it accepts no connections; `doubt`: a connect takes suspiciously long and has not ended.
 * The values appear in metrics, logs and the cluster's store.
 */
export type FailureCause = 'refused' | 'unreachable' | 'timeout' | 'silence' | 'reset' | 'late' | 'errors' | 'doubt'

/** No member has reported that it reaches a server. */
export const NO_MEMBERS: readonly string[] = []

/** The servers of one service. At most half of them may be ejected for uncertain reasons (outlier/panic.ts). */
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
  /** Name of its service, for reports; '' for a peer. */
  readonly service: string
  readonly transport: Transport
  /** Index of the current address of a server with several, which `host` and `port` hold. */
  address = 0
  /** Added to the response timeout, ms. */
  responseGraceMs = 0
  /** Streams that carry an exchange. */
  readonly active: UpstreamStream[] = []
  /** No longer configured. */
  gone = false
  /** A connect is in progress to find out whether it accepts connections. Written by outlier/server-watch.ts. */
  checking = false

  /** Result of active health checks; true until one fails. */
  healthy = true
  /** The check failed because it could not connect. */
  checkUnreachable = false
  /** A connect or a health check has succeeded at least once. */
  reached = false
  /** When it was configured (monotonic ms). */
  readonly addedMs = performance.now()
  /** Name of the peer; '' for a server of a service. */
  peerName = ''
  /** Active streams of this worker. */
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
  /** Until then (monotonic ms) repairs of its responses are not logged. Written by http1/repair-log.ts. */
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

  constructor(server: Server, service: string, transports: TransportFactory) {
    this.service = service
    this.id = server.id
    this.scheme = server.scheme
    this.host = server.host
    this.port = server.port
    this.weight = server.weight
    this.draining = server.state === 'draining'
    this.node = server.node
    this.transport = transports(this)
  }

  /** A peer (relay/), not a server of a service. */
  get isPeer(): boolean {
    return false
  }

  /** A stream has connected. */
  onConnected(): void {}

  /** A connect to address number `address` failed. @returns whether there is another address to try */
  nextAddress(_address: number): boolean {
    return false
  }

  /** Host and port as the value of a Host field. */
  get authority(): string {
    const host = this.host.includes(':') ? `[${this.host}]` : this.host
    return this.port === (this.scheme === 'https' ? 443 : 80) ? host : `${host}:${this.port}`
  }

  /** Key under which a new snapshot finds an existing server. */
  static key(server: Pick<Server, 'id' | 'scheme' | 'host' | 'port'>): string {
    return `${server.id} ${server.scheme} ${server.host} ${server.port}`
  }

  /** Applies changes that do not alter the key. */
  update(server: Server): void {
    this.weight = server.weight
    this.node = server.node
    const draining = server.state === 'draining'
    if (draining && !this.draining) this.transport.closeIdle()
    this.draining = draining
  }

  /** Removed from the configuration. Active streams finish. */
  retire(): void {
    this.gone = true
    this.transport.closeIdle()
  }

  addActive(stream: UpstreamStream): void {
    stream.activeIndex = this.active.length
    this.active.push(stream)
    this.inFlight++
  }

  removeActive(stream: UpstreamStream): void {
    const index = stream.activeIndex
    if (index < 0) return
    const last = this.active.pop()!
    if (last !== stream) {
      this.active[index] = last
      last.activeIndex = index
    }
    stream.activeIndex = -1
    this.inFlight--
  }
}
