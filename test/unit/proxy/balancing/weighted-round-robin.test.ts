// Smooth weighted round robin: nginx's own example, exact shares, and rotation over unusable servers.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { WeightedRoundRobin } from '../../../../src/proxy/balancing/weighted-round-robin.ts'
import type { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { servers, tally } from './servers.ts'

function picks(balancer: WeightedRoundRobin, list: readonly UpstreamServer[], count: number, nowMs = 0): (string | undefined)[] {
  return Array.from({ length: count }, () => balancer.pick(list, null, '', nowMs)?.id)
}

test('weights 5, 1, 1 interleave as in nginx', () => {
  assert.equal(picks(new WeightedRoundRobin(), servers('a:5', 'b:1', 'c:1'), 7).join(''), 'aabacaa')
})

test('equal weights rotate', () => {
  assert.equal(picks(new WeightedRoundRobin(), servers('a:2', 'b:2', 'c:2'), 7).join(''), 'abcabca')
})

test('shares are exact over whole rounds', () => {
  assert.equal(tally(picks(new WeightedRoundRobin(), servers('a:7', 'b:2', 'c:1'), 100)), { a: 70, b: 20, c: 10 })
})

test("an unusable server does not double its neighbour's share", () => {
  const list = servers('a', 'b', 'c')
  list[1]!.ejectedUntilMs = 100
  assert.equal(tally(picks(new WeightedRoundRobin(), list, 100)), { a: 50, c: 50 })
  assert.equal(tally(picks(new WeightedRoundRobin(), list, 99, 100)), { a: 33, b: 33, c: 33 })
})

test('an ejected server leaves its share to the others in proportion', () => {
  const list = servers('a:6', 'b:2', 'c:1')
  list[0]!.ejectedUntilMs = 100
  assert.equal(tally(picks(new WeightedRoundRobin(), list, 90)), { b: 60, c: 30 })
})

test('a new list with new weights starts afresh', () => {
  const balancer = new WeightedRoundRobin()
  const list = servers('a', 'b')
  picks(balancer, list, 3)
  list[0]!.weight = 3
  assert.equal(tally(picks(balancer, [...list], 40)), { a: 30, b: 10 })
})

test('the start value spreads the first pick', () => {
  const first = new Set<string | undefined>()
  for (const start of [0, 0.2, 0.4, 0.6, 0.8, 0.99]) first.add(picks(new WeightedRoundRobin(start), servers('a', 'b', 'c'), 1)[0])
  assert.ok(first.size > 1)
})

test.run()
