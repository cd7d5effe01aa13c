// What makes a fetch stale, and what does not.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createStalenessDetector } from '../../../../src/providers/swarm/staleness.ts'

const object = (ID: string, Index: number) => ({ ID, Version: { Index } })

test('an object older than known makes the whole fetch stale, and changes nothing', () => {
  const versions = createStalenessDetector()
  versions.accept([object('a', 10), object('b', 20)], 0)
  assert.match(versions.stale([object('b', 25), object('a', 9)]) ?? '', /a is at index 9, but 10/)
  assert.is(versions.stale([object('a', 10), object('b', 20)]), null)
})

test('the same or a newer index, an unknown object and a missing one are fine', () => {
  const versions = createStalenessDetector()
  versions.accept([object('a', 10), object('b', 20)], 0)
  assert.is(versions.stale([object('a', 10), object('c', 1)]), null)
  assert.is(versions.stale([]), null)
})

test('an object that was removed and comes back older is stale, but not for ever', () => {
  const versions = createStalenessDetector()
  versions.accept([object('a', 10)], 0)
  versions.accept([], 1000)
  assert.ok(versions.stale([object('a', 9)]))
  versions.accept([], 11 * 60_000)
  assert.is(versions.stale([object('a', 9)]), null)
})

test('after a reset everything is believed', () => {
  const versions = createStalenessDetector()
  versions.accept([object('a', 10)], 0)
  versions.reset()
  assert.is(versions.stale([object('a', 1)]), null)
})

test.run()
