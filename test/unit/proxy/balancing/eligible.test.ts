// Every reason against a server, alone; and for every balancer: ejected servers are used when no other is left.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { BalancerMethod } from '../../../../src/config/model.ts'
import { createBalancer } from '../../../../src/proxy/balancing/balancer.ts'
import { couldBeReached, IGNORE_EJECTION, isEligible, keepsSessions } from '../../../../src/proxy/balancing/eligible.ts'
import { seeded, servers } from './servers.ts'

const METHODS: readonly BalancerMethod[] = ['wrr', 'drr', 'p2c', 'rendezvous']

test('each reason alone makes a server ineligible', () => {
  const [server] = servers('a') as [ReturnType<typeof servers>[number]]
  assert.ok(isEligible(server, null, 0))
  assert.ok(isEligible(server, servers('b'), 0))
  assert.not(isEligible(server, [server], 0))
  server.ejectedUntilMs = 100
  assert.not(isEligible(server, null, 99))
  assert.ok(isEligible(server, null, 100))
  assert.ok(isEligible(server, null, IGNORE_EJECTION))
  server.ejectedUntilMs = 0
  server.draining = true
  assert.not(isEligible(server, null, IGNORE_EJECTION))
  server.draining = false
  server.healthy = false
  assert.not(isEligible(server, null, IGNORE_EJECTION))
  server.healthy = true
  server.weight = 0
  assert.not(isEligible(server, null, IGNORE_EJECTION))
})

test('weight 0 excludes new clients, not sessions; other reasons exclude both', () => {
  const [server] = servers('a:0') as [ReturnType<typeof servers>[number]]
  assert.ok(keepsSessions(server, null, 0))
  assert.ok(couldBeReached(server))
  assert.not(keepsSessions(server, [server], 0))
  server.ejectedUntilMs = 100
  assert.not(keepsSessions(server, null, 99))
  assert.ok(couldBeReached(server))
  server.ejectedUntilMs = 0
  server.healthy = false
  assert.not(keepsSessions(server, null, 0))
  assert.not(couldBeReached(server))
  server.checkUnreachable = true
  assert.ok(couldBeReached(server))
  server.healthy = true
  server.draining = true
  assert.not(keepsSessions(server, null, 0))
  assert.not(couldBeReached(server))
})

for (const method of METHODS) {
  test(`${method}: picks only eligible servers`, () => {
    const list = servers('a', 'b:3', 'c', 'd:2', 'e:0', 'f')
    list[0]!.healthy = false
    list[1]!.draining = true
    list[2]!.ejectedUntilMs = 1e9
    const balancer = createBalancer(method, seeded(1))
    for (let i = 0; i < 200; i++) {
      const picked = balancer.pick(list, [list[5]!], `key ${i}`, 1000)
      assert.is(picked?.id, 'd')
    }
  })

  test(`${method}: ejected servers as last resort, unhealthy or draining ones never`, () => {
    const list = servers('a', 'b', 'c', 'd')
    list[0]!.healthy = false
    list[1]!.draining = true
    list[2]!.ejectedUntilMs = 1e9
    const balancer = createBalancer(method, seeded(2))
    assert.is(balancer.pick(list, null, 'k', 1000)?.id, 'd')
    assert.is(balancer.pick(list, [list[3]!], 'k', 1000)?.id, 'c')
    assert.is(balancer.pick(list, [list[3]!, list[2]!], 'k', 1000), null)
  })

  test(`${method}: no server, no pick; one server, always that one`, () => {
    const balancer = createBalancer(method, seeded(3))
    assert.is(balancer.pick([], null, '', 0), null)
    const list = servers('a')
    for (let i = 0; i < 5; i++) assert.is(balancer.pick(list, null, '', i)?.id, 'a')
    assert.is(balancer.pick(servers('a:0'), null, '', 0), null)
  })

  test(`${method}: the list may shrink and grow between picks`, () => {
    const balancer = createBalancer(method, seeded(4))
    const many = servers('a', 'b', 'c', 'd', 'e', 'f', 'g')
    for (let i = 0; i < 6; i++) assert.ok(balancer.pick(many, null, `${i}`, 0))
    const few = many.slice(0, 2)
    for (let i = 0; i < 6; i++) assert.ok(few.includes(balancer.pick(few, null, `${i}`, 0)!))
    for (let i = 0; i < 6; i++) assert.ok(balancer.pick(many, null, `${i}`, 0))
  })
}

test.run()
