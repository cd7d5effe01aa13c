// The selection of the manager as a table of events: failure, hang, return. The clock is in the events.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  INITIAL_SELECTION,
  RETURN_AFTER_MS,
  type SelectionEffect,
  type SelectionEvent,
  type SelectionState,
  stepSelection,
} from '../../../../src/providers/swarm/manager-selection.ts'

const order = (at: number, ...endpoints: string[]): SelectionEvent => ({ kind: 'order', order: endpoints, at })
const answer = (at: number, endpoint: string): SelectionEvent => ({ kind: 'answer', endpoint, at })
const dead = (at: number, endpoint: string): SelectionEvent => ({
  kind: 'failure',
  endpoint,
  hang: false,
  message: 'ECONNREFUSED',
  at,
})
const hang = (at: number, endpoint: string): SelectionEvent => ({
  kind: 'failure',
  endpoint,
  hang: true,
  message: 'no answer',
  at,
})

function play(...events: SelectionEvent[]): { state: SelectionState; effects: SelectionEffect[]; used: (string | null)[] } {
  let state = INITIAL_SELECTION
  const effects: SelectionEffect[] = []
  for (const event of events) {
    const before = JSON.stringify([...state.health])
    const step = stepSelection(state, event)
    assert.is(JSON.stringify([...state.health]), before, 'a step never changes the state it was given')
    state = step.state
    effects.push(...step.effects)
  }
  return { state, effects, used: effects.flatMap(effect => (effect.kind === 'select' ? [effect.endpoint] : [])) }
}

const AGREED = [order(0, 'a', 'b', 'c'), answer(1, 'a'), answer(1, 'b'), answer(1, 'c')]

for (const [name, events, used] of [
  ['the first of the order is used', [order(0, 'a', 'b')], ['a']],
  ['a dead manager is left at once for the next', [...AGREED, dead(10, 'a')], ['a', 'b']],
  ['... which is the first that is healthy', [...AGREED, dead(5, 'b'), dead(10, 'a')], ['a', 'c']],
  ['... or, at the start, the first that nobody has tried', [order(0, 'a', 'b'), dead(5, 'a')], ['a', 'b']],
  [
    'all dead: stay, and take the first that answers',
    [order(0, 'a', 'b', 'c'), dead(1, 'a'), dead(2, 'b'), dead(3, 'c'), answer(9, 'b')],
    ['a', 'b', 'c', 'b'],
  ],
  ['a hang alone moves nobody', [...AGREED, hang(10, 'a')], ['a']],
  ['a hang while another has answered since: move', [...AGREED, hang(10, 'a'), answer(12, 'c')], ['a', 'c']],
  ['an answer from before the hang does not count', [...AGREED, hang(10, 'a'), hang(11, 'a')], ['a']],
  [
    'an election: all hang, nobody flaps, the first to answer is used',
    [
      ...AGREED,
      hang(10, 'a'),
      hang(11, 'b'),
      hang(12, 'c'),
      hang(2000, 'a'),
      hang(4000, 'b'),
      hang(4001, 'c'),
      answer(10_000, 'a'),
      answer(10_001, 'b'),
    ],
    ['a'],
  ],
  [
    'the leader dies and then all hang: one move',
    [
      ...AGREED,
      dead(10, 'a'),
      hang(2010, 'b'),
      hang(2020, 'c'),
      dead(3000, 'a'),
      hang(7000, 'b'),
      answer(10_000, 'b'),
      answer(10_001, 'c'),
    ],
    ['a', 'b'],
  ],
  [
    'back to the better one only after 30 s of health',
    [...AGREED, dead(10, 'a'), answer(1000, 'a'), answer(1000 + RETURN_AFTER_MS - 1, 'a')],
    ['a', 'b'],
  ],
  ['... and then at once', [...AGREED, dead(10, 'a'), answer(1000, 'a'), answer(1000 + RETURN_AFTER_MS, 'a')], ['a', 'b', 'a']],
  [
    '... counted anew after each failure',
    [...AGREED, dead(10, 'a'), answer(1000, 'a'), dead(20_000, 'a'), answer(21_000, 'a'), answer(32_000, 'a')],
    ['a', 'b'],
  ],
  [
    'a better one that never failed needs no proof',
    [order(0, 'b', 'c'), answer(1, 'b'), order(2, 'a', 'b', 'c'), answer(3, 'a')],
    ['b', 'a'],
  ],
  ['a worse one is never moved to while the current is well', [...AGREED, answer(99_999, 'b')], ['a']],
  ['the current one is dropped (demoted): the best healthy one', [...AGREED, order(5, 'b', 'c')], ['a', 'b']],
  ['no endpoint is left', [order(0, 'a'), order(1)], ['a', null]],
] as const) {
  test(name, () => assert.equal(play(...events).used, used))
}

test('a hang probes the others; a dead manager with a healthy other probes none', () => {
  const asked = (events: SelectionEvent[]) => play(...events).effects.filter(effect => effect.kind === 'probe')
  assert.equal(asked([...AGREED, hang(10, 'a')]), [{ kind: 'probe', endpoints: ['b', 'c'] }])
  assert.equal(asked([...AGREED, dead(10, 'a')]), [])
})

test('changes are reported once', () => {
  const told = play(...AGREED, dead(10, 'b'), dead(20, 'b'), dead(30, 'b'), answer(40, 'b')).effects.filter(
    effect => effect.kind === 'changed' && effect.endpoint === 'b',
  )
  assert.equal(
    told.map(effect => (effect.kind === 'changed' ? effect.state : '')),
    ['healthy', 'down', 'healthy'],
  )
})

test('events about endpoints that are not listed are ignored', () => {
  assert.equal(play(...AGREED, answer(5, 'z'), dead(6, 'z')).used, ['a'])
})

test('old health reports of others expire, their failures do not', () => {
  const { state } = play(order(0, 'a', 'b', 'c'), dead(5, 'a'), answer(10, 'a'), answer(10, 'b'), answer(90, 'c'), {
    kind: 'expire',
    before: 50,
    at: 100,
  })
  assert.is(state.current, 'b')
  assert.equal(
    ['a', 'b', 'c'].map(key => state.health.get(key)?.state),
    ['unknown', 'healthy', 'healthy'],
  )
  assert.is(state.health.get('a')?.failed, true)
})

test.run()
