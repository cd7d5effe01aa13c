// Learned sessions of one data worker. A request uses its session, a response binds it or creates one, and changes are exchanged
// with control in batches. With `store.consistency: strict`, the first request of a session waits a bounded time until control
// names the owner. No other request waits.

import type { DataPlaneOptions } from '../../options/options.ts'
import type { Exchange } from '../forward/exchange.ts'
import type { Head } from '../message/head.ts'
import type { RuntimeService } from '../runtime-service.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { SESSION_FOUND } from './exchange-session.ts'
import type { ServiceSessions, SessionRows } from './service-sessions.ts'
import { readGivenKey } from './session-key.ts'

/** Rows are sent at once if none were sent for this time, otherwise after it, ms. */
const FLUSH_MS = 15
/** Rows of one service that are sent at once. */
const MAX_ROWS = 4096
/** Limit of the requests that wait for the owner of their session. Beyond it a request uses its own choice. */
const MAX_CLAIMS = 10_000
/** Control has its own time limit and starts it a little later than this worker, ms. */
const CLAIM_GRACE_MS = 20

/** Messages to control. */
export interface SessionsHost {
  onSessions(service: string, rows: SessionRows): void
  /** Asks for the owner of a session whose first request would go to `server`; `onClaimed` receives the answer. */
  onClaim(ticket: number, service: string, high: number, low: number, server: string): void
}

interface Claim {
  readonly x: Exchange
  readonly generation: number
  readonly endMs: number
}

export class Sessions {
  private readonly strict: boolean
  private readonly waitMs: number
  private readonly host: SessionsHost
  /** Sends a request that has waited. */
  private readonly resume: (x: Exchange) => void
  /** Services with rows to be sent. */
  private readonly dirty = new Map<string, ServiceSessions>()
  private timer: NodeJS.Timeout | null = null
  private flushedMs = Number.NEGATIVE_INFINITY
  private readonly claims = new Map<number, Claim>()
  /** All workers of the replica see the answers, so tickets start at a random number to be unique. */
  private ticket = Math.floor(Math.random() * 2 ** 52)

  constructor(options: DataPlaneOptions['sessions'], host: SessionsHost, resume: (x: Exchange) => void) {
    this.strict = options.consistency === 'strict'
    this.waitMs = options.strictWaitMs + CLAIM_GRACE_MS
    this.host = host
    this.resume = resume
  }

  /**
   * Called when a request is about to be sent to `server`, which was just chosen (balancing/choose-server.ts). A binding takes
   * effect when that server has responded: a replica that has lost its network must not move sessions to servers it cannot reach.
   * @returns false if the request must wait for the owner of its session
   */
  beforeSend(x: Exchange, server: UpstreamServer, nowMs: number): boolean {
    const service = x.service!
    const sessions = service.sessions
    if (sessions === null || x.session.state !== SESSION_FOUND) return true
    if (x.session.binds) return x.session.entry >= 0 || !this.strict || x.session.noted || !this.claim(x, service, server)
    if (x.session.entry < 0 || x.session.noted) return true
    x.session.noted = true
    sessions.use(x.session.entry, (nowMs / 1000) | 0)
    if (sessions.pending > 0) this.scheduleFlush(service.name, sessions)
    return true
  }

  /**
   * Called when `server` has sent a response head: binds the session of the request, and learns a session that the application
   * has created.
   */
  onResponse(x: Exchange, server: UpstreamServer, res: Head, nowMs: number): void {
    const service = x.service!
    const { sessions } = service
    if (sessions === null) return
    if (x.session.binds) {
      x.session.binds = false
      if (sessions.bindUnlessBound(x.session.high, x.session.low, server, nowMs)) this.scheduleFlush(service.name, sessions)
    }
    if (sessions.source.from !== 'cookie' || !readGivenKey(res, sessions.source, sessions.hash)) return
    const { high, low } = sessions.hash
    // The application has repeated the id of the request's session: its binding does not change.
    if (x.session.state === SESSION_FOUND && x.session.high === high && x.session.low === low) return
    const nowS = (nowMs / 1000) | 0
    const entry = sessions.table.find(high, low, nowS)
    if (entry >= 0 && sessions.serverOf(entry) === server) return
    sessions.bind(entry, high, low, server, nowS, true)
    this.scheduleFlush(service.name, sessions)
  }

  /** Applies sessions of other replicas and workers. */
  applyRemote(service: RuntimeService | undefined, rows: SessionRows, nowMs: number): void {
    service?.sessions?.applyRemote(rows, (nowMs / 1000) | 0, nowMs)
  }

  /** Handles control's answer to a claim. The session itself arrives before it, by `applyRemote`. */
  onClaimed(ticket: number): void {
    const claim = this.claims.get(ticket)
    if (claim === undefined) return
    this.claims.delete(ticket)
    if (claim.x.active && claim.x.generation === claim.generation) this.resume(claim.x)
  }

  /** Called once per sweep tick. */
  tick(nowMs: number): void {
    // Claims are in the order of their deadlines.
    for (const [ticket, claim] of this.claims) {
      if (claim.endMs > nowMs) break
      this.onClaimed(ticket)
    }
  }

  private claim(x: Exchange, service: RuntimeService, server: UpstreamServer): boolean {
    if (this.claims.size >= MAX_CLAIMS) return false
    x.session.noted = true
    const ticket = this.ticket++
    this.claims.set(ticket, { x, generation: x.generation, endMs: performance.now() + this.waitMs })
    this.host.onClaim(ticket, service.name, x.session.high >>> 0, x.session.low >>> 0, server.id)
    return true
  }

  private scheduleFlush(name: string, sessions: ServiceSessions): void {
    this.dirty.set(name, sessions)
    if (sessions.pending < MAX_ROWS && this.timer !== null) return
    const nowMs = performance.now()
    if (sessions.pending >= MAX_ROWS || nowMs - this.flushedMs >= FLUSH_MS) this.flush()
    else this.timer = setTimeout(() => this.flush(), FLUSH_MS)
  }

  private flush(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    this.flushedMs = performance.now()
    for (const [name, sessions] of this.dirty) {
      const rows = sessions.takePending()
      if (rows !== null) this.host.onSessions(name, rows)
    }
    this.dirty.clear()
  }
}
