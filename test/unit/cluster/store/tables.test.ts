import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { compareRanked } from '../../../../cluster/store/eviction.ts'
import { STORE_LIMITS } from '../../../../cluster/store/model.ts'
import { type StoreLimits, Tables, type Write } from '../../../../cluster/store/tables.ts'
import { Random } from '../../../simulation/random.ts'

function write(key: string, value: string | null, wall: number, more: Partial<Write> = {}): Write {
  return { key, value, wall, count: 0, origin: 'a', rank: 1, ...more }
}

const HOUR = 3_600_000

function owning(cap: number, limits: Partial<StoreLimits> = {}): Tables {
  const tables = new Tables({ ...STORE_LIMITS, ...limits })
  tables.own(new Map([['t', cap]]))
  return tables
}

test('the later write wins in any order of arrival; the origin breaks ties', () => {
  for (const [first, second, winner] of [
    [write('k', 'old', 1), write('k', 'new', 2), 'new'],
    [write('k', 'new', 2), write('k', 'old', 1), 'new'],
    [write('k', 'a', 1, { count: 1 }), write('k', 'b', 1), 'a'],
    [write('k', 'a', 1), write('k', 'b', 1, { origin: 'b' }), 'b'],
    [write('k', 'b', 1, { origin: 'b' }), write('k', 'a', 1), 'b'],
    // Only a faulty or hostile member can produce these.
    [write('k', 'x', 1), write('k', 'y', 1), 'y'],
    [write('k', 'y', 1), write('k', 'x', 1), 'y'],
  ] as const) {
    const tables = owning(10)
    tables.take('t', first, HOUR, 0)
    tables.take('t', second, HOUR, 0)
    assert.is(tables.find('t', 'k', 0)?.value, winner)
    assert.is(tables.live, 1)
  }
})

test('the time to live runs on the own clock and only decreases', () => {
  const tables = owning(10)
  const entry = write('k', 'v', 1)
  tables.take('t', entry, 10_000, 0)
  assert.is(tables.take('t', entry, 10_000, 5000), 'outdated')
  assert.is(tables.find('t', 'k', 9999)?.value, 'v')
  assert.is(tables.find('t', 'k', 10_000), null)
  assert.is(tables.take('t', entry, 2000, 5000), 'outdated')
  assert.is(tables.find('t', 'k', 7000), null)
})

test('entries exchanged back and forth still expire', () => {
  const holders = [owning(10), owning(10)]
  const entry = write('k', 'v', 1)
  holders[0]!.take('t', entry, 10_000, 0)
  let now = 0
  for (; now < 60_000; now += 1000) {
    for (const [from, to] of [holders, [...holders].reverse()]) {
      const row = from!.find('t', 'k', now)
      // 300 ms in transit, which is not counted.
      if (row !== null) to!.take('t', row, row.until - now, now + 300)
    }
    if (holders.every(tables => tables.find('t', 'k', now) === null)) break
  }
  assert.ok(now <= 20_000, `it lived for ${now} ms`)
})

test('a tombstone keeps older copies out until it expires', () => {
  const tables = owning(10)
  tables.take('t', write('k', 'v', 1), HOUR, 0)
  const tombstoneMs = tables.tombstoneMs(tables.find('t', 'k', 0)!, 0)
  assert.ok(tombstoneMs > HOUR)
  tables.take('t', write('k', null, 2), tombstoneMs, 0)
  assert.is(tables.take('t', write('k', 'v', 1), HOUR, 10), 'outdated')
  assert.is(tables.live, 0)
  assert.is(tables.rows, 1)
  assert.equal(tables.counts(), { t: 0 })
  assert.is(tables.take('t', write('k', 'again', 3), HOUR, 20), 'taken')
  assert.is(tables.rows, 1)
})

test('a full table evicts provisional rows first, the oldest first, and counts them', () => {
  const random = new Random(3)
  for (let round = 0; round < 20; round++) {
    const tables = owning(25)
    const held = new Map<string, Write>()
    for (let i = 0; i < 400; i++) {
      const one = write(`k${random.below(120)}`, `v${i}`, random.below(1000), { count: i, rank: random.chance(0.3) ? 1 : 0 })
      const before = held.get(one.key)
      if (tables.take('t', one, HOUR, 0) !== 'outdated') held.set(one.key, one)
      else assert.ok(before !== undefined && before.wall >= one.wall)
      while (held.size > 25) held.delete([...held.values()].sort(compareRanked)[0]!.key)
      assert.is(tables.live, held.size)
    }
    assert.ok(tables.evicted > 0)
    assert.equal([...tables.all.get('t')!.rows.keys()].sort(), [...held.keys()].sort())
  }
})

for (const confirmed of [0, 0.2, 0.5, 0.97, 1]) {
  test(`any order: full tables converge to the same rows, ${100 * confirmed} % confirmed`, () => {
    const random = new Random(4)
    const writes = Array.from({ length: 400 }, (_, i) =>
      write(`k${i}`, 'v', random.below(1000), { count: i, rank: random.chance(confirmed) ? 1 : 0 }),
    )
    const keys = [1, 2, 3].map(() => {
      const tables = owning(100)
      for (const one of random.shuffled(writes)) tables.take('t', one, HOUR, 0)
      return [...tables.all.get('t')!.rows.keys()].sort()
    })
    assert.is(keys[0]!.length, 100)
    assert.equal(keys[1], keys[0])
    assert.equal(keys[2], keys[0])
  })
}

test('a table full of confirmed rows accepts the newest provisional ones', () => {
  const tables = owning(320)
  for (let i = 0; i < 500; i++) tables.take('t', write(`old${i}`, 'v', i), HOUR, 0)
  for (let i = 0; i < 50; i++) assert.is(tables.take('t', write(`new${i}`, 'v', 1000 + i, { rank: 0 }), HOUR, 0), 'taken')
  const rows = [...tables.all.get('t')!.rows.values()]
  assert.is(rows.length, 320)
  assert.equal(
    rows.filter(({ rank }) => rank === 0).map(({ key }) => key),
    Array.from({ length: 10 }, (_, i) => `new${40 + i}`),
  )
  // One more confirmed row evicts the oldest confirmed one.
  tables.take('t', write('new49', 'v', 2000), HOUR, 0)
  assert.is(tables.live, 320)
  for (let i = 0; i < 500; i++) tables.take('t', write(`late${i}`, 'v', 3000 + i), HOUR, 0)
  assert.is([...tables.all.get('t')!.rows.values()].filter(({ rank }) => rank === 0).length, 9)
  tables.own(new Map())
  tables.own(new Map([['t', 160]]))
  assert.is([...tables.all.get('t')!.rows.values()].filter(({ rank }) => rank === 0).length, 5)
})

test('unowned tables share a cap and leave owned ones alone', () => {
  const tables = owning(50, { unownedEntries: 20 })
  for (let i = 0; i < 50; i++) tables.take('t', write(`k${i}`, 'v', i), HOUR, 0)
  for (let i = 0; i < 500; i++) tables.take(`stray-${i % 100}`, write(`k${i}`, 'v', 10_000 + i), HOUR, 0)
  assert.equal(tables.counts(), { t: 50, '': 20 })
  assert.ok(tables.all.size <= 21, `${tables.all.size} tables`)
  assert.equal(tables.own(new Map([['stray-99', 5]])), ['stray-99'])
  assert.is(tables.counts().t, undefined)
  assert.is(tables.counts()['stray-99'], 1)
  assert.ok(tables.counts()['']! <= 20)
})

test('a lowered cap evicts at once; all tables together have a cap, too', () => {
  const tables = owning(50)
  for (let i = 0; i < 50; i++) tables.take('t', write(`k${i}`, 'v', i), HOUR, 0)
  tables.own(new Map([['t', 10]]))
  assert.is(tables.live, 10)
  assert.ok(tables.find('t', 'k49', 0) !== null && tables.find('t', 'k39', 0) === null)
  const few = owning(1000, { entries: 30 })
  for (let i = 0; i < 100; i++) few.take('t', write(`k${i}`, 'v', i), HOUR, 0)
  assert.is(few.live, 30)
})

test('above the total cap the largest table is evicted from; a small one keeps its rows', () => {
  const tables = new Tables({ ...STORE_LIMITS, entries: 300 })
  tables.own(
    new Map([
      ['large', 200],
      ['larger', 250],
      ['small', 10],
    ]),
  )
  tables.take('small', write('before', 'v', 0), HOUR, 0)
  for (let i = 1; i <= 300; i++) {
    tables.take('large', write(`k${i}`, 'v', i), HOUR, 0)
    tables.take('larger', write(`k${i}`, 'v', i), HOUR, 0)
  }
  for (let i = 1; i < 10; i++) assert.is(tables.take('small', write(`k${i}`, 'v', i), HOUR, 0), 'taken')
  assert.is(tables.counts().small, 10)
  assert.ok(tables.live <= 300 && tables.live > 290, `${tables.live}`)
  assert.ok(tables.find('large', 'k300', 0) !== null && tables.find('larger', 'k300', 0) !== null)
})

test('total length is bounded, tombstones included; the longest table is cut', () => {
  const tables = new Tables({ ...STORE_LIMITS, characters: 100_000 })
  tables.own(
    new Map([
      ['long', 1000],
      ['short', 1000],
    ]),
  )
  for (let i = 0; i < 1000; i++) tables.take('short', write(`k${i}`, 'server-1', i), HOUR, 0)
  for (let i = 0; i < 1000; i++) tables.take('long', write(`k${i}`, `${i}`.padStart(8000, 'x'), i), HOUR, 0)
  assert.is(tables.counts().short, 1000)
  assert.ok(tables.counts().long! >= 8 && tables.counts().long! <= 12, `${tables.counts().long}`)
  assert.ok(tables.find('long', 'k999', 0) !== null)
  assert.ok(tables.evicted >= 988)
  for (let i = 0; i < 1000; i++) tables.take('long', write(`${i}`.padStart(600, 'g'), null, 2000 + i), HOUR, 0)
  const characters = [...tables.all.values()].flatMap(({ rows }) => [...rows.values()])
  assert.ok(characters.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0) <= 100_000)
  // Moved and removed rows are counted correctly: the same amount fits again.
  tables.own(new Map())
  tables.sweep(10_000, 2 * HOUR)
  tables.own(new Map([['short', 1000]]))
  for (let i = 0; i < 1000; i++) tables.take('short', write(`k${i}`, 'server-1', i), HOUR, 2 * HOUR)
  assert.is(tables.counts().short, 1000)
})

test('tombstones are bounded', () => {
  const tables = owning(100)
  for (let i = 0; i < 1000; i++) tables.take('t', write(`k${i}`, null, i), HOUR, 0)
  assert.ok(tables.rows <= 100)
  assert.ok(tables.find('t', 'k999', 0) !== null)
})

test('expired rows are swept some at a time', () => {
  const tables = owning(1000)
  for (let i = 0; i < 100; i++) tables.take('t', write(`k${i}`, 'v', i), i < 60 ? 1000 : HOUR, 0)
  tables.take('stray', write('k', 'v', 1), 1000, 0)
  for (let i = 0; i < 12; i++) tables.sweep(10, 2000)
  assert.is(tables.live, 40)
  assert.is(tables.expired, 61)
  assert.not(tables.all.has('stray'))
})

test('the eviction order does not keep replaced versions', () => {
  const tables = owning(100)
  for (let i = 0; i < 200; i++) tables.take('t', write(`k${i}`, 'v', i), HOUR, 0)
  tables.own(new Map([['t', 200]]))
  for (let i = 0; i < 10_000; i++) tables.take('t', write('k199', `v${i}`, 1000 + i), HOUR, 0)
  const { evictionOrder } = tables.all.get('t')!.pool
  assert.ok(evictionOrder === null || evictionOrder.size < 1000)
  for (let i = 0; i < 300; i++) tables.take('t', write(`n${i}`, 'v', 20_000 + i), HOUR, 0)
  assert.is(tables.live, 200)
  assert.not(tables.find('t', 'k199', 0))
})

test.run()
