// The rate limit of a peer: accepted within the rate, dropped beyond it, disconnected when it persists.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { floodGuard } from '../../../../cluster/gossip/flood-guard.ts'

const limits = { messagesPerSecond: 10, bytesPerSecond: 1000, burstMs: 2000, strikes: 50, strikesMs: 10_000 }

test('a burst is accepted, then the rate', () => {
  const guard = floodGuard(limits)
  const take = (count: number, now: number): number => {
    let taken = 0
    for (let i = 0; i < count; i++) if (guard.judge('a', 1, 1, now) === 'accept') taken++
    return taken
  }
  assert.is(take(30, 0), 20)
  assert.is(take(10, 100), 1)
  assert.is(take(5, 600), 5)
})

test('bytes are limited as well as messages', () => {
  const guard = floodGuard(limits)
  assert.is(guard.judge('a', 1, 2000, 0), 'accept')
  assert.is(guard.judge('a', 1, 1, 0), 'drop')
  assert.is(guard.judge('a', 1, 900, 1000), 'accept')
})

test('the limits of peers are independent', () => {
  const guard = floodGuard(limits)
  for (let i = 0; i < 40; i++) guard.judge('a', 1, 1, 0)
  assert.is(guard.judge('b', 1, 1, 0), 'accept')
})

test('a persistent flood is disconnected; occasional excess is not', () => {
  const guard = floodGuard(limits)
  const verdicts = Array.from({ length: 100 }, () => guard.judge('a', 1, 1, 0))
  assert.is(verdicts.indexOf('disconnect'), 20 + limits.strikes - 1)
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 45; i++) assert.is.not(guard.judge('b', 1, 1, round * 11_000), 'disconnect')
  }
})

test('a clock that goes back neither grants nor costs messages', () => {
  const guard = floodGuard(limits)
  for (let i = 0; i < 20; i++) guard.judge('a', 1, 1, 5000)
  assert.is(guard.judge('a', 1, 1, 4000), 'drop')
  assert.is(guard.judge('a', 1, 1, 4900), 'drop', 'time that passes twice counts once')
  assert.is(guard.judge('a', 1, 1, 5100), 'accept')
})

test('many peers do not grow the memory without bound', () => {
  const guard = floodGuard(limits)
  for (let i = 0; i < 21; i++) guard.judge('first', 1, 1, 0)
  assert.is(guard.judge('first', 1, 1, 0), 'drop')
  for (let i = 0; i < 2000; i++) guard.judge(`p${i}`, 1, 1, 0)
  assert.is(guard.judge('first', 1, 1, 0), 'accept', 'its state was evicted')
})

test.run()
