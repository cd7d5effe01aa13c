// Splitting of chunks into lines, and the limit of their length.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { lineSplitter } from '../../../../src/providers/docker-api/lines.ts'

test('lines are the same wherever the chunks are split', () => {
  const text = Buffer.from('{"a":1}\n{"b":"ü"}\r\n\n{"c":3}\nrest')
  for (let size = 1; size <= text.length; size++) {
    const lines: string[] = []
    const feed = lineSplitter(100, line => lines.push(line))
    for (let from = 0; from < text.length; from += size) feed(text.subarray(from, from + size))
    assert.equal(lines, ['{"a":1}', '{"b":"ü"}', '{"c":3}'])
  }
})

test('a line above the limit is dropped, the next one is read', () => {
  const lines: string[] = []
  const feed = lineSplitter(8, line => lines.push(line))
  for (const part of ['12345', '6789', 'x\nab', 'c\n12345678\n123456789\nz\n']) feed(Buffer.from(part))
  assert.equal(lines, ['abc', '12345678', 'z'])
})

test.run()
