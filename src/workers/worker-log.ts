// The log of a data worker: sends lines to the control thread in batches and limits their rate, so that a flood of bad requests
// burdens neither thread.

import type { Exchange } from '../proxy/forward/exchange.ts'
import type { LogLevel } from '../proxy/worker-context.ts'
import type { FromWorker, LogLine } from './messages.ts'

/** Lines per second and worker; further lines are only counted. */
const MAX_LINES_PER_SECOND = 50

export class WorkerLog {
  private lines: LogLine[] = []
  private accessText = ''
  private suppressed = 0
  private used = 0
  private windowMs = 0
  private readonly post: (message: FromWorker) => void

  constructor(post: (message: FromWorker) => void) {
    this.post = post
  }

  add(level: LogLevel, message: string, fields: Record<string, string | number>): void {
    if (this.used >= MAX_LINES_PER_SECOND) {
      this.suppressed++
      return
    }
    this.used++
    this.lines.push({ level, message, fields })
  }

  /** Adds one JSON line per request, which the control thread writes unchanged. */
  access(x: Exchange, ms: number): void {
    this.accessText += `${JSON.stringify({
      time: new Date().toISOString(),
      client: x.clientAddress,
      method: x.method,
      host: x.authority,
      path: x.receivedPath,
      status: x.status,
      ms: Math.round(ms * 1000) / 1000,
      bytesIn: x.bytesIn,
      bytesOut: x.bytesOut,
      router: x.route?.router.name ?? null,
      server: x.attempt.server === null ? null : `${x.attempt.server.host}:${x.attempt.server.port}`,
      attempts: x.attempt.count,
      ...(x.attempt.relayPeer === '' ? {} : { relayedThrough: x.attempt.relayPeer }),
      ...(x.fromPeer ? { relayedIn: true } : {}),
      ...(x.requestId === '' ? {} : { requestId: x.requestId }),
    })}\n`
    if (this.accessText.length > 65_536) this.flush(performance.now())
  }

  flush(nowMs: number): void {
    if (nowMs - this.windowMs >= 1000) {
      this.windowMs = nowMs
      this.used = 0
    }
    if (this.lines.length > 0 || (this.suppressed > 0 && this.used === 0)) {
      this.post({ kind: 'logs', lines: this.lines, suppressed: this.suppressed })
      this.lines = []
      this.suppressed = 0
    }
    if (this.accessText !== '') {
      this.post({ kind: 'access', text: this.accessText })
      this.accessText = ''
    }
  }
}
