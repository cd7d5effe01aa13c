import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { editDistance, nearest } from '../../../src/options/nearest.ts'

for (const [a, b, distance] of [
  ['', '', 0],
  ['abc', '', 3],
  ['kitten', 'sitting', 3],
  ['ab', 'ba', 1],
  ['manger', 'manager', 1],
] as const) {
  test(`from ${a} to ${b} is distance ${distance}`, () => {
    assert.is(editDistance(a, b), distance)
    assert.is(editDistance(b, a), distance)
  })
}

test('the nearest word is found regardless of case', () => {
  assert.is(nearest('manger', ['manager', 'domain']), 'manager')
  assert.is(nearest('EntryPoint', ['entry-point', 'admin']), 'entry-point')
})

test('without a similar word there is no guess', () => {
  assert.is(nearest('zzz', ['manager', 'domain']), null)
  assert.is(nearest('x'.repeat(1000), ['manager']), null)
})

test.run()
