import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ForeignPeers, MAX_FOREIGN_PEERS, WRONG_SECRET } from '../../../../cluster/gossip/foreign-peers.ts'

const A = '10.0.0.1:7998'
const B = '10.0.0.2:7998'

test('listed from the second refusal on, until a member answers there', () => {
  const strangers = new ForeignPeers()
  assert.not(strangers.refused(A, 1000))
  assert.equal(strangers.list(1100), [])
  assert.ok(strangers.refused(A, 1200))
  assert.equal(strangers.list(1500), [{ address: A, sinceMs: 500, kind: 'secret', reason: WRONG_SECRET }])
  strangers.answered(A)
  assert.equal(strangers.list(1500), [])
})

test('another cluster is listed at once, by its name; a new one in its place is new', () => {
  const strangers = new ForeignPeers()
  strangers.otherCluster(A, 'it belongs to cluster "x"', 0)
  strangers.otherCluster(A, 'it belongs to cluster "y"', 100)
  assert.equal(strangers.list(150), [{ address: A, sinceMs: 50, kind: 'cluster', reason: 'it belongs to cluster "y"' }])
})

test('kept between two dials a minute apart, forgotten when nothing answers any more', () => {
  const strangers = new ForeignPeers()
  for (const at of [0, 60_000, 120_000]) strangers.refused(A, at)
  assert.is(strangers.list(180_000).length, 1)
  assert.is(strangers.list(120_000 + 200_000).length, 0)
})

test('an address that is no target any more is forgotten', () => {
  const strangers = new ForeignPeers()
  for (const address of [A, A, B, B]) strangers.refused(address, 0)
  strangers.keepOnly([B])
  assert.equal(
    strangers.list(0).map(({ address }) => address),
    [B],
  )
})

test('bounded, and room again when old ones are forgotten', () => {
  const strangers = new ForeignPeers()
  for (let n = 0; n < 2 * MAX_FOREIGN_PEERS; n++) for (const _ of [1, 2]) strangers.refused(`10.0.1.${n}:7998`, 0)
  assert.is(strangers.list(0).length, MAX_FOREIGN_PEERS)
  for (const _ of [1, 2]) strangers.refused(A, 1_000_000)
  assert.equal(
    strangers.list(1_000_000).map(({ address }) => address),
    [A],
  )
})

test.run()
