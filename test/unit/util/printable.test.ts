import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { escaped, printable } from '../../../src/util/printable.ts'

test('terminal controls, line ends and direction marks become ?', () => {
  assert.is(printable('a\n\r\t\u001b[2J\u007f\u009b\u2028\u202e\u2066\u200fb'), 'a????[2J??????b'.replace('????[', '????['))
  assert.is(printable('täst 鵞 "x"'), 'täst 鵞 "x"')
})

test('escaped() loses nothing within JSON', () => {
  const value = 'a\u0085\u009b\u202e\u2028b'
  const line = escaped(JSON.stringify({ value }))
  assert.match(line, /^[\x20-\x7e]+$/)
  assert.is(JSON.parse(line).value, value)
})

test.run()
