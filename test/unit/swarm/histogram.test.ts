import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Histogram } from '../../swarm/load/histogram.ts'

test('values in any order: percentiles are accurate to 2 %', () => {
  const histogram = new Histogram()
  for (let ms = 1000; ms >= 1; ms--) histogram.add(ms)
  for (const [share, exact] of [
    [0.5, 500],
    [0.9, 900],
    [0.99, 990],
  ] as const) {
    const got = histogram.percentile(share)
    assert.ok(got >= exact && got <= exact * 1.021, `${share}: ${got}`)
  }
  assert.is(histogram.percentile(1), 1000)
  assert.is(histogram.maxMs, 1000)
})

test('nothing added, nothing claimed', () => {
  assert.is(new Histogram().percentile(0.99), 0)
  assert.is(new Histogram().maxMs, 0)
})

test('values outside of the range: in the outer buckets, the largest exactly', () => {
  const histogram = new Histogram()
  histogram.add(0)
  histogram.add(10_000_000)
  assert.ok(histogram.percentile(0.5) <= 0.01)
  assert.is(histogram.percentile(1), 10_000_000)
})

test.run()
