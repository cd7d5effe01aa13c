// One event stream of one manager, from opening to end. A Skein agent beats on it (an empty line twice a second), so that a host
// that hangs or has vanished is noticed within seconds; Docker itself says nothing while nothing happens, and TCP keep-alive has
// to do.

import type { IncomingMessage } from 'node:http'
import type Docker from 'dockerode'
import { lineSplitter } from './lines.ts'
import { type DockerEvent, EVENT_FILTERS, parseEvent } from './schemas.ts'

/** What becomes of an event stream. */
export interface EventStreamListener {
  opened(): void
  event(event: DockerEvent): void
  /** A stream that beats has missed some: called once for each silence, before the stream is given up. */
  quiet?(): void
  /** Called once, also when the stream could not be opened or is closed from here. */
  ended(reason: string): void
}

const EVENT_LINE_BYTES = 256 * 1024
/**
 * A beating stream is quiet when nothing came for so long, ms: time enough to find out whether anybody is there, and to let
 * another replica lead within two seconds if not.
 */
const QUIET_MS = 1_000
/** And is dead when nothing came for so long, ms. */
const SILENT_MS = 3_500
/**
 * No answer to a connection that says nothing: asked after so long, given up some ten seconds later (libuv's own interval), ms.
 */
const KEEP_ALIVE_MS = 5_000

/** Returns the way to close the stream; `closing` does so as well. */
export function watchEvents(docker: Docker, closing: AbortSignal, listener: EventStreamListener): () => void {
  let over = false
  let stream: IncomingMessage | null = null
  let silence: NodeJS.Timeout | undefined
  const abort = new AbortController()
  const end = (reason: string): void => {
    if (over) return
    over = true
    clearTimeout(silence)
    stream?.destroy()
    abort.abort()
    closing.removeEventListener('abort', onClosing)
    listener.ended(reason)
  }
  const onClosing = (): void => end('closed')
  closing.addEventListener('abort', onClosing, { once: true })

  docker.getEvents({ filters: EVENT_FILTERS, abortSignal: abort.signal }).then(
    answer => {
      const opened = answer as IncomingMessage
      stream = opened
      if (over) {
        opened.destroy()
        return
      }
      opened.socket.setKeepAlive(true, KEEP_ALIVE_MS)
      let beats = false
      let bytesAt = performance.now()
      const listen = (): void => {
        clearTimeout(silence)
        silence = setTimeout(() => setImmediate(missed, bytesAt), QUIET_MS)
      }
      // What came while this process itself was held up has been read by now.
      const missed = (seenAt: number): void => {
        if (over || bytesAt !== seenAt) return
        listener.quiet?.()
        silence = setTimeout(() => setImmediate(dead, seenAt), SILENT_MS - QUIET_MS)
      }
      const dead = (seenAt: number): void => {
        if (bytesAt === seenAt) end(`nothing came for ${SILENT_MS} ms, not even a heartbeat`)
      }
      const feed = lineSplitter(
        EVENT_LINE_BYTES,
        line => {
          const parsed = parseEvent(line)
          if (parsed !== null && !over) listener.event(parsed)
        },
        () => {
          beats = true
        },
      )
      opened.on('data', (chunk: Buffer) => {
        bytesAt = performance.now()
        feed(chunk)
        if (beats && !over) listen()
      })
      opened.on('end', () => end('the event stream ended'))
      opened.on('error', error => end(error.message))
      opened.on('close', () => end('the event stream was closed'))
      listener.opened()
    },
    (error: unknown) => end(error instanceof Error ? error.message : String(error)),
  )
  return () => end('closed')
}
