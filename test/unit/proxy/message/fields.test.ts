// The fields of a message: filling by pairs, finding and dropping, identification by name.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  AUTHENTICATION,
  CONNECTION,
  CONNECTION_AUTHENTICATION,
  CONTENT_LENGTH,
  COOKIE,
  EXPECT,
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
  REAL_IP,
  TRANSFER_ENCODING,
  UPGRADE,
} from '../../../../src/proxy/message/fields.ts'

function fieldsOf(...pairs: readonly (readonly [string, string])[]): Fields {
  const fields = new Fields(2)
  for (const [name, value] of pairs) fields.add(name, value)
  return fields
}

test('fields that are added as pairs can be read back, beyond the initial capacity', () => {
  const fields = fieldsOf(['a', '1'], ['Bc', ''], ['d', '22'], ['e', ' f '])
  assert.equal(
    Array.from({ length: fields.count }, (_, i) => [fields.name(i), fields.value(i)]),
    [
      ['a', '1'],
      ['Bc', ''],
      ['d', '22'],
      ['e', ' f '],
    ],
  )
  fields.clear()
  fields.add('x', 'y')
  assert.equal([fields.count, fields.name(0), fields.value(0), fields.find('a')], [1, 'x', 'y', -1])
})

test('find ignores case and starts at an index; dropped fields count as absent', () => {
  const fields = fieldsOf(['a', '1'], ['B', '2'], ['A', '3'], ['aa', '4'])
  assert.is(fields.find('a'), 0)
  assert.is(fields.find('a', 1), 2)
  assert.is(fields.find('a', 3), -1)
  assert.is(fields.find('b'), 1)
  fields.drop('a')
  assert.is(fields.find('a'), -1)
  assert.is(fields.find('aa'), 3)
})

test('names are identified in any case', () => {
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
