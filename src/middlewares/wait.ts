// The result of a middleware that cannot decide yet. The middleware calls resume() once, at any time; admission calls cancel()
// when the client leaves or the request ends otherwise. After either, further calls have no effect.

import type { MiddlewareReply } from '../proxy/message/local-reply.ts'

const PENDING = 0
const RESUMED = 1
const CANCELLED = 2

export class Wait {
  /** The reply given to resume(); null: the request continues. */
  reply: MiddlewareReply | null = null
  /** Set by admission; called by resume(). */
  onResume: (() => void) | null = null
  private state: 0 | 1 | 2 = PENDING
  private readonly onCancel: () => void

  /** `onCancel` stops what the middleware waits for. */
  constructor(onCancel: () => void) {
    this.onCancel = onCancel
  }

  get pending(): boolean {
    return this.state === PENDING
  }

  /** Continues the request, or answers it with `reply`. */
  resume(reply: MiddlewareReply | null = null): void {
    if (this.state !== PENDING) return
    this.state = RESUMED
    this.reply = reply
    this.onResume?.()
  }

  cancel(): void {
    if (this.state !== PENDING) return
    this.state = CANCELLED
    this.onCancel()
  }
}
