import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRequestHead, parseResponseHead } from '../../../../src/proxy/http1/parse-head.ts'
import { AUTH_NAMED, AUTH_PER_REQUEST, AUTH_UNDER_WAY, connectionAuth } from '../../../../src/proxy/message/connection-auth.ts'
import { Head, isHandshake } from '../../../../src/proxy/message/head.ts'

const LIMITS = { headerBytes: 65_536, headerCount: 128, uriBytes: 16_384 }

const VALUES: readonly (readonly [string, number])[] = [
  ['', AUTH_PER_REQUEST],
  ['Basic YTpi', AUTH_PER_REQUEST],
  ['Basic realm="ntlm"', AUTH_PER_REQUEST],
  ['Bearer NTLM.Negotiate', AUTH_PER_REQUEST],
  ['Digest realm="x", qop="auth", nonce=ntlm', AUTH_PER_REQUEST],
  ['AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host', AUTH_PER_REQUEST],
  ['NTLMx', AUTH_PER_REQUEST],
  ['NTL', AUTH_PER_REQUEST],
  ['X-NTLM', AUTH_PER_REQUEST],
  [',, ,', AUTH_PER_REQUEST],
  ['NTLM', AUTH_NAMED],
  ['ntlm', AUTH_NAMED],
  ['NtLm , Basic realm="x"', AUTH_NAMED],
  ['Basic realm="x", NTLM', AUTH_NAMED],
  ['Basic realm="a,b",\tNegotiate', AUTH_NAMED],
  [',NTLM', AUTH_NAMED],
  ['Basic realm="unclosed, Negotiate', AUTH_NAMED],
  ['Negotiate', AUTH_NAMED],
  ['Nego2', AUTH_NAMED],
  ['Kerberos', AUTH_NAMED],
  ['CredSSP', AUTH_NAMED],
  ['NTLM TlRMTVNTUAAC', AUTH_UNDER_WAY],
  ['Negotiate\tYII=', AUTH_UNDER_WAY],
  ['Negotiate YII=, NTLM', AUTH_UNDER_WAY],
  ['NTLM, Negotiate YII=', AUTH_UNDER_WAY],
  // Not in the grammar, but a server may read it this way.
  ['NTLM=', AUTH_UNDER_WAY],
  ['NTLM;x', AUTH_UNDER_WAY],
]

for (const [value, expected] of VALUES) {
  test(`${JSON.stringify(value)} is ${['per request', 'named', 'a handshake'][expected]}`, () => {
    assert.is(connectionAuth(value, 0, value.length), expected)
    assert.is(connectionAuth(`NTLM ${value} NTLM`, 5, 5 + value.length), expected)
  })
}

const FIELDS: readonly (readonly [string, number])[] = [
  ['Authorization: NTLM x', AUTH_UNDER_WAY],
  ['AUTHORIZATION:Negotiate x', AUTH_UNDER_WAY],
  ['Proxy-Authorization: NTLM x', AUTH_UNDER_WAY],
  ['Authorization: Basic x\r\nAuthorization: NTLM x', AUTH_UNDER_WAY],
  ['Authorization: NTLM x\r\nAuthorization: Basic x', AUTH_UNDER_WAY],
  ['Connection: authorization\r\nAuthorization: NTLM x', AUTH_UNDER_WAY],
  ['X-Authorization: NTLM x', AUTH_PER_REQUEST],
  ['Cache-Control: NTLM', AUTH_PER_REQUEST],
  ['Accept-Language: Negotiate', AUTH_PER_REQUEST],
]
for (const [fields, expected] of FIELDS) {
  test(`a request with ${JSON.stringify(fields)} is ${['per request', 'named', 'a handshake'][expected]}`, () => {
    const head = new Head()
    assert.is(parseRequestHead(head, `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n`, LIMITS), 0)
    assert.is(head.connectionAuth, expected)
    assert.is(parseRequestHead(head, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', LIMITS), 0)
    assert.is(head.connectionAuth, AUTH_PER_REQUEST)
  })
}

const ANSWERS: readonly (readonly [string, number, boolean])[] = [
  ['401 X\r\nWWW-Authenticate: NTLM', AUTH_NAMED, false],
  ['401 X\r\nWWW-Authenticate: Basic realm=x\r\nWWW-Authenticate: NTLM abc', AUTH_UNDER_WAY, true],
  ['407 X\r\nProxy-Authenticate: Negotiate abc', AUTH_UNDER_WAY, true],
  ['200 OK\r\nWWW-Authenticate: Negotiate abc', AUTH_UNDER_WAY, false],
  ['200 OK\r\nPersistent-Auth: true', AUTH_NAMED, false],
  ['200 OK\r\nPersistent-Auth: FALSE', AUTH_PER_REQUEST, false],
  ['401 X\r\nProxy-Support: Session-Based-Authentication', AUTH_NAMED, false],
  ['401 X\r\nWWW-Authenticate: Basic realm=x', AUTH_PER_REQUEST, false],
]
for (const [answer, expected, handshake] of ANSWERS) {
  test(`a response ${JSON.stringify(answer)} is ${['per request', 'named', 'a handshake'][expected]}`, () => {
    const head = new Head()
    assert.is(parseResponseHead(head, `HTTP/1.1 ${answer}\r\n\r\n`, LIMITS), 0)
    assert.is(head.connectionAuth, expected)
    assert.is(isHandshake(head), handshake)
  })
}

test.run()
