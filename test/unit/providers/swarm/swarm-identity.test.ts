// Managers of another swarm.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createSwarmIdentities } from '../../../../src/providers/swarm/swarm-identity.ts'

function rig() {
  const found: string[] = []
  return { found, swarms: createSwarmIdentities(key => found.push(key)) }
}

test('a manager of another swarm is refused and reported once, in any order', () => {
  const { found, swarms } = rig()
  swarms.record('b', 'swarmB')
  swarms.record('a', 'swarmA')
  assert.equal(found, [])
  swarms.confirm('a')
  swarms.confirm('a')
  swarms.record('c', 'swarmB')
  assert.equal(found, ['b', 'c'])
  assert.match(swarms.problemOf('b') ?? '', /another swarm \(swarmB\).*\(swarmA\)/)
  assert.is(swarms.problemOf('a'), null)
})

test('a manager with no or a malformed swarm id is accepted', () => {
  const { swarms } = rig()
  swarms.record('a', 'swarmA')
  swarms.confirm('a')
  swarms.record('b', '')
  swarms.record('c', 'a\nb')
  assert.equal(['b', 'c', 'd'].map(swarms.problemOf), [null, null, null])
})

test('a recreated swarm: ids of the old one are forgotten', () => {
  const { swarms } = rig()
  swarms.record('a', 'old')
  swarms.record('b', 'old')
  swarms.confirm('a')
  swarms.forget('a')
  swarms.record('a', 'new')
  assert.is.not(swarms.problemOf('a'), null)
  swarms.confirm('a')
  assert.equal([swarms.problemOf('a'), swarms.problemOf('b')], [null, null])
})

test.run()
