// X-Forwarded-* for trusted and other clients: kept fields, replaced fields, and the cache per Host.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { parseRequestHead } from '../../../../src/proxy/http1/parse-head.ts'
import { forwardedFieldLines } from '../../../../src/proxy/http1/write-head.ts'
import type { FieldList } from '../../../../src/proxy/message/field-list.ts'
import { ForwardedContext } from '../../../../src/proxy/message/forwarded-headers.ts'

const LIMITS = { headerBytes: 65_536, headerCount: 128, uriBytes: 16_384 }

function exchange(fields: string, host = 'h.test'): Exchange {
  const x = new Exchange({} as Downstream, 'web')
  assert.is(parseRequestHead(x.req, `GET / HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`, LIMITS) || x.begin(1), 0)
  return x
}

function object(fields: FieldList): Record<string, string> {
  const { pairs } = fields
  return Object.fromEntries(pairs.flatMap((name, i) => (i % 2 === 0 ? [[name, pairs[i + 1]!]] : [])))
}

const CLAIMS =
  'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: e.test\r\nX-Forwarded-Port: 9\r\nX-Real-Ip: 1.1.1.1\r\n' +
  'X-Forwarded-Server: e\r\nX-Forwarded-Prefix: /e\r\nForwarded: for=e\r\nX_Forwarded_For: e\r\n'

test('not trusted: all forwarded fields are replaced', () => {
  const context = new ForwardedContext('10.0.0.1', 'http', 'edge', false)
  const x = exchange(CLAIMS)
  assert.equal(object(context.fields(x)), {
    'X-Forwarded-For': '10.0.0.1',
    'X-Forwarded-Host': 'h.test',
    'X-Forwarded-Port': '80',
    'X-Forwarded-Proto': 'http',
    'X-Forwarded-Server': 'edge',
    'X-Real-Ip': '10.0.0.1',
  })
  assert.is(forwardedFieldLines(x.req), 'Host: h.test\r\n')
})

test('trusted: fields are kept, the chain grows, and a second call gives the same result', () => {
  const context = new ForwardedContext('10.0.0.1', 'http', 'edge', true)
  const x = exchange(`${CLAIMS}X-Forwarded-For: 2.2.2.2\r\n`)
  const fields = context.fields(x)
  assert.equal(object(fields), {
    'X-Forwarded-For': '1.1.1.1, 2.2.2.2, 10.0.0.1',
    'X-Forwarded-Host': 'e.test',
    'X-Forwarded-Port': '9',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Server': 'edge',
    'X-Real-Ip': '1.1.1.1',
  })
  assert.is(forwardedFieldLines(x.req), 'Host: h.test\r\nX-Forwarded-Prefix: /e\r\nForwarded: for=e\r\nX_Forwarded_For: e\r\n')
  assert.equal(context.fields(x), fields, 'a retry builds the head anew')
})

test('trusted, without forwarded fields or with empty ones: the result is as for other clients', () => {
  const trusted = new ForwardedContext('10.0.0.1', 'http', 'edge', true)
  const other = new ForwardedContext('10.0.0.1', 'http', 'edge', false)
  assert.equal(trusted.fields(exchange('')), other.fields(exchange('')))
  assert.equal(trusted.fields(exchange('X-Forwarded-For:\r\nX-Real-Ip: \r\nX-Forwarded-Proto:\r\n')), other.fields(exchange('')))
})

test('only a WebSocket upgrade is reported as ws or wss', () => {
  const proto = (upgrade: string, scheme: 'http' | 'https', trusted: boolean) => {
    const context = new ForwardedContext('10.0.0.1', scheme, 'edge', trusted)
    const plain = context.fields(exchange(''))
    assert.is(object(plain)['X-Forwarded-Proto'], scheme)
    const fields = context.fields(exchange(`Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`))
    assert.equal(context.fields(exchange('')), plain, 'the next request is no WebSocket')
    return object(fields)['X-Forwarded-Proto']
  }
  for (const trusted of [false, true]) {
    assert.is(proto('WebSocket', 'http', trusted), 'ws')
    assert.is(proto('websocket', 'https', trusted), 'wss')
    assert.is(proto('tls/1.3', 'http', trusted), 'http')
  }
  const claimed = exchange('Connection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-Proto: https\r\n')
  assert.is(object(new ForwardedContext('10.0.0.1', 'http', 'edge', true).fields(claimed))['X-Forwarded-Proto'], 'https')
})

test('the port is that of the Host field, else the default of the scheme', () => {
  const port = (host: string, proto: 'http' | 'https', fields = '') =>
    object(new ForwardedContext('10.0.0.1', proto, 'edge', true).fields(exchange(fields, host)))['X-Forwarded-Port']
  assert.is(port('h', 'http'), '80')
  assert.is(port('h', 'https'), '443')
  assert.is(port('h:8080', 'https'), '8080')
  assert.is(port('[::1]', 'http'), '80')
  assert.is(port('[::1]:81', 'http'), '81')
  assert.is(port('h', 'http', 'X-Forwarded-Proto: https\r\n'), '443')
  assert.is(port('h', 'http', 'X-Forwarded-Proto: wss\r\n'), '443')
})

test('the fields follow the Host from request to request', () => {
  const context = new ForwardedContext('10.0.0.1', 'http', 'edge', false)
  for (const host of ['a', 'b:1', 'b:1', 'a']) assert.is(object(context.fields(exchange('', host)))['X-Forwarded-Host'], host)
})

test.run()
