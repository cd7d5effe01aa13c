// Leadership transfer: when, to which member, what follows a failure, and how the transferee reacts.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { leaderRank } from '../../../../cluster/core/leadership-transfer.ts'
import { LOCAL, leader, member, messages } from '../member.ts'

const WITHOUT = { ...LOCAL, managerHealthy: false }

test('staying members rank above draining ones, then those with a manager above those without', () => {
  const order = [leaderRank(false, true), leaderRank(false, false), leaderRank(true, true), leaderRank(true, false)]
  assert.equal(
    order,
    [...order].sort((a, b) => b - a),
  )
  assert.is(new Set(order).size, 4)
})

test('a draining leader asks the best member at once: healthy, up to date, lowest id', () => {
  const under = leader()
  under.dispatch({ kind: 'publish', hash: 'h', body: 'b' })
  const { revision } = under.core.held!
  under.heartbeat('a', { local: WITHOUT, revision, hash: 'h' })
  under.heartbeat('b')
  under.heartbeat('d', { revision, hash: 'h' })
  under.heartbeat('c', { revision, hash: 'h' })
  under.heartbeat('aa', { revision, hash: 'h', draining: true })
  under.dispatch({ kind: 'drain' })
  assert.equal(messages(under.pass(50), 'handover'), [{ to: 'c', message: { kind: 'handover', term: under.core.term } }])
})

test('when a transfer fails the next member is asked, then all again', () => {
  const under = leader()
  const beats = () => {
    for (const id of ['a', 'b']) under.heartbeat(id)
  }
  beats()
  under.dispatch({ kind: 'drain' })
  const to = messages(under.pass(1500, beats), 'handover').map(sent => sent.to)
  assert.equal(to, ['a', 'b', 'a', 'b'])
})

test('without a better member it keeps leading', () => {
  const under = leader()
  under.heartbeat('a', { draining: true })
  under.dispatch({ kind: 'drain' })
  assert.is(messages(under.pass(1000), 'handover').length, 0)
  assert.is(under.core.role, 'leader')
})

test('a leader without a manager transfers after another has had one for 300 ms', () => {
  const under = leader()
  under.heartbeat('a', { local: WITHOUT })
  under.dispatch({ kind: 'local', local: WITHOUT })
  assert.is(
    messages(
      under.pass(1000, () => under.heartbeat('a', { local: WITHOUT })),
      'handover',
    ).length,
    0,
  )
  under.heartbeat('b')
  assert.is(messages(under.pass(250), 'handover').length, 0)
  assert.equal(
    messages(under.pass(150), 'handover').map(({ to }) => to),
    ['b'],
  )
  // Its manager is healthy again: the transfer ends.
  under.dispatch({ kind: 'local', local: LOCAL })
  assert.is(
    messages(
      under.pass(2000, () => under.heartbeat('b')),
      'handover',
    ).length,
    0,
  )
})

test('the transferee campaigns at once with consent and leads; the old leader follows', () => {
  const under = member()
  under.leads('a', 3)
  under.heartbeat('b')
  under.takeEffects()
  const [ask] = messages(under.receive('a', { kind: 'handover', term: { number: 3, leader: 'a' } }), 'vote?')
  assert.equal([ask?.message.term, ask?.message.pre, ask?.message.consent], [4, false, true])
  under.receive('a', { kind: 'vote!', term: 4, pre: false, granted: true, known: { number: 3, leader: 'a' } })
  assert.equal(under.core.term, { number: 4, leader: 'me' })
  const old = leader()
  old.leads('b', 2)
  assert.is(old.core.leader, 'b')
})

test('a request of a non-leader, for another term, or to a lower-ranked member is ignored', () => {
  const under = member()
  under.leads('a', 3)
  under.heartbeat('b')
  under.takeEffects()
  under.receive('b', { kind: 'handover', term: { number: 3, leader: 'a' } })
  under.receive('a', { kind: 'handover', term: { number: 2, leader: 'a' } })
  under.dispatch({ kind: 'local', local: WITHOUT })
  under.receive('a', { kind: 'handover', term: { number: 3, leader: 'a' } })
  assert.is(messages(under.takeEffects(), 'vote?').length, 0)
})

test('a transferee that is not elected keeps following', () => {
  const under = member()
  under.leads('a', 3)
  under.heartbeat('b')
  under.receive('a', { kind: 'handover', term: { number: 3, leader: 'a' } })
  under.pass(1500, () => under.leads('a', 3))
  assert.equal([under.core.role, under.core.leader], ['follower', 'a'])
})

test.run()
