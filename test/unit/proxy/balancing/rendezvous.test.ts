// Rendezvous hashing: the same on every replica, shares by weight, and only the keys of added or removed servers move.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hashString, Rendezvous } from '../../../../src/proxy/balancing/rendezvous.ts'
import { servers, tally } from './servers.ts'

const KEYS = Array.from({ length: 6000 }, (_, i) => `client-${i}`)

test('replicas agree whatever the order of their lists', () => {
  const one = servers('a:2', 'b', 'c:3', 'd', 'e')
  const other = servers('e', 'd', 'c:3', 'b', 'a:2')
  for (const key of KEYS.slice(0, 500)) {
    assert.is(new Rendezvous().pick(one, null, key, 0)?.id, new Rendezvous().pick(other, null, key, 0)?.id)
  }
})

test('known keys keep their server across versions', () => {
  assert.is(hashString('skein'), 2_031_617_527)
  const balancer = new Rendezvous()
  const list = servers('a:2', 'b', 'c:3')
  assert.is(
    KEYS.slice(0, 12)
      .map(key => balancer.pick(list, null, key, 0)?.id)
      .join(''),
    'ababccccbbaa',
  )
})

test('shares follow the weights', () => {
  const balancer = new Rendezvous()
  const equal = servers('a', 'b', 'c', 'd')
  for (const count of Object.values(tally(KEYS.map(key => balancer.pick(equal, null, key, 0)?.id)))) {
    assert.ok(Math.abs(count - 1500) < 150, `${count}`)
  }
  const weighted = tally(KEYS.map(key => balancer.pick(servers('a:1', 'b:2', 'c:3'), null, key, 0)?.id))
  assert.ok(Math.abs(weighted.a! - 1000) < 150 && Math.abs(weighted.c! - 3000) < 200, JSON.stringify(weighted))
})

test('a removed server moves only its own keys, spread over the others', () => {
  const balancer = new Rendezvous()
  const list = servers('a:2', 'b', 'c', 'd')
  const before = KEYS.map(key => balancer.pick(list, null, key, 0)!.id)
  list[1]!.ejectedUntilMs = 10
  const after = KEYS.map(key => balancer.pick(list, null, key, 0)!.id)
  const heirs = new Set<string>()
  for (let i = 0; i < KEYS.length; i++) {
    if (before[i] === 'b') heirs.add(after[i]!)
    else assert.is(after[i], before[i])
  }
  assert.equal([...heirs].sort(), ['a', 'c', 'd'])
  assert.equal(
    KEYS.map(key => balancer.pick(list, null, key, 10)!.id),
    before,
  )
})

test('a retry picks the same other server on every replica', () => {
  const list = servers('a', 'b', 'c')
  const first = new Rendezvous().pick(list, null, 'k', 0)!
  const second = new Rendezvous().pick(list, [first], 'k', 0)!
  assert.is.not(second, first)
  assert.is(new Rendezvous().pick([...list].reverse(), [first], 'k', 0), second)
})

test.run()
