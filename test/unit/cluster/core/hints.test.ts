// What followers see and the leader does not: keys in beats, hints when they are missing, each once, bounded.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../../cluster/core/state.ts'
import { effectsOf, LOCAL, leader, member, messages, type Under } from '../member.ts'

const keys = (count: number): string[] => Array.from({ length: count }, (_, i) => `service:${i}`)

function follower(): Under {
  const under = member()
  under.leads('a', 3)
  return under
}

/** The leader beats, and shows these keys. */
const hints = (under: Under, ms: number, seen: readonly string[] = []) =>
  messages(
    under.pass(ms, () => under.leads('a', 3, { local: { ...LOCAL, seen } })),
    'hint',
  )

test('what was seen of late is in its beats, newest last, and no longer than that', () => {
  const under = leader()
  under.give({ kind: 'eventsSeen', keys: ['x', 'y'] })
  under.give({ kind: 'eventsSeen', keys: ['x'] })
  assert.equal(messages(under.pass(250), 'beat').at(-1)?.message.local.seen, ['y', 'x'])
  assert.equal(messages(under.pass(5500), 'beat').at(-1)?.message.local.seen, [])
  under.give({ kind: 'eventsSeen', keys: keys(100) })
  assert.equal(messages(under.pass(250), 'beat').at(-1)?.message.local.seen, keys(100).slice(-LIMITS.seen))
})

test('what the leader does not show within a second becomes one hint to it', () => {
  const under = follower()
  under.give({ kind: 'eventsSeen', keys: ['x', 'y'] })
  assert.equal(hints(under, 950), [])
  assert.equal(hints(under, 5000), [{ to: 'a', message: { kind: 'hint', keys: ['x', 'y'] } }])
})

test('what the leader shows, before or after, needs no hint', () => {
  const under = follower()
  under.leads('a', 3, { local: { ...LOCAL, seen: ['x'] } })
  under.give({ kind: 'eventsSeen', keys: ['x', 'y'] })
  assert.equal(hints(under, 500), [])
  assert.equal(hints(under, 3000, ['y']), [])
})

test('what was shown long ago is no answer to what is seen now', () => {
  const under = follower()
  under.leads('a', 3, { local: { ...LOCAL, seen: ['x'] } })
  hints(under, 6000)
  under.give({ kind: 'eventsSeen', keys: ['x'] })
  assert.is(hints(under, 1500).length, 1)
})

test('hints are batched, bounded and spaced', () => {
  const under = follower()
  under.give({ kind: 'eventsSeen', keys: keys(70) })
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

test('without a leader a hint waits for the next one, but not for ever', () => {
  const under = member({ local: { managerHealthy: false } })
  under.beat('b')
  under.give({ kind: 'eventsSeen', keys: ['x'] })
  under.pass(2000, () => under.beat('b'))
  assert.is(hints(under, 100).length, 1)
  const late = member({ local: { managerHealthy: false } })
  late.give({ kind: 'eventsSeen', keys: ['x'] })
  late.pass(500)
  late.pass(11_000, () => late.beat('b'))
  assert.is(hints(late, 2000).length, 0)
})

test('a leader gives on what it has not seen itself, and shows it, so that one hint will do', () => {
  const under = leader()
  under.beat('b')
  under.give({ kind: 'eventsSeen', keys: ['own'] })
  const effects = effectsOf(under.hear('b', { kind: 'hint', keys: ['own', 'x'] }), 'hint')
  assert.equal(effects, [{ kind: 'hint', keys: ['x'], from: 'b' }])
  assert.equal(messages(under.pass(250), 'beat').at(-1)?.message.local.seen, ['own', 'x'])
  assert.equal(effectsOf(under.hear('b', { kind: 'hint', keys: ['x'] }), 'hint'), [])
})

test('a leader gives itself no hints; followers and strangers give none on', () => {
  const under = leader()
  under.beat('b')
  under.give({ kind: 'eventsSeen', keys: ['x'] })
  assert.equal(
    messages(
      under.pass(3000, () => under.beat('b')),
      'hint',
    ),
    [],
  )
  assert.equal(under.hear('stranger', { kind: 'hint', keys: ['z'] }), [])
  assert.equal(effectsOf(follower().hear('a', { kind: 'hint', keys: ['z'] }), 'hint'), [])
})

test.run()
