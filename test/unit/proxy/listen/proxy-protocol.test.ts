// The PROXY protocol: the examples of the specification, every split, malformed headers, garbage.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ProxyHeader, parseProxyHeader } from '../../../../src/proxy/listen/proxy-protocol.ts'
import { seeded } from '../balancing/servers.ts'

const SIGNATURE = '0d0a0d0a000d0a515549540a'

function v1(line: string): Buffer {
  return Buffer.from(line, 'latin1')
}

function v2(command: string, family: string, body: string): Buffer {
  const bytes = Buffer.from(body.replaceAll(' ', ''), 'hex')
  return Buffer.concat([Buffer.from(SIGNATURE + command + family + bytes.length.toString(16).padStart(4, '0'), 'hex'), bytes])
}

const V6 = '20010db8000000000000000000000001'
const GOOD: readonly (readonly [string, Buffer, string | null, string | null])[] = [
  ['v1 TCP4', v1('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n'), '192.168.0.1:56324', '192.168.0.11:443'],
  [
    'v1 TCP4 longest',
    v1('PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n'),
    '255.255.255.255:65535',
    '255.255.255.255:65535',
  ],
  ['v1 TCP6', v1('PROXY TCP6 2001:db8::1 ::1 1 65535\r\n'), '2001:db8::1:1', '::1:65535'],
  [
    'v1 TCP6 longest',
    v1(`PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`),
    `${'ffff:'.repeat(8)}65535`,
    `${'ffff:'.repeat(8)}65535`,
  ],
  ['v1 TCP6 mapped', v1('PROXY TCP6 ::ffff:1.2.3.4 ::1 0 1\r\n'), '1.2.3.4:0', '::1:1'],
  ['v1 UNKNOWN', v1('PROXY UNKNOWN\r\n'), null, null],
  ['v1 UNKNOWN longest', v1(`PROXY UNKNOWN ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`), null, null],
  ['v2 TCP4', v2('21', '11', 'c0a80001 c0a8000b dc04 01bb'), '192.168.0.1:56324', '192.168.0.11:443'],
  [
    'v2 TCP4 with TLVs',
    v2('21', '11', 'c0a80001 c0a8000b dc04 01bb 010002 6832 040000 ea0003 010203'),
    '192.168.0.1:56324',
    '192.168.0.11:443',
  ],
  ['v2 TCP6', v2('21', '21', `${V6}${V6}00500051`), '2001:db8::1:80', '2001:db8::1:81'],
  ['v2 TCP6 mapped', v2('21', '21', `00000000000000000000ffff01020304${V6}00500051`), '1.2.3.4:80', '2001:db8::1:81'],
  ['v2 UNIX', v2('21', '31', '2f'.repeat(216)), null, null],
  ['v2 UNSPEC', v2('21', '00', ''), null, null],
  ['v2 UNSPEC with anything', v2('21', '00', '0102030405'), null, null],
  ['v2 LOCAL', v2('20', '00', ''), null, null],
  ['v2 LOCAL with addresses', v2('20', '11', 'c0a80001 c0a8000b dc04 01bb'), null, null],
  ['v2 LOCAL with a family of its own', v2('20', '7f', '00'), null, null],
]

function show(endpoint: { address: string; port: number } | null): string | null {
  return endpoint === null ? null : `${endpoint.address}:${endpoint.port}`
}

function done(header: ProxyHeader): { length: number; source: string | null; destination: string | null } {
  assert.is(header.kind, 'done', JSON.stringify(header))
  if (header.kind !== 'done') throw new Error('unreachable')
  return { length: header.length, source: show(header.source), destination: show(header.destination) }
}

for (const [name, bytes, source, destination] of GOOD) {
  test(`${name}: complete, at every split, and with a request after it`, () => {
    const expected = { length: bytes.length, source, destination }
    assert.equal(done(parseProxyHeader(bytes)), expected)
    for (let i = 0; i < bytes.length; i++) assert.equal(parseProxyHeader(bytes.subarray(0, i)), { kind: 'need-more' }, `at ${i}`)
    assert.equal(done(parseProxyHeader(Buffer.concat([bytes, Buffer.from('GET / HTTP/1.1\r\n\r\n')]))), expected)
    assert.equal(done(parseProxyHeader(Buffer.concat([bytes, Buffer.from('\r\n\n\0')]))), expected)
  })
}

const BAD: readonly (readonly [string, Buffer])[] = [
  ['a request', v1('GET / HTTP/1.1\r\n')],
  ['a POST', v1('PO')],
  ['lower case', v1('proxy TCP4')],
  ['TLS', Buffer.from('16030100', 'hex')],
  ['bare LF', v1('PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n')],
  ['bare CR', v1('PROXY TCP4 1.2.3.4\r1.2.3.4 1 2\r\n')],
  ['CR and something', v1('PROXY TCP4 1.2.3.4\rx')],
  ['two CR', v1('PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n')],
  ['two spaces', v1('PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n')],
  ['space at the end', v1('PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n')],
  ['a field too few', v1('PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n')],
  ['a field too many', v1('PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n')],
  ['no protocol', v1('PROXY \r\n')],
  ['UDP', v1('PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n')],
  ['UNKNOWNx', v1('PROXY UNKNOWNx\r\n')],
  ['IPv6 in TCP4', v1('PROXY TCP4 ::1 1.2.3.4 1 2\r\n')],
  ['IPv4 in TCP6', v1('PROXY TCP6 1.2.3.4 ::1 1 2\r\n')],
  ['a zone', v1('PROXY TCP6 fe80::1%e ::1 1 2\r\n')],
  ['leading zero in an address', v1('PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n')],
  ['port 65536', v1('PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n')],
  ['port 080', v1('PROXY TCP4 1.2.3.4 1.2.3.4 080 2\r\n')],
  ['port +1', v1('PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n')],
  ['port empty', v1('PROXY TCP4 1.2.3.4 1.2.3.4  2\r\n')],
  ['107 bytes without an end', v1('PROXY UNKNOWN '.padEnd(107, 'x'))],
  ['an end after 107 bytes', v1(`${'PROXY UNKNOWN '.padEnd(106, 'x')}\r\n`)],
  ['v2 signature broken at its end', Buffer.from(`${SIGNATURE.slice(0, 22)}0b`, 'hex')],
  ['v2 version 1', Buffer.from(`${SIGNATURE}11`, 'hex')],
  ['v2 command 2', Buffer.from(`${SIGNATURE}22`, 'hex')],
  ['v2 UDP', v2('21', '12', 'c0a80001 c0a8000b dc04 01bb')],
  ['v2 unassigned family', v2('21', '41', '')],
  ['v2 longer than allowed', Buffer.from(`${SIGNATURE}21111001`, 'hex')],
  ['v2 LOCAL longer than allowed', Buffer.from(`${SIGNATURE}2000ffff`, 'hex')],
  ['v2 TCP4 too short', v2('21', '11', 'c0a80001 c0a8000b dc04 01')],
  ['v2 TCP6 too short', v2('21', '21', 'c0a80001 c0a8000b dc04 01bb')],
  ['v2 TLV over the end', v2('21', '11', 'c0a80001 c0a8000b dc04 01bb 010003 6832')],
  ['v2 half a TLV', v2('21', '11', 'c0a80001 c0a8000b dc04 01bb 0100')],
]

for (const [name, bytes] of BAD) {
  test(`refused: ${name}`, () => {
    const header = parseProxyHeader(bytes)
    assert.is(header.kind, 'bad', JSON.stringify(header))
    if (header.kind === 'bad') assert.ok(header.reason.length > 10)
    // Further bytes never make it valid.
    assert.is(parseProxyHeader(Buffer.concat([bytes, Buffer.alloc(5000, 65)])).kind, 'bad')
  })
}

test('further bytes do not change a result; garbage never throws and gets a result', () => {
  const random = seeded(11)
  for (let i = 0; i < 4000; i++) {
    const [, good] = GOOD[i % GOOD.length]!
    const bytes = Buffer.from(good)
    for (let n = 0; n < 1 + (i % 3); n++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    let verdict: ProxyHeader | null = null
    for (let length = 0; length <= bytes.length; length++) {
      const header = parseProxyHeader(bytes.subarray(0, length))
      if (verdict !== null) assert.equal(header, verdict)
      else if (header.kind !== 'need-more') verdict = header
    }
    assert.is.not(parseProxyHeader(Buffer.concat([bytes, Buffer.alloc(5000, 65)])).kind, 'need-more')
    const noise = Buffer.from(Array.from({ length: 40 }, () => Math.floor(random() * 256)))
    assert.ok(['bad', 'need-more'].includes(parseProxyHeader(noise).kind))
  }
})

test.run()
