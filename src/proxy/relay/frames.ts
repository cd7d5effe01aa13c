// What goes over a connection between replicas, inside TLS: frames of streams, as HTTP/2 or yamux have them, cut down to what
// relaying needs. A header of nine bytes (type, stream, value), then for DATA as many bytes as the value says. No socket.
//
//   DATA    bytes of a stream; the first of a number above all before opens the stream (the connecting side only)
//   WINDOW  the other side may send so many bytes more on the stream
//   FIN     no more bytes will come on the stream; RESET: forget it
//   PING    is answered by PONG
//   LEAVE   no stream is to be opened any more: the sender of it shuts down

export const DATA = 0
export const WINDOW = 1
export const FIN = 2
export const RESET = 3
export const PING = 4
export const PONG = 5
export const LEAVE = 6

export const HEADER_BYTES = 9
/** What a stream may have sent that the other side has not taken: bounds memory on both sides. */
export const STREAM_WINDOW = 256 * 1024

/** Error code of a stream that the other side gave up while the connection lives. */
export const STREAM_RESET = 'ERR_STREAM_RESET'

export interface FrameEvents {
  /** A whole frame, or the header of DATA; `value` is at most STREAM_WINDOW there. */
  onFrame(type: number, stream: number, value: number): void
  /** Bytes of the DATA frame whose header came last. */
  onPayload(bytes: Buffer): void
  /** Not a frame: the connection is of no use any more. */
  onBadFrame(why: string): void
}

export class FrameReader {
  private readonly events: FrameEvents
  /** Part of a header that came in pieces. */
  private readonly header = Buffer.alloc(HEADER_BYTES)
  private headerBytes = 0
  /** Bytes to come of the current DATA frame. */
  private left = 0
  private bad = false

  constructor(events: FrameEvents) {
    this.events = events
  }

  /** The next bytes, however they are cut. After a bad frame they are ignored. */
  read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.bad) {
      if (this.left > 0) {
        const to = Math.min(chunk.length, at + this.left)
        this.left -= to - at
        this.events.onPayload(at === 0 && to === chunk.length ? chunk : chunk.subarray(at, to))
        at = to
      } else if (this.headerBytes === 0 && chunk.length - at >= HEADER_BYTES) {
        this.frame(chunk, at)
        at += HEADER_BYTES
      } else {
        const to = Math.min(chunk.length, at + HEADER_BYTES - this.headerBytes)
        this.headerBytes += chunk.copy(this.header, this.headerBytes, at, to)
        at = to
        if (this.headerBytes < HEADER_BYTES) return
        this.headerBytes = 0
        this.frame(this.header, 0)
      }
    }
  }

  private frame(bytes: Buffer, at: number): void {
    const type = bytes[at]!
    const stream = bytes.readUInt32BE(at + 1)
    const value = bytes.readUInt32BE(at + 5)
    if (type > LEAVE || (type === DATA && (value === 0 || value > STREAM_WINDOW))) {
      this.bad = true
      this.events.onBadFrame(type > LEAVE ? `a frame of type ${type}` : `a frame of ${value} bytes`)
      return
    }
    if (type === DATA) this.left = value
    this.events.onFrame(type, stream, value)
  }
}

/** Frames on their way out, written together: a record and a system call for many. */
export class FrameQueue {
  /** Bytes that are waiting. */
  bytes = 0
  private readonly types: number[] = []
  private readonly streams: number[] = []
  private readonly values: number[] = []
  private readonly payloads: (string | Buffer)[] = []

  add(type: number, stream: number, value: number, payload: string | Buffer = ''): void {
    this.types.push(type)
    this.streams.push(stream)
    this.values.push(value)
    this.payloads.push(payload)
    this.bytes += HEADER_BYTES + payload.length
  }

  /** Everything as one buffer. Strings are latin1. */
  take(): Buffer {
    const out = Buffer.allocUnsafe(this.bytes)
    let at = 0
    for (let i = 0; i < this.types.length; i++) {
      const payload = this.payloads[i]!
      out[at] = this.types[i]!
      out.writeUInt32BE(this.streams[i]!, at + 1)
      out.writeUInt32BE(this.values[i]!, at + 5)
      at += HEADER_BYTES
      if (typeof payload === 'string') at += out.write(payload, at, 'latin1')
      else at += payload.copy(out, at)
    }
    this.types.length = 0
    this.streams.length = 0
    this.values.length = 0
    this.payloads.length = 0
    this.bytes = 0
    return out
  }
}
