import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KeyedLogLimit, LogLimit, TokenBucket } from '../../../cluster/rate-limit.ts'

test('token bucket: allows a burst, then its rate, and saves up at most a burst', () => {
  const bucket = new TokenBucket(3, 10)
  const taken = (nowMs: number, tries = 10) => Array.from({ length: tries }, () => bucket.take(nowMs)).filter(Boolean).length
  assert.is(taken(1000), 3)
  assert.is(taken(1050), 0)
  assert.is(taken(1100), 1)
  assert.is(taken(1300), 2)
  assert.is(taken(1e9), 3)
  assert.is(taken(1e9 - 5000), 0, 'a clock that goes back adds no tokens')
  assert.is(taken(1e9 + 100), 1, 'time that passes twice counts once')
})

test('token bucket: takes an amount whole or not at all', () => {
  const bucket = new TokenBucket(10, 10)
  assert.is(bucket.take(0, 7), true)
  assert.is(bucket.take(0, 4), false)
  assert.is(bucket.take(0, 3), true)
  assert.is(bucket.available(500), 5)
})

test('log limit: allows max events per window and counts the others', () => {
  const limit = new LogLimit(2, 1000)
  const counted = [0, 1, 2, 999, 1000, 1001, 1002].map(nowMs => [limit.take(nowMs), limit.suppressed])
  assert.equal(counted, [
    [true, 0],
    [true, 0],
    [false, 0],
    [false, 0],
    [true, 2],
    [true, 0],
    [false, 0],
  ])
})

test('keyed log limit: allows one event per key and minute and counts the others', () => {
  const limit = new KeyedLogLimit()
  const take = (key: string, nowMs: number) => (limit.take(key, nowMs) ? limit.suppressed : null)
  assert.equal(
    [take('a', 0), take('a', 1), take('b', 2), take('a', 59_999), take('a', 60_000), take('a', 60_001)],
    [0, null, 0, null, 2, null],
  )
})

test('keyed log limit: many keys do not grow the memory without bound', () => {
  const limit = new KeyedLogLimit(1_000)
  for (let key = 0; key < 10_000; key++) assert.ok(limit.take(`k${key}`, key))
  assert.not(limit.take('k9999', 10_000), 'recent keys are remembered')
  assert.ok(limit.take('k0', 10_000), 'old keys are forgotten')
})

test.run()
