// Messages to one member: one long-lived stream in each direction on its connection, framed. The first frame is a greeting with
// the cluster's name; an empty frame requests forwarding of gossip. Unsent messages are queued up to a bound and dropped beyond
// it, so that a slow member costs no memory.

import type { Connection, Stream } from '@libp2p/interface'
import { LIMITS } from '../core/state.ts'
import { frame, frameReader } from './frames.ts'

export const MESSAGE_PROTOCOL = '/skein/1/message'

const OPEN_TIMEOUT_MS = 2_000
const QUEUE_BYTES = 512 * 1024
const QUEUE_MESSAGES = 512

export interface Outbox {
  /** False: dropped, because the member does not read or cannot be reached. */
  send(data: Uint8Array): boolean
  close(): void
}

/** @param connection returns the connection to open the stream on; null: there is none any more */
export function outbox(greeting: Uint8Array, connection: () => Connection | null): Outbox {
  const queue: Uint8Array[] = []
  let queued = 0
  let stream: Stream | null = null
  let opening = false
  let closed = false

  async function open(): Promise<void> {
    const current = connection()
    if (opening || closed || current === null) return
    opening = true
    try {
      const fresh = await current.newStream(MESSAGE_PROTOCOL, { signal: AbortSignal.timeout(OPEN_TIMEOUT_MS) })
      fresh.addEventListener('close', () => {
        if (stream !== fresh) return
        stream = null
        if (queue.length > 0) void open()
      })
      fresh.addEventListener('drain', () => queueMicrotask(flush))
      // The other side sends on a stream of its own.
      fresh.addEventListener('message', () => undefined)
      fresh.send(frame(greeting))
      if (closed) fresh.abort(new Error('closed'))
      else stream = fresh
    } catch {
      // The connection has closed or hangs: queued messages are lost, as any message may be.
      empty()
    } finally {
      opening = false
    }
    flush()
  }

  function empty(): void {
    queue.length = 0
    queued = 0
  }

  function flush(): void {
    while (stream !== null && !stream.writableNeedsDrain && queue.length > 0) {
      const data = queue.shift()!
      queued -= data.length
      try {
        stream.send(frame(data))
      } catch {
        stream = null
      }
    }
  }

  void open()
  return {
    send(data) {
      if (closed || queued + data.length > QUEUE_BYTES || queue.length >= QUEUE_MESSAGES) return false
      queue.push(data)
      queued += data.length
      if (stream === null) void open()
      else flush()
      return true
    },
    close() {
      closed = true
      empty()
      stream?.abort(new Error('closed'))
      stream = null
    },
  }
}

export interface InboxEvents {
  /** The other side's greeting. False: refused; nothing more is read. */
  greeting(data: Uint8Array): boolean
  /** False: it exceeds its rate; nothing more is read. An empty message requests forwarding. */
  message(data: Uint8Array): boolean
  malformed(error: Error): void
}

/** Reads a stream opened by the other side. */
export function inbox(stream: Stream, events: InboxEvents): void {
  const reader = frameReader(LIMITS.message)
  let greeted = false
  stream.addEventListener('message', event => {
    try {
      const data = event.data
      for (const message of reader.push(data instanceof Uint8Array ? data : data.subarray())) {
        const accepted = greeted ? events.message(message) : events.greeting(message)
        greeted = true
        if (!accepted) {
          stream.abort(new Error('refused'))
          return
        }
      }
    } catch (error) {
      events.malformed(error as Error)
      stream.abort(error as Error)
    }
  })
  stream.addEventListener('remoteCloseWrite', () => void stream.close().catch(() => undefined))
}
