// When gossip is forwarded in a small cluster.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createForwarding } from '../../../../cluster/gossip/forwarding.ts'

const three = ['a', 'b']
const both = new Set(three)

test('while all members receive each other, nothing is forwarded or requested', () => {
  const forwarding = createForwarding()
  for (let now = 0; now < 60_000; now += 100) {
    if (now % 1000 === 0) for (const id of three) forwarding.received(id, now)
    assert.not(forwarding.requestNeeded(three, both, now))
    assert.not(forwarding.active(now))
  }
})

test('after a connection change messages are forwarded for a while', () => {
  const forwarding = createForwarding()
  forwarding.connectionChanged(100)
  assert.ok(forwarding.active(100) && forwarding.active(15_000))
  assert.not(forwarding.active(15_101))
})

test('a member without a connection requests forwarding at once, then every five seconds', () => {
  const forwarding = createForwarding()
  const asked: number[] = []
  for (let now = 0; now < 12_000; now += 100) {
    for (const id of three) forwarding.received(id, now)
    if (forwarding.requestNeeded(three, new Set(['a']), now)) asked.push(now)
  }
  assert.equal(asked, [0, 5000, 10_000])
})

test('a connected member without messages of a peer requests forwarding as well', () => {
  const forwarding = createForwarding()
  let asked = 0
  for (let now = 0; now < 4000; now += 100) {
    forwarding.received('a', now)
    if (forwarding.requestNeeded(three, both, now)) asked = asked || now
  }
  assert.is(asked, 1600)
})

test('a request is granted until shortly after the next one is due', () => {
  const forwarding = createForwarding()
  forwarding.requested(0)
  assert.ok(forwarding.active(11_000))
  assert.not(forwarding.active(12_001))
})

test('in a large cluster everything is forwarded, and nothing is requested', () => {
  const forwarding = createForwarding()
  const many = Array.from({ length: 20 }, (_, i) => `m${i}`)
  assert.not(forwarding.requestNeeded(many, new Set(['m1']), 100_000))
  assert.ok(forwarding.active(100_000))
})

test.run()
