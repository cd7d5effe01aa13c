// Request targets and authorities at the limits of the grammar (RFC 9112, 3.2; RFC 3986, 3.2.3): raw UTF-8 is percent-encoded for
// rules, middlewares, servers and logs alike; an empty port counts as none.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRule } from '../../src/rules/traefik-v1.ts'
import { until } from '../until.ts'
import { Backend, type BackendRequest, Edge, get, ok, snapshotOf } from './harness.ts'
import { fieldOf, statusOf } from './raw-connection.ts'

let backend: Backend
let edge: Edge

test.before(async () => {
  backend = await Backend.start((_request, connection) => connection.write(ok()))
})

test.before.each(async () => {
  edge = await Edge.start({ app: { servers: [backend.port] } }, { limits: { uriBytes: 200 } })
})

test.after.each(async () => {
  await until('no request is in flight', () => edge.isIdle)
  edge.stop()
})

test.after(() => backend.stop())

const lastRequest = (): BackendRequest => backend.requests.at(-1)!
/** The bytes of its UTF-8 as a latin1 string. */
const utf8 = (text: string) => Buffer.from(text).toString('latin1')

test('raw UTF-8 in path and query reaches the server percent-encoded, in both forms', async () => {
  for (const [target, sent] of [
    ['/é', '/%C3%A9'],
    ['/a/ü/?q=ß&ä=%c3%a4', '/a/%C3%BC/?q=%C3%9F&%C3%A4=%c3%a4'],
    ['/日本語.html', '/%E6%97%A5%E6%9C%AC%E8%AA%9E.html'],
    ['/😀', '/%F0%9F%98%80'],
    ['/%41é', '/A%C3%A9'],
    ['/\u0085\u202e', '/%C2%85%E2%80%AE'],
    ['http://app.test/é?é', '/%C3%A9?%C3%A9'],
    ['http://app.test?é', '/?%C3%A9'],
  ] as const) {
    assert.is(statusOf(await edge.ask(get(utf8(target)))), 200, target)
    assert.is(lastRequest().startLine, `GET ${sent} HTTP/1.1`)
  }
  assert.is(edge.accessLog[0], 'GET app.test /%C3%A9 200')
})

test('raw UTF-8 that arrives byte by byte is the same target', async () => {
  const client = await edge.client()
  for (const byte of Buffer.from(get('/日?é'))) {
    client.write(Buffer.from([byte]))
    await new Promise(resolve => setImmediate(resolve))
  }
  assert.is(statusOf(await client.takeMessage()), 200)
  assert.is(lastRequest().startLine, 'GET /%E6%97%A5?%C3%A9 HTTP/1.1')
})

test('a rule and a stripped prefix see raw UTF-8 as they see its encoding', async () => {
  const rule = parseRule('PathPrefixStrip:/café;Query:ü=ß')
  if (!rule.ok) throw new Error(rule.message)
  const middlewares = Object.fromEntries(rule.middlewares.map((middleware, i) => [`m${i}`, middleware]))
  edge.apply(snapshotOf({ app: { servers: [backend.port], router: { matcher: rule.matcher } } }, middlewares))
  for (const target of ['/café/é?ü=ß', '/caf%C3%A9/é?%c3%bc=%c3%9f']) {
    assert.is(statusOf(await edge.ask(get(utf8(target)))), 200, target)
    assert.match(lastRequest().startLine, /^GET \/%C3%A9\?/)
  }
  assert.is(statusOf(await edge.ask(get('/cafe?q'))), 404)
})

test('bytes that are not UTF-8, and any above ASCII in an authority, get 400', async () => {
  const before = backend.requests.length
  for (const target of [
    '/\xe9',
    '/\xc3',
    '/\xc3/',
    '/a?\xa9',
    '/\xc0\xaf',
    '/\xe0\x80\xaf',
    '/\xed\xa0\x80',
    '/\xf4\x90\x80\x80',
    '/\xff',
    '/..\xc3\xa9/../x',
    utf8('http://é.test/'),
    utf8('http://app.test:8é/'),
    utf8('http://é'),
    utf8('é'),
    utf8('é/'),
    utf8('/é#é'),
    utf8('/é é'),
    utf8('/é\x7f'),
    utf8('/é\0'),
  ]) {
    const answer = await edge.ask(get(target))
    assert.is(statusOf(answer), 400, JSON.stringify(target))
  }
  assert.is(statusOf(await edge.ask(utf8('GET / HTTP/1.1\r\nHost: é.test\r\n\r\n'))), 400)
  assert.is(backend.requests.length, before)
})

test('the limit of a target applies to its encoded form', async () => {
  assert.is(statusOf(await edge.ask(get(`/${utf8('é'.repeat(33))}`))), 200)
  assert.is(statusOf(await edge.ask(get(`/${utf8('é'.repeat(34))}`))), 414)
})

test('an empty port is no port: for rules, for the server, for X-Forwarded', async () => {
  edge.apply(
    snapshotOf({
      app: { servers: [backend.port] },
      v6: { servers: [backend.port], router: { matcher: { kind: 'host', hosts: ['[::1]'] } } },
    }),
  )
  for (const [target, host, sent] of [
    ['/', 'app.test:', 'app.test'],
    ['/', 'APP.test.:', 'APP.test.'],
    ['/', '[::1]:', '[::1]'],
    ['http://app.test:/', 'other.test', 'app.test'],
    ['http://app.test:?q', 'other.test:', 'app.test'],
    ['http://app.test:', 'other.test', 'app.test'],
  ] as const) {
    const answer = await edge.ask(`GET ${target} HTTP/1.1\r\nX: y\r\nHost: ${host}\r\n\r\n`)
    assert.is(statusOf(answer), 200, `${target} ${host}`)
    assert.is(fieldOf(lastRequest().head, 'host'), sent)
    assert.is(fieldOf(lastRequest().head, 'x-forwarded-host'), sent)
    assert.is(fieldOf(lastRequest().head, 'x-forwarded-port'), '80')
  }
  // The next request on a connection is not affected by the previous one.
  const client = await edge.client()
  for (const [host, sent] of [
    ['app.test:', 'app.test'],
    ['app.test', 'app.test'],
    ['app.test:8080', 'app.test:8080'],
    ['app.test:', 'app.test'],
  ] as const) {
    client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    assert.is(statusOf(await client.takeMessage()), 200)
    assert.is(fieldOf(lastRequest().head, 'host'), sent)
  }
})

test('a port without a host, or with two colons, gets 400', async () => {
  for (const host of [':', ':80', 'app.test::', 'app.test:80:', '[::1]::', '[]:', '::1:']) {
    assert.is(statusOf(await edge.ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)), 400, host)
    assert.is(statusOf(await edge.ask(`GET http://${host}/ HTTP/1.1\r\nHost: app.test\r\n\r\n`)), 400, host)
  }
})

test.run()
