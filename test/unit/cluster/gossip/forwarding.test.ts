// When what others say is handed on in a small cluster.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { handOn } from '../../../../cluster/gossip/forwarding.ts'

const three = ['a', 'b']
const both = new Set(three)

test('while everybody hears everybody, nothing is handed on and nobody asks', () => {
  const hand = handOn()
  for (let now = 0; now < 60_000; now += 100) {
    if (now % 1000 === 0) for (const id of three) hand.heard(id, now)
    assert.not(hand.look(three, both, now))
    assert.not(hand.due(now))
  }
})

test('after a connection has come or gone all is handed on for a while', () => {
  const hand = handOn()
  hand.connectionChanged(100)
  assert.ok(hand.due(100) && hand.due(15_000))
  assert.not(hand.due(15_101))
})

test('who is not connected with a member asks at once, and again every five seconds', () => {
  const hand = handOn()
  const asked: number[] = []
  for (let now = 0; now < 12_000; now += 100) {
    for (const id of three) hand.heard(id, now)
    if (hand.look(three, new Set(['a']), now)) asked.push(now)
  }
  assert.equal(asked, [0, 5000, 10_000])
})

test('so does who is connected with a member but hears nothing of it', () => {
  const hand = handOn()
  let asked = 0
  for (let now = 0; now < 4000; now += 100) {
    hand.heard('a', now)
    if (hand.look(three, both, now)) asked = asked || now
  }
  assert.is(asked, 1600)
})

test('who is asked hands on until a little after the next asking is due', () => {
  const hand = handOn()
  hand.asked(0)
  assert.ok(hand.due(11_000))
  assert.not(hand.due(12_001))
})

test('in a large cluster all is handed on, and nobody asks', () => {
  const hand = handOn()
  const many = Array.from({ length: 20 }, (_, i) => `m${i}`)
  assert.not(hand.look(many, new Set(['m1']), 100_000))
  assert.ok(hand.due(100_000))
})

test.run()
