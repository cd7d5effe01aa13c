import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { TokenBucket } from '../../../src/shared-state/token-bucket.ts'

test('a burst, then so many per second, never more than a burst saved up', () => {
  const bucket = new TokenBucket(3, 10)
  const taken = (nowMs: number, tries = 10) => Array.from({ length: tries }, () => bucket.take(nowMs)).filter(Boolean).length
  assert.is(taken(1000), 3)
  assert.is(taken(1050), 0)
  assert.is(taken(1100), 1)
  assert.is(taken(1300), 2)
  assert.is(taken(1e9), 3)
  assert.is(taken(1e9 - 5000), 0, 'a clock that goes back gives nothing')
  assert.is(taken(1e9 + 100), 1, 'nor when it goes on')
})

test.run()
