// Event gaps of the leader: event keys in heartbeats, and hints for those that are missing; each once, bounded.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../../cluster/core/state.ts'
import { effectsOf, LOCAL, leader, type MemberUnderTest, member, messages } from '../member.ts'

const keys = (count: number): string[] => Array.from({ length: count }, (_, i) => `service:${i}`)

function follower(): MemberUnderTest {
  const under = member()
  under.leads('a', 3)
  return under
}

/** A heartbeat of the leader that contains these keys. */
const hints = (under: MemberUnderTest, ms: number, seen: readonly string[] = []) =>
  messages(
    under.pass(ms, () => under.leads('a', 3, { local: { ...LOCAL, seen } })),
    'hint',
  )

test('recent event keys are in the heartbeats, newest last, for a limited time', () => {
  const under = leader()
  under.dispatch({ kind: 'eventsSeen', keys: ['x', 'y'] })
  under.dispatch({ kind: 'eventsSeen', keys: ['x'] })
  assert.equal(messages(under.pass(250), 'beat').at(-1)?.message.local.seen, ['y', 'x'])
  assert.equal(messages(under.pass(5500), 'beat').at(-1)?.message.local.seen, [])
  under.dispatch({ kind: 'eventsSeen', keys: keys(100) })
  assert.equal(messages(under.pass(250), 'beat').at(-1)?.message.local.seen, keys(100).slice(-LIMITS.seen))
})

test('a key that the leader does not show within a second becomes one hint', () => {
  const under = follower()
  under.dispatch({ kind: 'eventsSeen', keys: ['x', 'y'] })
  assert.equal(hints(under, 950), [])
  assert.equal(hints(under, 5000), [{ to: 'a', message: { kind: 'hint', keys: ['x', 'y'] } }])
})

test('a key that the leader shows, before or after, needs no hint', () => {
  const under = follower()
  under.leads('a', 3, { local: { ...LOCAL, seen: ['x'] } })
  under.dispatch({ kind: 'eventsSeen', keys: ['x', 'y'] })
  assert.equal(hints(under, 500), [])
  assert.equal(hints(under, 3000, ['y']), [])
})

test('a key shown long ago does not answer a new event', () => {
  const under = follower()
  under.leads('a', 3, { local: { ...LOCAL, seen: ['x'] } })
  hints(under, 6000)
  under.dispatch({ kind: 'eventsSeen', keys: ['x'] })
  assert.is(hints(under, 1500).length, 1)
})

test('hints are batched, bounded and rate-limited', () => {
  const under = follower()
  under.dispatch({ kind: 'eventsSeen', keys: keys(70) })
  const sent = hints(under, 1000)
  assert.equal(
    sent.map(({ message }) => message.keys.length),
    [LIMITS.hint],
  )
  assert.equal(
    hints(under, 600).map(({ message }) => message.keys.length),
    [LIMITS.hint, 70 - 2 * LIMITS.hint],
  )
})

test('without a leader a hint waits for the next one, for a limited time', () => {
  const under = member({ local: { managerHealthy: false } })
  under.heartbeat('b')
  under.dispatch({ kind: 'eventsSeen', keys: ['x'] })
  under.pass(2000, () => under.heartbeat('b'))
  assert.is(hints(under, 100).length, 1)
  const late = member({ local: { managerHealthy: false } })
  late.dispatch({ kind: 'eventsSeen', keys: ['x'] })
  late.pass(500)
  late.pass(11_000, () => late.heartbeat('b'))
  assert.is(hints(late, 2000).length, 0)
})

test('the leader passes on unseen keys and shows them, so one hint is enough', () => {
  const under = leader()
  under.heartbeat('b')
  under.dispatch({ kind: 'eventsSeen', keys: ['own'] })
  const effects = effectsOf(under.receive('b', { kind: 'hint', keys: ['own', 'x'] }), 'hint')
  assert.equal(effects, [{ kind: 'hint', keys: ['x'], from: 'b' }])
  assert.equal(messages(under.pass(250), 'beat').at(-1)?.message.local.seen, ['own', 'x'])
  assert.equal(effectsOf(under.receive('b', { kind: 'hint', keys: ['x'] }), 'hint'), [])
})

test('a leader sends itself no hints; hints to followers or from unknown peers are ignored', () => {
  const under = leader()
  under.heartbeat('b')
  under.dispatch({ kind: 'eventsSeen', keys: ['x'] })
  assert.equal(
    messages(
      under.pass(3000, () => under.heartbeat('b')),
      'hint',
    ),
    [],
  )
  assert.equal(under.receive('unknown', { kind: 'hint', keys: ['z'] }), [])
  assert.equal(effectsOf(follower().receive('a', { kind: 'hint', keys: ['z'] }), 'hint'), [])
})

test.run()
