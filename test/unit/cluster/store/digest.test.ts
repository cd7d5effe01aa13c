import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bucketDigests, bucketOf, bucketsFor, digestOf, hashText, hashWrite } from '../../../../cluster/store/digest.ts'
import { STORE_LIMITS } from '../../../../cluster/store/model.ts'
import { type Table, Tables, type Write } from '../../../../cluster/store/tables.ts'
import { Random } from '../../../simulation/random.ts'

const CUT = { wall: 1000, count: 5 }

function tableOf(writes: readonly Write[]): Table {
  const tables = new Tables(STORE_LIMITS)
  tables.own(new Map([['t', 100_000]]))
  for (const write of writes) tables.take('t', write, 60_000, 0)
  return tables.all.get('t')!
}

const base: Write = { key: 'k', value: 'v', wall: 900, count: 1, origin: 'a', rank: 1 }

test('a digest ignores the order of writes and includes everything else', () => {
  const random = new Random(1)
  const writes = Array.from({ length: 500 }, (_, i) => ({ ...base, key: `k${i}`, wall: random.below(1000) }))
  const whole = digestOf(tableOf(writes), CUT, 0, hashWrite)
  assert.equal(digestOf(tableOf(random.shuffled(writes)), CUT, 0, hashWrite), whole)
  assert.is(whole.count, 500)
  for (const change of [
    { key: 'other' },
    { value: 'w' },
    { value: null },
    { wall: 1 },
    { count: 2 },
    { origin: 'b' },
    { rank: 0 },
  ] as const) {
    const changed = writes.map((write, i) => (i === 77 ? { ...write, ...change } : write))
    assert.is.not(digestOf(tableOf(changed), CUT, 0, hashWrite).digest, whole.digest, JSON.stringify(change))
  }
  assert.equal(digestOf(undefined, CUT, 0, hashWrite), { count: 0, digest: 0 })
})

test('times beyond 32 bits and long values change the digest', () => {
  const hashes = [
    base,
    { ...base, wall: base.wall + 2 ** 32 },
    { ...base, wall: base.wall + 2 ** 33 },
    { ...base, value: 'v'.repeat(100) },
    { ...base, value: 'v'.repeat(101) },
  ].map(hashWrite)
  assert.is(new Set(hashes).size, hashes.length)
})

test('entries above the cut and expired ones are excluded', () => {
  const table = tableOf([base, { ...base, key: 'later', wall: 1000, count: 6 }, { ...base, key: 'just', wall: 1000, count: 5 }])
  assert.is(digestOf(table, CUT, 0, hashWrite).count, 2)
  assert.is(digestOf(table, CUT, 60_000, hashWrite).count, 0)
})

test('one changed entry changes one bucket', () => {
  const writes = Array.from({ length: 2000 }, (_, i) => ({ ...base, key: `k${i}` }))
  const size = bucketsFor(writes.length)
  assert.is(size, 128)
  const before = bucketDigests(tableOf(writes), CUT, 0, size, hashWrite)
  const after = bucketDigests(
    tableOf(writes.map(write => (write.key === 'k7' ? { ...write, value: 'w' } : write))),
    CUT,
    0,
    size,
    hashWrite,
  )
  const differing = [...before.keys()].filter(bucket => before[bucket] !== after[bucket])
  assert.equal(differing, [bucketOf('k7', size)])
})

test('keys spread evenly over buckets, within bounds', () => {
  assert.is(bucketsFor(0), 16)
  assert.is(bucketsFor(1_000_000), 4096)
  const counts = new Array<number>(256).fill(0)
  for (let i = 0; i < 25_600; i++) counts[bucketOf(`session-${i}`, 256)]! += 1
  assert.ok(Math.min(...counts) > 50 && Math.max(...counts) < 160, `${Math.min(...counts)} to ${Math.max(...counts)}`)
  assert.is.not(hashText('ab'), hashText('ba'))
})

test.run()
