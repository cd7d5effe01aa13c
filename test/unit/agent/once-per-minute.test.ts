// One line a minute for each address.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { oncePerMinute } from '../../../src/agent/once-per-minute.ts'

test('the first is told, the rest of the minute is counted', () => {
  const tell = oncePerMinute()
  assert.equal(
    [tell('a', 0), tell('a', 1), tell('b', 2), tell('a', 59_999), tell('a', 60_000), tell('a', 60_001)],
    [0, null, 0, null, 2, null],
  )
})

test('a million addresses do not fill the memory', () => {
  const tell = oncePerMinute()
  for (let address = 0; address < 10_000; address++) assert.is(tell(`a${address}`, address), 0)
  assert.is(tell('a9999', 10_000), null, 'recent ones are remembered')
  assert.is(tell('a0', 10_000), 0, 'old ones are forgotten')
})

test.run()
