import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bucketMs, LATENCY_BUCKET_COUNT, latencyBucket } from '../../../../src/proxy/breaker/latency-buckets.ts'

test('values are read back within 10 %, from 1 ms to an hour', () => {
  let last = 0
  for (let ms = 1; ms <= 3_600_000; ms *= 1.003) {
    const bucket = latencyBucket(ms)
    assert.ok(bucket >= last && bucket < LATENCY_BUCKET_COUNT, `${ms}: ${bucket}`)
    last = bucket
    assert.ok(Math.abs(bucketMs(bucket) / ms - 1) < 0.1, `${ms}: ${bucketMs(bucket)}`)
  }
})

test('the first and the last bucket', () => {
  assert.is(latencyBucket(0), 0)
  assert.is(latencyBucket(0.999), 0)
  assert.is(latencyBucket(1), 1)
  assert.is(bucketMs(0), 0)
  for (const ms of [1e8, 1e300]) assert.is(latencyBucket(ms), LATENCY_BUCKET_COUNT - 1, `${ms}`)
})

test.run()
