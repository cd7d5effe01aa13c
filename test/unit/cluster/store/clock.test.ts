import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { HybridClock } from '../../../../cluster/store/clock.ts'
import { compareStamps, STORE_LIMITS } from '../../../../cluster/store/model.ts'

test('stamps follow the wall clock forward and never go back', () => {
  const clock = new HybridClock('a')
  const stamps = [1000, 1000, 1001.7, 400, 400, 1002].map(wall => clock.stamp(wall))
  assert.equal(
    stamps.map(({ wall, count }) => [wall, count]),
    [
      [1000, 0],
      [1000, 1],
      [1001, 0],
      [1001, 1],
      [1001, 2],
      [1002, 0],
    ],
  )
  for (const [i, stamp] of stamps.slice(1).entries()) assert.ok(compareStamps(stamps[i]!, stamp) < 0)
})

test('an own stamp is above every observed one', () => {
  const clock = new HybridClock('a')
  const seen = { wall: 5000, count: 7, origin: 'b' }
  clock.observe(seen, 5000)
  assert.ok(compareStamps(seen, clock.stamp(1000)) < 0)
  clock.observe({ wall: 10, count: 99, origin: 'b' }, 5000)
  assert.equal(clock.last, { wall: 5000, count: 8 })
})

test('a counter at its maximum carries over to the next millisecond', () => {
  const clock = new HybridClock('a')
  clock.observe({ wall: 5000, count: 2 ** 31, origin: 'b' }, 5000)
  assert.equal(clock.stamp(1000), { wall: 5001, count: 0, origin: 'a' })
})

test('stamps too far ahead are not accepted', () => {
  const clock = new HybridClock('a')
  const at = (wall: number, count = 0): boolean => clock.accepts({ wall, count, origin: 'b' }, 1_000_000)
  assert.ok(at(1_000_000 + STORE_LIMITS.aheadMs))
  assert.not(at(1_000_001 + STORE_LIMITS.aheadMs))
  assert.ok(at(0))
  assert.not(at(-1))
  assert.not(at(1, 2 ** 31 + 1))
})

test('stamps near the limit are accepted and replaced, but not followed', () => {
  const clock = new HybridClock('a')
  const wall = 1_767_225_600_000
  const evil = { wall: wall + STORE_LIMITS.aheadMs, count: 2 ** 31, origin: 'b' }
  assert.ok(clock.accepts(evil, wall))
  clock.observe(evil, wall)
  assert.equal(clock.stamp(wall), { wall, count: 0, origin: 'a' })
  assert.ok(compareStamps(clock.stamp(wall, evil), evil) > 0)
  assert.equal(clock.stamp(wall), { wall, count: 2, origin: 'a' })
  // Two minutes and more below the limit it follows.
  clock.observe({ ...evil, wall: evil.wall - 120_000 }, wall)
  assert.is(clock.stamp(wall).wall, evil.wall - 120_000 + 1)
})

test('a wall clock corrected by days: own stamps go back with it', () => {
  const clock = new HybridClock('a')
  const right = 1_767_225_600_000
  clock.stamp(right + 2 * STORE_LIMITS.aheadMs)
  assert.equal(clock.stamp(right), { wall: right, count: 0, origin: 'a' })
  clock.stamp(right + STORE_LIMITS.aheadMs)
  assert.equal(clock.stamp(right), { wall: right + STORE_LIMITS.aheadMs, count: 1, origin: 'a' })
})

test.run()
