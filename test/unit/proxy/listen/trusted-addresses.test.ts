// Trusted addresses: ranges of both families, mapped addresses, malformed ranges, and the bounded cache.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isCidr } from '../../../../src/options/kinds.ts'
import { canonicalAddress, compileTrusted } from '../../../../src/proxy/listen/trusted-addresses.ts'

test('ranges and single addresses of both families', () => {
  const trusted = compileTrusted(['10.0.0.0/8', '192.168.1.7', 'fd00::/8', '2001:db8::1'], false)
  for (const address of ['10.0.0.0', '10.255.255.255', '192.168.1.7', 'fd12::1', '2001:db8::1', '2001:0db8:0::0001']) {
    assert.ok(trusted(address), address)
  }
  for (const address of ['11.0.0.0', '9.255.255.255', '192.168.1.8', 'fe80::1', '2001:db8::2', '::1', '127.0.0.1']) {
    assert.not(trusted(address), address)
  }
})

test('mapped addresses count as the IPv4 addresses they contain, on both sides', () => {
  assert.ok(compileTrusted(['10.0.0.0/8'], false)('::ffff:10.1.2.3'))
  assert.ok(compileTrusted(['10.0.0.0/8'], false)('::ffff:a01:203'))
  assert.ok(compileTrusted(['::ffff:10.0.0.0/104'], false)('10.1.2.3'))
  assert.not(compileTrusted(['::ffff:10.0.0.0/104'], false)('11.1.2.3'))
})

test('a zone is not part of the address', () => {
  assert.ok(compileTrusted(['fe80::/10'], false)('fe80::1%eth0'))
})

test('an empty list, all addresses, and the ends of ranges', () => {
  assert.not(compileTrusted([], false)('127.0.0.1'))
  assert.ok(compileTrusted([], true)('8.8.8.8'))
  const all = compileTrusted(['0.0.0.0/0'], false)
  assert.ok(all('8.8.8.8'))
  assert.not(all('::1'))
  const ipv6 = compileTrusted(['::/0'], false)
  assert.ok(ipv6('::1'))
  assert.not(ipv6('10.0.0.1'))
  assert.not(ipv6('::ffff:10.0.0.1'))
  assert.not(compileTrusted(['::/8'], false)('10.0.0.1'))
})

test('a malformed address is not trusted', () => {
  const trusted = compileTrusted(['0.0.0.0/0', '::/0'], false)
  for (const text of ['', 'localhost', '10.0.0', '10.0.0.256', '10.0.0.1:80', '0x0a.1.1.1', '010.0.0.1', '[::1]'])
    assert.not(trusted(text), text)
})

test('malformed ranges are refused among the options, and match nothing otherwise', () => {
  for (const text of [
    '',
    'lan',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/08',
    '10/8',
    '::/129',
    'fe80::%e0/10',
    'fe80::1%e0',
    '10.0.0.0/8 ',
  ]) {
    assert.not(isCidr(text), text)
    assert.not(compileTrusted([text], false)('10.0.0.1'))
  }
  for (const text of ['10.0.0.0/8', '10.1.2.3/8', '127.0.0.1', '::1', '::/0', '::ffff:10.0.0.0/104', '0.0.0.0/0'])
    assert.ok(isCidr(text) && compileTrusted([text], false)(text.replace(/\/.*/, '')), text)
})

test('results stay correct while the cache turns over', () => {
  const trusted = compileTrusted(['10.0.0.0/16'], false)
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 20_000; i++) assert.is(trusted(`10.${i % 3}.${(i >> 8) & 255}.${i & 255}`), i % 3 === 0)
  }
})

test('canonical form', () => {
  assert.is(canonicalAddress('::ffff:1.2.3.4'), '1.2.3.4')
  assert.is(canonicalAddress('2001:DB8:0:0:0:0:0:1'), '2001:db8::1')
  assert.is(canonicalAddress('fe80::1%eth0'), 'fe80::1')
  assert.is(canonicalAddress('nonsense'), null)
})

test.run()
