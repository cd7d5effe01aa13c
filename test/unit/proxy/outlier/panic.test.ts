// The panic threshold: uncertain causes eject at most half of the usable servers, and never the only one.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hasProvenOther, isProven, mayEject, othersDoBetter } from '../../../../src/proxy/outlier/panic.ts'
import { pool } from '../balancing/servers.ts'

test('at most half may be out, never the only one', () => {
  for (const [count, most] of [
    [1, 0],
    [2, 1],
    [3, 1],
    [4, 2],
    [5, 2],
    [10, 5],
  ] as const) {
    const servers = pool(...Array.from({ length: count }, (_, i) => `s${i}`))
    let out = 0
    for (const server of servers) {
      if (!mayEject(server, 100)) continue
      server.ejectedUntilMs = 1000
      out++
    }
    assert.is(out, most, `${count} servers`)
  }
})

test('servers out for any reason count, unusable ones do not', () => {
  const [a, b, c, d] = pool('a', 'b', 'c', 'd')
  a!.ejectedUntilMs = 1000
  b!.ejectedUntilMs = 1000
  b!.ejectedFor = 'refused'
  assert.not(mayEject(c!, 100))
  assert.ok(mayEject(c!, 1000), 'their time is over')
  b!.ejectedUntilMs = 0
  assert.ok(mayEject(c!, 100))
  d!.draining = true
  assert.not(mayEject(c!, 100), 'three are left, and one is out')
  d!.draining = false
  d!.healthy = false
  assert.not(mayEject(c!, 100))
  d!.healthy = true
  d!.weight = 0
  assert.not(mayEject(c!, 100))
  // Sessions of a server of weight 0 can move to all others.
  assert.ok(mayEject(d!, 100))
})

test('a server without a pool has nothing to compare with', () => {
  const [peer] = pool('a')
  peer!.pool = null
  assert.ok(mayEject(peer!, 0))
  assert.not(othersDoBetter(peer!, 0))
  assert.not(hasProvenOther(peer!, 0))
})

test('others do better if fewer than half of them fail', () => {
  const [a, b, c] = pool('a', 'b', 'c')
  assert.not(othersDoBetter(a!, 0), 'nobody else has answered')
  b!.errorShare = 0
  assert.ok(othersDoBetter(a!, 0))
  b!.errorShare = 0.5
  assert.not(othersDoBetter(a!, 0))
  b!.errorShare = 0.4
  b!.errorRun = 1
  assert.not(othersDoBetter(a!, 0), 'all have begun to fail a moment ago')
  b!.errorRun = 0
  assert.ok(othersDoBetter(a!, 0))
  c!.errorShare = 1
  assert.not(othersDoBetter(a!, 0), 'one of two')
  c!.ejectedUntilMs = 10
  assert.ok(othersDoBetter(a!, 0), 'who is out says nothing')
})

test('proven: has responded and not failed since', () => {
  const [a, b] = pool('a', 'b')
  assert.not(isProven(b!, 0))
  b!.errorShare = 0
  assert.ok(isProven(b!, 0))
  assert.ok(hasProvenOther(a!, 0))
  assert.not(hasProvenOther(b!, 0))
  b!.failures = 1
  assert.not(hasProvenOther(a!, 0))
  b!.failures = 0
  b!.ejectedUntilMs = 10
  assert.not(hasProvenOther(a!, 9))
  assert.ok(hasProvenOther(a!, 10))
})

test.run()
