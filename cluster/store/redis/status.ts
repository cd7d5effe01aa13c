// State of the connection to Redis: in use or away, since when and why. A change is logged once, not every failed attempt.

import type { ClusterLog } from '../../log.ts'
import type { RedisStatus } from '../model.ts'
import { describeFailure } from './failure-reason.ts'
import type { RedisStoreOptions } from './options.ts'
import type { Synced } from './sync.ts'

export class RedisConnectionStatus {
  state: RedisStatus['state'] = 'connecting'
  /** Text for logs and the status; '' while Redis is not away. */
  reason = ''
  readonly #options: RedisStoreOptions
  readonly #log: ClusterLog
  #since = performance.now()
  #everUp = false

  constructor(options: RedisStoreOptions, log: ClusterLog) {
    this.#options = options
    this.#log = log
  }

  get sinceMs(): number {
    return Math.round(performance.now() - this.#since)
  }

  /** @param at address of the server */
  up(at: string, { loaded, reseeded }: Synced): void {
    const { mode } = this.#options
    const awayMs = this.sinceMs
    const counts = `loaded ${loaded} entries, wrote ${reseeded}`
    if (this.state === 'away' && this.#everUp)
      this.#log.info(
        { mode, at, awayMs, loaded, reseeded },
        `Redis at ${at} is in use again after ${formatDuration(awayMs)}: ${counts}`,
      )
    else this.#log.info({ mode, at, loaded, reseeded }, `Redis at ${at} is in use: ${counts}`)
    this.#set('up', '')
    this.#everUp = true
  }

  /**
   * @param at the server that was contacted last
   * @returns whether to retry slowly
   */
  away(at: string, error: unknown): boolean {
    const { mode, password, sentinelPassword } = this.#options
    const { text, slowRetry } = describeFailure(error, at, [password, sentinelPassword])
    const fields = { mode, reason: text }
    if (this.state !== 'away') this.#log.warn(fields, `Redis is away (${text}): using own memory and gossip, retrying`)
    else if (text !== this.reason) this.#log.debug(fields, 'Redis is still away')
    this.#set('away', text)
    return slowRetry
  }

  #set(state: RedisStatus['state'], reason: string): void {
    if (state !== this.state) this.#since = performance.now()
    this.state = state
    this.reason = reason
  }
}

function formatDuration(ms: number): string {
  return ms < 10_000
    ? `${(ms / 1000).toFixed(1)} s`
    : ms < 600_000
      ? `${Math.round(ms / 1000)} s`
      : `${Math.round(ms / 60_000)} min`
}
