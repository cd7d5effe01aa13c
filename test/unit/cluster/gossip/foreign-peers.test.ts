import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ForeignPeers, MAX_FOREIGN_PEERS, WRONG_SECRET } from '../../../../cluster/gossip/foreign-peers.ts'

const A = '10.0.0.1:7998'
const B = '10.0.0.2:7998'

test('an address is listed from the second refusal on, until a member answers there', () => {
  const foreignPeers = new ForeignPeers()
  assert.not(foreignPeers.refused(A, 1000))
  assert.equal(foreignPeers.list(1100), [])
  assert.ok(foreignPeers.refused(A, 1200))
  assert.equal(foreignPeers.list(1500), [{ address: A, sinceMs: 500, kind: 'secret', reason: WRONG_SECRET }])
  foreignPeers.answered(A)
  assert.equal(foreignPeers.list(1500), [])
})

test('another cluster is listed at once, by its name; a new one in its place is new', () => {
  const foreignPeers = new ForeignPeers()
  foreignPeers.otherCluster(A, 'it belongs to cluster "x"', 0)
  foreignPeers.otherCluster(A, 'it belongs to cluster "y"', 100)
  assert.equal(foreignPeers.list(150), [{ address: A, sinceMs: 50, kind: 'cluster', reason: 'it belongs to cluster "y"' }])
})

test('an entry is kept between two dials a minute apart, and dropped without an answer', () => {
  const foreignPeers = new ForeignPeers()
  for (const at of [0, 60_000, 120_000]) foreignPeers.refused(A, at)
  assert.is(foreignPeers.list(180_000).length, 1)
  assert.is(foreignPeers.list(120_000 + 200_000).length, 0)
})

test('an address that is no longer a target is dropped', () => {
  const foreignPeers = new ForeignPeers()
  for (const address of [A, A, B, B]) foreignPeers.refused(address, 0)
  foreignPeers.keepOnly([B])
  assert.equal(
    foreignPeers.list(0).map(({ address }) => address),
    [B],
  )
})

test('the list is bounded, and expired entries free their place', () => {
  const foreignPeers = new ForeignPeers()
  for (let n = 0; n < 2 * MAX_FOREIGN_PEERS; n++) for (const _ of [1, 2]) foreignPeers.refused(`10.0.1.${n}:7998`, 0)
  assert.is(foreignPeers.list(0).length, MAX_FOREIGN_PEERS)
  for (const _ of [1, 2]) foreignPeers.refused(A, 1_000_000)
  assert.equal(
    foreignPeers.list(1_000_000).map(({ address }) => address),
    [A],
  )
})

test.run()
