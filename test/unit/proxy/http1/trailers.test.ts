// Trailer sections as field lists: values without the white space around them, and the received lines.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseTrailers } from '../../../../src/proxy/http1/trailers.ts'
import { NO_FIELDS } from '../../../../src/proxy/message/field-list.ts'

test('names and values without white space around them; the lines are kept', () => {
  const lines = 'X-Sum: \t 1 \t2\t \r\nEmpty:\r\nBlank: \t \r\nUrl:http://h:1\r\n'
  const list = parseTrailers(lines)
  assert.equal(list.pairs, ['X-Sum', '1 \t2', 'Empty', '', 'Blank', '', 'Url', 'http://h:1'])
  assert.is(list.http1Lines, lines)
  assert.is(parseTrailers(''), NO_FIELDS)
})

test('blanks within a value are read in linear time', () => {
  const value = `a${' '.repeat(64_000)}b`
  const start = performance.now()
  assert.equal(parseTrailers(`X: ${value}\r\n`).pairs, ['X', value])
  // A search for blanks at the end that starts anew at each blank takes seconds.
  const ms = performance.now() - start
  assert.ok(ms < 500, `${ms} ms`)
})

test.run()
