// What makes a read stale, and what does not.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createStalenessDetector } from '../../../../src/providers/swarm/staleness.ts'

const object = (ID: string, Index: number) => ({ ID, Version: { Index } })

test('an object older than known makes the read stale, and changes nothing', () => {
  const versions = createStalenessDetector()
  versions.accept([object('a', 10), object('b', 20)], 0)
  assert.match(versions.stale([object('b', 25), object('a', 9)]) ?? '', /a is at index 9, but 10/)
  assert.is(versions.stale([object('a', 10), object('b', 20)]), null)
})

test('equal or newer indexes, unknown and missing objects are not stale', () => {
  const versions = createStalenessDetector()
  versions.accept([object('a', 10), object('b', 20)], 0)
  assert.is(versions.stale([object('a', 10), object('c', 1)]), null)
  assert.is(versions.stale([]), null)
})

test('a removed object that returns older is stale for ten minutes', () => {
  const versions = createStalenessDetector()
  versions.accept([object('a', 10)], 0)
  versions.accept([], 1000)
  assert.ok(versions.stale([object('a', 9)]))
  versions.accept([], 11 * 60_000)
  assert.is(versions.stale([object('a', 9)]), null)
})

test('after a reset every index is accepted', () => {
  const versions = createStalenessDetector()
  versions.accept([object('a', 10)], 0)
  versions.reset()
  assert.is(versions.stale([object('a', 1)]), null)
})

test.run()
