// Which configuration is held: publishing, announcements, pulls and where from, cold starts, never backwards.

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
import { effectsOf, LOCAL, leader, member, messages, type Under, warnings } from '../member.ts'

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

/** Follows `a` in term 3; `b` is there too. */
function follower(held: Held | null = null): Under {
  const under = member({ held })
  under.beat('b')
  under.leads('a', 3)
  return under
}

test('what a leader publishes is held and announced, numbered from 1 in its term; equal content is no new one', () => {
  const under = leader({ held: of(revision(4, 9)) })
  const effects = under.give({ kind: 'publish', hash: 'x', body: 'X' })
  const at = { term: 5, leader: 'me', sequence: 1 }
  assert.equal(holds(effects), [{ kind: 'hold', held: { revision: at, hash: 'x', body: 'X' }, source: null }])
  assert.equal(
    messages(effects, 'announce').map(({ message }) => [message.revision, message.body]),
    [[at, 'X']],
  )
  assert.equal(under.give({ kind: 'publish', hash: 'x', body: 'X' }), [])
  under.give({ kind: 'publish', hash: 'y', body: 'Y' })
  assert.is(under.core.held?.revision.sequence, 2)
  assert.equal(under.core.target, under.core.held?.revision)
})

test('what was published in a term before, and is still true, stays as it is', () => {
  const under = leader({ held: of(revision(4, 9)) })
  under.give({ kind: 'publish', hash: 'h4.9', body: 'body h4.9' })
  assert.equal(under.core.held?.revision, revision(4, 9))
})

test('large bodies, and those that grow large on their way, are announced without themselves', () => {
  const under = leader()
  for (const body of ['x'.repeat(LIMITS.inlineBody + 1), '\u0000'.repeat(LIMITS.inlineBody)]) {
    const [sent] = messages(under.give({ kind: 'publish', hash: body.slice(0, 3), body }), 'announce')
    assert.equal([sent?.message.body, sent?.message.size], [null, body.length])
  }
})

test('a follower publishes nothing, then or later', () => {
  const under = follower()
  assert.equal(under.give({ kind: 'publish', hash: 'x', body: 'X' }), [])
  under.hear('a', { kind: 'leave' })
  under.hear('b', { kind: 'leave' })
  under.pass(1000)
  assert.is(under.core.role, 'leader')
  assert.is(under.core.held, null)
})

test('a small one comes with its announcement, a large one is pulled from the leader', () => {
  const under = follower()
  const small = holds(under.hear('a', announce(revision(3, 1), 'body h3.1')))
  assert.equal(small, [{ kind: 'hold', held: of(revision(3, 1)), source: 'a' }])
  assert.equal(pulls(under.hear('a', announce(revision(3, 2), null))), [['a', 2]])
  assert.equal(under.core.target, revision(3, 2))
  const large = holds(under.give({ kind: 'pulled', from: 'a', held: of(revision(3, 2)) }))
  assert.equal(large, [{ kind: 'hold', held: of(revision(3, 2)), source: 'a' }])
})

test('only what the leader of the term announces as its own counts', () => {
  const under = follower()
  under.heardOf()
  under.hear('b', announce(revision(3, 5, 'a'), 'body h3.5'))
  under.hear('b', announce(revision(3, 5, 'b'), 'body h3.5'))
  under.hear('a', announce(revision(2, 5), 'body h2.5'))
  under.hear('a', { ...announce(revision(3, 5), 'x'), revision: revision(3, 5, 'b') } as Message)
  assert.is(under.core.held, null)
  assert.equal(pulls(under.heardOf()), [])
})

test('an announcement that was missed is made good by the next beat', () => {
  const under = follower()
  assert.equal(pulls(under.leads('a', 3, { revision: revision(3, 7), hash: 'h3.7' })), [['a', 7]])
})

test('never an older one, by whatever way', () => {
  const under = follower(of(revision(3, 7)))
  under.heardOf()
  under.hear('a', announce(revision(3, 6), 'body h3.6'))
  under.leads('a', 3, { revision: revision(3, 6), hash: 'h3.6' })
  under.give({ kind: 'pulled', from: 'a', held: of(revision(3, 5)) })
  under.give({ kind: 'pulled', from: 'a', held: of(revision(3, 7), 'another') })
  under.pass(3000, () => under.leads('a', 3, { revision: revision(3, 6), hash: 'h3.6' }))
  assert.equal([holds(under.heardOf()), under.core.held], [[], of(revision(3, 7))])
  assert.equal(under.core.target, revision(3, 7))
})

test('another content under the same revision is told of once, and what is held is kept', () => {
  const under = follower(of(revision(3, 7)))
  under.heardOf()
  for (let i = 0; i < 5; i++) under.leads('a', 3, { revision: revision(3, 7), hash: 'another' })
  assert.is(warnings(under.heardOf()).length, 1)
  assert.is(under.core.held?.hash, 'h3.7')
})

test('one pull at a time; what is newer by then is pulled after', () => {
  const under = follower()
  assert.equal(pulls(under.hear('a', announce(revision(3, 1), null))), [['a', 1]])
  assert.equal(pulls(under.hear('a', announce(revision(3, 2), null))), [])
  assert.equal(pulls(under.hear('a', announce(revision(3, 3), null))), [])
  assert.equal(pulls(under.give({ kind: 'pulled', from: 'a', held: of(revision(3, 1)) })), [['a', 3]])
})

test('a pull that fails is tried elsewhere soon, and there again only after a while that grows', () => {
  const under = follower()
  under.beat('b', { revision: revision(3, 1), hash: 'h3.1' })
  const [first] = pulls(under.hear('a', announce(revision(3, 1), null)))
  const other = first?.[0] === 'a' ? 'b' : 'a'
  under.give({ kind: 'pullFailed', from: String(first?.[0]), revision: revision(3, 1) })
  assert.equal(pulls(under.pass(100)), [[other, 1]])
  under.heardOf()
  const alone = follower()
  const times: number[] = []
  alone.hear('a', announce(revision(3, 1), null))
  alone.give({ kind: 'pullFailed', from: 'a', revision: revision(3, 1) })
  for (let i = 0; i < 200; i++) {
    if (pulls(alone.pass(50, () => alone.leads('a', 3, { revision: revision(3, 1), hash: 'h3.1' }))).length === 0) continue
    times.push(alone.now)
    alone.give({ kind: 'pullFailed', from: 'a', revision: revision(3, 1) })
  }
  const gaps = times.slice(1).map((time, i) => time - times[i]!)
  assert.ok(times.length >= 4 && times.length <= 8, `${times}`)
  assert.equal(
    gaps,
    [...gaps].sort((a, b) => a - b),
  )
})

test('it is pulled from any member that has it, but from none that has not', () => {
  const from = new Set<string>()
  for (const lot of [0.1, 0.4, 0.6, 0.9]) {
    const under = member({ random: () => lot })
    for (const id of ['b', 'c']) under.beat(id, { revision: revision(3, 1), hash: 'h3.1' })
    under.beat('d', { revision: revision(2, 1), hash: 'h2.1' })
    under.beat('e', { revision: revision(3, 1), hash: 'another' })
    for (const [id] of pulls(under.leads('a', 3, { revision: revision(3, 1), hash: 'h3.1' }))) from.add(String(id))
  }
  assert.ok(from.size >= 2, [...from].join())
  assert.equal(
    [...from].filter(id => !['a', 'b', 'c'].includes(id)),
    [],
  )
})

test('in a large cluster not all pull from the leader: who waits goes when another has it, and then tells a few', () => {
  const crowd = (lot: number): Under => {
    const under = member({ random: () => lot })
    for (let i = 0; i < 60; i++) under.beat(`p${i}`)
    under.leads('a', 3)
    under.heardOf()
    return under
  }
  assert.equal(pulls(crowd(0.01).hear('a', announce(revision(3, 1), null))), [['a', 1]])
  const waits = crowd(0.5)
  assert.equal(pulls(waits.hear('a', announce(revision(3, 1), null))), [])
  assert.is(pulls(waits.beat('p7', { revision: revision(3, 1), hash: 'h3.1' })).length, 1)
  const told = messages(waits.give({ kind: 'pulled', from: 'p7', held: of(revision(3, 1)) }), 'beat')
  assert.equal(
    told.map(({ message }) => message.revision),
    [revision(3, 1), revision(3, 1), revision(3, 1)],
  )
  assert.ok(told.every(({ to }) => to !== null && to !== 'p7' && to !== 'a'))
  const never = crowd(0.5)
  never.hear('a', announce(revision(3, 1), null))
  assert.equal(pulls(never.pass(700)), [['a', 1]])
})

test('without any leader for a while it takes the highest that anybody has', () => {
  const under = member({ local: { managerHealthy: false } })
  under.beat('b', { revision: revision(2, 4), hash: 'h2.4' })
  under.beat('c', { revision: revision(2, 5), hash: 'h2.5' })
  assert.equal(pulls(under.pass(900)), [])
  assert.equal(pulls(under.pass(300)), [['c', 5]])
  under.give({ kind: 'pulled', from: 'c', held: of(revision(2, 5)) })
  under.pass(50)
  assert.is(compareRevisions(under.core.held!.revision, revision(2, 5)), 0)
  assert.is(under.core.term.number, 2)
})

/** Elected in term 10 while `b` holds something higher than it does. */
function behind(): Under {
  const under = member({ held: of(revision(9, 1)) })
  under.beat('b', { revision: revision(9, 2), hash: 'h9.2' })
  while (messages(under.heardOf(), 'vote?').length === 0)
    under.pass(50, () => under.beat('b', { revision: revision(9, 2), hash: 'h9.2' }))
  for (const pre of [true, false]) {
    under.hear('b', { kind: 'vote!', term: 10, pre, granted: true, known: { number: 9, leader: 'a' } })
  }
  if (under.core.role !== 'leader') throw new Error('it was expected to lead')
  return under
}

test('a new leader takes what others have and it has not before it publishes', () => {
  const under = behind()
  assert.equal(holds(under.give({ kind: 'publish', hash: 'x', body: 'X' })), [])
  assert.equal(pulls(under.heardOf()), [['b', 2]])
  const after = under.give({ kind: 'pulled', from: 'b', held: of(revision(9, 2)) })
  assert.equal(
    holds(after).map(({ held }) => held.revision),
    [revision(9, 2), revision(10, 1, 'me')],
  )
  const same = behind()
  same.give({ kind: 'publish', hash: 'h9.2', body: 'body h9.2' })
  same.give({ kind: 'pulled', from: 'b', held: of(revision(9, 2)) })
  assert.equal(same.core.held?.revision, revision(9, 2))
})

test('... but does not wait for it for long', () => {
  const under = behind()
  under.give({ kind: 'publish', hash: 'x', body: 'X' })
  const beat = () => under.beat('b', { revision: revision(9, 2), hash: 'h9.2' })
  assert.equal(holds(under.pass(800, beat)), [])
  assert.equal(
    holds(under.pass(300, beat)).map(({ held }) => held.revision),
    [revision(10, 1, 'me')],
  )
  assert.equal(holds(under.give({ kind: 'pulled', from: 'b', held: of(revision(9, 2)) })), [])
})

test('a leader that has read does not go back to what another brings along from an older term: it says its own again, above it', () => {
  const under = leader({ held: of(revision(4, 9)) })
  under.give({ kind: 'publish', hash: 'h4.9', body: 'body h4.9' })
  under.beat('b', { term: { number: 4, leader: 'z' }, revision: revision(4, 1, 'z'), hash: 'old' })
  const effects = under.pass(50)
  assert.equal(pulls(effects), [])
  assert.equal(
    messages(under.heardOf(), 'announce').map(({ message }) => [message.revision, message.hash]),
    [[{ term: 5, leader: 'me', sequence: 1 }, 'h4.9']],
  )
  assert.is(under.core.held?.hash, 'h4.9')
})

test('... nor to one that it had begun to pull before it read', () => {
  const under = leader({ held: of(revision(4, 9)) })
  assert.equal(pulls(under.beat('b', { term: { number: 4, leader: 'z' }, revision: revision(4, 1, 'z'), hash: 'old' })), [
    ['b', 1],
  ])
  under.give({ kind: 'publish', hash: 'h4.9', body: 'body h4.9' })
  under.pass(2_000, () => under.beat('b', { term: { number: 5, leader: 'me' }, revision: revision(4, 1, 'z'), hash: 'old' }))
  assert.equal([under.core.role, under.core.held?.revision.term, under.core.held?.hash], ['leader', 5, 'h4.9'])
  under.give({ kind: 'pulled', from: 'b', held: of(revision(4, 1, 'z'), 'old') })
  assert.is(under.core.held?.hash, 'h4.9')
})

test('... but while its manager is lost it takes that, and says its own again when the manager is back', () => {
  const under = leader({ held: of(revision(4, 9)) })
  under.give({ kind: 'publish', hash: 'h4.9', body: 'body h4.9' })
  under.give({ kind: 'local', local: { ...LOCAL, managerHealthy: false } })
  const lost = { ...LOCAL, managerHealthy: false }
  under.beat('b', { term: { number: 4, leader: 'z' }, revision: revision(4, 1, 'z'), hash: 'other', local: lost })
  assert.equal(pulls(under.heardOf()), [['b', 1]])
  under.give({ kind: 'pulled', from: 'b', held: of(revision(4, 1, 'z'), 'other') })
  assert.is(under.core.held?.hash, 'other')
  under.give({ kind: 'local', local: LOCAL })
  assert.equal([under.core.role, under.core.held?.revision.term, under.core.held?.hash], ['leader', 5, 'h4.9'])
})

test('a member that claims revisions of a leader that the leader does not know is not believed', () => {
  const under = leader()
  under.give({ kind: 'publish', hash: 'x', body: 'X' })
  under.heardOf()
  under.beat('b', { revision: revision(1, 99, 'me'), hash: 'forged' })
  under.pass(2000, () => under.beat('b', { revision: revision(1, 99, 'me'), hash: 'forged' }))
  assert.equal([pulls(under.heardOf()), under.core.role], [[], 'leader'])
})

test.run()
