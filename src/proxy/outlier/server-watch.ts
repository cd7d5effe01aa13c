// Outlier detection of one worker: feeds failures, connects and reports into ejection.ts, and opens the background connects
// (probes).
// A probe re-admits an ejected server, checks a server that sends no response, and checks a server that another replica reports
// as lost. Reports that a server is unreachable are always verified by a connect, so a wrong report costs a good server nothing;
// only a slow connect puts it under suspicion.

import { UNREACHABLE_SAMPLE } from '../upstream/unreachable-services.ts'
import { type FailureCause, NO_MEMBERS, type UpstreamServer } from '../upstream/upstream-server.ts'
import { STREAM_RESET } from '../upstream/upstream-stream.ts'
import {
  acceptsReports,
  applyRemoteEjection,
  dueForProbe,
  endsWithoutProbe,
  mayBeUnreachableHere,
  noteChecked,
  noteConnect,
  noteErrorRun,
  noteFailure,
  noteProbe,
  noteProbeStarted,
  noteRecoveredElsewhere,
  noteSuspicion,
  noteTroubleAt,
  QUERY_INTERVAL_MS,
  queryAfterMs,
  SUSPECT_AFTER_MS,
  suspectAfterMs,
} from './ejection.ts'

export interface WatchHost {
  /**
   * A server was ejected or re-admitted by this worker's own observation. `by` names the replica that reported it first, or ''.
   */
  onEjection(server: UpstreamServer, out: boolean, cause: string, by: string): void
  /** The server is suspected, or another probe failed. Its state here is unchanged; other replicas may check it. */
  onHealthReport(server: UpstreamServer, cause: string): void
  /** A connect takes longer than usual: asks peers whether they reach the server. */
  onReachabilityQuery(server: UpstreamServer): void
  /** The server is reachable from here, although another replica reports trouble. */
  onReachable(server: UpstreamServer): void
}

export interface WatchActions {
  /**
   * The server accepts no connections any more: requests that wait for it must move. `refused`: its host is up, so the server may
   * still finish the requests it has.
   */
  onLost(server: UpstreamServer, refused: boolean): void
  /** A connect takes too long: requests that lose nothing by it move. */
  onSuspected(server: UpstreamServer): void
  /** Peers have been queried about the server. Peers that already answered another worker may not answer again. */
  onPeersQueried(server: UpstreamServer): void
  /** True if there are peers that could relay requests of a session. */
  hasPeers(): boolean
}

/** A report about a server from another replica or from another worker of this replica. */
export interface HealthReport {
  readonly cause: string
  /** Time for which the report holds, ms; 0: only a reason to check. */
  readonly forMs: number
  /** Ejections in a row, this one included. */
  readonly times: number
  /** Name of the replica; '' for a worker of this replica. */
  readonly by: string
}

/** Cause of a report: another replica can connect to the server again. */
export const RECOVERED = 'back'
/** Cause of a report: another replica asks whether the server is reachable from here. It says nothing against the server. */
export const REACHABILITY_QUERY = 'asked'

/** After a report, an unfinished connect makes the server suspected after this time, ms. */
const REPORTED_SUSPECT_AFTER_MS = 100

/**
 * A replica that cannot reach a server probes and reports again within a minute. A report without a successor lapses after this
 * time, ms.
 */
const UNREACHABLE_ELSEWHERE_MS = 65_000

/** Time for which the reports of others are awaited before the sessions of a server move, ms. */
const REACH_REPORTS_MS = 500
/**
 * Time for which reports are awaited after a server became suspected, ms. Peers were queried before that, so most answers are here;
 * on a busy machine they are late. Without this wait the requests of a session would leave its server and return to it.
 */
export const LATE_REPORTS_MS = 200
/** Minimum time between two checks of one server on behalf of peers, ms. */
const PEER_CHECK_INTERVAL_MS = 500

/** Maps the error code of a connect to a cause. */
export function causeOf(code: string): FailureCause {
  if (code === 'ECONNREFUSED') return 'refused'
  return code === 'timeout' || code === 'ETIMEDOUT' ? 'timeout' : 'unreachable'
}

/**
 * Limit of the time between probes of a server that was never reached, ms. Its requests may be refused meanwhile
 * (upstream/unreachable-services.ts).
 */
const UNREACHED_PROBE_MS = 5000
/** The connects to sibling servers end this long before the slow connect does, ms. */
const SIBLING_PROBE_MARGIN_MS = 50

export class ServerWatch {
  private readonly connectMs: number
  private readonly host: WatchHost
  private readonly actions: WatchActions

  constructor(connectMs: number, host: WatchHost, actions: WatchActions) {
    this.connectMs = connectMs
    this.host = host
    this.actions = actions
  }

  /** A connection to the server broke; `why` is its reason. A reset stream of a relay mux says nothing about the peer. */
  connectionBroken(server: UpstreamServer, why: string): void {
    if (why !== STREAM_RESET) this.failed(server, 'reset')
  }

  failed(server: UpstreamServer, cause: FailureCause): void {
    if (!noteFailure(server, performance.now(), cause)) return
    if (cause !== 'reset' && cause !== 'late') server.transport.closeIdle()
    this.awaitReachReports(server)
    this.host.onEjection(server, true, cause, '')
  }

  /**
   * A request had no response within its limit. The server may be slow for this request only; a probe checks whether it
   * accepts connections.
   */
  responseTimedOut(server: UpstreamServer): void {
    this.failed(server, 'late')
    this.probeUnresponsive(server)
  }

  /** A run of 5xx has reached the length at which noteAnswer (observations.ts) reports it. */
  errorRunReached(server: UpstreamServer): void {
    if (noteErrorRun(server, performance.now())) this.host.onEjection(server, true, 'errors', '')
  }

  /** A connect for a request succeeded after `ms`. */
  connected(server: UpstreamServer, ms: number): void {
    server.reached = true
    if (noteConnect(server, performance.now(), ms)) this.host.onEjection(server, false, 'connect', '')
  }

  /** A connect for a request is slow. If it fails, the peers that reach the server are already known. */
  queryPeers(server: UpstreamServer): void {
    const nowMs = performance.now()
    if (server.pool === null || server.ejectedUntilMs > nowMs || nowMs - server.peersQueriedMs < QUERY_INTERVAL_MS) return
    if (!this.actions.hasPeers()) return
    server.peersQueriedMs = nowMs
    // Older answers may no longer be true. Peers that answered another worker a moment ago do not answer again, so recent answers
    // are kept.
    if (nowMs - server.reachedAtMs > QUERY_INTERVAL_MS) server.reachedBy = NO_MEMBERS
    this.actions.onPeersQueried(server)
    this.host.onReachabilityQuery(server)
  }

  /** A connect for a request takes too long and goes on. */
  suspect(server: UpstreamServer): void {
    const nowMs = performance.now()
    const report = acceptsReports(server, nowMs)
    const out = noteSuspicion(server, nowMs)
    if (out && this.actions.hasPeers()) server.reachReportsUntilMs = nowMs + LATE_REPORTS_MS
    if (out && report) {
      noteChecked(server, nowMs, false)
      this.host.onHealthReport(server, 'doubt')
    }
    this.actions.onSuspected(server)
    if (!server.reached && server.pool !== null) this.probeSiblings(server.pool.servers as readonly UpstreamServer[])
  }

  /**
   * A connect to one of these servers, none of which was ever reached, is slow. Connects to the others start now and end with it,
   * so that a request for an unreachable service does not wait for one timeout after the other.
   */
  private probeSiblings(servers: readonly UpstreamServer[]): void {
    const timeoutMs = this.connectMs - SUSPECT_AFTER_MS - SIBLING_PROBE_MARGIN_MS
    if (timeoutMs <= 0 || servers.some(server => server.reached)) return
    const nowMs = performance.now()
    let left = UNREACHABLE_SAMPLE
    for (const server of servers) {
      if (left === 0) return
      if (server.checking || server.draining || server.inFlight > 0 || server.ejectedUntilMs > nowMs) continue
      left--
      server.checking = true
      server.transport.probe(timeoutMs, code => {
        server.checking = false
        if (code === '') this.connected(server, server.connectMs)
        else this.failed(server, causeOf(code))
      })
    }
  }

  /** Re-admits an ejected server by a background connect instead of a user's request. */
  probeIfDue(server: UpstreamServer, nowMs: number): void {
    if (!dueForProbe(server, nowMs)) return
    if (endsWithoutProbe(server)) {
      noteProbe(server, true, nowMs)
      this.host.onEjection(server, false, 'time', '')
      return
    }
    noteProbeStarted(server, nowMs)
    server.transport.probe(this.connectMs, code => {
      const ok = code === ''
      if (!ok) server.nextAddress(server.address)
      const endedMs = performance.now()
      noteProbe(server, ok, endedMs, causeOf(code))
      if (ok) server.reached = true
      else if (!server.reached) server.probeAtMs = Math.min(server.probeAtMs, endedMs + UNREACHED_PROBE_MS)
      if (ok) this.host.onEjection(server, false, 'probe', '')
      else if (!server.isPeer) this.host.onHealthReport(server, causeOf(code))
    })
  }

  /** The server sends no response: checks whether it still accepts connections. One connect at a time. */
  probeUnresponsive(server: UpstreamServer): void {
    if (server.checking) return
    this.connect(server, suspectAfterMs(server), true, cause => {
      if (cause === null) return
      if (noteFailure(server, performance.now(), 'silence')) {
        this.awaitReachReports(server)
        this.host.onEjection(server, true, 'silence', '')
      }
      this.actions.onLost(server, cause === 'refused')
    })
  }

  /** Applies a report of another replica. */
  applyHealthReport(server: UpstreamServer, { cause, forMs, times, by }: HealthReport): void {
    const nowMs = performance.now()
    if (cause === RECOVERED) server.unreachableElsewhereUntilMs = 0
    else if (by !== '' && (cause === 'timeout' || cause === 'unreachable' || cause === 'silence'))
      server.unreachableElsewhereUntilMs = nowMs + UNREACHABLE_ELSEWHERE_MS
    if (by !== '' && forMs === 0 && cause !== RECOVERED) noteTroubleAt(server, nowMs, by)
    if (cause === RECOVERED) noteRecoveredElsewhere(server, nowMs)
    else if (forMs > 0) {
      if (applyRemoteEjection(server, nowMs, cause as FailureCause, forMs, times)) this.host.onEjection(server, true, cause, by)
    } else if (cause === REACHABILITY_QUERY) this.checkForPeer(server, by)
    else this.checkReported(server, by)
  }

  /** Applies a report of another worker of this replica. It shares this worker's network, so its report is not verified. */
  applyWorkerReport(server: UpstreamServer, out: boolean, { cause, forMs, times }: HealthReport): void {
    const nowMs = performance.now()
    // A connect proves nothing about a server ejected for its responses; elapsed time proves nothing about one that accepts no
    // connections.
    if (!out) {
      if ((cause === 'time') === endsWithoutProbe(server)) noteProbe(server, true, nowMs)
    } else if (cause === 'reset' || cause === 'late' || cause === 'errors')
      applyRemoteEjection(server, nowMs, cause, forMs, times)
    else if (noteFailure(server, nowMs, cause as FailureCause) && cause !== 'refused') {
      this.awaitReachReports(server)
      this.actions.onLost(server, false)
    }
  }

  /**
   * The server is ejected because a connect found no path. Peers that were queried, or see the ejection, may report a path. One wait
   * per incident: an ejection that follows a suspicion does not start another.
   */
  private awaitReachReports(server: UpstreamServer): void {
    if (server.reachedBy.length > 0 || server.pool === null || !mayBeUnreachableHere(server) || !this.actions.hasPeers()) return
    const nowMs = performance.now()
    if (server.reachReportsUntilMs !== 0 && nowMs - server.reachReportsUntilMs < this.connectMs) return
    server.reachReportsUntilMs =
      REACH_REPORTS_MS + (nowMs - server.peersQueriedMs < QUERY_INTERVAL_MS * 2 ? server.peersQueriedMs : nowMs)
  }

  private checkReported(server: UpstreamServer, by: string): void {
    const nowMs = performance.now()
    if (server.checking || !acceptsReports(server, nowMs)) return
    noteChecked(server, nowMs, false)
    this.checkAndAnswer(server, REPORTED_SUSPECT_AFTER_MS, by, () => noteChecked(server, performance.now(), true))
  }

  /**
   * Checks a server because a peer asked. A query is not a report: the usual suspicion time applies, and later
   * reports are not suppressed.
   */
  private checkForPeer(server: UpstreamServer, by: string): void {
    const nowMs = performance.now()
    if (server.checking || server.ejectedUntilMs > nowMs || nowMs - server.queriedMs < PEER_CHECK_INTERVAL_MS) return
    server.queriedMs = nowMs
    this.checkAndAnswer(server, suspectAfterMs(server), by, () => {})
  }

  private checkAndAnswer(server: UpstreamServer, suspectMs: number, by: string, found: () => void): void {
    this.connect(server, suspectMs, false, cause => {
      if (cause === null) {
        found()
        // Another worker of this replica, which may have ended since, had suspected or ejected the server.
        if (by === '') this.host.onEjection(server, false, 'connect', '')
        else this.host.onReachable(server)
        return
      }
      if (!noteFailure(server, performance.now(), cause)) return
      server.transport.closeIdle()
      this.awaitReachReports(server)
      this.host.onEjection(server, true, cause, by)
      if (cause !== 'refused') this.actions.onLost(server, false)
    })
  }

  /**
   * Connects to the server and calls `done` with null if that succeeds. The server is suspected if the connect takes `suspectMs`;
   * before that, with `queriesPeers`, peers are queried.
   */
  private connect(
    server: UpstreamServer,
    suspectMs: number,
    queriesPeers: boolean,
    done: (cause: FailureCause | null) => void,
  ): void {
    server.checking = true
    let suspectTimer: NodeJS.Timeout | undefined
    let queryTimer: NodeJS.Timeout | undefined
    const { pool } = server
    if (pool !== null && suspectMs < this.connectMs)
      suspectTimer = setTimeout(() => afterPendingReads(() => this.suspect(server)), suspectMs)
    if (queriesPeers && suspectTimer !== undefined)
      queryTimer = setTimeout(() => afterPendingReads(() => this.queryPeers(server)), queryAfterMs(server))
    // If this thread was busy, the result of the connect may still be unread. It is handled first.
    const afterPendingReads = (then: () => void) =>
      setImmediate(() => void (server.checking && suspectTimer !== undefined && then()))
    server.transport.probe(this.connectMs, code => {
      clearTimeout(suspectTimer)
      clearTimeout(queryTimer)
      suspectTimer = undefined
      server.checking = false
      // A TCP connect does not include the TLS handshake: the mean connect time stays as it is.
      if (code === '') this.connected(server, server.connectMs)
      done(code === '' ? null : causeOf(code))
    })
  }
}
