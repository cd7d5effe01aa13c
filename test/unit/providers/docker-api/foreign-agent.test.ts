// Descriptions of addresses that are no agents: from the failed handshake, and from the first bytes in plain text.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeBytes, describeHandshake, printableBytes } from '../../../../src/providers/docker-api/foreign-agent.ts'

const alert = (text: string): string =>
  `40934DD8D97F0000:error:0A00042E:SSL routines:ssl3_read_bytes:${text}:../deps/openssl/rec_layer_s3.c:918:SSL alert number 70`

for (const [code, message, expected] of [
  ['ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR', alert('tlsv1 alert decrypt error'), /^it is a Skein agent with another cluster secret$/],
  ['EPROTO', alert('tlsv1 alert protocol version'), /^it is a TLS server .*its alert: protocol version\)$/],
  ['EPROTO', alert('ssl/tls alert handshake failure'), /^it is a TLS server .*its alert: handshake failure\)$/],
  ['EPROTO', alert('tlsv1 alert unknown psk identity'), /^it is a TLS server .*its alert: unknown psk identity\)$/],
  ['EPROTO', alert('tlsv13 alert certificate required'), /^it is a TLS server .*its alert: certificate required\)$/],
  ['EPROTO', alert('sslv3 alert bad certificate'), /^it is a TLS server .*its alert: bad certificate\)$/],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed certificate', /^it is a TLS server .*shows a certificate\)$/],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unable to verify', /^it is a TLS server .*shows a certificate\)$/],
  ['ECONNRESET', 'read ECONNRESET', /^it accepts the connection and closes it: /],
  ['EPIPE', 'write EPIPE', /^it accepts the connection and closes it: /],
] as const) {
  test(`${code} ${message.slice(0, 90)} is described`, () => {
    assert.match(String(describeHandshake({ error: Object.assign(new Error(message), { code }), waitedMs: 3000 })), expected)
  })
}

test('bytes that are not TLS need a plain request; silence is described with its length', () => {
  const error = Object.assign(new Error('SSL routines:tls_validate_record_header:wrong version number'), { code: 'EPROTO' })
  assert.is(describeHandshake({ error, waitedMs: 3000 }), null)
  assert.match(String(describeHandshake({ error: null, waitedMs: 3000 })), /sends nothing for 3 s, /)
})

for (const [what, bytes, ended, expected] of [
  [
    'HTTP',
    'HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n',
    true,
    'it answers in plain HTTP (HTTP/1.1 200, Server: "nginx"): it is no Skein agent',
  ],
  ['HTTP without a server', 'HTTP/1.0 404 no\r\n\r\n', true, 'it answers in plain HTTP (HTTP/1.0 404): it is no Skein agent'],
  ['a TLS alert', '\x15\x03\x01\x00\x02\x02\x46', true, 'it is a TLS server but no Skein agent'],
  ['Redis', '-ERR x\r\n', false, 'it sends bytes that are not TLS ("-ERR x\\x0d\\x0a"): it is no Skein agent'],
  ['nothing', '', true, 'it does not use TLS and closes the connection: it is no Skein agent'],
] as const) {
  test(`${what} is described`, () => assert.is(describeBytes(Buffer.from(bytes, 'latin1'), ended), expected))
}

test('bytes are shown escaped and shortened', () => {
  assert.is(printableBytes(Buffer.from([0, 27, 34, 92, 65, 255])), '"\\x00\\x1b\\x22\\x5cA\\xff"')
  assert.is(printableBytes('x'.repeat(1000)), `"${'x'.repeat(48)}"...`)
  assert.is(printableBytes('\u202e'), '"\\x202e"')
})

test.run()
