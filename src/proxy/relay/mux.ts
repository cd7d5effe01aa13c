// One TLS connection between two replicas that carries many streams (frames.ts). What its streams write within a turn of the
// event loop goes out together, so that under load a relayed request costs no record, no write and no read of its own; opening a
// stream costs nothing. A side that falls silent while streams are open is found out by pings. Memory is bounded by streams and
// windows.

import type { TLSSocket } from 'node:tls'
import { DATA, FIN, type FrameEvents, FrameQueue, FrameReader, LEAVE, PING, PONG, RESET, STREAM_RESET, WINDOW } from './frames.ts'
import { MuxStream, type MuxStreamHost } from './mux-stream.ts'

/** Streams in one connection: whoever opens more than this is hostile. */
const MAX_STREAMS = 16_384
/** Written at once beyond this, not at the end of the turn. */
const WRITE_NOW_BYTES = 128 * 1024
/** Unwritten bytes beyond which streams are asked to wait. */
const CONGESTED_BYTES = 512 * 1024
const TICK_MS = 1000
/** A side that leaves waits so long for streams that were opened before the other heard of it. */
const LEAVE_MS = 2000
/** Ticks without a byte while streams are open, each with a ping, before the connection is given up. */
const MISSED_TICKS = 4

export interface MuxEvents {
  /** The other side opened a stream; null: it may not. */
  readonly onStream: ((stream: MuxStream) => void) | null
  /** It shuts down: no stream can be opened any more. */
  onLeave(): void
  /** It is over, with all its streams. */
  onGone(mux: Mux): void
}

export class Mux implements MuxStreamHost, FrameEvents {
  readonly streams = new Map<number, MuxStream>()
  congested = false
  /** Opens no stream any more, and ends with the last one. */
  leaving = false
  gone = false
  /** The handshake is behind it. */
  connected: boolean
  private readonly socket: TLSSocket
  private readonly events: MuxEvents
  private readonly idleMs: number
  private readonly queue = new FrameQueue()
  private readonly reader = new FrameReader(this)
  private readonly timer: NodeJS.Timeout
  private waiting: MuxStream[] = []
  private current: MuxStream | null = null
  private scheduled = false
  private lastId = 0
  private heard = true
  private missed = 0
  private idleTicks = 0
  private code = 'ECONNRESET'

  /** `connected`: the handshake is behind it. It ends when it had no stream for `idleMs`. */
  constructor(socket: TLSSocket, connected: boolean, idleMs: number, events: MuxEvents) {
    this.socket = socket
    this.connected = connected
    this.idleMs = idleMs
    this.events = events
    socket.on('data', (chunk: Buffer) => {
      this.heard = true
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

  /** A new stream; 'connect' follows when it may be written to. */
  open(): MuxStream {
    const stream = new MuxStream(++this.lastId, this)
    this.streams.set(stream.id, stream)
    if (this.connected) process.nextTick(ready, stream)
    return stream
  }

  /** No new stream; the other side is told not to open one either. */
  leave(): void {
    if (this.leaving || this.gone) return
    this.leaving = true
    this.idleTicks = 0
    if (this.events.onStream !== null) this.send(LEAVE, 0, 0)
    else if (this.streams.size === 0) this.destroy('closed')
  }

  /** Ends it, and breaks its streams. */
  destroy(code: string): void {
    if (this.gone) return
    if (code === 'closed') this.flush()
    this.gone = true
    this.code = code
    clearInterval(this.timer)
    if (code === 'closed') this.socket.destroySoon()
    else this.socket.destroy()
    this.events.onGone(this)
    // Not now: whoever ends a connection is in the midst of something.
    process.nextTick(breakAll, this)
  }

  breakAll(): void {
    for (const stream of [...this.streams.values()]) stream.break(this.code)
  }

  // ---- for its streams ----

  send(type: number, stream: number, value: number, payload: string | Buffer = ''): void {
    if (this.gone || !this.connected) return
    this.queue.add(type, stream, value, payload)
    if (this.queue.bytes >= WRITE_NOW_BYTES) this.flush()
    else if (!this.scheduled) {
      this.scheduled = true
      setImmediate(flushNow, this)
    }
  }

  awaitRoom(stream: MuxStream): void {
    if (!this.waiting.includes(stream)) this.waiting.push(stream)
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

  // ---- what comes ----

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
        this.streams.get(id)?.break(STREAM_RESET)
        return
      case PING:
        // What waits to be written answers as well; and whoever pings without reading must not fill the memory.
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
    // Of a stream that is over on this side, or all are.
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
    const waiting = this.waiting
    this.waiting = []
    for (const stream of waiting) stream.roomAgain()
  }

  private tick(): void {
    if (!this.connected) return
    if (this.streams.size === 0) {
      this.idleTicks++
      this.missed = 0
      if (this.idleTicks * TICK_MS >= (this.leaving ? LEAVE_MS : this.idleMs)) this.destroy('closed')
      return
    }
    this.idleTicks = 0
    if (this.heard) this.missed = 0
    else if (++this.missed >= MISSED_TICKS) {
      this.destroy('ETIMEDOUT')
      return
    } else this.send(PING, 0, 0)
    this.heard = false
  }
}

function ready(stream: MuxStream): void {
  stream.emit('connect')
}

function flushNow(mux: Mux): void {
  if (!mux.gone) mux.flush()
}

function breakAll(mux: Mux): void {
  mux.breakAll()
}
