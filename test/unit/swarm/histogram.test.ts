import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Histogram } from '../../swarm/load/histogram.ts'

test('percentiles are right to 2 %, whatever the order', () => {
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

test('values beyond either end are kept at the ends, the largest exactly', () => {
  const histogram = new Histogram()
  histogram.add(0)
  histogram.add(10_000_000)
  assert.ok(histogram.percentile(0.5) <= 0.01)
  assert.is(histogram.percentile(1), 10_000_000)
})

test.run()
