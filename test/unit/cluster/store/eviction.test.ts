import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { compareRanked, type Ranked, RankHeap } from '../../../../cluster/store/eviction.ts'
import { Random } from '../../../simulation/random.ts'

interface Row extends Ranked {
  readonly id: number
}

function draw(random: Random, id: number): Row {
  return {
    id,
    wall: random.below(20),
    count: random.below(3),
    origin: random.pick(['a', 'b']),
    rank: random.chance(0.5) ? 1 : 0,
  }
}

test('provisional rows are evicted first, the oldest of each rank first', () => {
  const random = new Random(1)
  const rows = Array.from({ length: 300 }, (_, id) => draw(random, id))
  const lowest = new RankHeap(rows.slice(0, 100), () => true)
  for (const row of rows.slice(100)) lowest.push(row)
  const popped: Row[] = []
  for (let row = lowest.pop(); row !== null; row = lowest.pop()) popped.push(row)
  assert.is(popped.length, 300)
  const sorted = [...rows].sort(compareRanked)
  for (const [i, row] of popped.entries()) assert.is(compareRanked(row, sorted[i]!), 0)
  assert.ok(
    popped
      .slice(
        0,
        popped.findIndex(({ rank }) => rank === 1),
      )
      .every(({ rank }) => rank === 0),
  )
})

test('rows that are no longer held are skipped', () => {
  const random = new Random(2)
  const rows = Array.from({ length: 100 }, (_, id) => draw(random, id))
  const held = new Set(rows.filter(({ id }) => id % 3 === 0))
  const lowest = new RankHeap([...rows], row => held.has(row))
  let before: Row | null = null
  let count = 0
  for (let row = lowest.pop(); row !== null; row = lowest.pop()) {
    assert.ok(held.has(row))
    assert.ok(before === null || compareRanked(before, row) <= 0)
    before = row
    count++
  }
  assert.is(count, held.size)
  assert.is(lowest.pop(), null)
})

test.run()
