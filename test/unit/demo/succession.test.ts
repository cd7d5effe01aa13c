import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { agreedLeader, clusterLine, type View } from '../../../src/demo/succession.ts'

const view = (name: string, self: string, leader: string | null, term = 3): View => ({
  name,
  report: {
    self,
    leader: leader === null ? null : { id: leader, name: 'as the cluster calls it' },
    term: { number: term, leader: leader ?? '' },
    revision: { term, leader: leader ?? '', sequence: 12 },
  },
})

test('all replicas report the same id: the leader has the name of its replica', () => {
  assert.equal(agreedLeader([view('edge-1', 'A', 'B'), view('edge-2', 'B', 'B')]), { name: 'edge-2', term: 3 })
})

test('one replica reports another leader, none, or does not answer: no leader', () => {
  assert.is(agreedLeader([]), null)
  assert.is(agreedLeader([view('edge-1', 'A', 'B'), view('edge-2', 'B', 'A')]), null)
  assert.is(agreedLeader([view('edge-1', 'A', 'A'), view('edge-2', 'B', null)]), null)
  assert.is(agreedLeader([view('edge-1', 'A', 'A'), { name: 'edge-2', report: null }]), null)
})

test('a dead leader that all still report: no leader, since it is not among them', () => {
  assert.is(agreedLeader([view('edge-1', 'A', 'C'), view('edge-2', 'B', 'C')]), null)
})

test('the status line: leader, term and revisions; a dead replica does not count', () => {
  const views = [view('edge-1', 'A', 'B'), view('edge-2', 'B', 'B'), { name: 'edge-3', report: null }]
  assert.is(clusterLine(views), 'edge-2 leads, term 3 | revision edge-1 3.12, edge-2 3.12, edge-3 -')
  assert.is(clusterLine(views.slice(2)), 'the replicas are electing a leader | revision edge-3 -')
})

test.run()
