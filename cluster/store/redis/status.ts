// Whether Redis is in use or away, since when and why; told in the log once when it changes, not at every attempt.

import type { ClusterLog } from '../../log.ts'
import type { RedisStatus } from '../model.ts'
import { reasonFor } from './failure-reason.ts'
import type { RedisStoreOptions } from './options.ts'
import type { Synced } from './sync.ts'

export class RedisState {
  state: RedisStatus['state'] = 'connecting'
  /** For people; '' while it is not away. */
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

  /** `at`: the server's address. */
  up(at: string, { loaded, reseeded }: Synced): void {
    const { mode } = this.#options
    const awayMs = this.sinceMs
    const counts = `${loaded} entries were loaded from it, ${reseeded} written to it`
    if (this.state === 'away' && this.#everUp)
      this.#log.info({ mode, at, awayMs, loaded, reseeded }, `Redis is back after ${inWords(awayMs)} (${at}): ${counts}`)
    else this.#log.info({ mode, at, loaded, reseeded }, `Redis is in use (${at}): ${counts}`)
    this.#set('up', '')
    this.#everUp = true
  }

  /** `at`: whoever was asked last. @returns whether to be patient before the next attempt */
  away(at: string, error: unknown): boolean {
    const { mode, password, sentinelPassword } = this.#options
    const { text, patient } = reasonFor(error, at, [password, sentinelPassword])
    const fields = { mode, reason: text }
    if (this.state !== 'away')
      this.#log.warn(fields, `Redis is away (${text}): replicas go on with their own memory and gossip, and try again`)
    else if (text !== this.reason) this.#log.debug(fields, 'Redis is still away')
    this.#set('away', text)
    return patient
  }

  #set(state: RedisStatus['state'], reason: string): void {
    if (state !== this.state) this.#since = performance.now()
    this.state = state
    this.reason = reason
  }
}

function inWords(ms: number): string {
  return ms < 10_000
    ? `${(ms / 1000).toFixed(1)} s`
    : ms < 600_000
      ? `${Math.round(ms / 1000)} s`
      : `${Math.round(ms / 60_000)} min`
}
