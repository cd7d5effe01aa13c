import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Malformed, Reader, Writer } from '../../../../cluster/store/bytes.ts'

const NUMBERS = [0, 1, 127, 128, 300, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 41, 2 ** 48, Number.MAX_SAFE_INTEGER]

test('values round-trip', () => {
  const out = new Writer(1)
  for (const n of NUMBERS) out.varint(n)
  for (const n of [0, -1, 1, -64, 2 ** 40, -(2 ** 40)]) out.signed(n)
  for (const n of [0, 1, 2 ** 32 - 1]) out.uint32(n)
  for (const text of ['', 'abc', 'ä€😀', 'x'.repeat(5000)]) out.text(text)
  const reader = new Reader(out.done())
  assert.equal(
    NUMBERS.map(() => reader.varint()),
    NUMBERS,
  )
  assert.equal(
    [1, 2, 3, 4, 5, 6].map(() => reader.signed()),
    [0, -1, 1, -64, 2 ** 40, -(2 ** 40)],
  )
  assert.equal(
    [1, 2, 3].map(() => reader.uint32()),
    [0, 1, 2 ** 32 - 1],
  )
  assert.equal(
    [1, 2, 3, 4].map(() => reader.text(0, 5000)),
    ['', 'abc', 'ä€😀', 'x'.repeat(5000)],
  )
  reader.end()
})

test('invalid input is malformed', () => {
  const fails = (bytes: number[], read: (reader: Reader) => unknown): void =>
    assert.throws(
      () => read(new Reader(Uint8Array.from(bytes))),
      (error: unknown) => error instanceof Malformed,
    )
  fails([], reader => reader.byte())
  fails([0x80], reader => reader.varint())
  fails([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], reader => reader.varint())
  fails([200, 1], reader => reader.varint(199))
  fails([1, 2, 3], reader => reader.uint32())
  fails([5, 65], reader => reader.text(0, 100))
  fails([3, 65, 65, 65], reader => reader.text(0, 2))
  fails([0], reader => reader.text(1, 2))
  fails([0xff, 0xff, 0xff, 0x7f], reader => reader.text(0, 100))
  fails([1], reader => reader.bytes(2))
  fails([1], reader => reader.end())
})

test.run()
