// A codec with name/value pairs fills a head without HTTP/1 text. Routing, rules, forwarded fields, cookies, sessions and the HTTP/1
// writer treat it as they treat a head that was parsed from HTTP/1.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Matcher, Router } from '../../../../src/config/model.ts'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { parseRequestHead, parseResponseHead } from '../../../../src/proxy/http1/parse-head.ts'
import { requestHead, responseHead } from '../../../../src/proxy/http1/write-head.ts'
import { ForwardedContext } from '../../../../src/proxy/message/forwarded-headers.ts'
import { BY_CHUNKS, BY_LENGTH, NO_BODY } from '../../../../src/proxy/message/framing.ts'
import { Head } from '../../../../src/proxy/message/head.ts'
import { compileRoutes } from '../../../../src/proxy/routing/route-table.ts'
import { CookieScan } from '../../../../src/proxy/sessions/cookie-scan.ts'
import { KeyHash, keyFor } from '../../../../src/proxy/sessions/key-hash.ts'
import { keySource, readKey } from '../../../../src/proxy/sessions/session-key.ts'
import { compileMatcher } from '../../../../src/rules/matcher.ts'

const LIMITS = { headerBytes: 1000, headerCount: 20, uriBytes: 100 }
type Pairs = readonly (readonly [name: string, value: string])[]

/** Fills a head as an HTTP/2 codec would: pseudo-fields become method, target and host. */
function fill(head: Head, method: string, authority: string, target: string, pairs: Pairs, hasBody = false): number {
  head.begin()
  head.method = method
  head.target = target
  head.add('host', authority)
  for (const [name, value] of pairs) head.add(name, value)
  return head.finish(LIMITS, hasBody)
}

function exchangeOf(method: string, authority: string, target: string, pairs: Pairs, hasBody = false): Exchange {
  const x = new Exchange({} as Downstream, 'web')
  assert.is(fill(x.req, method, authority, target, pairs, hasBody) || x.begin(1), 0, x.req.problem)
  return x
}

const PAIRS: Pairs = [
  ['user-agent', 'test'],
  ['x-forwarded-for', '1.1.1.1'],
  ['cookie', 'a=1; sid=abcd'],
  ['te', 'trailers'],
  ['x-user', 'u7'],
  ['x_forwarded_for', '2.2.2.2'],
]

const ROUTES: readonly (readonly [name: string, matcher: Matcher])[] = [
  ['host', { kind: 'host', hosts: ['shop.test'] }],
  ['path', { kind: 'pathPrefix', prefixes: ['/api'] }],
  ['method', { kind: 'method', methods: ['DELETE'] }],
  ['header', { kind: 'header', name: 'x-user', value: 'u7' }],
]

test('pairs and HTTP/1 text give the same request to rules, routes, sessions and cookies', () => {
  const pairs = exchangeOf('GET', 'Shop.test:8080', '/api/%61?q=1', PAIRS)
  const text = new Exchange({} as Downstream, 'web')
  const lines = PAIRS.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const status = parseRequestHead(text.req, `GET /api/%61?q=1 HTTP/1.1\r\nHost: Shop.test:8080\r\n${lines}\r\n`, LIMITS)
  assert.is(status || text.begin(1), 0)
  const hash = new KeyHash(keyFor('key', 'shop', 'cookie', 'sid'))
  const seen = (x: Exchange) => {
    const scan = new CookieScan()
    scan.begin(x.req, 'sid=')
    const cookie = scan.next() ? x.req.text.slice(scan.from, scan.to) : null
    const key = readKey(x, keySource({ from: 'cookie', name: 'sid' }), hash) ? `${hash.high} ${hash.low}` : null
    return {
      view: [x.method, x.host, x.authority, x.path, x.receivedPath, x.query, x.header('x-user'), x.headers('cookie')],
      hidden: x.header('te'),
      matches: ROUTES.map(([, matcher]) => compileMatcher(matcher)(x)),
      cookie,
      key,
    }
  }
  assert.equal(seen(pairs), seen(text))
  assert.equal(seen(pairs).matches, [true, true, false, true])
  assert.equal(seen(pairs).cookie, 'abcd')
  const routers = ROUTES.map(([name, matcher], i) => routerOf(name, matcher, i + 1))
  assert.is(compileRoutes(routers, r => r.name).match(pairs), 'header')
})

function routerOf(name: string, matcher: Matcher, priority: number): Router {
  return {
    name,
    entryPoints: [],
    rule: '',
    matcher,
    priority,
    service: name,
    middlewares: [],
    passHostHeader: true,
    provider: 'test',
    source: 'test',
  }
}

test('pairs are sent to an HTTP/1 server without replaced and hop-by-hop fields', () => {
  const forwarded = new ForwardedContext('10.0.0.1', 'https', 'edge', false)
  const x = exchangeOf('POST', 'shop.test', '/a', [...PAIRS, ['content-length', '3']], true)
  x.setHeader('X-User', 'u8')
  assert.is(
    requestHead(x, forwarded.fields(x)),
    'POST /a HTTP/1.1\r\nhost: shop.test\r\nuser-agent: test\r\ncookie: a=1; sid=abcd\r\ncontent-length: 3\r\n' +
      'X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: shop.test\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n' +
      'X-Forwarded-Server: edge\r\nX-Real-Ip: 10.0.0.1\r\nX-User: u8\r\n\r\n',
  )
  const trusted = new ForwardedContext('10.0.0.1', 'http', 'edge', true)
  assert.is(trusted.fields(exchangeOf('GET', 'h', '/', PAIRS)).value('X-Forwarded-For'), '1.1.1.1, 10.0.0.1')
})

test('a response of pairs is written as HTTP/1', () => {
  const x = exchangeOf('GET', 'h', '/', [])
  const res = new Head()
  res.begin()
  res.status = 204
  res.add('server', 's')
  res.add('skein-relay', 'sent')
  assert.is(res.finish(LIMITS, false), 0)
  assert.is(responseHead(x, res, NO_BODY, ''), 'HTTP/1.1 204 \r\nserver: s\r\n\r\n')
})

test('the framing follows from Content-Length and from whether content follows', () => {
  const framing = (pairs: Pairs, hasBody: boolean) => exchangeOf('POST', 'h', '/', pairs, hasBody).body.framing
  assert.is(framing([], false), NO_BODY)
  assert.is(framing([], true), BY_CHUNKS)
  assert.is(framing([['content-length', '5']], true), BY_LENGTH)
  assert.is(framing([['content-length', '0']], true), NO_BODY)
})

test('pairs that no message may have are refused, with a reason', () => {
  const head = new Head()
  const cases: readonly (readonly [status: number, pairs: Pairs, target?: string])[] = [
    [400, [['connection', 'close']]],
    [400, [['transfer-encoding', 'chunked']]],
    [400, [['upgrade', 'websocket']]],
    [400, [['keep-alive', '5']]],
    [400, [['proxy-connection', 'close']]],
    [400, [['te', 'gzip']]],
    [400, [['host', 'other']]],
    [400, [['', 'x']]],
    [400, [['a b', 'x']]],
    [400, [['a:', 'x']]],
    [400, [['a', 'x\r\nEvil: 1']]],
    [400, [['a', 'x\0']]],
    [400, [['content-length', '1, 1']]],
    [400, [['content-length', '1']]],
    [414, [], `/${'a'.repeat(100)}`],
    [431, [['a', 'x'.repeat(1000)]]],
    [431, Array.from({ length: 20 }, () => ['a', 'b'] as const)],
  ]
  for (const [status, pairs, target = '/'] of cases) {
    assert.is(fill(head, 'GET', 'h', target, pairs), status, JSON.stringify(pairs))
    assert.ok(head.problem.length > 5)
  }
  assert.is(fill(head, 'GET', 'h h', '/', []), 400, 'the authority')
  assert.is(fill(head, 'GET', 'h', '/', []), 0, 'a refusal leaves nothing behind')
})

test('one head serves both codecs in turn', () => {
  const x = exchangeOf('GET', 'h', '/', PAIRS)
  assert.is(parseRequestHead(x.req, 'GET /2 HTTP/1.1\r\nHost: h2\r\nA: 1\r\n\r\n', LIMITS) || x.begin(2), 0)
  assert.equal([x.host, x.path, x.req.cookieField, x.header('x-user')], ['h2', '/2', -1, undefined])
  const res = x.req
  assert.is(parseResponseHead(res, 'HTTP/1.1 200 OK\r\nX: y\r\n\r\n', LIMITS), 0)
  assert.is(fill(res, 'GET', 'h3', '/3', [['a', '2']]) || x.begin(3), 0)
  assert.equal([x.host, x.path, x.headers('a'), x.header('x')], ['h3', '/3', ['2'], undefined])
})

test.run()
