// Limits of concurrent requests: counted per key, released, deleted at zero.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RequestView } from '../../../../src/proxy/message/request-view.ts'
import { ConnectionLimit, compileMaxConnKey } from '../../../../src/proxy/routing/max-conn.ts'

test('the limit applies per key', () => {
  const limit = new ConnectionLimit(2)
  assert.ok(limit.acquire('a'))
  assert.ok(limit.acquire('a'))
  assert.not(limit.acquire('a'))
  assert.ok(limit.acquire('b'))
  limit.release('a')
  assert.ok(limit.acquire('a'))
  assert.not(limit.acquire('a'))
})

test('an amount of 0 refuses all', () => {
  assert.not(new ConnectionLimit(0).acquire('a'))
})

test('memory is bounded by the requests in flight', () => {
  const limit = new ConnectionLimit(1)
  for (let i = 0; i < 10_000; i++) {
    assert.ok(limit.acquire(`k${i}`))
    limit.release(`k${i}`)
  }
  assert.is(limit.size, 0)
  limit.release('never acquired')
  assert.ok(limit.acquire('never acquired'))
  assert.not(limit.acquire('never acquired'), 'a release too many gives nothing')
})

test('long keys are truncated consistently', () => {
  const limit = new ConnectionLimit(1)
  const long = 'x'.repeat(100_000)
  assert.ok(limit.acquire(long))
  assert.not(limit.acquire(`${long}y`))
  limit.release(long)
  assert.is(limit.size, 0)
})

test('keys are read from the request', () => {
  const request: RequestView = {
    method: 'GET',
    host: 'a.test',
    path: '/',
    receivedPath: '/',
    wirePath: '',
    query: null,
    entryPoint: 'web',
    clientAddress: '10.0.0.1',
    header: name => (name === 'x-user' ? 'me' : undefined),
    headers: () => [],
    setHeader: () => undefined,
  }
  assert.is(compileMaxConnKey('client.ip')?.(request), '10.0.0.1')
  assert.is(compileMaxConnKey('request.host')?.(request), 'a.test')
  assert.is(compileMaxConnKey('request.header.X-User')?.(request), 'me')
  assert.is(compileMaxConnKey('request.header.X-Other')?.(request), '')
  for (const by of ['', 'client', 'request.header.', 'request.method']) assert.is(compileMaxConnKey(by), null)
})

test.run()
