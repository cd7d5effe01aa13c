// Character classes: all 256 bytes, against the grammar written as regular expressions.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { equalsIgnoreCase, FIELD_VALUE, HEX, HOST_NAME, IPV6, TARGET, TOKEN } from '../../../../src/proxy/message/chars.ts'

const same = (name: string, table: Uint8Array, pattern: RegExp) => {
  test(name, () => {
    for (let code = 0; code < 256; code++) {
      assert.is(table[code] === 1, pattern.test(String.fromCharCode(code)), `${name}: ${code}`)
    }
  })
}

same('tchar', TOKEN, /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/)
same('field value', FIELD_VALUE, /^[\t\x20-\x7e\x80-\xff]$/)
same('request target', TARGET, /^[!"$-~]$/)
same('host name', HOST_NAME, /^[A-Za-z0-9._~-]$/)
same('IPv6 literal', IPV6, /^[0-9a-fA-F:.]$/)

test('hexadecimal digits', () => {
  for (let code = 0; code < 256; code++) {
    const c = String.fromCharCode(code)
    assert.is(HEX[code], /^[0-9a-fA-F]$/.test(c) ? Number.parseInt(c, 16) : 255)
  }
})

test('positions past the end of a string are in no class', () => {
  for (const table of [TOKEN, FIELD_VALUE, TARGET, HOST_NAME, IPV6]) assert.not(table['x'.charCodeAt(1)])
})

test('only ASCII case is ignored', () => {
  assert.ok(equalsIgnoreCase('a: ChunKED', 3, 'chunked'))
  assert.not(equalsIgnoreCase('chunke', 0, 'chunked'))
  assert.not(equalsIgnoreCase('chun\x4bed'.replace('K', '\u212a'), 0, 'chunked'), 'the Kelvin sign is not a k')
  assert.not(equalsIgnoreCase('x@y', 0, 'x`y'), 'only letters differ in bit 5')
  assert.not(equalsIgnoreCase('x[y', 0, 'x{y'))
})

test.run()
