// The session table against a model made of plain lists, under random calls. It is bounded, and entries used once do not evict
// confirmed ones.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SessionTable } from '../../../../src/proxy/sessions/session-table.ts'
import { seeded } from '../balancing/servers.ts'

interface Row {
  readonly high: number
  readonly low: number
  server: number
  expiry: number
}

/** The model: two lists, least recently used first. */
class Model {
  readonly lists: [Row[], Row[]] = [[], []]
  evicted = 0
  size: number

  constructor(size: number) {
    this.size = size
  }

  get count(): number {
    return this.lists[0].length + this.lists[1].length
  }

  find(high: number, low: number, now: number): Row | undefined {
    const row = this.lists.flat().find(one => one.high === high && one.low === low)
    if (row !== undefined && row.expiry <= now) this.remove(row)
    return row !== undefined && row.expiry > now ? row : undefined
  }

  rank(row: Row): 0 | 1 {
    return this.lists[0].includes(row) ? 0 : 1
  }

  remove(row: Row): void {
    for (const list of this.lists) if (list.includes(row)) list.splice(list.indexOf(row), 1)
  }

  insert(row: Row, rank: 0 | 1): void {
    if (this.count >= this.size) this.evict()
    this.place(row, rank)
  }

  place(row: Row, rank: 0 | 1): void {
    this.remove(row)
    this.lists[rank].push(row)
    if (this.lists[1].length <= this.size - Math.floor(this.size / 32)) return
    this.lists[1].shift()
    this.evicted++
  }

  evict(): void {
    if (this.lists[0].length > 0) this.lists[0].shift()
    else this.lists[1].shift()
    this.evicted++
  }

  expire(now: number, most: number): void {
    for (const list of this.lists) for (let left = most; left > 0 && (list[0]?.expiry ?? now + 1) <= now; left--) list.shift()
  }
}

function check(table: SessionTable, model: Model, now: number): void {
  assert.is(table.count, model.count)
  assert.is(table.evicted, model.evicted)
  const uses = new Map<number, number>()
  for (const row of model.lists.flat()) {
    uses.set(row.server, (uses.get(row.server) ?? 0) + 1)
    if (row.expiry <= now) continue
    const entry = table.find(row.high, row.low, now)
    assert.ok(entry >= 0, 'it is there')
    assert.equal([table.server(entry), table.expiry(entry), table.rank(entry)], [row.server, row.expiry, model.rank(row)])
  }
  for (let server = 0; server < 40; server++) assert.is(table.uses(server), uses.get(server) ?? 0)
}

for (const [size, keys, seed] of [
  [1, 3, 1],
  [2, 5, 2],
  [31, 60, 3],
  [64, 100, 4],
  [700, 1000, 5],
] as const) {
  test(`equals the model, at most ${size} entries`, () => {
    const random = seeded(seed)
    const any = (n: number) => Math.floor(random() * n)
    // Few different halves, so that many keys differ in one half only.
    const halves = Array.from({ length: Math.ceil(Math.sqrt(keys)) }, () => (any(2 ** 32) | 0) >> (any(2) * 16))
    const table = new SessionTable(size, any(2 ** 32))
    const model = new Model(size)
    let now = 100
    for (let step = 0; step < 12_000; step++) {
      const high = halves[any(halves.length)]!
      const low = halves[any(halves.length)]!
      const entry = table.find(high, low, now)
      const row = model.find(high, low, now)
      assert.is(entry >= 0, row !== undefined, `step ${step}`)
      const expiry = now + 1 + any(60)
      const call = any(12)
      if (row === undefined) {
        const server = any(40)
        const rank = any(3) === 0 ? 1 : 0
        table.insert(high, low, server, expiry, rank)
        model.insert({ high, low, server, expiry }, rank)
      } else if (call < 4) {
        table.touch(entry, expiry)
        row.expiry = expiry
        model.place(row, model.rank(row))
      } else if (call < 6) {
        table.confirm(entry)
        if (model.rank(row) === 0) model.place(row, 1)
      } else if (call < 8) {
        row.server = any(40)
        table.setServer(entry, row.server)
      } else if (call < 9) {
        table.remove(entry)
        model.remove(row)
      } else if (call < 10) {
        const most = any(4)
        table.expire(now, most)
        model.expire(now, most)
      } else now += any(3)
      if (step % 500 === 0) check(table, model, now)
    }
    check(table, model, now)
  })
}

test('invented ids displace only one another', () => {
  const table = new SessionTable(1000, 7)
  for (let i = 0; i < 900; i++) table.confirm(table.insert(i, 1, 1, 1000, 0))
  for (let i = 0; i < 50_000; i++) table.insert(i, 2, 1, 1000, 0)
  assert.is(table.count, 1000)
  for (let i = 0; i < 900; i++) assert.ok(table.find(i, 1, 0) >= 0)
  for (let i = 49_900; i < 50_000; i++) assert.ok(table.find(i, 2, 0) >= 0, 'the newest')
})

test('all entries confirmed: new ones can still be confirmed', () => {
  const table = new SessionTable(320, 7)
  for (let i = 0; i < 1000; i++) table.insert(i, 1, 1, 1000, 1)
  assert.is(table.count, 310)
  for (let i = 0; i < 10; i++) table.insert(i, 2, 1, 1000, 0)
  for (let i = 0; i < 10; i++) table.confirm(table.find(i, 2, 0))
  for (let i = 0; i < 10; i++) assert.ok(table.find(i, 2, 0) >= 0)
  assert.is(table.find(690, 1, 0), -1, 'the longest unused had to go')
  assert.ok(table.find(999, 1, 0) >= 0)
})

test('the size may grow and shrink', () => {
  const table = new SessionTable(1000, 7)
  for (let i = 0; i < 1000; i++) table.insert(i, 1, 1, 1000, 0)
  table.resize(10)
  assert.is(table.count, 10)
  for (let i = 990; i < 1000; i++) assert.ok(table.find(i, 1, 0) >= 0)
  table.resize(5000)
  for (let i = 0; i < 6000; i++) table.insert(i, 3, 1, 1000, 0)
  assert.is(table.count, 5000)
})

test('a smaller size removes the surplus in steps and still admits new entries', () => {
  const table = new SessionTable(100_000, 7)
  for (let i = 0; i < 50_000; i++) table.insert(i, 1, 1, 1000, 1)
  table.resize(320)
  assert.ok(table.count > 40_000, 'not all of it in one go')
  for (let i = 0; i < 10; i++) table.insert(i, 4, 1, 1000, 0)
  for (let i = 0; i < 10; i++) assert.ok(table.find(i, 4, 0) >= 0, 'new ones have theirs all the while')
  for (let tick = 0; tick < 60; tick++) {
    table.expire(0, 1)
    table.insert(tick, 2, 1, 1000, 0)
  }
  assert.is(table.count, 320)
  for (let i = 0; i < 10; i++) table.insert(i, 3, 1, 1000, 0)
  for (let i = 0; i < 10; i++) assert.ok(table.find(i, 3, 0) >= 0, 'it can come back')
  assert.ok(table.find(49_999, 1, 0) >= 0)
})

test('a hundred thousand entries take under 50 bytes each and grow in steps', () => {
  const table = new SessionTable(100_000, 7)
  assert.ok(table.bytes < 20_000, `${table.bytes} bytes when empty`)
  const random = seeded(1)
  for (let i = 0; i < 100_000; i++) table.insert((random() * 2 ** 32) | 0, i, i % 20, 1000, 0)
  assert.is(table.count, 100_000)
  assert.ok(table.bytes < 5_000_000, `${table.bytes} bytes`)
})

test('an entry within the slack keeps its position but outlives unused ones', () => {
  const table = new SessionTable(3, 1)
  for (const key of [1, 2, 3]) table.insert(key, key, 0, 100, 0)
  table.touch(table.find(1, 1, 0), 105, 10)
  table.insert(4, 4, 0, 106, 0)
  assert.equal(
    [1, 2, 3, 4].map(key => table.find(key, key, 0) >= 0),
    [true, false, true, true],
  )
  assert.is(table.evicted, 1)
  assert.is(table.expiry(table.find(1, 1, 104)), 105, 'it lives as long as any that was used then')
  assert.is(table.find(1, 1, 105), -1)
})

test('many kept positions delay neither expiry nor new entries', () => {
  const table = new SessionTable(1000, 1)
  for (let key = 0; key < 1000; key++) table.insert(key, key, key % 7, 100, 0)
  for (let key = 0; key < 900; key++) table.touch(table.find(key, key, 0), 109, 10)
  table.insert(5000, 5000, 0, 109, 0)
  assert.is(table.count, 1000)
  assert.is(table.evicted, 1)
  for (let left = 100; left > 0; left--) table.expire(100, 10)
  assert.is(table.count, 900, 'of the 1,001 the hundred that nobody used are over, and one had to go')
  table.expire(109, 1000)
  assert.is(table.count, 0)
  for (let server = 0; server < 7; server++) assert.is(table.uses(server), 0)
})

test.run()
