// A socket without a network, and `connect` for it. main.ts replaces node:net by this file for Skein's upstream connections, so that
// the production code is driven byte by byte.

import { EventEmitter } from 'node:events'

export { isIP, Socket } from 'node:net'

export class FakeSocket extends EventEmitter {
  destroyed = false
  readonly writableNeedDrain = false
  readonly writableLength = 0
  readonly writable = true

  write(): boolean {
    return true
  }

  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  end(): void {}
  setKeepAlive(): void {}

  destroy(): void {
    this.destroyed = true
  }

  resetAndDestroy(): void {
    this.destroyed = true
  }
}

export function connect(): FakeSocket {
  return new FakeSocket()
}
