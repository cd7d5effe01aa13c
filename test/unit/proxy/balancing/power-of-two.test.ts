// The less loaded of two servers, shares by weight; the random numbers are passed in.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PowerOfTwo } from '../../../../src/proxy/balancing/power-of-two.ts'
import { seeded, servers, tally } from './servers.ts'

test('two servers: always the less loaded one', () => {
  const list = servers('a', 'b')
  list[0]!.inFlight = 5
  const balancer = new PowerOfTwo(seeded(1))
  for (let i = 0; i < 100; i++) assert.is(balancer.pick(list, null, '', 0)?.id, 'b')
})

test('load is per weight', () => {
  const list = servers('a:4', 'b:1')
  list[0]!.inFlight = 6
  list[1]!.inFlight = 2
  const balancer = new PowerOfTwo(seeded(2))
  for (let i = 0; i < 100; i++) assert.is(balancer.pick(list, null, '', 0)?.id, 'a')
})

test('idle servers share by weight', () => {
  const list = servers('a:3', 'b:1')
  const balancer = new PowerOfTwo(seeded(3))
  const counts = tally(Array.from({ length: 4000 }, () => balancer.pick(list, null, '', 0)?.id))
  assert.ok(counts.a! > 2850 && counts.a! < 3150, JSON.stringify(counts))
})

test('long requests leave loads nearly even', () => {
  const list = servers(...Array.from({ length: 50 }, (_, i) => `s${i}`))
  const balancer = new PowerOfTwo(seeded(4))
  for (let i = 0; i < 1000; i++) balancer.pick(list, null, '', 0)!.inFlight++
  const loads = list.map(server => server.inFlight)
  assert.ok(Math.max(...loads) - Math.min(...loads) <= 6, loads.join(' '))
})

test('one usable server among a thousand is found', () => {
  const list = servers(...Array.from({ length: 1000 }, (_, i) => `s${i}`))
  for (const server of list) server.healthy = server.id === 's777'
  assert.is(new PowerOfTwo(seeded(5)).pick(list, null, '', 0)?.id, 's777')
})

test('random numbers at the ends of their range are handled', () => {
  for (const value of [0, 1 - Number.EPSILON]) {
    const balancer = new PowerOfTwo(() => value)
    assert.ok(balancer.pick(servers('a:1', 'b:100', 'c:1'), null, '', 0))
  }
})

test.run()
