// When a manager is announced as healthy; the clock is passed in.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createManagerHealth } from '../../../../src/providers/swarm/manager-health.ts'
import type { EndpointHealth } from '../../../../src/providers/swarm/manager-selection.ts'

const health = (state: EndpointHealth['state'], since = 0): EndpointHealth => ({
  state,
  since,
  answeredAt: null,
  failed: false,
  lastError: null,
})

test('only state healthy is healthy, in both modes', () => {
  for (const mode of ['read', 'listen'] as const) {
    const { isHealthy } = createManagerHealth()
    assert.ok(isHealthy(mode, health('healthy'), null, 0))
    for (const state of ['unknown', 'down'] as const) assert.not.ok(isHealthy(mode, health(state), true, 0), state)
    assert.not.ok(isHealthy(mode, undefined, true, 0))
  }
})

test('a hanging manager: its last health until the ping is answered, then the answer', () => {
  const wellness = createManagerHealth()
  assert.not.ok(wellness.isHealthy('read', health('hanging'), null, 0))
  wellness.isHealthy('read', health('healthy'), null, 0)
  assert.ok(wellness.isHealthy('read', health('hanging'), null, 0))
  assert.ok(wellness.isHealthy('read', health('hanging'), true, 1_000))
  assert.not.ok(wellness.isHealthy('read', health('hanging'), false, 2_000))
  assert.not.ok(wellness.isHealthy('listen', health('hanging'), true, 2_000))
})

test('an election of the swarm is waited for; then unhealthy, each time after twice as long', () => {
  const wellness = createManagerHealth()
  const lasts = (since: number): number => {
    let now = since
    while (wellness.isHealthy('read', health('hanging', since), true, now)) now += 1_000
    assert.not.ok(wellness.isHealthy('read', health('hanging', since), true, now + 1_000_000), 'it stays so')
    return now - since
  }
  assert.equal([0, 100_000, 200_000].map(lasts), [15_000, 30_000, 60_000])
  for (let i = 0; i < 10; i++) lasts(1_000_000 * (i + 1))
  assert.is(lasts(50_000_000), 600_000, 'ten minutes at most')
  wellness.readSucceeded()
  assert.is(lasts(60_000_000), 15_000, 'a read that succeeds is a new start')
})

test('events without a successful read: unhealthy after leading, each time twice as long', () => {
  const wellness = createManagerHealth()
  const spell = (at: number, succeeds: boolean): void => {
    wellness.isHealthy('read', health('healthy'), null, at)
    if (succeeds) wellness.readSucceeded()
    wellness.isHealthy('read', health('down', at), null, at)
  }
  const rests = (since: number, succeeds = false): number => {
    spell(since, succeeds)
    let now = since
    while (!wellness.isHealthy('listen', health('healthy', since), null, now)) now += 1_000
    return now - since
  }
  wellness.isHealthy('listen', health('healthy'), null, 0)
  assert.is(rests(1_000, true), 0, 'it had read before its manager failed')
  assert.equal(
    [100_000, 200_000, 300_000].map(at => rests(at)),
    [5_000, 10_000, 20_000],
  )
  for (let i = 1; i < 10; i++) rests(i * 1_000_000)
  assert.is(rests(20_000_000), 600_000, 'ten minutes at most')
  spell(30_000_000, false)
  assert.not.ok(wellness.isHealthy('listen', health('healthy', 30_000_100), null, 30_000_200), 'the stream opened for listening')
  assert.ok(wellness.isHealthy('listen', health('healthy', 30_020_000), null, 30_020_000), 'lost and found again: a new start')
  assert.is(rests(40_000_000, true), 0)
  assert.is(rests(50_000_000), 5_000, 'a read that succeeded was a new start')
})

test('listening before any read is not a failure', () => {
  const { isHealthy } = createManagerHealth()
  isHealthy('read', undefined, null, 0)
  isHealthy('read', health('unknown'), null, 0)
  assert.ok(isHealthy('listen', health('healthy'), null, 1))
})

test.run()
