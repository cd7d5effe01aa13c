// Puts rows of sessions together into one message to workers; servers stand in it once each.

import { SESSION_ROW, type SessionsMessage } from '../workers/messages.ts'

export class SessionRowsBuilder {
  count = 0
  private readonly service: string
  private indexes = new Map<string, number>()
  private rows = new Uint32Array(16 * SESSION_ROW)

  constructor(service: string) {
    this.service = service
  }

  /** `seconds` left to live; `flags` as SESSION_ROW says. */
  add(high: number, low: number, server: string, seconds: number, flags: number): void {
    let index = this.indexes.get(server)
    if (index === undefined) {
      index = this.indexes.size
      this.indexes.set(server, index)
    }
    const at = this.count * SESSION_ROW
    if (at === this.rows.length) {
      const more = new Uint32Array(at * 2)
      more.set(this.rows)
      this.rows = more
    }
    this.rows.set([high, low, index, seconds, flags], at)
    this.count++
  }

  /** The message; the next one begins empty. */
  take(): SessionsMessage {
    const message: SessionsMessage = {
      kind: 'sessions',
      service: this.service,
      servers: [...this.indexes.keys()],
      rows: this.rows.slice(0, this.count * SESSION_ROW),
    }
    this.count = 0
    this.indexes = new Map()
    return message
  }
}
