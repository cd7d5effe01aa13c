// One byte stream of a mux (mux.ts): a ByteStream for HTTP/1.1 without a handshake or a system call of its own. The two directions
// end independently. Flow control is per stream: each side sends at most STREAM_WINDOW bytes that the other has not consumed.

import { EventEmitter } from 'node:events'
import type { ByteStream } from '../byte-stream.ts'
import { DATA, FIN, RESET, STREAM_WINDOW, WINDOW } from './frames.ts'

/** Consumed bytes after which a WINDOW frame is sent. */
const GRANT_BYTES = STREAM_WINDOW / 4

/** The connection, as its streams use it. */
export interface MuxStreamHost {
  /** The write buffer is above its limit: streams wait. */
  readonly congested: boolean
  send(type: number, stream: number, value: number, payload?: string | Buffer): void
  /** Calls `connectionDrained` of the stream once the connection is no longer congested. */
  awaitDrain(stream: MuxStream): void
  /** Removes a stream whose two directions have ended. */
  forget(stream: MuxStream): void
}

export class MuxStream extends EventEmitter implements ByteStream {
  readonly id: number
  readableEnded = false
  writableNeedDrain = false
  private readonly mux: MuxStreamHost
  /** Bytes that may still be sent (send window). */
  private credit = STREAM_WINDOW
  private pending: (string | Buffer)[] = []
  private pendingBytes = 0
  /** Bytes consumed since the last WINDOW frame, and bytes received while reading is paused. */
  private consumed = 0
  private readonly held: Buffer[] = []
  private heldBytes = 0
  private paused = false
  private resuming = false
  /** end() was called; FIN was sent; FIN was received. */
  private ending = false
  private endSent = false
  private endReceived = false
  private gone = false

  constructor(id: number, mux: MuxStreamHost) {
    super()
    this.id = id
    this.mux = mux
  }

  get writable(): boolean {
    return !this.ending && !this.gone
  }

  get writableLength(): number {
    return this.pendingBytes
  }

  // ---- ByteStream ----

  write(data: string | Buffer): boolean {
    if (!this.writable || data.length === 0) return true
    if (this.pendingBytes === 0 && data.length <= this.credit) {
      this.credit -= data.length
      this.mux.send(DATA, this.id, data.length, data)
    } else {
      this.pending.push(data)
      this.pendingBytes += data.length
      this.pump()
    }
    if (this.pendingBytes === 0 && !this.mux.congested) return true
    this.writableNeedDrain = true
    if (this.mux.congested) this.mux.awaitDrain(this)
    return false
  }

  end(): void {
    if (!this.writable) return
    this.ending = true
    this.sendEnd()
  }

  destroy(): void {
    if (this.gone) return
    this.mux.send(RESET, this.id, 0)
    this.finish()
  }

  resetAndDestroy(): void {
    this.destroy()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    if (this.resuming) return
    this.resuming = true
    process.nextTick(emitHeld, this)
  }

  cork(): void {}

  uncork(): void {}

  // ---- called by the mux ----

  /** Payload from the peer. @returns false if the peer exceeded the window */
  receive(bytes: Buffer): boolean {
    if (this.gone) return true
    if (this.endReceived) return false
    if (this.paused || this.resuming) {
      this.held.push(bytes)
      this.heldBytes += bytes.length
      return this.heldBytes + this.consumed <= STREAM_WINDOW
    }
    this.emitData(bytes)
    return true
  }

  receiveEnd(): void {
    if (this.endReceived || this.gone) return
    this.endReceived = true
    if (!this.paused && !this.resuming) this.emitEnd()
  }

  /** A WINDOW frame: `bytes` more may be sent. */
  grant(bytes: number): void {
    this.credit = Math.min(STREAM_WINDOW, this.credit + bytes)
    this.pump()
    this.sendEnd()
    this.emitDrain()
  }

  /** The connection is no longer congested. */
  connectionDrained(): void {
    this.emitDrain()
  }

  /** Ends with an error: a RESET frame, or the loss of the connection. */
  fail(code: string): void {
    if (this.gone) return
    this.finish()
    if (this.listenerCount('error') > 0) this.emit('error', Object.assign(new Error(code), { code }))
  }

  /** Emits the bytes received during a pause. Runs one turn after resume(), as net.Socket does. */
  emitHeld(): void {
    this.resuming = false
    while (!this.paused && !this.gone) {
      const bytes = this.held.shift()
      if (bytes === undefined) break
      this.heldBytes -= bytes.length
      this.emitData(bytes)
    }
    if (this.endReceived && !this.paused && this.held.length === 0) this.emitEnd()
  }

  private emitData(bytes: Buffer): void {
    this.consumed += bytes.length
    if (this.consumed >= GRANT_BYTES && !this.endReceived) {
      this.mux.send(WINDOW, this.id, this.consumed)
      this.consumed = 0
    }
    this.emit('data', bytes)
  }

  private emitEnd(): void {
    if (this.readableEnded || this.gone) return
    this.readableEnded = true
    this.emit('end')
    this.finishIfEnded()
  }

  private pump(): void {
    while (this.pendingBytes > 0 && this.credit > 0 && !this.gone) {
      let first = this.pending[0]!
      if (first.length <= this.credit) this.pending.shift()
      else {
        const whole = typeof first === 'string' ? Buffer.from(first, 'latin1') : first
        this.pending[0] = whole.subarray(this.credit)
        first = whole.subarray(0, this.credit)
      }
      this.credit -= first.length
      this.pendingBytes -= first.length
      this.mux.send(DATA, this.id, first.length, first)
    }
  }

  private emitDrain(): void {
    if (!this.writableNeedDrain || this.pendingBytes > 0 || this.gone) return
    if (this.mux.congested) {
      this.mux.awaitDrain(this)
      return
    }
    this.writableNeedDrain = false
    this.emit('drain')
  }

  private sendEnd(): void {
    if (!this.ending || this.endSent || this.pendingBytes > 0 || this.gone) return
    this.endSent = true
    this.mux.send(FIN, this.id, 0)
    this.emit('finish')
    this.finishIfEnded()
  }

  private finishIfEnded(): void {
    if (this.endSent && this.readableEnded) this.finish()
  }

  private finish(): void {
    if (this.gone) return
    this.gone = true
    this.pending = []
    this.pendingBytes = 0
    this.held.length = 0
    this.mux.forget(this)
    process.nextTick(closed, this)
  }
}

function emitHeld(stream: MuxStream): void {
  stream.emitHeld()
}

function closed(stream: MuxStream): void {
  stream.emit('close')
}
