// Deadlines of connections to servers, and moving requests away from a server that does not take connections any more: what still
// connects there, and what has waited too long for a word and may be sent again (design 8).

import type { DataPlaneOptions } from '../options/options.ts'
import type { Exchange } from './exchange.ts'
import { CONNECTING, IDLE, READING, type UpstreamConnection, WAITING } from './http1/upstream-connection.ts'
import type { LiveServer } from './live-server.ts'
import { mayResend } from './retries.ts'
import type { ServerWatch } from './server-watch.ts'
import type { Sweep } from './sweep.ts'

/** How long after a good silence check the next one is due. */
const SILENCE_AGAIN_MS = 2000

export interface RescueHost {
  /** A server that may be tried next, without sending anything. */
  choose(x: Exchange): LiveServer | null
  /** A peer could take it. */
  canRelay(x: Exchange): boolean
  /** One more try, at a server that was not tried yet. */
  again(x: Exchange): void
  /** Parts exchange and connection. */
  unlink(x: Exchange): void
  fail(x: Exchange, status: number, why: string): void
  onConnectFailed(c: UpstreamConnection, code: string): void
  onBroken(c: UpstreamConnection, why: string): void
}

export class Rescue {
  private readonly options: DataPlaneOptions
  private readonly sweep: Sweep
  private readonly watch: ServerWatch
  private readonly host: RescueHost

  constructor(options: DataPlaneOptions, sweep: Sweep, watch: ServerWatch, host: RescueHost) {
    this.options = options
    this.sweep = sweep
    this.watch = watch
    this.host = host
  }

  onDeadline(c: UpstreamConnection, nowMs: number): void {
    switch (c.phase) {
      case CONNECTING:
        c.destroy()
        this.host.onConnectFailed(c, 'timeout')
        return
      case IDLE:
        c.server.forget(c)
        c.destroy()
        return
      case WAITING:
        this.onWaitingTooLong(c, nowMs)
        return
      case READING:
        c.destroy()
        this.host.onBroken(c, `no byte for ${c.stallMs} ms`)
        return
    }
  }

  private onWaitingTooLong(c: UpstreamConnection, nowMs: number): void {
    const x = c.x!
    const where = `${c.server.host}:${c.server.port}`
    if (!x.bodyDone || nowMs >= c.headDeadline) {
      c.destroy()
      this.host.unlink(x)
      this.watch.failed(c.server, 'silence')
      if (!x.bodyDone) this.host.fail(x, 504, `${where} took no request body for ${c.stallMs} ms`)
      else this.host.fail(x, 504, `${where} sent no answer within ${this.options.timeouts.responseHeaderMs} ms`)
      return
    }
    c.silenceAt = nowMs + SILENCE_AGAIN_MS
    c.deadline = Math.min(c.headDeadline, c.silenceAt)
    const { server } = c
    if (server.ejectedUntilMs > nowMs && server.lastFailure !== 'refused' && server.lastFailure !== 'reset') this.moveOne(c)
    else this.watch.checkSilence(server)
  }

  /** The server does not take connections any more: sends elsewhere what may be sent again and has waited long enough. */
  moveAll(server: LiveServer): void {
    server.closeIdle()
    const now = this.sweep.now
    const { silenceMs, responseHeaderMs } = this.options.timeouts
    for (const c of server.busy.slice()) {
      const sinceMs = c.headDeadline - responseHeaderMs - server.answerGraceMs
      const waited = c.phase === WAITING && c.x?.bodyDone === true && now >= sinceMs + silenceMs
      if (c.phase === CONNECTING || waited) this.moveOne(c)
    }
  }

  private moveOne(c: UpstreamConnection): void {
    const { x, server } = c
    if (x === null) return
    const sent = c.phase === WAITING
    if (sent && (c.gotByte || !mayResend(x))) return
    // Better to wait on a server that may come back than to fail because nobody else is there.
    x.tried ??= []
    x.tried.push(server)
    const other = x.attempts < this.options.retry.attempts ? this.host.choose(x) : null
    const useless = other === null || (server.isPeer && other.ejectedUntilMs > this.sweep.now)
    if (useless && !this.host.canRelay(x)) {
      x.tried.pop()
      return
    }
    if (!sent && !server.isPeer) x.connectsLost++
    this.host.unlink(x)
    c.destroy()
    this.host.again(x)
  }
}
