// An exchange takes over a head: targets in their forms, the authority, what a rule sees and what is sent on.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { parseRequestHead } from '../../../../src/proxy/http1/parse-head.ts'
import { BY_CHUNKS, BY_LENGTH, NO_BODY } from '../../../../src/proxy/message/framing.ts'

const LIMITS = { headerBytes: 65_536, headerCount: 128, uriBytes: 16_384 }

function begin(head: string): { status: number; x: Exchange } {
  const x = new Exchange({} as Downstream, 'web')
  const status = parseRequestHead(x.req, head, LIMITS) || x.begin(1)
  return { status, x }
}

const target = (text: string, method = 'GET') => begin(`${method} ${text} HTTP/1.1\r\nHost: h.test:81\r\n\r\n`)

test('targets: path, query, authority and the forwarded target', () => {
  const table: readonly (readonly [string, string, string | null, string, string])[] = [
    // target, path, query, host, sent
    ['/', '/', null, 'h.test', '/'],
    ['/a/b?c=d', '/a/b', 'c=d', 'h.test', '/a/b?c=d'],
    ['/a?', '/a', '', 'h.test', '/a?'],
    ['/?a?b', '/', 'a?b', 'h.test', '/?a?b'],
    ['//a//b', '//a//b', null, 'h.test', '//a//b'],
    ['http://Other.test', '/', null, 'other.test', '/'],
    ['HTTPS://other.test:444/x?y', '/x', 'y', 'other.test', '/x?y'],
    ['http://other.test?q=/x', '/', 'q=/x', 'other.test', '/?q=/x'],
    ['http://[::1]:80/', '/', null, '[::1]', '/'],
  ]
  for (const [text, path, query, host, sent] of table) {
    const { status, x } = target(text)
    assert.is(status, 0, text)
    assert.equal([x.path, x.query, x.host, x.sendTarget()], [path, query, host, sent], text)
    assert.is(x.sendHost === null, text.startsWith('/'), text)
  }
})

test('* and the absolute form without a path are for OPTIONS', () => {
  assert.is(target('*').status, 400)
  assert.is(target('*', 'OPTIONS').x.sendTarget(), '*')
  assert.is(target('http://other.test', 'OPTIONS').x.sendTarget(), '*')
  assert.is(target('http://other.test/', 'OPTIONS').x.sendTarget(), '/')
  assert.is(target('http://other.test?a', 'OPTIONS').x.sendTarget(), '/?a')
})

test('malformed targets are refused', () => {
  for (const text of [
    'a',
    'h.test:80',
    'ftp://h/',
    'http:/x',
    'http:///x',
    'http://me@h/',
    'http://h:99999/',
    'http://h_%41/',
    'x-http://h/',
  ]) {
    const { status, x } = target(text)
    assert.is(status, 400, text)
    assert.ok(x.req.problem.length > 5)
  }
})

test('hosts: lower case, without port and trailing dot', () => {
  for (const [field, host] of [
    ['H.Test', 'h.test'],
    ['h.test.', 'h.test'],
    ['h.test.:8080', 'h.test'],
    ['[::1]:80', '[::1]'],
    ['[2001:DB8::1]', '[2001:db8::1]'],
    ['1.2.3.4:5', '1.2.3.4'],
  ] as const) {
    const { x } = begin(`GET / HTTP/1.1\r\nHost: ${field}\r\n\r\n`)
    assert.is(x.host, host)
    assert.is(x.authority, field)
  }
  const { x } = begin('GET / HTTP/1.0\r\n\r\n')
  assert.equal([x.host, x.authority], ['', ''])
})

test('one object for many requests: no state of the previous request is left', () => {
  const x = new Exchange({} as Downstream, 'web')
  parseRequestHead(x.req, 'POST http://a.test/x?y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n', LIMITS)
  x.begin(1)
  x.setHeader('X-A', 'b')
  x.attempt.count = 3
  x.attempt.sends = 2
  x.attempt.tried = []
  x.requestId = 'r'
  const before = x.generation
  parseRequestHead(x.req, 'GET /2 HTTP/1.1\r\nHost: h\r\n\r\n', LIMITS)
  assert.is(x.begin(2), 0)
  assert.equal(
    [
      x.path,
      x.query,
      x.host,
      x.added.pairs,
      x.sendHost,
      x.absolute,
      x.attempt.count,
      x.attempt.sends,
      x.attempt.tried,
      x.body.framing,
      x.body.done,
      x.requestId,
    ],
    ['/2', null, 'h', [], null, false, 0, 0, null, NO_BODY, true, ''],
  )
  assert.ok(x.generation !== before)
  assert.is(x.sendTarget(), '/2')
})

test('body framing', () => {
  const framing = (fields: string) => begin(`POST / HTTP/1.1\r\nHost: h\r\n${fields}\r\n`).x.body.framing
  assert.is(framing(''), NO_BODY)
  assert.is(framing('Content-Length: 0\r\n'), NO_BODY)
  assert.is(framing('Content-Length: 1\r\n'), BY_LENGTH)
  assert.is(framing('Transfer-Encoding: chunked\r\n'), BY_CHUNKS)
})

test('header access of rules and middlewares', () => {
  const { x } = begin(
    'GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nConnection: x-gone\r\nX-Gone: 1\r\nCookie: b=2\r\n\r\n',
  )
  assert.is(x.header('x-a'), '1')
  assert.equal(x.headers('x-a'), ['1', '2'])
  assert.is(x.header('x-gone'), undefined)
  assert.equal(x.headers('cookie'), ['a=1', 'b=2'])
  x.setHeader('X-A', '3')
  assert.is(x.header('x-a'), undefined, 'what the client sent is gone')
  assert.equal(x.added.pairs, ['X-A', '3'])
  x.setHeader('X-B', 'a\r\nEvil: 1')
  // As latin1, U+010D U+010A is CR LF.
  x.setHeader('X-B', 'a\u010d\u010aEvil: 1')
  x.setHeader('X B', 'a')
  x.setHeader('X-B\r\nEvil', '1')
  x.setHeader('Content-Length', '1')
  x.setHeader('transfer-encoding', 'chunked')
  x.setHeader('Connection', 'close')
  x.setHeader('Skein-Relay', 'other')
  assert.equal(x.added.pairs, ['X-A', '3'], 'no value can add a line, and no field can change the framing')
  x.setHeader('Host', 'a\u010dEvil')
  assert.is(x.sendHost, null)
  x.setHeader('Host', 'other')
  assert.is(x.sendHost, 'other')
})

test('upgrades: only with Upgrade and Connection, and never to h2c', () => {
  const upgrade = (fields: string, version = '1.1') => begin(`GET / HTTP/${version}\r\nHost: h\r\n${fields}\r\n`).x.upgrade
  assert.ok(upgrade('Connection: Upgrade\r\nUpgrade: websocket\r\n'))
  assert.not(upgrade('Upgrade: websocket\r\n'))
  assert.not(upgrade('Connection: Upgrade\r\n'))
  assert.not(upgrade('Connection: Upgrade\r\nUpgrade: H2C\r\n'))
  assert.not(upgrade('Connection: Upgrade\r\nUpgrade: websocket\r\n', '1.0'))
})

test.run()
