// Framed messages on a byte stream that is split at any position.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { frame, frameReader } from '../../../../cluster/gossip/frames.ts'

const messages = ['', 'a', 'bc'.repeat(100), '\u{1f986}'].map(text => Buffer.from(text))
const whole = Buffer.concat(messages.map(message => frame(message)))

test('frames are read back wherever the bytes are split', () => {
  for (const size of [1, 2, 3, 5, 7, 64, whole.length]) {
    const reader = frameReader(1000)
    const found: Uint8Array[] = []
    for (let at = 0; at < whole.length; at += size) found.push(...reader.push(whole.subarray(at, at + size)))
    assert.equal(
      found.map(each => Buffer.from(each)),
      messages,
    )
  }
})

test('a length beyond the limit is refused before any payload arrives', () => {
  const reader = frameReader(10)
  assert.is(reader.push(frame(Buffer.alloc(10))).length, 1)
  assert.throws(() => reader.push(Buffer.from([0, 0, 0, 11])), /a message of 11 bytes; at most 10/)
  assert.throws(() => frameReader(10).push(Buffer.from([255, 255, 255, 255])), /4294967295/)
})

test('frames do not share memory with their input', () => {
  const bytes = Buffer.from(frame(Buffer.from('abc')))
  const [first] = frameReader(10).push(bytes)
  bytes.fill(0)
  assert.is(Buffer.from(first!).toString(), 'abc')
})

test.run()
