// Leader election: votes, pre-votes, terms, stepping down, and which member may campaign.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Held, LIMITS } from '../../../../cluster/core/state.ts'
import { effectsOf, LOCAL, leader, type MemberUnderTest, member, messages } from '../member.ts'

const held = (term: number, sequence = 1, by = 'old'): Held => ({
  revision: { term, leader: by, sequence },
  hash: 'h',
  body: 'b',
})

/** Requests a vote and returns the response. */
function ask(under: MemberUnderTest, from: string, term: number, how: { pre?: boolean; consent?: boolean } = {}) {
  const message = { kind: 'vote?', term, pre: how.pre ?? false, consent: how.consent ?? false, revision: null } as const
  const [answer] = messages(under.receive(from, message), 'vote!')
  return answer?.message
}

/** The last vote request since the previous call. */
const asked = (under: MemberUnderTest) => messages(under.takeEffects(), 'vote?').at(-1)?.message

/** Two peers that send heartbeats; `a` led in term 3 and its connection has closed. */
function orphan(setting: Parameters<typeof member>[0] = {}): MemberUnderTest {
  const under = member(setting)
  under.heartbeat('b')
  under.leads('a', 3)
  under.dispatch({ kind: 'disconnected', peer: 'a' })
  under.heartbeat('b', { suspects: ['a'] })
  under.takeEffects()
  return under
}

test('without peers it leads after it has waited for others', () => {
  const under = member()
  under.pass(750)
  assert.is(under.core.role, 'follower')
  const effects = under.pass(500)
  assert.is(under.core.role, 'leader')
  assert.equal(under.core.term, { number: 1, leader: 'me' })
  assert.equal(effectsOf(effects, 'role'), [{ kind: 'role', role: 'leader', term: { number: 1, leader: 'me' }, leader: 'me' }])
})

test('terms start above the revision on disk', () => {
  assert.equal(leader({ held: held(41) }).core.term, { number: 42, leader: 'me' })
})

test('a leader is followed from its first heartbeat', () => {
  const under = member()
  const effects = under.leads('a', 3)
  assert.equal(effectsOf(effects, 'role'), [{ kind: 'role', role: 'follower', term: { number: 3, leader: 'a' }, leader: 'a' }])
  under.pass(3000, () => under.leads('a', 3))
  assert.equal(under.core.leader, 'a')
})

test('a member that claims the term of another is not followed', () => {
  const under = member()
  under.leads('a', 3, { term: { number: 3, leader: 'b' } })
  assert.is(under.core.leader, null)
})

test('the leader is lost: pre-vote, vote, leadership, each with a majority of live members', () => {
  const under = orphan()
  assert.is(under.core.leader, null)
  under.pass(300)
  assert.equal(asked(under), { kind: 'vote?', term: 4, pre: true, consent: false, revision: null })
  under.receive('b', { kind: 'vote!', term: 4, pre: true, granted: true, known: { number: 3, leader: 'a' } })
  assert.equal(asked(under), { kind: 'vote?', term: 4, pre: false, consent: false, revision: null })
  assert.is(under.core.role, 'follower')
  const effects = under.receive('b', { kind: 'vote!', term: 4, pre: false, granted: true, known: { number: 3, leader: 'a' } })
  assert.equal(under.core.term, { number: 4, leader: 'me' })
  const [beat] = messages(effects, 'beat')
  assert.equal([beat?.to, beat?.message.role], [null, 'leader'])
})

test('refusals, votes of unknown members or other rounds, and duplicates elect no leader', () => {
  const under = orphan()
  under.heartbeat('c')
  under.heartbeat('d')
  under.pass(250)
  const known = { number: 3, leader: 'a' }
  under.receive('b', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  under.receive('b', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  under.receive('c', { kind: 'vote!', term: 4, pre: true, granted: false, known })
  under.receive('d', { kind: 'vote!', term: 3, pre: true, granted: true, known })
  under.receive('d', { kind: 'vote!', term: 4, pre: false, granted: true, known })
  under.receive('unknown', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  assert.is(messages(under.takeEffects(), 'vote?').filter(({ message }) => !message.pre).length, 0)
  under.receive('d', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  assert.is(asked(under)?.pre, false)
})

test('a candidate that installs a revision of its number campaigns again above it', () => {
  const under = orphan()
  const known = { number: 3, leader: 'a' }
  under.pass(300)
  under.receive('b', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  assert.is(asked(under)?.term, 4)
  // `zed`, elected in term 4 by another part of the partition, has published, and sorts above `me`.
  under.dispatch({ kind: 'pulled', from: 'b', held: held(4, 6, 'zed') })
  under.receive('b', { kind: 'vote!', term: 4, pre: false, granted: true, known })
  assert.is(under.core.role, 'follower')
  assert.equal(under.core.term, { number: 4, leader: 'zed' })
  under.pass(1000, () => under.heartbeat('b'))
  assert.is(asked(under)?.term, 5)
})

test('a failed round is followed by another, and rounds grow longer', () => {
  const under = orphan()
  const rounds = messages(
    under.pass(2800, () => under.heartbeat('b')),
    'vote?',
  )
  assert.ok(rounds.length >= 3 && rounds.length <= 6, `${rounds.length}`)
  assert.ok(rounds.every(({ message }) => message.pre && message.term === 4))
})

test('a voter grants one vote per term, and repeats it to the same candidate', () => {
  const under = orphan()
  assert.is(ask(under, 'b', 4)?.granted, true)
  assert.is(ask(under, 'c', 4)?.granted, false)
  assert.is(ask(under, 'b', 4)?.granted, true)
  assert.is(ask(under, 'c', 3)?.granted, false)
  assert.is(ask(under, 'c', 5)?.granted, true)
})

test('a candidate has voted for itself', () => {
  const under = orphan()
  under.pass(250)
  under.receive('b', { kind: 'vote!', term: 4, pre: true, granted: true, known: { number: 3, leader: 'a' } })
  assert.is(ask(under, 'b', 4)?.granted, false)
})

test('a pre-vote binds no voter', () => {
  const under = orphan()
  assert.is(ask(under, 'b', 4, { pre: true })?.granted, true)
  assert.is(ask(under, 'c', 4, { pre: true })?.granted, true)
  assert.is(ask(under, 'c', 4)?.granted, true)
})

test('two candidates at once: the lower id wins', () => {
  const under = orphan()
  under.pass(250)
  assert.is(ask(under, 'z', 4, { pre: true })?.granted, false)
  assert.is(ask(under, 'b', 4, { pre: true })?.granted, true)
  under.receive('z', { kind: 'vote!', term: 4, pre: true, granted: true, known: { number: 3, leader: 'a' } })
  under.receive('b', { kind: 'vote!', term: 4, pre: true, granted: true, known: { number: 3, leader: 'a' } })
  assert.is(messages(under.takeEffects(), 'vote?').filter(({ message }) => !message.pre).length, 0)
})

test('with a live leader no other candidate gets a vote, unless the leader consents', () => {
  const under = member()
  under.leads('a', 3)
  assert.is(ask(under, 'b', 4, { pre: true })?.granted, false)
  assert.is(ask(under, 'b', 4)?.granted, false)
  assert.is(ask(under, 'b', 4, { consent: true })?.granted, true)
  assert.is(ask(under, 'a', 5, { pre: true })?.granted, true)
  const leading = leader()
  assert.is(ask(leading, 'b', 9, { pre: true })?.granted, false)
  assert.is(ask(leading, 'b', 9)?.granted, false)
  assert.is(leading.core.role, 'leader')
})

test('no vote is granted in a past term', () => {
  const under = orphan()
  const answer = ask(under, 'b', 3)
  assert.equal([answer?.granted, answer?.known], [false, { number: 3, leader: 'a' }])
})

test('a candidate that learns of higher numbers campaigns above them', () => {
  const under = orphan()
  under.pass(250)
  under.receive('b', { kind: 'vote!', term: 4, pre: true, granted: false, known: { number: 17, leader: '' } })
  under.takeEffects()
  under.pass(600, () => under.heartbeat('b'))
  assert.is(asked(under)?.term, 18)
})

test('a leader yields to a higher term, not to a lower one; at one number the higher id leads', () => {
  const under = leader()
  under.leads('z', 1)
  assert.is(under.core.leader, 'z')
  const higher = leader()
  higher.leads('a', 1)
  assert.is(higher.core.role, 'leader')
  higher.leads('a', 2)
  assert.equal([higher.core.role, higher.core.leader], ['follower', 'a'])
})

test('a leader that sees a higher term waits for its leader, then leads in a still higher one', () => {
  const under = leader()
  under.heartbeat('b', { term: { number: 7, leader: 'x' } })
  assert.equal([under.core.role, under.core.leader], ['follower', null])
  assert.is(messages(under.pass(250), 'vote?').length, 0)
  under.pass(250)
  assert.is(asked(under)?.term, 8)
  under.receive('b', { kind: 'vote!', term: 8, pre: true, granted: true, known: { number: 7, leader: 'x' } })
  under.receive('b', { kind: 'vote!', term: 8, pre: false, granted: true, known: { number: 7, leader: 'x' } })
  assert.equal(under.core.term, { number: 8, leader: 'me' })
})

test('a leader that sees a revision of a higher term campaigns above it', () => {
  const under = leader()
  under.heartbeat('b', { revision: { term: 9, leader: 'x', sequence: 3 }, hash: 'h9' })
  under.pass(50)
  assert.is(asked(under)?.term, 10)
})

test('terms far above the known ones are ignored', () => {
  const under = leader()
  under.leads('a', LIMITS.termJump + 2)
  assert.is(under.core.role, 'leader')
  ask(under, 'a', LIMITS.termJump + 2, { consent: true })
  under.leads('a', LIMITS.termJump + 1)
  assert.is(under.core.leader, 'a')
})

test('a follower without a leader tells a stale leader about the higher term', () => {
  const under = member({ held: held(9) })
  assert.equal(
    messages(under.leads('a', 3), 'beat').map(({ to }) => to),
    ['a'],
  )
  assert.is(under.core.leader, null)
})

test('a leader that does not receive this member is followed only when there is no other', () => {
  const under = member()
  under.leads('a', 3)
  under.leads('z', 4, { suspects: ['me'] })
  assert.is(under.core.leader, 'a')
  under.leads('z', 4)
  assert.is(under.core.leader, 'z')
  const alone = member()
  alone.leads('z', 4, { suspects: ['me'] })
  assert.is(alone.core.leader, 'z')
  const leading = leader()
  leading.leads('z', 4, { suspects: ['me'] })
  leading.receive('z', {
    kind: 'announce',
    term: { number: 4, leader: 'z' },
    revision: { term: 4, leader: 'z', sequence: 1 },
    hash: 'h',
    size: 1,
    body: 'b',
  })
  assert.is(leading.core.role, 'leader')
})

test('a round waits for suspects to refute, and ends when the leader denies its vote', () => {
  const under = member()
  under.leads('a', 3)
  under.dispatch({ kind: 'disconnected', peer: 'a' })
  under.takeEffects()
  while (asked(under) === undefined) under.pass(50)
  assert.is(under.core.role, 'follower')
  under.receive('a', { kind: 'vote!', term: 4, pre: true, granted: false, known: { number: 3, leader: 'a' } })
  under.pass(250)
  assert.is(under.core.role, 'follower')
  under.leads('a', 3)
  assert.is(under.core.leader, 'a')
  const silent = member()
  silent.leads('a', 3)
  silent.dispatch({ kind: 'disconnected', peer: 'a' })
  silent.pass(500)
  assert.is(silent.core.role, 'leader')
})

test('a leader that reports itself as a follower is replaced', () => {
  const under = member()
  under.leads('a', 3)
  under.heartbeat('a', { term: { number: 3, leader: 'a' } })
  assert.is(under.core.leader, null)
  under.pass(300)
  assert.is(asked(under)?.term, 4)
})

test('without a healthy manager it campaigns only if no member has one, or after a delay', () => {
  const without = { managerHealthy: false }
  const under = orphan({ local: without })
  assert.is(
    messages(
      under.pass(2500, () => under.heartbeat('b')),
      'vote?',
    ).length,
    0,
  )
  assert.ok(
    messages(
      under.pass(1000, () => under.heartbeat('b')),
      'vote?',
    ).length > 0,
  )
  const none = orphan({ local: without })
  none.heartbeat('b', { local: { ...LOCAL, managerHealthy: false } })
  assert.is(messages(none.pass(300), 'vote?').length, 1)
  assert.is(leader({ local: without }).core.role, 'leader')
})

test('a draining member does not campaign while others can', () => {
  const under = orphan()
  under.dispatch({ kind: 'drain' })
  assert.is(
    messages(
      under.pass(1500, () => under.heartbeat('b')),
      'vote?',
    ).length,
    0,
  )
  under.receive('b', { kind: 'leave' })
  under.pass(500)
  assert.is(under.core.role, 'leader')
})

test('a leader that was suspended steps down first; alone, it leads again in a higher term', () => {
  const under = leader()
  under.sleep(5000)
  const effects = under.dispatch({ kind: 'publish', hash: 'h', body: 'b' })
  assert.is(under.core.role, 'follower')
  assert.is(under.core.held, null)
  assert.is(messages(effects, 'beat')[0]?.message.role, 'follower')
  under.pass(1500)
  assert.equal(under.core.term, { number: 2, leader: 'me' })
})

test('a short suspension does not cost the leadership', () => {
  const under = leader()
  under.sleep(700)
  under.dispatch({ kind: 'tick' })
  assert.equal(under.core.term, { number: 1, leader: 'me' })
})

test.run()
