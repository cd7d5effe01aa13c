// One event stream of one manager, from opening to end. A Skein agent sends a heartbeat on it (an empty line twice a second),
// so a host that hangs or vanished is detected within seconds. Docker itself sends nothing while nothing happens; there TCP
// keep-alive detects a dead host.

import type { IncomingMessage } from 'node:http'
import type Docker from 'dockerode'
import { lineSplitter } from './lines.ts'
import { type DockerEvent, EVENT_FILTERS, parseEvent } from './schemas.ts'

/** Callbacks of an event stream. */
export interface EventStreamListener {
  opened(): void
  event(event: DockerEvent): void
  /** Heartbeats are missing: called once per gap, before the stream is closed. */
  heartbeatMissed?(): void
  /** Called once, also when the stream could not be opened or is closed from this side. */
  ended(reason: string): void
}

const EVENT_LINE_BYTES = 256 * 1024
/**
 * A stream with heartbeats is suspect after this long without bytes, ms. It leaves time to ping the manager and, if that fails,
 * to let another replica lead within two seconds.
 */
const MISSED_HEARTBEAT_MS = 1_000
/** A stream with heartbeats is closed after this long without bytes, ms. */
const DEAD_STREAM_MS = 3_500
/** Idle time before TCP keep-alive probes, ms. The connection fails about ten seconds later (libuv's interval). */
const KEEP_ALIVE_MS = 5_000

/** Returns a function that closes the stream; aborting `closing` closes it too. */
export function watchEvents(docker: Docker, closing: AbortSignal, listener: EventStreamListener): () => void {
  let closed = false
  let stream: IncomingMessage | null = null
  let silenceTimer: NodeJS.Timeout | undefined
  const abort = new AbortController()
  const end = (reason: string): void => {
    if (closed) return
    closed = true
    clearTimeout(silenceTimer)
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
      if (closed) {
        opened.destroy()
        return
      }
      opened.socket.setKeepAlive(true, KEEP_ALIVE_MS)
      let hasHeartbeat = false
      let bytesAt = performance.now()
      const restartTimer = (): void => {
        clearTimeout(silenceTimer)
        silenceTimer = setTimeout(() => setImmediate(missed, bytesAt), MISSED_HEARTBEAT_MS)
      }
      // setImmediate: bytes that arrived while this process was busy have been read by now.
      const missed = (seenAt: number): void => {
        if (closed || bytesAt !== seenAt) return
        listener.heartbeatMissed?.()
        silenceTimer = setTimeout(() => setImmediate(dead, seenAt), DEAD_STREAM_MS - MISSED_HEARTBEAT_MS)
      }
      const dead = (seenAt: number): void => {
        if (bytesAt === seenAt) end(`no heartbeat for ${DEAD_STREAM_MS} ms`)
      }
      const feed = lineSplitter(
        EVENT_LINE_BYTES,
        line => {
          const parsed = parseEvent(line)
          if (parsed !== null && !closed) listener.event(parsed)
        },
        () => {
          hasHeartbeat = true
        },
      )
      opened.on('data', (chunk: Buffer) => {
        bytesAt = performance.now()
        feed(chunk)
        if (hasHeartbeat && !closed) restartTimer()
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
