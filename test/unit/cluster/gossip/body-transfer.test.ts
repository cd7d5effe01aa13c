// Transfer of bodies: how many one peer may pull at once.

import type { Stream } from '@libp2p/interface'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bodyServer } from '../../../../cluster/gossip/body-transfer.ts'

const BUSY = 3

/** A stream whose request never arrives. */
class SilentStream extends EventTarget {
  readonly sent: Uint8Array[] = []

  send(data: Uint8Array): boolean {
    this.sent.push(data)
    return true
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  abort(): void {
    this.dispatchEvent(new Event('close'))
  }
}

test('a peer may pull configuration, shared state and secret state at once, and no more', () => {
  const server = bodyServer(() => null)
  const streams = Array.from({ length: 4 }, () => new SilentStream())
  for (const stream of streams) void server.serve('peer', stream as unknown as Stream)
  assert.equal(
    streams.map(({ sent }) => sent[0]?.[0] ?? null),
    [null, null, null, BUSY],
  )
  for (const stream of streams) stream.abort()
})

test.run()
