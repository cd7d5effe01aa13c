import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeFrame, encodeFrame } from '../../../src/demo/websocket.ts'

/** A masked frame, as clients send. */
function masked(opcode: number, text: string, first = 0x80 | opcode): Buffer {
  const mask = Buffer.from([7, 0, 255, 9])
  const body = Buffer.from(text).map((byte, i) => byte ^ (mask[i % 4] ?? 0))
  const size = body.length < 126 ? [0x80 | body.length] : [0x80 | 126, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([first, ...size]), mask, body])
}

test('masked frames, short and long: decoded', () => {
  for (const text of ['', 'honk', 'x'.repeat(125), 'y'.repeat(126), 'z'.repeat(65_535)]) {
    const frame = decodeFrame(Buffer.concat([masked(1, text), Buffer.from('rest')]))
    if (frame === null || frame === 'refused') return assert.unreachable(`length ${text.length}`)
    assert.is(frame.opcode, 1)
    assert.is(frame.payload.toString(), text)
    assert.is(frame.length, masked(1, text).length)
  }
})

test('an incomplete frame: null until it is complete', () => {
  const whole = masked(1, 'a line of some length')
  for (let length = 0; length < whole.length; length++) assert.is(decodeFrame(whole.subarray(0, length)), null)
})

test('unmasked, fragmented, reserved and huge frames: refused', () => {
  assert.is(decodeFrame(encodeFrame(1, Buffer.from('unmasked'))), 'refused')
  assert.is(decodeFrame(masked(1, 'fragment', 0x01)), 'refused')
  assert.is(decodeFrame(masked(1, 'reserved bit', 0xc1)), 'refused')
  assert.is(decodeFrame(Buffer.from([0x81, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0])), 'refused')
})

test.run()
