import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Entry, STORE_LIMITS } from '../../../../../cluster/store/model.ts'
import { keyNames, keyOf } from '../../../../../cluster/store/redis/codec.ts'
import { WriteQueue } from '../../../../../cluster/store/redis/write-queue.ts'

const NAMES = keyNames({ prefix: 'skein', cluster: 'west' })
const entry = (key: string, change: Partial<Entry> = {}): Entry => ({
  table: 't',
  key,
  value: 'v',
  wall: 5,
  count: 0,
  origin: 'a',
  rank: 1,
  ttlMs: 1000,
  ...change,
})

test('the newest write of each key is taken once, with its remaining time to live', () => {
  const queue = new WriteQueue(NAMES)
  queue.add(entry('k', { value: 'old' }), 0)
  queue.add(entry('l'), 100)
  queue.add(entry('k', { value: 'new' }), 200)
  assert.is(queue.size, 2)
  assert.equal(queue.take(300), {
    keys: [keyOf(NAMES, 't', 'k'), keyOf(NAMES, 't', 'l')],
    args: ['1 5 0 1 v a\nnew', 900, '1 5 0 1 v a\nv', 800],
  })
  assert.is(queue.size, 0)
  assert.is(queue.take(300), null)
})

test("expired writes are skipped; a tombstone's time to live is capped", () => {
  const queue = new WriteQueue(NAMES)
  queue.add(entry('over'), 0)
  queue.add(entry('tombstone', { value: null, ttlMs: STORE_LIMITS.ttlMs + 60_000 }), 0)
  const slice = queue.take(1000)
  assert.equal(slice?.args, ['1 5 0 1 x a\n', STORE_LIMITS.ttlMs])
  assert.is(queue.dropped, 0)
})

test('above the limit new keys are dropped and counted; waiting keys are updated', () => {
  const queue = new WriteQueue(NAMES, 3)
  for (const key of ['a', 'b', 'c', 'd', 'e']) queue.add(entry(key), 0)
  queue.add(entry('b', { value: 'new' }), 0)
  assert.is(queue.size, 3)
  assert.is(queue.dropped, 2)
  assert.equal(queue.take(0)?.args.filter(arg => arg === '1 5 0 1 v a\nnew').length, 1)
  queue.add(entry('e'), 0)
  assert.is(queue.size, 1)
})

test('entries that Redis cannot represent are dropped and counted', () => {
  const queue = new WriteQueue(NAMES)
  queue.add(entry('k', { origin: 'a\nb' }), 0)
  assert.is(queue.take(0), null)
  assert.is(queue.dropped, 1)
})

test('slices are bounded in entries and in characters', () => {
  const queue = new WriteQueue(NAMES)
  for (let i = 0; i < 1000; i++) queue.add(entry(`k${i}`), 0)
  for (let i = 0; i < 100; i++) queue.add(entry(`long-${i}`, { value: 'v'.repeat(8192) }), 0)
  let keys = 0
  for (let slice = queue.take(0); slice !== null; slice = queue.take(0)) {
    assert.ok(slice.keys.length <= 256)
    assert.is(slice.args.length, 2 * slice.keys.length)
    assert.ok(slice.args.join('').length <= 128 * 1024 + 10_000)
    keys += slice.keys.length
  }
  assert.is(keys, 1100)
})

test('a cleared queue is empty', () => {
  const queue = new WriteQueue(NAMES)
  queue.add(entry('k'), 0)
  queue.clear()
  assert.is(queue.size, 0)
  assert.is(queue.take(0), null)
})

test.run()
