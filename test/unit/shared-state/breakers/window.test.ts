import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { latencyBucket } from '../../../../src/proxy/breaker/latency-buckets.ts'
import { Counts, holds } from '../../../../src/shared-state/breakers/counts.ts'
import { Window } from '../../../../src/shared-state/breakers/window.ts'
import { breakerOf } from './members.ts'

function outcomes(statuses: readonly number[], networkErrors = 0, ms = 5) {
  let requests = 0
  for (let i = 1; i < statuses.length; i += 2) requests += statuses[i]!
  return { service: 'shop', statuses, networkErrors, latencies: [latencyBucket(ms), requests], refused: 0 }
}

function countsOf(statuses: readonly number[], networkErrors = 0): Counts {
  const counts = new Counts()
  counts.add(outcomes(statuses, networkErrors))
  return counts
}

test('counts leave the window after ten seconds', () => {
  const window = new Window()
  for (let second = 0; second < 20; second++) {
    window.add(outcomes([200, 1]), second * 1_000 + 500)
    assert.is(window.total(second * 1_000 + 500).requests, Math.min(10, second + 1))
  }
  assert.is(window.total(24_999).requests, 5)
  assert.is(window.members(24_999), 1)
  assert.is(window.total(29_999).requests, 0)
  assert.is(window.members(29_999), 0)
})

test('remote counts are included once each, while they are within the window', () => {
  const one = new Window()
  const two = new Window()
  one.add(outcomes([200, 3], 0), 500)
  one.add(outcomes([503, 4], 4), 3_500)
  assert.ok(two.receive('one', one.pack(3_600), 50_000, 0))
  assert.is(two.total(50_000).requests, 7)
  assert.is(two.total(50_000).networkErrors, 4)
  assert.ok(two.receive('one', one.pack(3_600), 50_100, 0))
  two.add(outcomes([200, 1]), 50_200)
  assert.is(two.total(50_200).requests, 8)
  assert.is(two.members(50_200), 2)
  // The second three seconds before goes first.
  assert.is(two.total(57_500).requests, 5)
  assert.is(two.total(59_999).requests, 5)
  assert.is(two.total(60_099).requests, 4)
  // At most a quarter of a second later: the sum of remote counts is cached.
  assert.is(two.total(60_350).requests, 0)
  assert.is(two.members(60_350), 0)
  // Received long after it was written.
  assert.ok(two.receive('one', one.pack(3_600), 70_000, 9_000))
  assert.is(two.total(70_000).requests, 4)
  two.forget('one')
  assert.is(two.total(70_000).requests, 0)
})

test('a new epoch empties the window; counts of another epoch wait for it', () => {
  const one = new Window()
  const two = new Window()
  one.add(outcomes([500, 5]), 0)
  two.receive('one', one.pack(0), 0, 0)
  two.restart(7)
  assert.is(two.total(0).requests, 0)
  one.restart(7)
  one.add(outcomes([200, 2]), 100)
  two.receive('one', one.pack(100), 100, 0)
  assert.is(two.total(100).requests, 2)
  one.restart(8)
  one.add(outcomes([200, 9]), 200)
  two.receive('one', one.pack(200), 200, 0)
  assert.is(two.total(200).requests, 0)
  two.restart(8)
  assert.is(two.total(200).requests, 9)
})

test('malformed counts are refused; the number of members is bounded', () => {
  const window = new Window()
  const bad = [
    '',
    '{}',
    '[]',
    '[0]',
    '["0",[]]',
    '[0,[1]]',
    '[0,[[1]]]',
    '[0,[[0,[],[],[]]]]',
    '[0,[[1,[200,0],[]]]]',
    '[0,0]',
    'x',
  ]
  for (const packed of [...bad, `[0,${'['.repeat(5_000)}`, `[0,[${Array(11).fill(0)}]]`]) {
    assert.not.ok(window.receive('evil', packed, 0, 0), packed.slice(0, 40))
  }
  for (let i = 0; i < 1_000; i++) window.receive(`m${i}`, '[0,[[0,[200,1],[3,1]]]]', 0, 0)
  assert.is(window.total(0).requests, 128)
})

test('quantiles are within 10 %', () => {
  const counts = new Counts()
  for (let ms = 1; ms <= 1_000; ms++) counts.addOne(200, ms, false)
  for (const [percent, ms] of [
    [50, 500],
    [90, 900],
    [99, 990],
    [99.9, 999],
    [100, 1000],
  ] as const) {
    assert.ok(Math.abs(counts.latencyMs(percent) - ms) <= ms * 0.1, `${percent}: ${counts.latencyMs(percent)}`)
  }
  assert.is(counts.latencyMs(0), 1)
  assert.is(new Counts().latencyMs(50), 0)
})

test('expressions on no requests and on some: figures as in oxy', () => {
  const none = new Counts()
  const some = countsOf([200, 6, 404, 1, 500, 2, 502, 1], 1)
  for (const [text, onNone, onSome] of [
    ['NetworkErrorRatio() > 0', false, true],
    ['NetworkErrorRatio() == 0', true, false],
    ['NetworkErrorRatio() >= 0.1', false, true],
    ['NetworkErrorRatio() > 0.1', false, false],
    ['NetworkErrorRatio() >= 0', true, true],
    ['ResponseCodeRatio(500, 600, 0, 600) == 0.3', false, true],
    ['ResponseCodeRatio(500, 600, 200, 300) == 0.5', false, true],
    ['ResponseCodeRatio(500, 600, 600, 700) == 0', true, true],
    ['ResponseCodeRatio(500, 502, 0, 600) == 0.2', false, true],
    ['LatencyAtQuantileMS(50.0) < 10', true, true],
    ['LatencyAtQuantileMS(50.0) > 3', false, true],
    ['!(NetworkErrorRatio() > 0) && LatencyAtQuantileMS(50.0) < 1', true, false],
    ['NetworkErrorRatio() != 0 || ResponseCodeRatio(400, 500, 0, 600) > 0.05', false, true],
  ] as const) {
    assert.is(holds(breakerOf(text).when, none), onNone, text)
    assert.is(holds(breakerOf(text).when, some), onSome, text)
  }
})

test.run()
