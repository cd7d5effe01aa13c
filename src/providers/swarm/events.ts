// Keeps one event stream open to the current manager and opens it again when it ends. Events only say when to look; nothing is
// taken from them.

import type { Logger } from 'pino'
import type { DockerEvent } from '../docker-api/schemas.ts'
import type { CurrentManager } from './managers.ts'

export interface EventWatch {
  /** Listen to this manager; does nothing when that is so already. null: to nobody. */
  follow(current: CurrentManager | null): void
  /** Opens the stream anew, at once. */
  reopen(): void
  /** The stream to this manager is open now. */
  isOpen(key: string): boolean
}

export interface EventWatchOptions {
  readonly log: Logger
  readonly event: (event: DockerEvent) => void
  /** The stream is open (again): what happened in between has been missed. */
  readonly opened: (key: string) => void
  /** A stream that beats has missed some. */
  readonly quiet: (key: string) => void
  /** The stream has ended, or could not be opened; it is opened again after a while. */
  readonly ended: (key: string, reason: string) => void
  /** Between two attempts when they keep failing, ms at most. */
  readonly retryMostMs: () => number
}

const RETRY_MS = 1_000

/** Opens nothing before the first `follow`; a stream that ends is opened again after 1 s, later when it keeps failing. */
export function watchManagerEvents(options: EventWatchOptions): EventWatch {
  let followed: CurrentManager | null = null
  let openKey: string | null = null
  let close: () => void = () => undefined
  let timer: NodeJS.Timeout | null = null
  let attempts = 0

  function open(current: CurrentManager): void {
    let mine = true
    const { key } = current
    const end = current.client.events({
      opened() {
        if (!mine) return
        attempts = 0
        openKey = key
        options.opened(key)
      },
      event: options.event,
      quiet() {
        if (mine) options.quiet(key)
      },
      ended(reason) {
        if (!mine) return
        mine = false
        openKey = null
        options.log.debug({ manager: key, reason }, 'the event stream of the manager has ended')
        timer = setTimeout(() => open(current), Math.min(RETRY_MS * 2 ** Math.min(attempts++, 6), options.retryMostMs()))
        // Last: whoever hears of it may go over to another manager.
        options.ended(key, reason)
      },
    })
    close = () => {
      mine = false
      end()
    }
  }

  function leave(): void {
    openKey = null
    if (timer !== null) clearTimeout(timer)
    timer = null
    close()
  }

  return {
    follow(current) {
      if (followed?.client === current?.client) return
      leave()
      followed = current
      attempts = 0
      if (current !== null) open(current)
    },
    reopen() {
      if (followed === null) return
      leave()
      attempts = 0
      open(followed)
    },
    isOpen: key => openKey === key,
  }
}
