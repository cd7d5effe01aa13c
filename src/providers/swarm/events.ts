// Keeps one event stream open to the current manager and reopens it when it ends. An event only triggers a read; no data is
// taken from it.

import type { Logger } from 'pino'
import type { DockerEvent } from '../docker-api/schemas.ts'
import type { CurrentManager } from './managers.ts'

export interface EventWatch {
  /** Opens a stream to this manager, unless it is followed already; null: closes the stream. */
  follow(current: CurrentManager | null): void
  reopen(): void
  isOpen(key: string): boolean
}

export interface EventWatchOptions {
  readonly log: Logger
  readonly event: (event: DockerEvent) => void
  /** The stream is open. Events since the last one are lost. */
  readonly opened: (key: string) => void
  /** Heartbeats are missing on a stream that has them. */
  readonly heartbeatMissed: (key: string) => void
  /** The stream ended or could not be opened. It is opened again after a delay. */
  readonly ended: (key: string, reason: string) => void
  /** Longest delay between two attempts, ms. */
  readonly maxRetryMs: () => number
}

const RETRY_MS = 1_000

/** Opens nothing before the first `follow`. A stream that ends is opened again after 1 s, then with exponential delays. */
export function watchManagerEvents(options: EventWatchOptions): EventWatch {
  let followed: CurrentManager | null = null
  let openKey: string | null = null
  let close: () => void = () => undefined
  let timer: NodeJS.Timeout | null = null
  let attempts = 0

  function open(current: CurrentManager): void {
    let active = true
    const { key } = current
    const end = current.client.events({
      opened() {
        if (!active) return
        attempts = 0
        openKey = key
        options.opened(key)
      },
      event: options.event,
      heartbeatMissed() {
        if (active) options.heartbeatMissed(key)
      },
      ended(reason) {
        if (!active) return
        active = false
        openKey = null
        options.log.debug({ manager: key, reason }, 'the event stream ended, reopening')
        timer = setTimeout(() => open(current), Math.min(RETRY_MS * 2 ** Math.min(attempts++, 6), options.maxRetryMs()))
        // Last, because the listener may follow another manager.
        options.ended(key, reason)
      },
    })
    close = () => {
      active = false
      end()
    }
  }

  function closeStream(): void {
    openKey = null
    if (timer !== null) clearTimeout(timer)
    timer = null
    close()
  }

  return {
    follow(current) {
      if (followed?.client === current?.client) return
      closeStream()
      followed = current
      attempts = 0
      if (current !== null) open(current)
    },
    reopen() {
      if (followed === null) return
      closeStream()
      attempts = 0
      open(followed)
    },
    isOpen: key => openKey === key,
  }
}
