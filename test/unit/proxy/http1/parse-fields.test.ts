// Parsing of field sections: positions, order, limits, refusals.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MALFORMED_FIELDS, parseFields, TOO_MANY_FIELDS } from '../../../../src/proxy/http1/parse-fields.ts'
import { Fields } from '../../../../src/proxy/message/fields.ts'

function read(text: string, most = 100): Fields | number {
  const fields = new Fields(2)
  fields.text = text
  const count = parseFields(fields, 0, most)
  return count < 0 ? count : fields
}

const pairs = (fields: Fields | number) =>
  typeof fields === 'number' ? fields : Array.from({ length: fields.count }, (_, i) => [fields.name(i), fields.value(i)])

test('names and values: only SP and HTAB are trimmed', () => {
  assert.equal(pairs(read('A: b\r\nc-D:e \t\r\nF:\r\nG: \t \r\nH: \xa0i\x85\r\n\r\n')), [
    ['A', 'b'],
    ['c-D', 'e'],
    ['F', ''],
    ['G', ''],
    ['H', '\xa0i\x85'],
  ])
  assert.equal(pairs(read('\r\n')), [])
})

test('more fields than the initial capacity: the capacity grows', () => {
  const text = Array.from({ length: 50 }, (_, i) => `X${i}: ${i}\r\n`).join('')
  const fields = read(`${text}\r\n`) as Fields
  assert.is(fields.count, 50)
  assert.is(fields.name(49), 'X49')
  assert.is(fields.value(49), '49')
})

test('the maximum number of fields passes, one more does not', () => {
  assert.is((read('A: 1\r\nB: 2\r\n\r\n', 2) as Fields).count, 2)
  assert.is(read('A: 1\r\nB: 2\r\nC: 3\r\n\r\n', 2), TOO_MANY_FIELDS)
})

test('malformed sections are refused', () => {
  for (const text of [
    '',
    '\r',
    '\n',
    'A: b\r\n',
    'A: b\n\r\n',
    'A: b\r\n\n',
    'A: b\r\r\n\r\n',
    'A b\r\n\r\n',
    'A : b\r\n\r\n',
    ' A: b\r\n\r\n',
    'A: b\r\n c\r\n\r\n',
    ': b\r\n\r\n',
    'A: \0\r\n\r\n',
    'A: b\r\n\r\nC: d\r\n\r\n',
    'A\xe9: b\r\n\r\n',
  ]) {
    assert.is(read(text), MALFORMED_FIELDS, JSON.stringify(text))
  }
})

test.run()
