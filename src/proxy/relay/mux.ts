// One TLS connection between two replicas that carries many streams (frames.ts). Frames of one turn of the event loop leave in one
// write, so that under load a relayed request costs no TLS record, write or read of its own. Opening a stream needs no round trip.
// Pings detect a peer that has stopped responding while streams are open. Memory is bounded by MAX_STREAMS and STREAM_WINDOW.

import type { TLSSocket } from 'node:tls'
import { STREAM_RESET } from '../upstream/upstream-stream.ts'
import { DATA, FIN, type FrameEvents, FrameQueue, FrameReader, LEAVE, PING, PONG, RESET, WINDOW } from './frames.ts'
import { MuxStream, type MuxStreamHost } from './mux-stream.ts'

/** Streams per connection. Further ones are reset. */
const MAX_STREAMS = 16_384
/** Queued bytes that are written at once instead of at the end of the turn. */
const WRITE_NOW_BYTES = 128 * 1024
/** Unwritten bytes of the socket above which streams wait. */
const CONGESTED_BYTES = 512 * 1024
const TICK_MS = 1000
/** After LEAVE: how long to wait for streams that the peer opened before it received the frame, ms. */
const LEAVE_MS = 2000
/** Ticks without a byte while streams are open, each answered by a ping, before the connection is closed. */
const MISSED_TICKS = 4

export interface MuxEvents {
  /** The peer opened a stream; null: it may not. */
  readonly onStream: ((stream: MuxStream) => void) | null
  /** The peer shuts down: no more streams can be opened. */
  onLeave(): void
  /** The connection is closed; its streams fail in the next tick. */
  onGone(mux: Mux): void
}

export class Mux implements MuxStreamHost, FrameEvents {
  readonly streams = new Map<number, MuxStream>()
  congested = false
  /** No new streams; the connection closes with the last one. */
  leaving = false
  gone = false
  /** The TLS handshake is complete. */
  connected: boolean
  private readonly socket: TLSSocket
  private readonly events: MuxEvents
  private readonly idleMs: number
  private readonly queue = new FrameQueue()
  private readonly reader = new FrameReader(this)
  private readonly timer: NodeJS.Timeout
  private waitingStreams: MuxStream[] = []
  private current: MuxStream | null = null
  private scheduled = false
  private lastId = 0
  private receivedSinceTick = true
  private missedTicks = 0
  private idleTicks = 0
  private code = 'ECONNRESET'

  /** `connected`: the handshake is complete. Closes after `idleMs` without a stream. */
  constructor(socket: TLSSocket, connected: boolean, idleMs: number, events: MuxEvents) {
    this.socket = socket
    this.connected = connected
    this.idleMs = idleMs
    this.events = events
    socket.on('data', (chunk: Buffer) => {
      this.receivedSinceTick = true
      this.reader.read(chunk)
    })
    socket.on('drain', () => this.onDrain())
    socket.on('secureConnect', () => this.onConnect())
    socket.on('error', (error: NodeJS.ErrnoException) => this.destroy(error.code ?? 'ECONNRESET'))
    socket.on('end', () => this.destroy('ECONNRESET'))
    socket.on('close', () => this.destroy('ECONNRESET'))
    this.timer = setInterval(() => this.tick(), TICK_MS)
    this.timer.unref()
  }

  /** Opens a stream. It emits 'connect' once it can be written to. */
  open(): MuxStream {
    const stream = new MuxStream(++this.lastId, this)
    this.streams.set(stream.id, stream)
    if (this.connected) process.nextTick(ready, stream)
    return stream
  }

  /** Stops opening streams, and asks the peer to do the same. */
  leave(): void {
    if (this.leaving || this.gone) return
    this.leaving = true
    this.idleTicks = 0
    if (this.events.onStream !== null) this.send(LEAVE, 0, 0)
    else if (this.streams.size === 0) this.destroy('closed')
  }

  /** Closes the connection. Its streams fail with `code`. */
  destroy(code: string): void {
    if (this.gone) return
    if (code === 'closed') this.flush()
    this.gone = true
    this.code = code
    clearInterval(this.timer)
    if (code === 'closed') this.socket.destroySoon()
    else this.socket.destroy()
    this.events.onGone(this)
    // In the next tick: the caller may be iterating over the streams or writing to one.
    process.nextTick(failStreams, this)
  }

  failStreams(): void {
    for (const stream of [...this.streams.values()]) stream.fail(this.code)
  }

  // ---- MuxStreamHost ----

  send(type: number, stream: number, value: number, payload: string | Buffer = ''): void {
    if (this.gone || !this.connected) return
    this.queue.add(type, stream, value, payload)
    if (this.queue.bytes >= WRITE_NOW_BYTES) this.flush()
    else if (!this.scheduled) {
      this.scheduled = true
      setImmediate(flushNow, this)
    }
  }

  awaitDrain(stream: MuxStream): void {
    if (!this.waitingStreams.includes(stream)) this.waitingStreams.push(stream)
  }

  forget(stream: MuxStream): void {
    this.streams.delete(stream.id)
    if (this.current === stream) this.current = null
    if (this.streams.size > 0) return
    if (!this.connected) this.destroy('timeout')
    else if (this.leaving && this.events.onStream === null) this.destroy('closed')
  }

  flush(): void {
    this.scheduled = false
    if (this.queue.bytes === 0 || this.socket.destroyed) return
    this.socket.write(this.queue.take())
    if (this.socket.writableLength > CONGESTED_BYTES) this.congested = true
  }

  // ---- FrameEvents ----

  onFrame(type: number, id: number, value: number): void {
    if (this.gone) return
    switch (type) {
      case DATA:
        this.current = this.streams.get(id) ?? this.accept(id)
        return
      case WINDOW:
        this.streams.get(id)?.grant(value)
        return
      case FIN:
        this.streams.get(id)?.receiveEnd()
        return
      case RESET:
        this.streams.get(id)?.fail(STREAM_RESET)
        return
      case PING:
        // Queued bytes prove liveness as well. Without this limit a peer that pings and never reads would fill the queue.
        if (!this.congested) this.send(PONG, 0, 0)
        return
      case LEAVE:
        this.leaving = true
        this.events.onLeave()
        if (this.streams.size === 0) this.destroy('closed')
        return
    }
  }

  onPayload(bytes: Buffer): void {
    // The stream, or the whole connection, has already ended on this side.
    if (this.current === null || this.gone) return
    if (!this.current.receive(bytes)) this.onBadFrame('more bytes than the window allows')
  }

  onBadFrame(_why: string): void {
    this.destroy('EPROTO')
  }

  private accept(id: number): MuxStream | null {
    const { onStream } = this.events
    if (onStream === null || id <= this.lastId) return null
    this.lastId = id
    if (this.streams.size >= MAX_STREAMS) {
      this.send(RESET, id, 0)
      return null
    }
    const stream = new MuxStream(id, this)
    this.streams.set(id, stream)
    onStream(stream)
    return this.streams.has(id) ? stream : null
  }

  private onConnect(): void {
    if (this.gone) return
    this.connected = true
    for (const stream of [...this.streams.values()]) stream.emit('connect')
  }

  private onDrain(): void {
    if (!this.congested) return
    this.congested = false
    const waiting = this.waitingStreams
    this.waitingStreams = []
    for (const stream of waiting) stream.connectionDrained()
  }

  private tick(): void {
    if (!this.connected) return
    if (this.streams.size === 0) {
      this.idleTicks++
      this.missedTicks = 0
      if (this.idleTicks * TICK_MS >= (this.leaving ? LEAVE_MS : this.idleMs)) this.destroy('closed')
      return
    }
    this.idleTicks = 0
    if (this.receivedSinceTick) this.missedTicks = 0
    else if (++this.missedTicks >= MISSED_TICKS) {
      this.destroy('ETIMEDOUT')
      return
    } else this.send(PING, 0, 0)
    this.receivedSinceTick = false
  }
}

function ready(stream: MuxStream): void {
  stream.emit('connect')
}

function flushNow(mux: Mux): void {
  if (!mux.gone) mux.flush()
}

function failStreams(mux: Mux): void {
  mux.failStreams()
}
