// The field section: positions, order, what is refused, what is identified.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  AUTHENTICATION,
  CONNECTION,
  CONNECTION_AUTHENTICATION,
  CONTENT_LENGTH,
  COOKIE,
  EXPECT,
  FIELDS_BAD,
  FIELDS_TOO_MANY,
  Fields,
  FORWARDED_FOR,
  FORWARDED_HOST,
  FORWARDED_OTHER,
  FORWARDED_PORT,
  FORWARDED_PROTO,
  HOP_BY_HOP,
  HOST,
  identify,
  OTHER,
  PROXY_AUTHENTICATION,
  parseFields,
  REAL_IP,
  TRANSFER_ENCODING,
  UPGRADE,
} from '../../../../src/proxy/http1/fields.ts'

function read(text: string, most = 100): Fields | number {
  const fields = new Fields(2)
  fields.text = text
  const count = parseFields(fields, 0, most)
  return count < 0 ? count : fields
}

const pairs = (fields: Fields | number) =>
  typeof fields === 'number' ? fields : Array.from({ length: fields.count }, (_, i) => [fields.name(i), fields.value(i)])

test('names and values, trimmed of blanks only', () => {
  assert.equal(pairs(read('A: b\r\nc-D:e \t\r\nF:\r\nG: \t \r\nH: \xa0i\x85\r\n\r\n')), [
    ['A', 'b'],
    ['c-D', 'e'],
    ['F', ''],
    ['G', ''],
    ['H', '\xa0i\x85'],
  ])
  assert.equal(pairs(read('\r\n')), [])
})

test('more fields than room at first: the room grows', () => {
  const text = Array.from({ length: 50 }, (_, i) => `X${i}: ${i}\r\n`).join('')
  const fields = read(`${text}\r\n`) as Fields
  assert.is(fields.count, 50)
  assert.is(fields.name(49), 'X49')
  assert.is(fields.value(49), '49')
})

test('exactly as many as allowed pass, one more does not', () => {
  assert.is((read('A: 1\r\nB: 2\r\n\r\n', 2) as Fields).count, 2)
  assert.is(read('A: 1\r\nB: 2\r\nC: 3\r\n\r\n', 2), FIELDS_TOO_MANY)
})

test('what is malformed', () => {
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
    assert.is(read(text), FIELDS_BAD, JSON.stringify(text))
  }
})

test('find and drop: any case, from an index on, dropped ones are absent', () => {
  const fields = read('a: 1\r\nB: 2\r\nA: 3\r\naa: 4\r\n\r\n') as Fields
  assert.is(fields.find('a'), 0)
  assert.is(fields.find('a', 1), 2)
  assert.is(fields.find('a', 3), -1)
  assert.is(fields.find('b'), 1)
  fields.drop('a')
  assert.is(fields.find('a'), -1)
  assert.is(fields.find('aa'), 3)
})

test('identities, whatever the case', () => {
  const table: readonly (readonly [string, number])[] = [
    ['host', HOST],
    ['content-length', CONTENT_LENGTH],
    ['transfer-encoding', TRANSFER_ENCODING],
    ['connection', CONNECTION],
    ['expect', EXPECT],
    ['upgrade', UPGRADE],
    ['cookie', COOKIE],
    ['te', HOP_BY_HOP],
    ['keep-alive', HOP_BY_HOP],
    ['proxy-connection', HOP_BY_HOP],
    ['proxy-authenticate', PROXY_AUTHENTICATION],
    ['proxy-authorization', PROXY_AUTHENTICATION],
    ['authorization', AUTHENTICATION],
    ['www-authenticate', AUTHENTICATION],
    ['persistent-auth', CONNECTION_AUTHENTICATION],
    ['proxy-support', CONNECTION_AUTHENTICATION],
    ['cache-control', OTHER],
    ['accept-language', OTHER],
    ['x-forwarded-for', FORWARDED_FOR],
    ['x-forwarded-proto', FORWARDED_PROTO],
    ['x-forwarded-host', FORWARDED_HOST],
    ['x-forwarded-port', FORWARDED_PORT],
    ['x-real-ip', REAL_IP],
    ['x_real_ip', FORWARDED_OTHER],
    ['x-real_ip', FORWARDED_OTHER],
    ['forwarded', FORWARDED_OTHER],
    ['x-forwarded-server', FORWARDED_OTHER],
    ['x-forwarded-prefix', FORWARDED_OTHER],
    ['x_forwarded_for', FORWARDED_OTHER],
    ['x-forwarded_proto', FORWARDED_OTHER],
    ['x_forwarded-host', FORWARDED_OTHER],
    ['x-forwarded', OTHER],
    ['content_length', OTHER],
    ['trailer', OTHER],
    ['hosts', OTHER],
    ['xhost', OTHER],
    ['accept', OTHER],
    ['', OTHER],
  ]
  for (const [name, id] of table) {
    assert.is(identify(name, 0, name.length), id, name)
    assert.is(identify(`: ${name.toUpperCase()}: x`, 2, name.length), id, name)
  }
})

test.run()
