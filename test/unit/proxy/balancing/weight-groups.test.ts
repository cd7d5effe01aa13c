// Weight groups: the shares of the plain algorithm for long lists.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { WeightGroups } from '../../../../src/proxy/balancing/weight-groups.ts'
import { WeightedRoundRobin } from '../../../../src/proxy/balancing/weighted-round-robin.ts'
import type { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { servers, tally } from './servers.ts'

const weightOf = (server: UpstreamServer) => server.weight

/** 60 servers of weights 1, 2, 3 in turn; the total is 120. */
function sixty(): UpstreamServer[] {
  return servers(...Array.from({ length: 60 }, (_, i) => `s${i}:${1 + (i % 3)}`))
}

test('a whole cycle gives every server the share of its weight', () => {
  const list = sixty()
  const groups = new WeightGroups(list, weightOf)
  const counts = tally(Array.from({ length: 240 }, () => groups.pick(null, 0)?.id))
  for (const server of list) assert.is(counts[server.id], 2 * server.weight, server.id)
})

test('turns are smooth: the heaviest group never has three in a row', () => {
  const groups = new WeightGroups(sixty(), weightOf)
  const weights = Array.from({ length: 240 }, () => groups.pick(null, 0)!.weight).join('')
  assert.not.match(weights, /333/)
})

test('unusable servers leave their share to all others at the next count', () => {
  const list = sixty()
  const balancer = new WeightedRoundRobin()
  balancer.pick(list, null, '', 0)
  for (const server of list) if (server.weight === 3 && server.id !== 's2') server.healthy = false
  const counts = tally(Array.from({ length: 630 }, () => balancer.pick(list, null, '', 100)?.id))
  // Usable servers: 20 of weight 1, 20 of weight 2, one of weight 3; the total is 63.
  assert.ok(Math.abs(counts.s2! - 30) <= 2, `${counts.s2}`)
  assert.ok(Math.abs(counts.s0! - 10) <= 2, `${counts.s0}`)
})

test('between counts an unusable group loses its turn to the others', () => {
  const list = sixty()
  const groups = new WeightGroups(list, weightOf)
  assert.ok(groups.pick(null, 0))
  for (const server of list) if (server.weight !== 1) server.ejectedUntilMs = 1e6
  for (let i = 0; i < 50; i++) assert.is(groups.pick(null, 1)?.weight, 1)
  for (const server of list) server.healthy = false
  assert.is(groups.pick(null, 2), null)
})

test('long lists: never tried ones or weight 0; ejected ones as last resort', () => {
  const list = sixty()
  const balancer = new WeightedRoundRobin()
  for (const server of list) server.ejectedUntilMs = server.id === 's1' ? 0 : 1e6
  list[5]!.weight = 0
  assert.is(balancer.pick(list, null, '', 10)?.id, 's1')
  for (let i = 0; i < 200; i++) {
    const picked = balancer.pick(list, [list[1]!], '', 10)
    assert.ok(picked !== null && picked !== list[1] && picked !== list[5])
  }
})

test.run()
