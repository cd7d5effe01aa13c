// Classification and description of failed calls to managers.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { classifyError, classifyStatus } from '../../../../src/providers/docker-api/call-failure.ts'

const failure = (code: string, message = code, more: object = {}): string => {
  const { kind, message: told } = classifyError(Object.assign(new Error(message), { code, ...more }))
  return `${kind}: ${told}`
}

for (const [code, message, expected] of [
  ['ECONNREFUSED', '', 'unreachable: the connection was refused (ECONNREFUSED)'],
  ['ENOENT', '', 'unreachable: the socket does not exist (ENOENT)'],
  ['EACCES', '', 'unreachable: this user has no permission for the socket (EACCES)'],
  ['EODD', '', 'unreachable: EODD'],
  ['constructor', '', 'unreachable: constructor'],
  ['HPE_INVALID_CONSTANT', '', 'bad-answer: not HTTP (HPE_INVALID_CONSTANT)'],
  [
    'EPROTO',
    'write EPROTO 80:error:0A00010B:SSL routines:ssl3_get_record:wrong version number',
    'it does not speak TLS (EPROTO)',
  ],
  [
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    '',
    'its certificate is not from the authority of --manager-tls-ca (DEPTH_ZERO_SELF_SIGNED_CERT)',
  ],
  ['CERT_HAS_EXPIRED', '', 'its certificate has expired (CERT_HAS_EXPIRED)'],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', '', 'it does not accept the client certificate, --manager-tls-cert'],
  ['ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR', 'tlsv1 alert decrypt error', 'the agent has another cluster secret'],
] as const) {
  test(`${code} is described`, () => assert.ok(failure(code, message).includes(expected), failure(code, message)))
}

test('a certificate for another name: the message names it', () => {
  const told = failure('ERR_TLS_CERT_ALTNAME_INVALID', 'x', { reason: "Host: m1. is not cert's CN: m2" })
  assert.is(told, `denied: TLS handshake failed: its certificate is for another name ("Host: m1. is not cert's CN: m2")`)
})

for (const [status, body, kind] of [
  [404, '{"message":"service abc not found"}', 'gone'],
  [404, '{"message":"HTTP 404: \\"service abc not found\\""}', 'gone'],
  [404, '{"message":"page not found"}', 'bad-answer'],
  [404, 'service abc not found', 'bad-answer'],
  [404, '<h1>Not Found</h1>', 'bad-answer'],
  [503, '{"message":"This node is not a swarm manager."}', 'not-manager'],
  [500, '{"message":"rpc error: code = Unavailable"}', 'no-leader'],
  [403, '', 'denied'],
] as const) {
  test(`status ${status} with ${body} is ${kind}`, () => assert.is(classifyStatus(status, body).kind, kind))
}

test('untrusted text is shown on one line and shortened', () => {
  assert.match(classifyStatus(500, `a\nb\u001b[31m${'x'.repeat(500)}`).message, /^HTTP 500: "a b\\u001b\[31mx{90,120}\.\.\."$/)
})

test.run()
