// Handing over the lead: when, to whom, what when nothing comes of it, and what the one asked does.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { leaderRank } from '../../../../cluster/core/leadership-transfer.ts'
import { LOCAL, leader, member, messages } from '../member.ts'

const WITHOUT = { ...LOCAL, managerHealthy: false }

test('those who stay come before those who drain, with a manager before without', () => {
  const order = [leaderRank(false, true), leaderRank(false, false), leaderRank(true, true), leaderRank(true, false)]
  assert.equal(
    order,
    [...order].sort((a, b) => b - a),
  )
  assert.is(new Set(order).size, 4)
})

test('a leader that drains asks the best at once: healthy, up to date, lowest id', () => {
  const under = leader()
  under.give({ kind: 'publish', hash: 'h', body: 'b' })
  const { revision } = under.core.held!
  under.beat('a', { local: WITHOUT, revision, hash: 'h' })
  under.beat('b')
  under.beat('d', { revision, hash: 'h' })
  under.beat('c', { revision, hash: 'h' })
  under.beat('aa', { revision, hash: 'h', draining: true })
  under.give({ kind: 'drain' })
  assert.equal(messages(under.pass(50), 'handover'), [{ to: 'c', message: { kind: 'handover', term: under.core.term } }])
})

test('when nothing comes of it the next is asked, and all again', () => {
  const under = leader()
  const beats = () => {
    for (const id of ['a', 'b']) under.beat(id)
  }
  beats()
  under.give({ kind: 'drain' })
  const to = messages(under.pass(1500, beats), 'handover').map(sent => sent.to)
  assert.equal(to, ['a', 'b', 'a', 'b'])
})

test('with nobody better it goes on leading', () => {
  const under = leader()
  under.beat('a', { draining: true })
  under.give({ kind: 'drain' })
  assert.is(messages(under.pass(1000), 'handover').length, 0)
  assert.is(under.core.role, 'leader')
})

test('a leader without a healthy manager hands over when another has had one for 300 ms', () => {
  const under = leader()
  under.beat('a', { local: WITHOUT })
  under.give({ kind: 'local', local: WITHOUT })
  assert.is(
    messages(
      under.pass(1000, () => under.beat('a', { local: WITHOUT })),
      'handover',
    ).length,
    0,
  )
  under.beat('b')
  assert.is(messages(under.pass(250), 'handover').length, 0)
  assert.equal(
    messages(under.pass(150), 'handover').map(({ to }) => to),
    ['b'],
  )
  // Its manager is well again: no more of it.
  under.give({ kind: 'local', local: LOCAL })
  assert.is(
    messages(
      under.pass(2000, () => under.beat('b')),
      'handover',
    ).length,
    0,
  )
})

test('who is asked by its leader stands at once, with consent, and leads; the old leader follows', () => {
  const under = member()
  under.leads('a', 3)
  under.beat('b')
  under.heardOf()
  const [ask] = messages(under.hear('a', { kind: 'handover', term: { number: 3, leader: 'a' } }), 'vote?')
  assert.equal([ask?.message.term, ask?.message.pre, ask?.message.consent], [4, false, true])
  under.hear('a', { kind: 'vote!', term: 4, pre: false, granted: true, known: { number: 3, leader: 'a' } })
  assert.equal(under.core.term, { number: 4, leader: 'me' })
  const old = leader()
  old.leads('b', 2)
  assert.is(old.core.leader, 'b')
})

test('who is asked by anybody else, for another term, or is no better does not stand', () => {
  const under = member()
  under.leads('a', 3)
  under.beat('b')
  under.heardOf()
  under.hear('b', { kind: 'handover', term: { number: 3, leader: 'a' } })
  under.hear('a', { kind: 'handover', term: { number: 2, leader: 'a' } })
  under.give({ kind: 'local', local: WITHOUT })
  under.hear('a', { kind: 'handover', term: { number: 3, leader: 'a' } })
  assert.is(messages(under.heardOf(), 'vote?').length, 0)
})

test('who was asked and is not elected goes on following', () => {
  const under = member()
  under.leads('a', 3)
  under.beat('b')
  under.hear('a', { kind: 'handover', term: { number: 3, leader: 'a' } })
  under.pass(1500, () => under.leads('a', 3))
  assert.equal([under.core.role, under.core.leader], ['follower', 'a'])
})

test.run()
