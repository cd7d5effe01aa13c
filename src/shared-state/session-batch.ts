// Builds messages of session rows for workers; each server id is included once.

import { SESSION_ROW, type SessionsMessage } from '../workers/messages.ts'

export class SessionBatch {
  count = 0
  private readonly service: string
  private indexes = new Map<string, number>()
  private rows = new Uint32Array(16 * SESSION_ROW)

  constructor(service: string) {
    this.service = service
  }

  /**
   * @param seconds time to live left
   * @param flags as described at SESSION_ROW
   */
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

  /** Returns the message and starts an empty one. */
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
