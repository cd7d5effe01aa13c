// Requests that could be smuggled or are not HTTP get a clear status, the connection closes, and nothing reaches a server. The
// parser is strict wherever an RFC says MAY (RFC 9112, 2 to 7 and 11.2).

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, sleep } from './harness.ts'
import { fieldOf, statusOf } from './raw-connection.ts'

const H = 'Host: app.test\r\n'

/** Refused when the head is read: name, bytes, status. */
const HEADS: readonly (readonly [string, string, number])[] = [
  [
    'both Content-Length and Transfer-Encoding',
    `POST / HTTP/1.1\r\n${H}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'Transfer-Encoding before Content-Length',
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['obs-fold', `GET / HTTP/1.1\r\n${H}X-A: b\r\n c\r\n\r\n`, 400],
  ['obs-fold with a tab', `GET / HTTP/1.1\r\n${H}X-A: b\r\n\tc\r\n\r\n`, 400],
  ['a first field that begins with a space', `GET / HTTP/1.1\r\n X: a\r\n${H}\r\n`, 400],
  ['bare LF ends the request line', `GET / HTTP/1.1\n${H}\r\n`, 400],
  ['bare LF ends a field', `GET / HTTP/1.1\r\nHost: app.test\nX: a\r\n\r\n`, 400],
  ['bare LF ends the head', `GET / HTTP/1.1\r\n${H}\n`, 400],
  ['bare CR in a value', `GET / HTTP/1.1\r\n${H}X: a\rb\r\n\r\n`, 400],
  ['bare CR in the request line', `GET /\r HTTP/1.1\r\n${H}\r\n`, 400],
  ['bare CR ends a field', `GET / HTTP/1.1\r\nHost: app.test\rX: y\r\n\r\n`, 400],
  ['NUL in a value', `GET / HTTP/1.1\r\n${H}X: a\0b\r\n\r\n`, 400],
  ['DEL in a value', `GET / HTTP/1.1\r\n${H}X: a\x7fb\r\n\r\n`, 400],
  ['a control character in a value', `GET / HTTP/1.1\r\n${H}X: a\x01b\r\n\r\n`, 400],
  ['a space before the colon', `GET / HTTP/1.1\r\n${H}Content-Length : 4\r\n\r\nabcd`, 400],
  ['a tab before the colon', `GET / HTTP/1.1\r\n${H}X\t: 4\r\n\r\n`, 400],
  ['a name with a space', `GET / HTTP/1.1\r\n${H}X Y: 4\r\n\r\n`, 400],
  ['a name with a parenthesis', `GET / HTTP/1.1\r\n${H}X(Y): 4\r\n\r\n`, 400],
  ['a name beyond ASCII', `GET / HTTP/1.1\r\n${H}X\xe9: 4\r\n\r\n`, 400],
  ['a name with NUL', `GET / HTTP/1.1\r\n${H}X\0: 4\r\n\r\n`, 400],
  ['an empty name', `GET / HTTP/1.1\r\n${H}: 4\r\n\r\n`, 400],
  ['a line without a colon', `GET / HTTP/1.1\r\n${H}nonsense\r\n\r\n`, 400],
  ['gzip', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: gzip\r\n\r\n`, 400],
  ['gzip, chunked', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: gzip, chunked\r\n\r\n`, 400],
  ['identity', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: identity\r\n\r\n`, 400],
  ['chunked twice', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400],
  [
    'chunked in two fields',
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['chunked with a parameter', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n`, 400],
  ['xchunked', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: xchunked\r\n\r\n`, 400],
  ['an empty Transfer-Encoding', `POST / HTTP/1.1\r\n${H}Transfer-Encoding:\r\n\r\n`, 400],
  ['chunked with a vertical tab', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 400],
  ['chunked in HTTP/1.0', `POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ['two lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd`, 400],
  ['two lengths that agree', `POST / HTTP/1.1\r\n${H}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd`, 400],
  ['a list of lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 4, 4\r\n\r\nabcd`, 400],
  ['a length with a sign', `POST / HTTP/1.1\r\n${H}Content-Length: +4\r\n\r\nabcd`, 400],
  ['a negative length', `POST / HTTP/1.1\r\n${H}Content-Length: -4\r\n\r\nabcd`, 400],
  ['a hexadecimal length', `POST / HTTP/1.1\r\n${H}Content-Length: 0x4\r\n\r\nabcd`, 400],
  ['an empty length', `POST / HTTP/1.1\r\n${H}Content-Length:\r\n\r\nabcd`, 400],
  ['a length beyond 2^53', `POST / HTTP/1.1\r\n${H}Content-Length: 99999999999999999999\r\n\r\nabcd`, 400],
  ['no Host', `GET / HTTP/1.1\r\nX: y\r\n\r\n`, 400],
  ['two Hosts', `GET / HTTP/1.1\r\n${H}Host: other.test\r\n\r\n`, 400],
  ['two Hosts that agree', `GET / HTTP/1.1\r\n${H}${H}\r\n`, 400],
  ['an empty Host', `GET / HTTP/1.1\r\nHost:\r\n\r\n`, 400],
  ['a Host with a path', `GET / HTTP/1.1\r\nHost: app.test/x\r\n\r\n`, 400],
  ['a Host with a user', `GET / HTTP/1.1\r\nHost: me@app.test\r\n\r\n`, 400],
  ['a Host with a space', `GET / HTTP/1.1\r\nHost: app.test x\r\n\r\n`, 400],
  ['a Host list', `GET / HTTP/1.1\r\nHost: app.test, b.test\r\n\r\n`, 400],
  ['a Host with a port that is not a number', `GET / HTTP/1.1\r\nHost: app.test:eighty\r\n\r\n`, 400],
  ['a Host with a port too high', `GET / HTTP/1.1\r\nHost: app.test:65536\r\n\r\n`, 400],
  ['a Host with an open bracket', `GET / HTTP/1.1\r\nHost: [::1\r\n\r\n`, 400],
  ['two spaces before the target', `GET  / HTTP/1.1\r\n${H}\r\n`, 400],
  ['two spaces before the version', `GET /  HTTP/1.1\r\n${H}\r\n`, 400],
  ['a tab in the request line', `GET\t/ HTTP/1.1\r\n${H}\r\n`, 400],
  ['a space after the version', `GET / HTTP/1.1 \r\n${H}\r\n`, 400],
  ['a space in the target', `GET /a b HTTP/1.1\r\n${H}\r\n`, 400],
  ['no version', `GET /\r\n${H}\r\n`, 400],
  ['a lower-case version', `GET / http/1.1\r\n${H}\r\n`, 400],
  ['a version with three parts', `GET / HTTP/1.1.1\r\n${H}\r\n`, 400],
  ['a fragment', `GET /a#b HTTP/1.1\r\n${H}\r\n`, 400],
  ['a target beyond ASCII', `GET /\xe9 HTTP/1.1\r\n${H}\r\n`, 400],
  ['a target that is not a path', `GET foo HTTP/1.1\r\n${H}\r\n`, 400],
  ['* for GET', `GET * HTTP/1.1\r\n${H}\r\n`, 400],
  ['a ftp URI', `GET ftp://app.test/ HTTP/1.1\r\n${H}\r\n`, 400],
  ['a URI with a user', `GET http://me@app.test/ HTTP/1.1\r\n${H}\r\n`, 400],
  ['a URI without a host', `GET http:///x HTTP/1.1\r\n${H}\r\n`, 400],
  ['a dot segment', `GET /a/../b HTTP/1.1\r\n${H}\r\n`, 400],
  ['a dot segment in the absolute form', `GET http://app.test/a/..?b HTTP/1.1\r\n${H}\r\n`, 400],
  ['an encoded dot segment', `GET /a/%2e%2E/b HTTP/1.1\r\n${H}\r\n`, 400],
  ['a dot segment between encoded slashes', `GET /a%2f..%5cb HTTP/1.1\r\n${H}\r\n`, 400],
  ['an encoded NUL', `GET /a%00 HTTP/1.1\r\n${H}\r\n`, 400],
  ['two empty lines first', `\r\n\r\nGET / HTTP/1.1\r\n${H}\r\n`, 400],
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00', 400],
  ['a method of 33 bytes', `${'A'.repeat(33)} / HTTP/1.1\r\n${H}\r\n`, 501],
  ['a method that is not a token', `GE(T / HTTP/1.1\r\n${H}\r\n`, 400],
  ['CONNECT', `CONNECT app.test:443 HTTP/1.1\r\n${H}\r\n`, 405],
  ['HTTP/2 with prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${H}\r\n`, 505],
  ['HTTP/0.9 in words', `GET / HTTP/0.9\r\n${H}\r\n`, 505],
  ['a malformed Connection', `GET / HTTP/1.1\r\n${H}Connection: a b\r\n\r\n`, 400],
]

/** Refused when the body is read. The head was valid, so the server may have received a part, but never a complete request. */
const BODIES: readonly (readonly [string, string])[] = [
  ['a chunk size that is no number', 'x\r\nabc\r\n0\r\n\r\n'],
  ['a chunk size with 0x', '0x3\r\nabc\r\n0\r\n\r\n'],
  ['a chunk size with a sign', '+3\r\nabc\r\n0\r\n\r\n'],
  ['a chunk size with a space before', ' 3\r\nabc\r\n0\r\n\r\n'],
  ['a chunk size with a space after', '3 \r\nabc\r\n0\r\n\r\n'],
  ['a chunk size with an underscore', '3_0\r\nabc\r\n0\r\n\r\n'],
  ['a chunk size that overflows', '10000000000000003\r\nabc\r\n0\r\n\r\n'],
  ['an empty chunk size', '\r\nabc\r\n0\r\n\r\n'],
  ['a bare LF after the size', '3\nabc\r\n0\r\n\r\n'],
  ['a bare CR after the size', '3\rabc\r\n0\r\n\r\n'],
  ['a bare LF after the chunk', '3\r\nabc\n0\r\n\r\n'],
  ['a chunk longer than its size', '3\r\nabcd\r\n0\r\n\r\n'],
  ['no CRLF after a chunk', '3\r\nabc0\r\n\r\n'],
  ['a bare LF in an extension', '3;a=b\nabc\r\n0\r\n\r\n'],
  ['a bare CR in an extension', '3;a\rb\r\nabc\r\n0\r\n\r\n'],
  ['a space in an extension', '3; a=b\r\nabc\r\n0\r\n\r\n'],
  ['a control character in an extension', '3;a="\x01"\r\nabc\r\n0\r\n\r\n'],
  ['an extension of 2 KiB', `3;a=${'b'.repeat(2048)}\r\nabc\r\n0\r\n\r\n`],
  ['a bare LF ends the last chunk', '3\r\nabc\r\n0\n\r\n'],
  ['a bare LF ends the trailers', '3\r\nabc\r\n0\r\n\n'],
  ['a bare LF within trailers', '3\r\nabc\r\n0\r\nX: a\nY: b\r\n\r\n'],
  ['a folded trailer', '3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n'],
  ['a trailer with a space before the colon', '3\r\nabc\r\n0\r\nX : a\r\n\r\n'],
  ['a Content-Length among the trailers', '3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n'],
  ['a Transfer-Encoding among the trailers', '3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['a Host among the trailers', '3\r\nabc\r\n0\r\nHost: b.test\r\n\r\n'],
  ['an X-Forwarded-For among the trailers', '3\r\nabc\r\n0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n'],
  ['trailers of 20 KiB', `3\r\nabc\r\n0\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`],
]

const SMUGGLED = get('/smuggled')
let backend: Backend
let edge: Edge

test.before(async () => {
  backend = await Backend.start((_request, connection) => connection.write(ok()))
  edge = await Edge.start({ app: { servers: [backend.port] } })
})

test.after(() => {
  edge.stop()
  backend.stop()
})

test('every refused head: status, logged request id, closed connection, nothing forwarded', async () => {
  for (const [name, bytes, status] of HEADS) {
    const client = await edge.client()
    const before = backend.requests.length
    client.write(bytes + SMUGGLED)
    const answer = await client.takeMessage().catch((error: Error) => assert.unreachable(`${name}: ${error.message}`))
    assert.is(statusOf(answer!), status, name)
    assert.is(fieldOf(answer!.head, 'connection'), 'close', name)
    const id = fieldOf(answer!.head, 'x-request-id')
    assert.ok(answer!.body.includes(`request id: ${id}`), name)
    assert.is(edge.logs.filter(entry => entry.fields.requestId === id && entry.fields.status === status).length, 1, name)
    assert.is((await client.takeAll()).length, 0, `${name}: only one response`)
    assert.is(backend.requests.length, before, `${name}: nothing may reach the server`)
    client.destroy()
  }
  assert.is(backend.accepted, 0)
})

test('the same heads byte by byte', async () => {
  for (const [name, bytes, status] of HEADS.filter((_, i) => i % 4 === 0)) {
    const client = await edge.client()
    for (const byte of bytes) {
      client.write(byte)
      await new Promise(resolve => setImmediate(resolve))
    }
    client.write(SMUGGLED)
    const answer = await client.takeMessage()
    // An incomplete head may be refused earlier, for a simpler reason.
    assert.ok(statusOf(answer) === status || statusOf(answer) === 400, `${name}: ${statusOf(answer)}`)
    assert.is((await client.takeAll()).length, 0, name)
    client.destroy()
  }
  assert.is(backend.accepted, 0)
})

test('every refused chunked body: 400, closed, no complete request at the server', async () => {
  for (const [name, body] of BODIES) {
    const client = await edge.client()
    const before = backend.requests.length
    client.write(`POST /${name.replaceAll(' ', '-')} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${body}${SMUGGLED}`)
    const answer = await client.takeMessage().catch((error: Error) => assert.unreachable(`${name}: ${error.message}`))
    assert.is(statusOf(answer!), 400, name)
    assert.is(fieldOf(answer!.head, 'connection'), 'close', name)
    assert.is((await client.takeAll()).length, 0, `${name}: only one response`)
    await sleep(2)
    assert.is(backend.requests.length, before, `${name}: the server received a complete request`)
    client.destroy()
  }
  await until('no request is in flight', () => edge.isIdle)
})

test('unusual but valid requests pass', async () => {
  const sound: readonly (readonly [string, string])[] = [
    ['one empty line first', `\r\n${get('/1')}`],
    ['no space after the colon', `GET /2 HTTP/1.1\r\nHost:app.test\r\nX:y\r\n\r\n`],
    ['an empty value', `GET /3 HTTP/1.1\r\n${H}X:\r\n\r\n`],
    ['obs-text in a value', `GET /4 HTTP/1.1\r\n${H}X: \xe9\xff\r\n\r\n`],
    ['a Host in capitals with a port', `GET /5 HTTP/1.1\r\nHOST: APP.test:8080\r\n\r\n`],
    ['an IPv6 Host', `GET /6 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n`],
    ['an encoded slash', `GET /a%2fb HTTP/1.1\r\n${H}\r\n`],
    ['chunked in capitals', `POST /7 HTTP/1.1\r\n${H}TRANSFER-ENCODING: ChunKed\r\n\r\n0\r\n\r\n`],
    ['a length with zeros before', `POST /8 HTTP/1.1\r\n${H}Content-Length: 0003\r\n\r\nabc`],
    ['a chunk extension', `POST /9 HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n3;a=b;c="d e"\r\nabc\r\n0;x\r\n\r\n`],
    ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${H}\r\n`],
  ]
  for (const [name, bytes] of sound) {
    const before = backend.requests.length
    const answer = await edge.ask(bytes)
    assert.is(statusOf(answer), name === 'OPTIONS *' ? 404 : 200, name)
    if (name !== 'OPTIONS *') assert.is(backend.requests.length, before + 1, name)
  }
  const chunked = backend.requests.find(request => request.startLine.startsWith('POST /9'))!
  assert.is(chunked.body.toString(), 'abc')
})

test.run()
