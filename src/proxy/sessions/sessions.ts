// Learned sessions of one data worker on their way in and out: a request that is on its way binds or keeps alive its session, an
// answer may make one, others are told in batches and tell this one. Where sessions are to have one owner from the first request
// on (`store.consistency: strict`) that request waits, a bounded time, until control says who was first; nothing else ever waits.

import type { DataPlaneOptions } from '../../options/options.ts'
import { type Exchange, SESSION_FOUND } from '../forward/exchange.ts'
import type { Head } from '../message/head.ts'
import type { RuntimeService } from '../runtime.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import type { ServiceSessions, SessionRows } from './service-sessions.ts'
import { readGivenKey } from './session-key.ts'

/** Rows are told at once after a quiet time as long as this, else together after it. */
const FLUSH_MS = 15
/** So many rows of one service are told at once. */
const MAX_ROWS = 4096
/** Requests that wait to hear who owns their session; beyond that each goes by its own choice. */
const MAX_CLAIMS = 10_000
/** Control answers in time or not at all: its clock starts a little later. */
const CLAIM_GRACE_MS = 20

/** What is told to control. */
export interface SessionsHost {
  onSessions(service: string, rows: SessionRows): void
  /** Asks who owns a session whose first request would go to `server`; the answer goes to `onClaimed`. */
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
  /** Sends on a request that has waited. */
  private readonly resume: (x: Exchange) => void
  /** Services with rows to tell. */
  private readonly dirty = new Map<string, ServiceSessions>()
  private timer: NodeJS.Timeout | null = null
  private flushedMs = Number.NEGATIVE_INFINITY
  private readonly claims = new Map<number, Claim>()
  /** Told to all workers of the replica: no two of them have the same. */
  private ticket = Math.floor(Math.random() * 2 ** 52)

  constructor(options: DataPlaneOptions['sessions'], host: SessionsHost, resume: (x: Exchange) => void) {
    this.strict = options.consistency === 'strict'
    this.waitMs = options.strictWaitMs + CLAIM_GRACE_MS
    this.host = host
    this.resume = resume
  }

  /**
   * A request goes to `server`, which was chosen just now (choose.ts). What it binds is bound when that server has answered: a
   * replica that is cut off must not move sessions to where nobody has ever got. @returns false if it is to wait until control
   * has said whose its session is
   */
  beforeSend(x: Exchange, server: UpstreamServer, nowMs: number): boolean {
    const service = x.service!
    const sessions = service.sessions
    if (sessions === null || x.session !== SESSION_FOUND) return true
    if (x.sessionBinds) return x.sessionEntry >= 0 || !this.strict || x.sessionNoted || !this.claim(x, service, server)
    if (x.sessionEntry < 0 || x.sessionNoted) return true
    x.sessionNoted = true
    sessions.use(x.sessionEntry, (nowMs / 1000) | 0)
    if (sessions.pending > 0) this.scheduleFlush(service.name, sessions)
    return true
  }

  /** An answer's head came from `server`: the request's session is its own now, and the application may have made one. */
  onResponse(x: Exchange, server: UpstreamServer, res: Head, nowMs: number): void {
    const service = x.service!
    const { sessions } = service
    if (sessions === null) return
    if (x.sessionBinds) {
      x.sessionBinds = false
      if (sessions.bindUnlessBound(x.sessionHigh, x.sessionLow, server, nowMs)) this.scheduleFlush(service.name, sessions)
    }
    if (sessions.source.from !== 'cookie' || !readGivenKey(res, sessions.source, sessions.hash)) return
    const { high, low } = sessions.hash
    // Only given again: it is where it is.
    if (x.session === SESSION_FOUND && x.sessionHigh === high && x.sessionLow === low) return
    const nowS = (nowMs / 1000) | 0
    const entry = sessions.table.find(high, low, nowS)
    if (entry >= 0 && sessions.serverOf(entry) === server) return
    sessions.bind(entry, high, low, server, nowS, true)
    this.scheduleFlush(service.name, sessions)
  }

  /** What others have learned. */
  applyRemote(service: RuntimeService | undefined, rows: SessionRows, nowMs: number): void {
    service?.sessions?.applyRemote(rows, (nowMs / 1000) | 0, nowMs)
  }

  /** Control's answer to a claim; the session itself comes by `applyRemote`, before it. */
  onClaimed(ticket: number): void {
    const claim = this.claims.get(ticket)
    if (claim === undefined) return
    this.claims.delete(ticket)
    if (claim.x.active && claim.x.generation === claim.generation) this.resume(claim.x)
  }

  /** Once per sweep tick. */
  tick(nowMs: number): void {
    // In the order in which they were asked.
    for (const [ticket, claim] of this.claims) {
      if (claim.endMs > nowMs) break
      this.onClaimed(ticket)
    }
  }

  private claim(x: Exchange, service: RuntimeService, server: UpstreamServer): boolean {
    if (this.claims.size >= MAX_CLAIMS) return false
    x.sessionNoted = true
    const ticket = this.ticket++
    this.claims.set(ticket, { x, generation: x.generation, endMs: performance.now() + this.waitMs })
    this.host.onClaim(ticket, service.name, x.sessionHigh >>> 0, x.sessionLow >>> 0, server.id)
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
