// Keeps one event stream open to the current manager and opens it again when it ends. Events only say when to look; nothing is
// taken from them.

import type { Logger } from 'pino'
import type { CurrentManager, ManagerPool } from './managers.ts'
import type { DockerEvent } from './schemas.ts'

export interface EventWatch {
  /** Listen to this manager; does nothing when that is so already. */
  follow(current: CurrentManager): void
  stop(): void
}

export interface EventWatchOptions {
  readonly pool: ManagerPool
  readonly log: Logger
  readonly event: (event: DockerEvent) => void
  /** The stream is open (again): what happened in between has been missed. */
  readonly reopened: () => void
}

const RETRY_MS = 1_000
const RETRY_MOST_MS = 15_000

/** Opens nothing before the first `follow`; a stream that ends is opened again after 1 s, at most 15 s when it keeps failing. */
export function watchManagerEvents(options: EventWatchOptions): EventWatch {
  let key: string | null = null
  let close: () => void = () => undefined
  let timer: NodeJS.Timeout | null = null
  let attempts = 0

  function open(current: CurrentManager): void {
    key = current.key
    close = current.client.events(
      () => {
        attempts = 0
        options.reopened()
      },
      options.event,
      reason => {
        if (key !== current.key) return
        options.log.debug({ manager: current.key, reason }, 'the event stream of the manager has ended')
        timer = setTimeout(() => open(current), Math.min(RETRY_MS * 2 ** Math.min(attempts++, 6), RETRY_MOST_MS))
      },
    )
  }

  function leave(): void {
    key = null
    if (timer !== null) clearTimeout(timer)
    timer = null
    close()
  }

  return {
    follow(current) {
      if (key === current.key) return
      leave()
      attempts = 0
      open(current)
    },
    stop: leave,
  }
}
