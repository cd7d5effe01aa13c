// Frames as they go over a connection between replicas: written and read back, cut anywhere; and what is none.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DATA, FIN, FrameQueue, FrameReader, PING, RESET, STREAM_WINDOW, WINDOW } from '../../../../src/proxy/relay/frames.ts'

type Seen = readonly ['frame', number, number, number] | readonly ['bytes', string] | readonly ['bad', string]

/** What a reader makes of bytes that come in pieces of `size`; payloads that follow each other are joined. */
function readAll(bytes: Buffer, size: number): Seen[] {
  const seen: Seen[] = []
  const reader = new FrameReader({
    onFrame: (type, stream, value) => void seen.push(['frame', type, stream, value]),
    onPayload(payload) {
      const last = seen.at(-1)
      if (last?.[0] === 'bytes') seen[seen.length - 1] = ['bytes', last[1] + payload.toString('latin1')]
      else seen.push(['bytes', payload.toString('latin1')])
    },
    onBadFrame: why => void seen.push(['bad', why]),
  })
  for (let at = 0; at < bytes.length; at += size) reader.read(bytes.subarray(at, at + size))
  return seen
}

test('frames are read as written, at any chunk boundaries', () => {
  const queue = new FrameQueue()
  queue.add(DATA, 1, 5, 'hell\xf6')
  queue.add(WINDOW, 4_294_967_295, 65_536)
  queue.add(DATA, 2, 3, Buffer.from([0, 255, 10]))
  queue.add(FIN, 1, 0)
  queue.add(PING, 0, 0)
  assert.is(queue.bytes, 5 * 9 + 8)
  const bytes = queue.take()
  assert.is(queue.bytes, 0)
  const expected: Seen[] = [
    ['frame', DATA, 1, 5],
    ['bytes', 'hell\xf6'],
    ['frame', WINDOW, 4_294_967_295, 65_536],
    ['frame', DATA, 2, 3],
    ['bytes', '\x00\xff\n'],
    ['frame', FIN, 1, 0],
    ['frame', PING, 0, 0],
  ]
  for (let size = 1; size <= bytes.length; size++) assert.equal(readAll(bytes, size), expected, `pieces of ${size}`)
})

test('an unknown type and DATA of invalid size end reading', () => {
  for (const [type, value] of [
    [7, 0],
    [255, 1],
    [DATA, 0],
    [DATA, STREAM_WINDOW + 1],
  ] as const) {
    const queue = new FrameQueue()
    queue.add(RESET, 1, 0)
    queue.add(type, 1, value)
    queue.add(RESET, 2, 0)
    const seen = readAll(queue.take(), 7)
    assert.equal(
      seen.map(([kind]) => kind),
      ['frame', 'bad'],
    )
  }
})

test.run()
