// Endpoints of another swarm among the managers.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createSwarmIdentities } from '../../../../src/providers/swarm/swarm-identity.ts'

function rig() {
  const found: string[] = []
  return { found, swarms: createSwarmIdentities(key => found.push(key)) }
}

test('whoever says another swarm than the one in use is out, and told once, whichever is known first', () => {
  const { found, swarms } = rig()
  swarms.tell('b', 'swarmB')
  swarms.tell('a', 'swarmA')
  assert.equal(found, [])
  swarms.use('a')
  swarms.use('a')
  swarms.tell('c', 'swarmB')
  assert.equal(found, ['b', 'c'])
  assert.match(swarms.problemOf('b') ?? '', /another swarm \(swarmB\).*\(swarmA\)/)
  assert.is(swarms.problemOf('a'), null)
})

test('one that says nothing, or nonsense, is in', () => {
  const { swarms } = rig()
  swarms.tell('a', 'swarmA')
  swarms.use('a')
  swarms.tell('b', '')
  swarms.tell('c', 'a\nb')
  assert.equal(['b', 'c', 'd'].map(swarms.problemOf), [null, null, null])
})

test('a swarm made anew: what the others said of the old one is forgotten', () => {
  const { swarms } = rig()
  swarms.tell('a', 'old')
  swarms.tell('b', 'old')
  swarms.use('a')
  swarms.forget('a')
  swarms.tell('a', 'new')
  assert.is.not(swarms.problemOf('a'), null)
  swarms.use('a')
  assert.equal([swarms.problemOf('a'), swarms.problemOf('b')], [null, null])
})

test.run()
