// What this worker's traffic, and others' word, tell about servers: failures and runs of 5xx eject one (ejection.ts), a connect
// of ours lets it in again, and a connect finds out whether one that is silent, or of which others say that it is lost, is there
// (design 8). What others say of a server that cannot be reached is never believed without a look of our own, which costs a good
// server nothing: only a connect that takes suspiciously long puts it in doubt.

import { STREAM_RESET } from '../relay/frames.ts'
import type { LiveServer } from '../upstream/connection-pool.ts'
import { probeConnect } from '../upstream/probe.ts'
import { UNREACHABLE_SAMPLE } from '../upstream/unreachable-services.ts'
import { type FailureCause, NOBODY } from '../upstream/upstream-server.ts'
import {
  ASK_AGAIN_MS,
  askAfterMs,
  DOUBT_MS,
  doubtAfterMs,
  dueForProbe,
  endsByTime,
  isCutOff,
  isNews,
  noteBackElsewhere,
  noteConnect,
  noteDoubt,
  noteErrorRun,
  noteFailure,
  noteLooked,
  noteProbe,
  noteProbeStarted,
  noteTold,
} from './ejection.ts'

export interface WatchHost {
  /**
   * A server fell out or came back by what was seen of it here; other workers want to know. `by`: another replica had said so
   * first; else ''.
   */
  onEjection(server: LiveServer, out: boolean, cause: string, by: string): void
  /** It is in doubt, or has been found missing once more: no news here, but others may want to look. */
  onWord(server: LiveServer, cause: string): void
  /** A connect to it takes longer than it should: do other replicas reach it? */
  onAsk(server: LiveServer): void
  /** It is reached from here, though another replica has trouble with it. */
  onFound(server: LiveServer): void
}

export interface WatchMoves {
  /**
   * It takes no connection any more: what waits on it must go. `refused`: its host is there, and it may be finishing what it has
   * before it ends.
   */
  onVanished(server: LiveServer, refused: boolean): void
  /** A connect to it takes suspiciously long: what loses nothing by it goes. */
  onDoubt(server: LiveServer): void
  /** Others are asked for it; whoever has said already that he reaches it, to another worker, may not say it again. */
  onAsked(server: LiveServer): void
  /** There are other replicas, through which a session's requests might go. */
  hasPeers(): boolean
}

/** What a replica, or another worker of this one, says of a server. */
export interface Word {
  readonly cause: string
  /** To be believed for so long, ms; 0: only a reason to look. */
  readonly forMs: number
  /** Ejections in a row, this one included. */
  readonly times: number
  /** Name of the replica; '' for a worker of this one. */
  readonly by: string
}

/** Another replica can connect to it again: cause of a Word. */
export const BACK = 'back'
/** Another replica wants to know whether it is reached from here: cause of a Word that says nothing against the server. */
export const ASKED = 'asked'

/** With another replica's word, a connect that is not answered so soon is in doubt, ms. */
const HEARD_DOUBT_MS = 100

/**
 * Another replica that cannot reach a server looks again within a minute, and says so: so long its word may go without another.
 */
const DISPUTED_MS = 65_000

/** So long the word of others is waited for before a session of a server moves, ms. */
const WORD_MS = 500
/** For others it is looked at no sooner again, ms. */
const LOOK_FOR_AGAIN_MS = 500

/** What the error of a connect says of the server. */
export function causeOf(code: string): FailureCause {
  if (code === 'ECONNREFUSED') return 'refused'
  return code === 'timeout' || code === 'ETIMEDOUT' ? 'timeout' : 'unreachable'
}

/** Longest time between probes of a server that was never reached, ms: its requests may be refused meanwhile (stranded.ts). */
const UNREACHED_PROBE_MS = 5000
/** How long before the connect in doubt the connects to other servers end, ms. */
const LOOK_MARGIN_MS = 50

export class ServerWatch {
  private readonly connectMs: number
  private readonly host: WatchHost
  private readonly moves: WatchMoves

  constructor(connectMs: number, host: WatchHost, moves: WatchMoves) {
    this.connectMs = connectMs
    this.host = host
    this.moves = moves
  }

  /** A connection to it broke, `why` as the connection said. A stream that a peer gave up says nothing of the peer. */
  brokeOff(server: LiveServer, why: string): void {
    if (why !== STREAM_RESET) this.failed(server, 'reset')
  }

  failed(server: LiveServer, cause: FailureCause): void {
    if (!noteFailure(server, performance.now(), cause)) return
    if (cause !== 'reset' && cause !== 'late') server.closeIdle()
    this.awaitWord(server)
    this.host.onEjection(server, true, cause, '')
  }

  /** It let a request wait until its time was over: slow for that one alone, perhaps. If it is lost a connect finds out. */
  late(server: LiveServer): void {
    this.failed(server, 'late')
    this.probeUnresponsive(server)
  }

  /** It has answered 5xx so often in a row that noteAnswer (observations.ts) wants it judged. */
  erring(server: LiveServer): void {
    if (noteErrorRun(server, performance.now())) this.host.onEjection(server, true, 'errors', '')
  }

  /** A connect for a request stood after `ms`. */
  connected(server: LiveServer, ms: number): void {
    server.reached = true
    if (noteConnect(server, performance.now(), ms)) this.host.onEjection(server, false, 'connect', '')
  }

  /** A connect for a request takes longer than it should: if it comes to nothing, who can reach the server is known by then. */
  ask(server: LiveServer): void {
    const nowMs = performance.now()
    if (server.family === null || server.ejectedUntilMs > nowMs || nowMs - server.askedMs < ASK_AGAIN_MS) return
    if (!this.moves.hasPeers()) return
    server.askedMs = nowMs
    // What was said before may not be true any more; who has answered another a moment ago does not say it again.
    if (nowMs - server.reachedAtMs > ASK_AGAIN_MS) server.reachedBy = NOBODY
    this.moves.onAsked(server)
    this.host.onAsk(server)
  }

  /** A connect for a request takes suspiciously long and goes on. */
  doubt(server: LiveServer): void {
    const nowMs = performance.now()
    const news = isNews(server, nowMs)
    const out = noteDoubt(server, nowMs)
    if (out && news) {
      noteLooked(server, nowMs, false)
      this.host.onWord(server, 'doubt')
    }
    this.moves.onDoubt(server)
    if (!server.reached && server.family !== null) this.lookBeside(server.family.servers as readonly LiveServer[])
  }

  /**
   * A connect to one of these, none of which was ever reached, is in doubt: connects to the others end when that one does, so that
   * a request for a service that cannot be reached at all does not find out by one time-out after the other.
   */
  private lookBeside(servers: readonly LiveServer[]): void {
    const timeoutMs = this.connectMs - DOUBT_MS - LOOK_MARGIN_MS
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
    if (endsByTime(server)) {
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
      else if (!server.isPeer) this.host.onWord(server, causeOf(code))
    })
  }

  /** A silent server: does it still take connections? One connect at a time. */
  probeUnresponsive(server: LiveServer): void {
    if (server.checking) return
    this.look(server, doubtAfterMs(server), true, cause => {
      if (cause === null) return
      if (noteFailure(server, performance.now(), 'silence')) {
        this.awaitWord(server)
        this.host.onEjection(server, true, 'silence', '')
      }
      this.moves.onVanished(server, cause === 'refused')
    })
  }

  /** What another replica says. */
  heard(server: LiveServer, { cause, forMs, times, by }: Word): void {
    const nowMs = performance.now()
    if (cause === BACK) server.disputedUntilMs = 0
    else if (by !== '' && (cause === 'timeout' || cause === 'unreachable' || cause === 'silence'))
      server.disputedUntilMs = nowMs + DISPUTED_MS
    if (cause === BACK) noteBackElsewhere(server, nowMs)
    else if (forMs > 0) {
      if (noteTold(server, nowMs, cause as FailureCause, forMs, times)) this.host.onEjection(server, true, cause, by)
    } else if (cause === ASKED) this.lookFor(server, by)
    else this.lookBecause(server, by)
  }

  /** What another worker of this replica has seen: it has the same network, and is believed. */
  seenBeside(server: LiveServer, out: boolean, { cause, forMs, times }: Word): void {
    const nowMs = performance.now()
    // A connect says nothing of what is ejected for its answers, time nothing of one that takes no connections.
    if (!out) {
      if ((cause === 'time') === endsByTime(server)) noteProbe(server, true, nowMs)
    } else if (cause === 'reset' || cause === 'late' || cause === 'errors') noteTold(server, nowMs, cause, forMs, times)
    else if (noteFailure(server, nowMs, cause as FailureCause) && cause !== 'refused') {
      this.awaitWord(server)
      this.moves.onVanished(server, false)
    }
  }

  /**
   * It has fallen out by a connect that found no way; others hear of it now, or were asked before, and may say that they have
   * one.
   */
  private awaitWord(server: LiveServer): void {
    if (server.reachedBy.length > 0 || server.family === null || !isCutOff(server) || !this.moves.hasPeers()) return
    const nowMs = performance.now()
    server.wordByMs = WORD_MS + (nowMs - server.askedMs < ASK_AGAIN_MS * 2 ? server.askedMs : nowMs)
  }

  private lookBecause(server: LiveServer, by: string): void {
    const nowMs = performance.now()
    if (server.checking || !isNews(server, nowMs)) return
    noteLooked(server, nowMs, false)
    this.lookAfterWord(server, HEARD_DOUBT_MS, by, () => noteLooked(server, performance.now(), true))
  }

  /** Asked, it is looked at as ever: the question is no word against it, and must make nobody deaf to one. */
  private lookFor(server: LiveServer, by: string): void {
    const nowMs = performance.now()
    if (server.checking || server.ejectedUntilMs > nowMs || nowMs - server.lookedForMs < LOOK_FOR_AGAIN_MS) return
    server.lookedForMs = nowMs
    this.lookAfterWord(server, doubtAfterMs(server), by, () => {})
  }

  private lookAfterWord(server: LiveServer, doubtMs: number, by: string, found: () => void): void {
    this.look(server, doubtMs, false, cause => {
      if (cause === null) {
        found()
        // Another worker of this replica, perhaps one that has died since, had it in doubt or out.
        if (by === '') this.host.onEjection(server, false, 'connect', '')
        else this.host.onFound(server)
        return
      }
      if (!noteFailure(server, performance.now(), cause)) return
      server.closeIdle()
      this.awaitWord(server)
      this.host.onEjection(server, true, cause, by)
      if (cause !== 'refused') this.moves.onVanished(server, false)
    })
  }

  /**
   * Connects; `done` hears null if that works. Not answered within `doubtMs` it is in doubt; before that, if it `asks`, others
   * are asked.
   */
  private look(server: LiveServer, doubtMs: number, asks: boolean, done: (cause: FailureCause | null) => void): void {
    server.checking = true
    let timer: NodeJS.Timeout | undefined
    let asking: NodeJS.Timeout | undefined
    const { family } = server
    if (family !== null && doubtMs < this.connectMs)
      timer = setTimeout(() => afterPendingReads(() => this.doubt(server)), doubtMs)
    if (asks && timer !== undefined) asking = setTimeout(() => afterPendingReads(() => this.ask(server)), askAfterMs(server))
    // An answer that came while this thread was busy elsewhere must be seen first.
    const afterPendingReads = (then: () => void) => setImmediate(() => void (server.checking && timer !== undefined && then()))
    probeConnect(server.host, server.port, this.connectMs, code => {
      clearTimeout(timer)
      clearTimeout(asking)
      timer = undefined
      server.checking = false
      // It says nothing of how long a TLS handshake takes: the usual time stays what it is.
      if (code === '') this.connected(server, server.connectMs)
      done(code === '' ? null : causeOf(code))
    })
  }
}
