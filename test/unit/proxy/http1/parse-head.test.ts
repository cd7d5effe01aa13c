// Parsing of heads: the content of valid ones and the reason why each invalid one is refused. The differential fuzz test
// (test/fuzz) covers the breadth.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRequestHead, parseResponseHead } from '../../../../src/proxy/http1/parse-head.ts'
import { Head } from '../../../../src/proxy/message/head.ts'

const LIMITS = { headerBytes: 65_536, headerCount: 20, uriBytes: 100 }

function request(text: string): { status: number; head: Head } {
  const head = new Head()
  return { status: parseRequestHead(head, text, LIMITS), head }
}

function response(text: string): { status: number; head: Head } {
  const head = new Head()
  return { status: parseResponseHead(head, text, LIMITS), head }
}

test('any token of at most 32 bytes is a method and keeps its spelling', () => {
  for (const method of ['GET', 'get', 'LIST', 'RDG_OUT_DATA', "!#$%&'*+-.^_`|~", 'A'.repeat(32)]) {
    const { status, head } = request(`${method} / HTTP/1.1\r\nHost: h\r\n\r\n`)
    assert.equal([status, head.method], [0, method])
  }
})

test('all parts of a request head are read', () => {
  const { status, head } = request(
    'POST /a?b HTTP/1.1\r\nHost: h:80\r\nCookie: a=b\r\nContent-Length: 12\r\nConnection: Keep-Alive, Upgrade\r\nUpgrade: websocket\r\n' +
      'Expect: 100-Continue\r\nCookie: c=d\r\n\r\n',
  )
  assert.is(status, 0)
  assert.is(head.problem, '')
  assert.equal(
    [head.method, head.target, head.minor, head.contentLength, head.chunked, head.close, head.keepAlive, head.upgrade],
    ['POST', '/a?b', 1, 12, false, false, true, true],
  )
  assert.ok(head.expectContinue)
  assert.is(head.value(head.hostField), 'h:80')
  assert.is(head.value(head.upgradeField), 'websocket')
  assert.is(head.cookieField, 1)
})

test('one object serves many heads: nothing of the previous one is left', () => {
  const head = new Head()
  parseRequestHead(
    head,
    'POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 3\r\nConnection: close, keep-alive, upgrade\r\nUpgrade: x\r\nCookie: a\r\nKeep-Alive: 5\r\nExpect: 100-continue\r\n\r\n',
    LIMITS,
  )
  assert.is(parseRequestHead(head, 'GET /2 HTTP/1.1\r\nHost: h\r\n\r\n', LIMITS), 0)
  assert.equal(
    [head.contentLength, head.chunked, head.close, head.keepAlive, head.upgrade, head.expectContinue, head.minor],
    [-1, false, false, false, false, false, 1],
  )
  assert.equal([head.hostField, head.upgradeField, head.cookieField, head.keepAliveField], [0, -1, -1, -1])
  assert.is(head.find('keep-alive'), -1)
})

test('refused requests have a status and a reason', () => {
  const table: readonly (readonly [number, string])[] = [
    [400, ' / HTTP/1.1\r\nHost: h\r\n\r\n'],
    [400, 'G(T / HTTP/1.1\r\nHost: h\r\n\r\n'],
    [501, `${'A'.repeat(33)} / HTTP/1.1\r\nHost: h\r\n\r\n`],
    [400, 'GET  / HTTP/1.1\r\nHost: h\r\n\r\n'],
    [400, 'GET /\r\nHost: h\r\n\r\n'],
    [400, 'GET / HTTP/1.1\r\n\r\n'],
    [400, 'GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked \r\n\r\n'],
    [400, 'GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1234567890123456\r\n\r\n'],
    [405, 'CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n'],
    [414, `GET /${'a'.repeat(100)} HTTP/1.1\r\nHost: h\r\n\r\n`],
    [431, `GET / HTTP/1.1\r\nHost: h\r\n${'X: y\r\n'.repeat(20)}\r\n`],
    [505, 'GET / HTTP/1.2\r\nHost: h\r\n\r\n'],
    [505, 'GET / HTTP/0.9\r\nHost: h\r\n\r\n'],
    [400, 'GET / HTTP/1.11\r\nHost: h\r\n\r\n'],
  ]
  for (const [status, text] of table) {
    const result = request(text)
    assert.is(result.status, status, text)
    assert.ok(result.head.problem.length > 5, text)
  }
})

test('Content-Length has 1 to 15 digits', () => {
  for (const [value, length] of [
    ['0', 0],
    ['007', 7],
    ['999999999999999', 999_999_999_999_999],
  ] as const) {
    assert.is(request(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${value}\r\n\r\n`).head.contentLength, length)
  }
})

test('hop-by-hop fields and those named in Connection are dropped; framing fields never are', () => {
  const { head } = request(
    'GET / HTTP/1.1\r\nX-One: 1\r\nHost: h\r\nConnection: x-one, X-TWO, host, content-length\r\nX-Two: 2\r\nContent-Length: 0\r\nTE: x\r\nX-Three: 3\r\n\r\n',
  )
  const passed = ['x-one', 'host', 'connection', 'x-two', 'content-length', 'te', 'x-three'].filter(name => head.find(name) >= 0)
  assert.equal(passed, ['host', 'content-length', 'x-three'])
})

test('all parts of a response head are read', () => {
  const { status, head } = response('HTTP/1.0 404 Not  here\xe9\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n\r\n')
  assert.is(status, 0)
  assert.equal([head.status, head.reason, head.minor, head.keepAlive], [404, 'Not  here\xe9', 0, true])
  assert.is(head.value(head.keepAliveField), 'timeout=5')
  assert.equal([response('HTTP/1.1 200\r\n\r\n').head.reason, response('HTTP/1.1 200 \r\n\r\n').head.reason], ['', ''])
})

test('malformed status lines are refused with 502', () => {
  for (const line of [
    'HTTP/1.1 099 x',
    'HTTP/1.1 20 x',
    'HTTP/1.1 2000 x',
    'HTTP/1.1 200x',
    'HTTP/2.0 200 x',
    'ICY 200 OK',
    'HTTP/1.1 200 a\rb',
  ]) {
    assert.is(response(`${line}\r\n\r\n`).status, 502, line)
  }
})

test.run()
