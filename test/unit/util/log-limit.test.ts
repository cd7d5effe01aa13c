import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LogLimit } from '../../../src/util/log-limit.ts'

test('so many within a time; the rest is counted', () => {
  const limit = new LogLimit(2, 1000)
  assert.equal(
    [0, 1, 2, 999, 1000, 1001, 1002].map(nowMs => limit.take(nowMs)),
    [true, true, false, false, true, true, false],
  )
  assert.is(limit.suppressed, 3)
})

test.run()
