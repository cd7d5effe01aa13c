// One of many byte streams within a connection between replicas: what a socket is to HTTP/1.1, without a handshake or a system
// call of its own. Both directions end apart; what one side does not take stays with the other (STREAM_WINDOW).

import { EventEmitter } from 'node:events'
import type { ByteStream } from '../byte-stream.ts'
import { DATA, FIN, RESET, STREAM_WINDOW, WINDOW } from './frames.ts'

/** What was taken is told to the other side in portions of this. */
const GRANT_BYTES = STREAM_WINDOW / 4

/** What a stream asks of its connection. */
export interface MuxStreamHost {
  /** More waits to be written than is good. */
  readonly congested: boolean
  send(type: number, stream: number, value: number, payload?: string | Buffer): void
  /** `writable` is to be called when it is no longer congested. */
  awaitRoom(stream: MuxStream): void
  /** Both directions are over. */
  forget(stream: MuxStream): void
}

export class MuxStream extends EventEmitter implements ByteStream {
  readonly id: number
  readableEnded = false
  writableNeedDrain = false
  private readonly mux: MuxStreamHost
  /** Bytes that the other side takes yet. */
  private credit = STREAM_WINDOW
  private pending: (string | Buffer)[] = []
  private pendingBytes = 0
  /** Bytes given to our side since the other was told last, and those that it holds back. */
  private taken = 0
  private readonly held: Buffer[] = []
  private heldBytes = 0
  private paused = false
  private resuming = false
  /** Our FIN: wanted, written; the other side's: received, passed on. */
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

  // ---- what HTTP does with it ----

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
    if (this.mux.congested) this.mux.awaitRoom(this)
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
    process.nextTick(goOn, this)
  }

  cork(): void {}

  uncork(): void {}

  // ---- what the connection does with it ----

  /** @returns false when more came than was allowed */
  receive(bytes: Buffer): boolean {
    if (this.gone) return true
    if (this.endReceived) return false
    if (this.paused || this.resuming) {
      this.held.push(bytes)
      this.heldBytes += bytes.length
      return this.heldBytes + this.taken <= STREAM_WINDOW
    }
    this.give(bytes)
    return true
  }

  receiveEnd(): void {
    if (this.endReceived || this.gone) return
    this.endReceived = true
    if (!this.paused && !this.resuming) this.giveEnd()
  }

  /** The other side takes more. */
  grant(bytes: number): void {
    this.credit = Math.min(STREAM_WINDOW, this.credit + bytes)
    this.pump()
    this.sendEnd()
    this.drained()
  }

  /** The connection takes more. */
  roomAgain(): void {
    this.drained()
  }

  /** It breaks, by a RESET or with its connection. */
  break(code: string): void {
    if (this.gone) return
    this.finish()
    if (this.listenerCount('error') > 0) this.emit('error', Object.assign(new Error(code), { code }))
  }

  /** Gives what was held back; to be called a turn after resume(), as of a socket. */
  goOn(): void {
    this.resuming = false
    while (!this.paused && !this.gone) {
      const bytes = this.held.shift()
      if (bytes === undefined) break
      this.heldBytes -= bytes.length
      this.give(bytes)
    }
    if (this.endReceived && !this.paused && this.held.length === 0) this.giveEnd()
  }

  private give(bytes: Buffer): void {
    this.taken += bytes.length
    if (this.taken >= GRANT_BYTES && !this.endReceived) {
      this.mux.send(WINDOW, this.id, this.taken)
      this.taken = 0
    }
    this.emit('data', bytes)
  }

  private giveEnd(): void {
    if (this.readableEnded || this.gone) return
    this.readableEnded = true
    this.emit('end')
    this.finishIfOver()
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

  private drained(): void {
    if (!this.writableNeedDrain || this.pendingBytes > 0 || this.gone) return
    if (this.mux.congested) {
      this.mux.awaitRoom(this)
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
    this.finishIfOver()
  }

  private finishIfOver(): void {
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

function goOn(stream: MuxStream): void {
  stream.goOn()
}

function closed(stream: MuxStream): void {
  stream.emit('close')
}
