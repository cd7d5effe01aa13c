// Replication: publishing, announcements, pulls and their sources, cold starts; revisions never go back.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type CoreEffect,
  compareRevisions,
  type Held,
  LIMITS,
  type Message,
  type Revision,
} from '../../../../cluster/core/state.ts'
import { effectsOf, LOCAL, leader, type MemberUnderTest, member, messages, warnings } from '../member.ts'

const revision = (term: number, sequence: number, by = 'a'): Revision => ({ term, leader: by, sequence })
const of = (at: Revision, hash = `h${at.term}.${at.sequence}`): Held => ({ revision: at, hash, body: `body ${hash}` })

const announce = (at: Revision, body: string | null, hash = of(at).hash): Message => ({
  kind: 'announce',
  term: { number: at.term, leader: at.leader },
  revision: at,
  hash,
  size: body?.length ?? 100_000,
  body,
})

const pulls = (effects: readonly CoreEffect[]) => effectsOf(effects, 'pull').map(({ from, revision: at }) => [from, at.sequence])
const holds = (effects: readonly CoreEffect[]) => effectsOf(effects, 'hold')

/** Follows `a` in term 3; `b` is a member too. */
function follower(held: Held | null = null): MemberUnderTest {
  const under = member({ held })
  under.heartbeat('b')
  under.leads('a', 3)
  return under
}

test('a leader numbers its content from 1 in its term; equal content gets no new number', () => {
  const under = leader({ held: of(revision(4, 9)) })
  const effects = under.dispatch({ kind: 'publish', hash: 'x', body: 'X' })
  const at = { term: 5, leader: 'me', sequence: 1 }
  assert.equal(holds(effects), [{ kind: 'hold', held: { revision: at, hash: 'x', body: 'X' }, source: null }])
  assert.equal(
    messages(effects, 'announce').map(({ message }) => [message.revision, message.body]),
    [[at, 'X']],
  )
  assert.equal(under.dispatch({ kind: 'publish', hash: 'x', body: 'X' }), [])
  under.dispatch({ kind: 'publish', hash: 'y', body: 'Y' })
  assert.is(under.core.held?.revision.sequence, 2)
  assert.equal(under.core.target, under.core.held?.revision)
})

test('content published in an earlier term that is still current keeps its revision', () => {
  const under = leader({ held: of(revision(4, 9)) })
  under.dispatch({ kind: 'publish', hash: 'h4.9', body: 'body h4.9' })
  assert.equal(under.core.held?.revision, revision(4, 9))
})

test('large bodies, also those that grow when encoded, are announced without content', () => {
  const under = leader()
  for (const body of ['x'.repeat(LIMITS.inlineBody + 1), '\u0000'.repeat(LIMITS.inlineBody)]) {
    const [sent] = messages(under.dispatch({ kind: 'publish', hash: body.slice(0, 3), body }), 'announce')
    assert.equal([sent?.message.body, sent?.message.size], [null, body.length])
  }
})

test('a follower publishes nothing, neither at once nor later', () => {
  const under = follower()
  assert.equal(under.dispatch({ kind: 'publish', hash: 'x', body: 'X' }), [])
  under.receive('a', { kind: 'leave' })
  under.receive('b', { kind: 'leave' })
  under.pass(1000)
  assert.is(under.core.role, 'leader')
  assert.is(under.core.held, null)
})

test('a small body arrives with its announcement, a large one is pulled from the leader', () => {
  const under = follower()
  const small = holds(under.receive('a', announce(revision(3, 1), 'body h3.1')))
  assert.equal(small, [{ kind: 'hold', held: of(revision(3, 1)), source: 'a' }])
  assert.equal(pulls(under.receive('a', announce(revision(3, 2), null))), [['a', 2]])
  assert.equal(under.core.target, revision(3, 2))
  const large = holds(under.dispatch({ kind: 'pulled', from: 'a', held: of(revision(3, 2)) }))
  assert.equal(large, [{ kind: 'hold', held: of(revision(3, 2)), source: 'a' }])
})

test("only announcements of the term's leader count", () => {
  const under = follower()
  under.takeEffects()
  under.receive('b', announce(revision(3, 5, 'a'), 'body h3.5'))
  under.receive('b', announce(revision(3, 5, 'b'), 'body h3.5'))
  under.receive('a', announce(revision(2, 5), 'body h2.5'))
  under.receive('a', { ...announce(revision(3, 5), 'x'), revision: revision(3, 5, 'b') } as Message)
  assert.is(under.core.held, null)
  assert.equal(pulls(under.takeEffects()), [])
})

test('the next heartbeat makes up for a missed announcement', () => {
  const under = follower()
  assert.equal(pulls(under.leads('a', 3, { revision: revision(3, 7), hash: 'h3.7' })), [['a', 7]])
})

test('an older revision is never installed, from whatever source', () => {
  const under = follower(of(revision(3, 7)))
  under.takeEffects()
  under.receive('a', announce(revision(3, 6), 'body h3.6'))
  under.leads('a', 3, { revision: revision(3, 6), hash: 'h3.6' })
  under.dispatch({ kind: 'pulled', from: 'a', held: of(revision(3, 5)) })
  under.dispatch({ kind: 'pulled', from: 'a', held: of(revision(3, 7), 'another') })
  under.pass(3000, () => under.leads('a', 3, { revision: revision(3, 6), hash: 'h3.6' }))
  assert.equal([holds(under.takeEffects()), under.core.held], [[], of(revision(3, 7))])
  assert.equal(under.core.target, revision(3, 7))
})

test('different content under one revision is logged once; the content held is kept', () => {
  const under = follower(of(revision(3, 7)))
  under.takeEffects()
  for (let i = 0; i < 5; i++) under.leads('a', 3, { revision: revision(3, 7), hash: 'another' })
  assert.is(warnings(under.takeEffects()).length, 1)
  assert.is(under.core.held?.hash, 'h3.7')
})

test('one pull at a time; a newer revision is pulled afterwards', () => {
  const under = follower()
  assert.equal(pulls(under.receive('a', announce(revision(3, 1), null))), [['a', 1]])
  assert.equal(pulls(under.receive('a', announce(revision(3, 2), null))), [])
  assert.equal(pulls(under.receive('a', announce(revision(3, 3), null))), [])
  assert.equal(pulls(under.dispatch({ kind: 'pulled', from: 'a', held: of(revision(3, 1)) })), [['a', 3]])
})

test('a failed pull is retried elsewhere soon, and there only after a growing delay', () => {
  const under = follower()
  under.heartbeat('b', { revision: revision(3, 1), hash: 'h3.1' })
  const [first] = pulls(under.receive('a', announce(revision(3, 1), null)))
  const other = first?.[0] === 'a' ? 'b' : 'a'
  under.dispatch({ kind: 'pullFailed', from: String(first?.[0]), revision: revision(3, 1) })
  assert.equal(pulls(under.pass(100)), [[other, 1]])
  under.takeEffects()
  const alone = follower()
  const times: number[] = []
  alone.receive('a', announce(revision(3, 1), null))
  alone.dispatch({ kind: 'pullFailed', from: 'a', revision: revision(3, 1) })
  for (let i = 0; i < 200; i++) {
    if (pulls(alone.pass(50, () => alone.leads('a', 3, { revision: revision(3, 1), hash: 'h3.1' }))).length === 0) continue
    times.push(alone.now)
    alone.dispatch({ kind: 'pullFailed', from: 'a', revision: revision(3, 1) })
  }
  const gaps = times.slice(1).map((time, i) => time - times[i]!)
  assert.ok(times.length >= 4 && times.length <= 8, `${times}`)
  assert.equal(
    gaps,
    [...gaps].sort((a, b) => a - b),
  )
})

test('any member that holds the revision is a source, no other', () => {
  const from = new Set<string>()
  for (const lot of [0.1, 0.4, 0.6, 0.9]) {
    const under = member({ random: () => lot })
    for (const id of ['b', 'c']) under.heartbeat(id, { revision: revision(3, 1), hash: 'h3.1' })
    under.heartbeat('d', { revision: revision(2, 1), hash: 'h2.1' })
    under.heartbeat('e', { revision: revision(3, 1), hash: 'another' })
    for (const [id] of pulls(under.leads('a', 3, { revision: revision(3, 1), hash: 'h3.1' }))) from.add(String(id))
  }
  assert.ok(from.size >= 2, [...from].join())
  assert.equal(
    [...from].filter(id => !['a', 'b', 'c'].includes(id)),
    [],
  )
})

test('in a large cluster few pull from the leader; the others wait for further sources', () => {
  const crowd = (lot: number): MemberUnderTest => {
    const under = member({ random: () => lot })
    for (let i = 0; i < 60; i++) under.heartbeat(`p${i}`)
    under.leads('a', 3)
    under.takeEffects()
    return under
  }
  assert.equal(pulls(crowd(0.01).receive('a', announce(revision(3, 1), null))), [['a', 1]])
  const waits = crowd(0.5)
  assert.equal(pulls(waits.receive('a', announce(revision(3, 1), null))), [])
  assert.is(pulls(waits.heartbeat('p7', { revision: revision(3, 1), hash: 'h3.1' })).length, 1)
  const collected = messages(waits.dispatch({ kind: 'pulled', from: 'p7', held: of(revision(3, 1)) }), 'beat')
  assert.equal(
    collected.map(({ message }) => message.revision),
    [revision(3, 1), revision(3, 1), revision(3, 1)],
  )
  assert.ok(collected.every(({ to }) => to !== null && to !== 'p7' && to !== 'a'))
  const never = crowd(0.5)
  never.receive('a', announce(revision(3, 1), null))
  assert.equal(pulls(never.pass(700)), [['a', 1]])
})

test('without a leader for a while it takes the highest revision of any member', () => {
  const under = member({ local: { managerHealthy: false } })
  under.heartbeat('b', { revision: revision(2, 4), hash: 'h2.4' })
  under.heartbeat('c', { revision: revision(2, 5), hash: 'h2.5' })
  assert.equal(pulls(under.pass(900)), [])
  assert.equal(pulls(under.pass(300)), [['c', 5]])
  under.dispatch({ kind: 'pulled', from: 'c', held: of(revision(2, 5)) })
  under.pass(50)
  assert.is(compareRevisions(under.core.held!.revision, revision(2, 5)), 0)
  assert.is(under.core.term.number, 2)
})

/** Elected in term 10 while `b` holds a higher revision. */
function behind(): MemberUnderTest {
  const under = member({ held: of(revision(9, 1)) })
  under.heartbeat('b', { revision: revision(9, 2), hash: 'h9.2' })
  while (messages(under.takeEffects(), 'vote?').length === 0)
    under.pass(50, () => under.heartbeat('b', { revision: revision(9, 2), hash: 'h9.2' }))
  for (const pre of [true, false]) {
    under.receive('b', { kind: 'vote!', term: 10, pre, granted: true, known: { number: 9, leader: 'a' } })
  }
  if (under.core.role !== 'leader') throw new Error('it was expected to lead')
  return under
}

test('a new leader pulls a higher revision of a peer before it publishes', () => {
  const under = behind()
  assert.equal(holds(under.dispatch({ kind: 'publish', hash: 'x', body: 'X' })), [])
  assert.equal(pulls(under.takeEffects()), [['b', 2]])
  const after = under.dispatch({ kind: 'pulled', from: 'b', held: of(revision(9, 2)) })
  assert.equal(
    holds(after).map(({ held }) => held.revision),
    [revision(9, 2), revision(10, 1, 'me')],
  )
  const same = behind()
  same.dispatch({ kind: 'publish', hash: 'h9.2', body: 'body h9.2' })
  same.dispatch({ kind: 'pulled', from: 'b', held: of(revision(9, 2)) })
  assert.equal(same.core.held?.revision, revision(9, 2))
})

test('a new leader waits for that pull for a limited time', () => {
  const under = behind()
  under.dispatch({ kind: 'publish', hash: 'x', body: 'X' })
  const beat = () => under.heartbeat('b', { revision: revision(9, 2), hash: 'h9.2' })
  assert.equal(holds(under.pass(800, beat)), [])
  assert.equal(
    holds(under.pass(300, beat)).map(({ held }) => held.revision),
    [revision(10, 1, 'me')],
  )
  assert.equal(holds(under.dispatch({ kind: 'pulled', from: 'b', held: of(revision(9, 2)) })), [])
})

test("a leader that has read publishes its content again above a peer's older-term revision", () => {
  const under = leader({ held: of(revision(4, 9)) })
  under.dispatch({ kind: 'publish', hash: 'h4.9', body: 'body h4.9' })
  under.heartbeat('b', { term: { number: 4, leader: 'z' }, revision: revision(4, 1, 'z'), hash: 'old' })
  const effects = under.pass(50)
  assert.equal(pulls(effects), [])
  assert.equal(
    messages(under.takeEffects(), 'announce').map(({ message }) => [message.revision, message.hash]),
    [[{ term: 5, leader: 'me', sequence: 1 }, 'h4.9']],
  )
  assert.is(under.core.held?.hash, 'h4.9')
})

test('a leader that has read ignores a pull it had started before', () => {
  const under = leader({ held: of(revision(4, 9)) })
  assert.equal(pulls(under.heartbeat('b', { term: { number: 4, leader: 'z' }, revision: revision(4, 1, 'z'), hash: 'old' })), [
    ['b', 1],
  ])
  under.dispatch({ kind: 'publish', hash: 'h4.9', body: 'body h4.9' })
  under.pass(2_000, () => under.heartbeat('b', { term: { number: 5, leader: 'me' }, revision: revision(4, 1, 'z'), hash: 'old' }))
  assert.equal([under.core.role, under.core.held?.revision.term, under.core.held?.hash], ['leader', 5, 'h4.9'])
  under.dispatch({ kind: 'pulled', from: 'b', held: of(revision(4, 1, 'z'), 'old') })
  assert.is(under.core.held?.hash, 'h4.9')
})

test('without a manager a leader takes such a revision, and publishes again with a manager', () => {
  const under = leader({ held: of(revision(4, 9)) })
  under.dispatch({ kind: 'publish', hash: 'h4.9', body: 'body h4.9' })
  under.dispatch({ kind: 'local', local: { ...LOCAL, managerHealthy: false } })
  const lost = { ...LOCAL, managerHealthy: false }
  under.heartbeat('b', { term: { number: 4, leader: 'z' }, revision: revision(4, 1, 'z'), hash: 'other', local: lost })
  assert.equal(pulls(under.takeEffects()), [['b', 1]])
  under.dispatch({ kind: 'pulled', from: 'b', held: of(revision(4, 1, 'z'), 'other') })
  assert.is(under.core.held?.hash, 'other')
  under.dispatch({ kind: 'local', local: LOCAL })
  assert.equal([under.core.role, under.core.held?.revision.term, under.core.held?.hash], ['leader', 5, 'h4.9'])
})

test("revisions in the leader's name that the leader does not hold are ignored", () => {
  const under = leader()
  under.dispatch({ kind: 'publish', hash: 'x', body: 'X' })
  under.takeEffects()
  under.heartbeat('b', { revision: revision(1, 99, 'me'), hash: 'forged' })
  under.pass(2000, () => under.heartbeat('b', { revision: revision(1, 99, 'me'), hash: 'forged' }))
  assert.equal([pulls(under.takeEffects()), under.core.role], [[], 'leader'])
})

test.run()
