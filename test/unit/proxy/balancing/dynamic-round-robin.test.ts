// Dynamic round robin: bad servers lose their share in steps and regain it; if all servers are bad, no weight changes.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { adjustWeights, DynamicRoundRobin } from '../../../../src/proxy/balancing/dynamic-round-robin.ts'
import { noteAnswer } from '../../../../src/proxy/outlier/observations.ts'
import type { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { servers, tally } from './servers.ts'

/** One second of traffic: each pick gets the status of its server. */
function second(
  balancer: DynamicRoundRobin,
  list: readonly UpstreamServer[],
  nowMs: number,
  status: (server: UpstreamServer) => number,
  headMs: (server: UpstreamServer) => number = () => 10,
): Record<string, number> {
  const ids: string[] = []
  for (let i = 0; i < 300; i++) {
    const server = balancer.pick(list, null, '', nowMs)!
    noteAnswer(server, status(server), headMs(server))
    ids.push(server.id)
  }
  return tally(ids)
}

test('healthy servers share equally', () => {
  const balancer = new DynamicRoundRobin()
  const list = servers('a', 'b', 'c')
  for (let s = 0; s < 5; s++)
    assert.equal(
      second(balancer, list, s * 1000, () => 200),
      { a: 100, b: 100, c: 100 },
    )
})

test('a failing server gets less, never nothing, and recovers', () => {
  const balancer = new DynamicRoundRobin()
  const list = servers('a', 'b', 'c')
  const failing = (server: UpstreamServer) => (server.id === 'b' ? 503 : 200)
  second(balancer, list, 0, failing)
  const then = second(balancer, list, 1000, failing)
  assert.ok(then.b! > 25 && then.b! < 40, JSON.stringify(then))
  const later = second(balancer, list, 2000, failing)
  assert.ok(later.b! < then.b!, JSON.stringify(later))
  let total = 0
  for (let s = 3; s < 60; s++) total += second(balancer, list, s * 1000, failing).b ?? 0
  assert.ok(total > 0, 'it is still tried')
  for (let s = 60; s < 80; s++) second(balancer, list, s * 1000, () => 200)
  assert.equal(
    second(balancer, list, 80_000, () => 200),
    { a: 100, b: 100, c: 100 },
  )
})

test('a slow server gets less', () => {
  const balancer = new DynamicRoundRobin()
  const list = servers('a', 'b', 'c')
  const slow = (server: UpstreamServer) => (server.id === 'c' ? 500 : 10)
  for (let s = 0; s < 4; s++) second(balancer, list, s * 1000, () => 200, slow)
  const shares = second(balancer, list, 4000, () => 200, slow)
  assert.ok(shares.c! < 50, JSON.stringify(shares))
})

test('two servers: the better one sets the standard', () => {
  const list = servers('a', 'b')
  for (let i = 0; i < 20; i++) {
    noteAnswer(list[0]!, 200, 1)
    noteAnswer(list[1]!, i % 2 === 0 ? 500 : 200, 1)
  }
  assert.ok(adjustWeights(list))
  assert.equal([list[0]!.weightFactor, list[1]!.weightFactor], [1, 0.25])
})

test('all servers fail, or few responses: no weight changes', () => {
  const list = servers('a', 'b', 'c')
  for (const server of list) for (let i = 0; i < 50; i++) noteAnswer(server, 500, 1)
  assert.not(adjustWeights(list))
  const few = servers('a', 'b')
  for (let i = 0; i < 9; i++) noteAnswer(few[0]!, 500, 1)
  assert.not(adjustWeights(few))
})

test('configured weights still count', () => {
  const balancer = new DynamicRoundRobin()
  const list = servers('a:2', 'b:1')
  assert.equal(
    second(balancer, list, 0, () => 200),
    { a: 200, b: 100 },
  )
})

test.run()
