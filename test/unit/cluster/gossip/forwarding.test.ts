// When what others say is handed on in a small cluster.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createForwarding } from '../../../../cluster/gossip/forwarding.ts'

const three = ['a', 'b']
const both = new Set(three)

test('while everybody hears everybody, nothing is handed on and nobody asks', () => {
  const forwarding = createForwarding()
  for (let now = 0; now < 60_000; now += 100) {
    if (now % 1000 === 0) for (const id of three) forwarding.received(id, now)
    assert.not(forwarding.requestNeeded(three, both, now))
    assert.not(forwarding.active(now))
  }
})

test('after a connection has come or gone all is handed on for a while', () => {
  const forwarding = createForwarding()
  forwarding.connectionChanged(100)
  assert.ok(forwarding.active(100) && forwarding.active(15_000))
  assert.not(forwarding.active(15_101))
})

test('who is not connected with a member asks at once, and again every five seconds', () => {
  const forwarding = createForwarding()
  const asked: number[] = []
  for (let now = 0; now < 12_000; now += 100) {
    for (const id of three) forwarding.received(id, now)
    if (forwarding.requestNeeded(three, new Set(['a']), now)) asked.push(now)
  }
  assert.equal(asked, [0, 5000, 10_000])
})

test('so does who is connected with a member but hears nothing of it', () => {
  const forwarding = createForwarding()
  let asked = 0
  for (let now = 0; now < 4000; now += 100) {
    forwarding.received('a', now)
    if (forwarding.requestNeeded(three, both, now)) asked = asked || now
  }
  assert.is(asked, 1600)
})

test('who is asked hands on until a little after the next asking is due', () => {
  const forwarding = createForwarding()
  forwarding.requested(0)
  assert.ok(forwarding.active(11_000))
  assert.not(forwarding.active(12_001))
})

test('in a large cluster all is handed on, and nobody asks', () => {
  const forwarding = createForwarding()
  const many = Array.from({ length: 20 }, (_, i) => `m${i}`)
  assert.not(forwarding.requestNeeded(many, new Set(['m1']), 100_000))
  assert.ok(forwarding.active(100_000))
})

test.run()
