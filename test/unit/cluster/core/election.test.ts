// Who leads: votes, pre-votes, terms, stepping down, and the order in which members may stand.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Held, LIMITS } from '../../../../cluster/core/state.ts'
import { effectsOf, LOCAL, leader, member, messages, type Under } from '../member.ts'

const held = (term: number, sequence = 1, by = 'old'): Held => ({
  revision: { term, leader: by, sequence },
  hash: 'h',
  body: 'b',
})

/** Asked for a vote; what is answered. */
function ask(under: Under, from: string, term: number, how: { pre?: boolean; consent?: boolean } = {}) {
  const message = { kind: 'vote?', term, pre: how.pre ?? false, consent: how.consent ?? false, revision: null } as const
  const [answer] = messages(under.hear(from, message), 'vote!')
  return answer?.message
}

/** The last vote asked for since it was last looked. */
const asked = (under: Under) => messages(under.heardOf(), 'vote?').at(-1)?.message

/** Two peers that beat; `a` led in term 3 and its connection has closed. */
function orphan(setting: Parameters<typeof member>[0] = {}): Under {
  const under = member(setting)
  under.beat('b')
  under.leads('a', 3)
  under.give({ kind: 'disconnected', peer: 'a' })
  under.beat('b', { suspects: ['a'] })
  under.heardOf()
  return under
}

test('with no peer at all it leads itself, after it has waited for others', () => {
  const under = member()
  under.pass(750)
  assert.is(under.core.role, 'follower')
  const effects = under.pass(500)
  assert.is(under.core.role, 'leader')
  assert.equal(under.core.term, { number: 1, leader: 'me' })
  assert.equal(effectsOf(effects, 'role'), [{ kind: 'role', role: 'leader', term: { number: 1, leader: 'me' }, leader: 'me' }])
})

test('terms begin above what is on disk', () => {
  assert.equal(leader({ held: held(41) }).core.term, { number: 42, leader: 'me' })
})

test('a leader is followed as soon as it is heard', () => {
  const under = member()
  const effects = under.leads('a', 3)
  assert.equal(effectsOf(effects, 'role'), [{ kind: 'role', role: 'follower', term: { number: 3, leader: 'a' }, leader: 'a' }])
  under.pass(3000, () => under.leads('a', 3))
  assert.equal(under.core.leader, 'a')
})

test('nobody is followed who claims a term that is not its own', () => {
  const under = member()
  under.leads('a', 3, { term: { number: 3, leader: 'b' } })
  assert.is(under.core.leader, null)
})

test('when the leader is lost: pre-vote, vote, lead, each with a majority of those believed alive', () => {
  const under = orphan()
  assert.is(under.core.leader, null)
  under.pass(300)
  assert.equal(asked(under), { kind: 'vote?', term: 4, pre: true, consent: false, revision: null })
  under.hear('b', { kind: 'vote!', term: 4, pre: true, granted: true, known: { number: 3, leader: 'a' } })
  assert.equal(asked(under), { kind: 'vote?', term: 4, pre: false, consent: false, revision: null })
  assert.is(under.core.role, 'follower')
  const effects = under.hear('b', { kind: 'vote!', term: 4, pre: false, granted: true, known: { number: 3, leader: 'a' } })
  assert.equal(under.core.term, { number: 4, leader: 'me' })
  const [beat] = messages(effects, 'beat')
  assert.equal([beat?.to, beat?.message.role], [null, 'leader'])
})

test('refusals, votes of strangers, of other rounds and twice the same do not make a leader', () => {
  const under = orphan()
  under.beat('c')
  under.beat('d')
  under.pass(250)
  const known = { number: 3, leader: 'a' }
  under.hear('b', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  under.hear('b', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  under.hear('c', { kind: 'vote!', term: 4, pre: true, granted: false, known })
  under.hear('d', { kind: 'vote!', term: 3, pre: true, granted: true, known })
  under.hear('d', { kind: 'vote!', term: 4, pre: false, granted: true, known })
  under.hear('stranger', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  assert.is(messages(under.heardOf(), 'vote?').filter(({ message }) => !message.pre).length, 0)
  under.hear('d', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  assert.is(asked(under)?.pre, false)
})

test('who takes a revision of the number that it stands for gives that round up, and stands above it', () => {
  const under = orphan()
  const known = { number: 3, leader: 'a' }
  under.pass(300)
  under.hear('b', { kind: 'vote!', term: 4, pre: true, granted: true, known })
  assert.is(asked(under)?.term, 4)
  // The component that another part of a partition elected in term 4 has published; `zed` is above `me`.
  under.give({ kind: 'pulled', from: 'b', held: held(4, 6, 'zed') })
  under.hear('b', { kind: 'vote!', term: 4, pre: false, granted: true, known })
  assert.is(under.core.role, 'follower')
  assert.equal(under.core.term, { number: 4, leader: 'zed' })
  under.pass(1000, () => under.beat('b'))
  assert.is(asked(under)?.term, 5)
})

test('a round that fails is followed by another, and rounds grow longer', () => {
  const under = orphan()
  const rounds = messages(
    under.pass(2800, () => under.beat('b')),
    'vote?',
  )
  assert.ok(rounds.length >= 3 && rounds.length <= 6, `${rounds.length}`)
  assert.ok(rounds.every(({ message }) => message.pre && message.term === 4))
})

test('a voter gives one vote in a term, to the same one as often as it asks', () => {
  const under = orphan()
  assert.is(ask(under, 'b', 4)?.granted, true)
  assert.is(ask(under, 'c', 4)?.granted, false)
  assert.is(ask(under, 'b', 4)?.granted, true)
  assert.is(ask(under, 'c', 3)?.granted, false)
  assert.is(ask(under, 'c', 5)?.granted, true)
})

test('who stands has voted for itself', () => {
  const under = orphan()
  under.pass(250)
  under.hear('b', { kind: 'vote!', term: 4, pre: true, granted: true, known: { number: 3, leader: 'a' } })
  assert.is(ask(under, 'b', 4)?.granted, false)
})

test('a pre-vote binds nobody', () => {
  const under = orphan()
  assert.is(ask(under, 'b', 4, { pre: true })?.granted, true)
  assert.is(ask(under, 'c', 4, { pre: true })?.granted, true)
  assert.is(ask(under, 'c', 4)?.granted, true)
})

test('of two that ask at the same time the one with the lower id goes on, and the other lets it', () => {
  const under = orphan()
  under.pass(250)
  assert.is(ask(under, 'z', 4, { pre: true })?.granted, false)
  assert.is(ask(under, 'b', 4, { pre: true })?.granted, true)
  under.hear('z', { kind: 'vote!', term: 4, pre: true, granted: true, known: { number: 3, leader: 'a' } })
  under.hear('b', { kind: 'vote!', term: 4, pre: true, granted: true, known: { number: 3, leader: 'a' } })
  assert.is(messages(under.heardOf(), 'vote?').filter(({ message }) => !message.pre).length, 0)
})

test('while a leader is heard nobody else gets a vote, unless the leader consents; the leader itself may have one', () => {
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

test('nobody is elected in a term that is over', () => {
  const under = orphan()
  const answer = ask(under, 'b', 3)
  assert.equal([answer?.granted, answer?.known], [false, { number: 3, leader: 'a' }])
})

test('a candidate told of higher numbers stands above them', () => {
  const under = orphan()
  under.pass(250)
  under.hear('b', { kind: 'vote!', term: 4, pre: true, granted: false, known: { number: 17, leader: '' } })
  under.heardOf()
  under.pass(600, () => under.beat('b'))
  assert.is(asked(under)?.term, 18)
})

test('a leader gives way to a higher term, not to a lower one; at one number the higher name leads', () => {
  const under = leader()
  under.leads('z', 1)
  assert.is(under.core.leader, 'z')
  const higher = leader()
  higher.leads('a', 1)
  assert.is(higher.core.role, 'leader')
  higher.leads('a', 2)
  assert.equal([higher.core.role, higher.core.leader], ['follower', 'a'])
})

test('a leader that hears of a higher term from another listens for its leader, then leads in a still higher one', () => {
  const under = leader()
  under.beat('b', { term: { number: 7, leader: 'x' } })
  assert.equal([under.core.role, under.core.leader], ['follower', null])
  assert.is(messages(under.pass(250), 'vote?').length, 0)
  under.pass(250)
  assert.is(asked(under)?.term, 8)
  under.hear('b', { kind: 'vote!', term: 8, pre: true, granted: true, known: { number: 7, leader: 'x' } })
  under.hear('b', { kind: 'vote!', term: 8, pre: false, granted: true, known: { number: 7, leader: 'x' } })
  assert.equal(under.core.term, { number: 8, leader: 'me' })
})

test('... and so when only a revision is of a higher term: what it publishes must be the newest', () => {
  const under = leader()
  under.beat('b', { revision: { term: 9, leader: 'x', sequence: 3 }, hash: 'h9' })
  under.pass(50)
  assert.is(asked(under)?.term, 10)
})

test('terms that are out of all reach are nonsense', () => {
  const under = leader()
  under.leads('a', LIMITS.termJump + 2)
  assert.is(under.core.role, 'leader')
  ask(under, 'a', LIMITS.termJump + 2, { consent: true })
  under.leads('a', LIMITS.termJump + 1)
  assert.is(under.core.leader, 'a')
})

test('who hears of a stale leader, and of no other, tells it', () => {
  const under = member({ held: held(9) })
  assert.equal(
    messages(under.leads('a', 3), 'beat').map(({ to }) => to),
    ['a'],
  )
  assert.is(under.core.leader, null)
})

test('a leader that does not hear this member is not followed while another is, but when there is none', () => {
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
  leading.hear('z', {
    kind: 'announce',
    term: { number: 4, leader: 'z' },
    revision: { term: 4, leader: 'z', sequence: 1 },
    hash: 'h',
    size: 1,
    body: 'b',
  })
  assert.is(leading.core.role, 'leader')
})

test('a round waits for the word of those suspected, and ends when the leader itself says that it is well', () => {
  const under = member()
  under.leads('a', 3)
  under.give({ kind: 'disconnected', peer: 'a' })
  under.heardOf()
  while (asked(under) === undefined) under.pass(50)
  assert.is(under.core.role, 'follower')
  under.hear('a', { kind: 'vote!', term: 4, pre: true, granted: false, known: { number: 3, leader: 'a' } })
  under.pass(250)
  assert.is(under.core.role, 'follower')
  under.leads('a', 3)
  assert.is(under.core.leader, 'a')
  const silent = member()
  silent.leads('a', 3)
  silent.give({ kind: 'disconnected', peer: 'a' })
  silent.pass(500)
  assert.is(silent.core.role, 'leader')
})

test('a leader that says that it leads no more is replaced', () => {
  const under = member()
  under.leads('a', 3)
  under.beat('a', { term: { number: 3, leader: 'a' } })
  assert.is(under.core.leader, null)
  under.pass(300)
  assert.is(asked(under)?.term, 4)
})

test('without a healthy manager it does not stand while another has one, but does when none has, or nobody does for long', () => {
  const without = { managerHealthy: false }
  const under = orphan({ local: without })
  assert.is(
    messages(
      under.pass(2500, () => under.beat('b')),
      'vote?',
    ).length,
    0,
  )
  assert.ok(
    messages(
      under.pass(1000, () => under.beat('b')),
      'vote?',
    ).length > 0,
  )
  const none = orphan({ local: without })
  none.beat('b', { local: { ...LOCAL, managerHealthy: false } })
  assert.is(messages(none.pass(300), 'vote?').length, 1)
  assert.is(leader({ local: without }).core.role, 'leader')
})

test('a member that drains does not stand while others can', () => {
  const under = orphan()
  under.give({ kind: 'drain' })
  assert.is(
    messages(
      under.pass(1500, () => under.beat('b')),
      'vote?',
    ).length,
    0,
  )
  under.hear('b', { kind: 'leave' })
  under.pass(500)
  assert.is(under.core.role, 'leader')
})

test('a leader that stood still leads no more before it does anything else; alone, it leads again in a higher term', () => {
  const under = leader()
  under.sleep(5000)
  const effects = under.give({ kind: 'publish', hash: 'h', body: 'b' })
  assert.is(under.core.role, 'follower')
  assert.is(under.core.held, null)
  assert.is(messages(effects, 'beat')[0]?.message.role, 'follower')
  under.pass(1500)
  assert.equal(under.core.term, { number: 2, leader: 'me' })
})

test('a short pause costs nobody the lead', () => {
  const under = leader()
  under.sleep(700)
  under.give({ kind: 'tick' })
  assert.equal(under.core.term, { number: 1, leader: 'me' })
})

test.run()
