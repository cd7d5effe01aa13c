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

/** Fields are grouped by the module that writes them. Times are monotonic ms (performance.now()). */
export class UpstreamServer {
  readonly id: string
  readonly scheme: 'http' | 'https'
  /** Name of its service, for reports; '' for a peer. */
  readonly service: string
  readonly transport: Transport
  /** When it was configured. */
  readonly addedMs = performance.now()

  // ---- configuration: written here and by peers/relay-peer.ts ----
  host: string
  port: number
  weight: number
  draining: boolean
  node: string
  /** No longer configured. */
  gone = false
  /** Index of the current address of a server with several, which `host` and `port` hold. */
  address = 0
  /** Name of the peer; '' for a server of a service. */
  peerName = ''
  /** Added to the response timeout, ms. */
  responseGraceMs = 0

  // ---- streams: written here ----
  /** Streams that carry an exchange, and their number. */
  readonly active: UpstreamStream[] = []
  inFlight = 0

  // ---- pool and health checks: written by runtime.ts ----
  /** The servers of its service; null for a peer. */
  pool: ServerPool | null = null
  /** Result of active health checks; true until one fails. */
  healthy = true
  /** The check failed because it could not connect. */
  checkUnreachable = false
  /** 5xx responses in a row that eject it (`outliers.errors` of the service); 0: never. */
  errorLimit = 0
  /** Until then no session is bound to it if the service has other servers. */
  warmUpEndsMs = 0

  // ---- ejection: written by outlier/ejection.ts ----
  /** Until then it gets no request; 0: not ejected. */
  ejectedUntilMs = 0
  /** Cause of the current or of the last ejection. */
  ejectedFor: FailureCause | null = null
  /** Consecutive ejections, which set the length of the next one. */
  ejections = 0
  /** Connect failures and resets since the last success. */
  failures = 0
  /** When a probe of an ejected server is due; 0: not ejected, Infinity: a probe is in progress. */
  probeAtMs = 0
  /** Cause of the last failure. */
  lastFailure: FailureCause | null = null
  /** Consecutive good responses while `ejections` is above 0; enough of them shorten the next ejection. */
  successes = 0
  /** Until then reports of others and own suspicions are ignored: the server was checked a moment ago. */
  reportsIgnoredUntilMs = 0
  /** Mean time of a connect, ms; 0 before the first one. */
  connectMs = 0
  /** Ids of members that have reported that they reach it, the time of the last report, and its expiry. Cleared by a connect. */
  reachedBy: readonly string[] = NO_MEMBERS
  reachedAtMs = 0
  reachedUntilMs = 0

  // ---- responses: written by outlier/observations.ts; ejection.ts adds failures, dynamic round robin halves the counts ----
  /** Recent responses and failures, and the failures and 500 to 504 among them. */
  answers = 0
  errors = 0
  /** 5xx responses in a row. */
  errorRun = 0
  /** Share of 5xx among recent responses, 0 to 1; negative before the first one. */
  errorShare = -1
  /** Exponentially weighted mean time to the response head, ms; 0 before the first one. */
  latencyMs = 0

  // ---- checks and queries: written by outlier/server-watch.ts ----
  /** A connect or a health check has succeeded at least once. Also written by runtime.ts and codecs. */
  reached = false
  /** A connect is in progress to find out whether it accepts connections. */
  checking = false
  /** Until then another replica may be unable to reach it: sessions that must move prefer other servers. */
  unreachableElsewhereUntilMs = 0
  /** When peers were last asked whether they reach it, and until when their answers are awaited before a session moves. */
  peersQueriedMs = Number.NEGATIVE_INFINITY
  reachReportsUntilMs = 0
  /** Names of other replicas that had trouble with it recently, and when the last one reported that. */
  troubledPeers: readonly string[] = NO_MEMBERS
  troubleAtMs = Number.NEGATIVE_INFINITY
  /** When it was last checked because a peer asked. */
  queriedMs = Number.NEGATIVE_INFINITY

  // ---- balancing/ and sessions/ ----
  /** Factor of the weight by dynamic round robin, 0 < factor <= 1. */
  weightFactor = 1
  /** State of smooth weighted round robin. */
  currentWeight = 0
  /** Hash of the id for rendezvous hashing; 0 until computed. */
  idHash = 0
  /**
   * Sticky cookies (sticky-cookie.ts): the server's mark, what precedes and follows a session's tag in the field that sets it, and
   * the value of Traefik v1; '' until computed.
   */
  cookieMark = ''
  cookieStart = ''
  cookieEnd = ''
  traefikValue = ''
  /** The mark under each other accepted key (DataPlaneOptions.otherCookieKeys). */
  otherMarks: readonly string[] = []
  /** Its number in the session table (sessions/service-sessions.ts). */
  sessionNumber = 0

  /** Until then repairs of its responses are not logged. Written by http1/repair-log.ts. */
  repairLogQuietUntilMs = 0

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
