// What this worker's traffic, and others' word, tell about servers: failures and runs of 5xx eject one (ejection.ts), a connect
// of ours lets it in again, and a connect finds out whether one that is silent, or of which others say that it is lost, is there
// (design 8). What others say of a server that cannot be reached is never believed without a look of our own, which costs a good
// server nothing: only a connect that takes suspiciously long puts it in doubt.

import { STREAM_RESET } from '../relay/frames.ts'
import type { LiveServer } from '../upstream/connection-pool.ts'
import { probeConnect } from '../upstream/probe.ts'
import { UNREACHABLE_SAMPLE } from '../upstream/unreachable-services.ts'
import { type FailureCause, NO_MEMBERS } from '../upstream/upstream-server.ts'
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
  QUERY_INTERVAL_MS,
  queryAfterMs,
  SUSPECT_AFTER_MS,
  suspectAfterMs,
} from './ejection.ts'

export interface WatchHost {
  /**
   * A server fell out or came back by what was seen of it here; other workers want to know. `by`: another replica had said so
   * first; else ''.
   */
  onEjection(server: LiveServer, out: boolean, cause: string, by: string): void
  /** It is in doubt, or has been found missing once more: no report here, but others may want to look. */
  onHealthReport(server: LiveServer, cause: string): void
  /** A connect to it takes longer than it should: do other replicas reach it? */
  onReachabilityQuery(server: LiveServer): void
  /** It is reached from here, though another replica has trouble with it. */
  onReachable(server: LiveServer): void
}

export interface WatchActions {
  /**
   * It takes no connection any more: what waits on it must go. `refused`: its host is there, and it may be finishing what it has
   * before it ends.
   */
  onLost(server: LiveServer, refused: boolean): void
  /** A connect to it takes suspiciously long: what loses nothing by it goes. */
  onSuspected(server: LiveServer): void
  /** Others are asked for it; whoever has said already that he reaches it, to another worker, may not say it again. */
  onPeersQueried(server: LiveServer): void
  /** There are other replicas, through which a session's requests might go. */
  hasPeers(): boolean
}

/** What a replica, or another worker of this one, says of a server. */
export interface HealthReport {
  readonly cause: string
  /** To be believed for so long, ms; 0: only a reason to look. */
  readonly forMs: number
  /** Ejections in a row, this one included. */
  readonly times: number
  /** Name of the replica; '' for a worker of this one. */
  readonly by: string
}

/** Another replica can connect to it again: cause of a HealthReport. */
export const RECOVERED = 'back'
/** Another replica wants to know whether it is reached from here: cause of a HealthReport that says nothing against the server. */
export const REACHABILITY_QUERY = 'asked'

/** With another replica's word, a connect that is not answered so soon is in doubt, ms. */
const REPORTED_SUSPECT_AFTER_MS = 100

/**
 * Another replica that cannot reach a server looks again within a minute, and says so: so long its word may go without another.
 */
const UNREACHABLE_ELSEWHERE_MS = 65_000

/** So long the word of others is waited for before a session of a server actions, ms. */
const REACH_REPORTS_MS = 500
/** For others it is looked at no sooner again, ms. */
const PEER_CHECK_INTERVAL_MS = 500

/** What the error of a connect says of the server. */
export function causeOf(code: string): FailureCause {
  if (code === 'ECONNREFUSED') return 'refused'
  return code === 'timeout' || code === 'ETIMEDOUT' ? 'timeout' : 'unreachable'
}

/** Longest time between probes of a server that was never reached, ms: its requests may be refused meanwhile (stranded.ts). */
const UNREACHED_PROBE_MS = 5000
/** How long before the connect in doubt the connects to other servers end, ms. */
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

  /** A connection to it broke, `why` as the connection said. A stream that a peer gave up says nothing of the peer. */
  connectionBroken(server: LiveServer, why: string): void {
    if (why !== STREAM_RESET) this.failed(server, 'reset')
  }

  failed(server: LiveServer, cause: FailureCause): void {
    if (!noteFailure(server, performance.now(), cause)) return
    if (cause !== 'reset' && cause !== 'late') server.closeIdle()
    this.awaitReachReports(server)
    this.host.onEjection(server, true, cause, '')
  }

  /** It let a request wait until its time was over: slow for that one alone, perhaps. If it is lost a connect finds out. */
  responseTimedOut(server: LiveServer): void {
    this.failed(server, 'late')
    this.probeUnresponsive(server)
  }

  /** It has answered 5xx so often in a row that noteAnswer (observations.ts) wants it judged. */
  errorRunReached(server: LiveServer): void {
    if (noteErrorRun(server, performance.now())) this.host.onEjection(server, true, 'errors', '')
  }

  /** A connect for a request stood after `ms`. */
  connected(server: LiveServer, ms: number): void {
    server.reached = true
    if (noteConnect(server, performance.now(), ms)) this.host.onEjection(server, false, 'connect', '')
  }

  /** A connect for a request takes longer than it should: if it comes to nothing, who can reach the server is known by then. */
  queryPeers(server: LiveServer): void {
    const nowMs = performance.now()
    if (server.pool === null || server.ejectedUntilMs > nowMs || nowMs - server.peersQueriedMs < QUERY_INTERVAL_MS) return
    if (!this.actions.hasPeers()) return
    server.peersQueriedMs = nowMs
    // What was said before may not be true any more; who has answered another a moment ago does not say it again.
    if (nowMs - server.reachedAtMs > QUERY_INTERVAL_MS) server.reachedBy = NO_MEMBERS
    this.actions.onPeersQueried(server)
    this.host.onReachabilityQuery(server)
  }

  /** A connect for a request takes suspiciously long and goes on. */
  suspect(server: LiveServer): void {
    const nowMs = performance.now()
    const report = acceptsReports(server, nowMs)
    const out = noteSuspicion(server, nowMs)
    if (out && report) {
      noteChecked(server, nowMs, false)
      this.host.onHealthReport(server, 'doubt')
    }
    this.actions.onSuspected(server)
    if (!server.reached && server.pool !== null) this.probeSiblings(server.pool.servers as readonly LiveServer[])
  }

  /**
   * A connect to one of these, none of which was ever reached, is in doubt: connects to the others end when that one does, so that
   * a request for a service that cannot be reached at all does not find out by one time-out after the other.
   */
  private probeSiblings(servers: readonly LiveServer[]): void {
    const timeoutMs = this.connectMs - SUSPECT_AFTER_MS - SIBLING_PROBE_MARGIN_MS
    if (timeoutMs <= 0 || servers.some(server => server.reached)) return
    const nowMs = performance.now()
    let left = UNREACHABLE_SAMPLE
    for (const server of servers) {
      if (left === 0) return
      if (server.checking || server.draining || server.inFlight > 0 || server.ejectedUntilMs > nowMs) continue
      left--
      server.checking = true
      probeConnect(server.host, server.port, timeoutMs, code => {
        server.checking = false
        if (code === '') this.connected(server, server.connectMs)
        else this.failed(server, causeOf(code))
      })
    }
  }

  /** An ejected server is let in again by a connect of ours, not by somebody's request. */
  probeIfDue(server: LiveServer, nowMs: number): void {
    if (!dueForProbe(server, nowMs)) return
    if (endsWithoutProbe(server)) {
      noteProbe(server, true, nowMs)
      this.host.onEjection(server, false, 'time', '')
      return
    }
    noteProbeStarted(server, nowMs)
    probeConnect(server.host, server.port, this.connectMs, code => {
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

  /** A silent server: does it still take connections? One connect at a time. */
  probeUnresponsive(server: LiveServer): void {
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

  /** What another replica says. */
  applyHealthReport(server: LiveServer, { cause, forMs, times, by }: HealthReport): void {
    const nowMs = performance.now()
    if (cause === RECOVERED) server.unreachableElsewhereUntilMs = 0
    else if (by !== '' && (cause === 'timeout' || cause === 'unreachable' || cause === 'silence'))
      server.unreachableElsewhereUntilMs = nowMs + UNREACHABLE_ELSEWHERE_MS
    if (cause === RECOVERED) noteRecoveredElsewhere(server, nowMs)
    else if (forMs > 0) {
      if (applyRemoteEjection(server, nowMs, cause as FailureCause, forMs, times)) this.host.onEjection(server, true, cause, by)
    } else if (cause === REACHABILITY_QUERY) this.checkForPeer(server, by)
    else this.checkReported(server, by)
  }

  /** What another worker of this replica has seen: it has the same network, and is believed. */
  applyWorkerReport(server: LiveServer, out: boolean, { cause, forMs, times }: HealthReport): void {
    const nowMs = performance.now()
    // A connect says nothing of what is ejected for its answers, time nothing of one that takes no connections.
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
   * It has fallen out by a connect that found no way; others hear of it now, or were asked before, and may say that they have
   * one.
   */
  private awaitReachReports(server: LiveServer): void {
    if (server.reachedBy.length > 0 || server.pool === null || !mayBeUnreachableHere(server) || !this.actions.hasPeers()) return
    const nowMs = performance.now()
    server.reachReportsUntilMs =
      REACH_REPORTS_MS + (nowMs - server.peersQueriedMs < QUERY_INTERVAL_MS * 2 ? server.peersQueriedMs : nowMs)
  }

  private checkReported(server: LiveServer, by: string): void {
    const nowMs = performance.now()
    if (server.checking || !acceptsReports(server, nowMs)) return
    noteChecked(server, nowMs, false)
    this.checkAndAnswer(server, REPORTED_SUSPECT_AFTER_MS, by, () => noteChecked(server, performance.now(), true))
  }

  /** Asked, it is looked at as ever: the question is no word against it, and must make nobody deaf to one. */
  private checkForPeer(server: LiveServer, by: string): void {
    const nowMs = performance.now()
    if (server.checking || server.ejectedUntilMs > nowMs || nowMs - server.queriedMs < PEER_CHECK_INTERVAL_MS) return
    server.queriedMs = nowMs
    this.checkAndAnswer(server, suspectAfterMs(server), by, () => {})
  }

  private checkAndAnswer(server: LiveServer, suspectMs: number, by: string, found: () => void): void {
    this.connect(server, suspectMs, false, cause => {
      if (cause === null) {
        found()
        // Another worker of this replica, perhaps one that has died since, had it in doubt or out.
        if (by === '') this.host.onEjection(server, false, 'connect', '')
        else this.host.onReachable(server)
        return
      }
      if (!noteFailure(server, performance.now(), cause)) return
      server.closeIdle()
      this.awaitReachReports(server)
      this.host.onEjection(server, true, cause, by)
      if (cause !== 'refused') this.actions.onLost(server, false)
    })
  }

  /**
   * Connects; `done` hears null if that works. Not answered within `suspectMs` it is in doubt; before that, if it `queriesPeers`, others
   * are asked.
   */
  private connect(
    server: LiveServer,
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
    // An answer that came while this thread was busy elsewhere must be seen first.
    const afterPendingReads = (then: () => void) =>
      setImmediate(() => void (server.checking && suspectTimer !== undefined && then()))
    probeConnect(server.host, server.port, this.connectMs, code => {
      clearTimeout(suspectTimer)
      clearTimeout(queryTimer)
      suspectTimer = undefined
      server.checking = false
      // It says nothing of how long a TLS handshake takes: the usual time stays what it is.
      if (code === '') this.connected(server, server.connectMs)
      done(code === '' ? null : causeOf(code))
    })
  }
}
