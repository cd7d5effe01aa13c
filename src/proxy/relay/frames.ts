// Framing of the connection between two replicas, inside TLS: a reduced form of the frames of HTTP/2 or yamux. A frame is a header of
// nine bytes (type 1, stream 4, value 4; big endian), followed, for DATA, by `value` bytes. Pure: no socket, no clock.
//
//   DATA    bytes of a stream; the first frame with a number above all earlier ones opens the stream (connecting side only)
//   WINDOW  the receiver may send `value` more bytes on the stream
//   FIN     no more bytes follow on the stream
//   RESET   the stream is aborted
//   PING    is answered by PONG
//   LEAVE   the sender shuts down: no new streams

export const DATA = 0
export const WINDOW = 1
export const FIN = 2
export const RESET = 3
export const PING = 4
export const PONG = 5
export const LEAVE = 6

export const HEADER_BYTES = 9
/** Unacknowledged bytes per stream and direction. Bounds the memory of both sides. */
export const STREAM_WINDOW = 256 * 1024

export interface FrameEvents {
  /** A complete frame, or the header of a DATA frame, where `value` is at most STREAM_WINDOW. */
  onFrame(type: number, stream: number, value: number): void
  /** Bytes of the DATA frame whose header was reported last. */
  onPayload(bytes: Buffer): void
  /** A malformed frame. Reading stops; the connection must be closed. */
  onBadFrame(why: string): void
}

export class FrameReader {
  private readonly events: FrameEvents
  /** A header that arrived in several chunks. */
  private readonly header = Buffer.alloc(HEADER_BYTES)
  private headerBytes = 0
  /** Bytes of the current DATA frame that have not arrived. */
  private left = 0
  private bad = false

  constructor(events: FrameEvents) {
    this.events = events
  }

  /** Parses the next bytes, at any chunk boundaries. Ignores input after a malformed frame. */
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

/** Collects outgoing frames so that one write and one TLS record carry many of them. */
export class FrameQueue {
  /** Queued bytes, headers included. */
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

  /** Empties the queue into one buffer. Strings are written as latin1. */
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
