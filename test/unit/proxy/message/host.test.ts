// Syntax of hosts with a port.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isValidHost } from '../../../../src/proxy/message/host.ts'

test('hosts that are valid, and hosts that are refused', () => {
  const valid = ['h', 'h:', '[::1]:', 'a.b', 'A-b_c~d', 'h:0', 'h:65535', '1.2.3.4:80', '[::1]', '[::ffff:1.2.3.4]:80', 'a.']
  const invalid = [
    '',
    ':80',
    ':',
    'h::',
    'h:65536',
    'h:8x',
    'h:80:80',
    '[::1',
    '::1',
    '[]',
    '[:]',
    '[::1]x',
    '[g::]',
    'a b',
    'a,b',
    'a/b',
    'a@b',
    'a%41',
    'a\xe9',
  ]
  for (const host of valid) assert.ok(isValidHost(host, 0, host.length), host)
  for (const host of invalid) assert.not(isValidHost(host, 0, host.length), host)
  assert.ok(isValidHost('x h:80 y', 2, 6), 'within a longer text')
  assert.not(isValidHost('a'.repeat(256), 0, 256))
})

test.run()
