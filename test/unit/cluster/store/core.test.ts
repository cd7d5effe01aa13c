// Small clusters of store cores on a virtual clock and network.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../../cluster/core/state.ts'
import { BatchWriter, encodeStore } from '../../../../cluster/store/codec.ts'
import { hashText } from '../../../../cluster/store/digest.ts'
import { type Entry, FLUSH_MS, STORE_LIMITS } from '../../../../cluster/store/model.ts'
import { Net, type Node } from './core-net.ts'

function three(): { net: Net; a: Node; b: Node; c: Node } {
  const net = new Net()
  const [a, b, c] = ['a', 'b', 'c'].map(id => net.add(id)) as [Node, Node, Node]
  net.own('t')
  net.connect(a, b)
  net.connect(a, c)
  net.connect(b, c)
  net.run(3000)
  for (const node of net.nodes) node.broadcasts = []
  return { net, a, b, c }
}

test('the first write is sent at once, the next ones together with the next flush', () => {
  const { net, a, b, c } = three()
  net.put(a, 't', 'k', 'v')
  net.run(10)
  assert.is(net.value(b, 't', 'k'), 'v')
  assert.is(net.value(c, 't', 'k'), 'v')
  for (let i = 0; i < 100; i++) net.put(a, 't', `k${i}`, 'v')
  net.put(a, 't', 'k0', 'w')
  net.run(20)
  assert.is(net.value(b, 't', 'k0'), null)
  net.run(FLUSH_MS)
  assert.is(net.value(b, 't', 'k0'), 'w')
  assert.is(a.broadcasts.length, 2)
  assert.is(b.changed.length, 101)
  assert.equal(a.changed, [])
})

test('jobs for one member do not delay broadcasts', () => {
  const { net, a, b } = three()
  net.run(1000)
  net.give(a, { kind: 'message', from: b.id, data: encodeStore({ kind: 'stateRequest' }) })
  net.run(5)
  assert.ok(a.sends.length > 0)
  net.put(a, 't', 'k', 'v')
  net.run(10)
  assert.is(net.value(b, 't', 'k'), 'v')
})

test('at most twenty messages a second, however much is written', () => {
  const { net, a, b } = three()
  for (let ms = 0; ms < 2000; ms += 5) {
    net.put(a, 't', `k${ms}`, 'v')
    net.run(5)
  }
  assert.ok(a.broadcasts.length <= 41, `${a.broadcasts.length}`)
  a.broadcasts = []
  for (let i = 0; i < 10_000; i++) net.put(a, 't', `burst-${i}`, `value-${i}`)
  const startedAt = net.now
  while (net.held(b, 't').length < 10_400 && net.now < startedAt + 5000) net.run(50)
  assert.ok(net.now - startedAt < 1000, `${net.now - startedAt} ms`)
  assert.ok(a.broadcasts.length >= 6)
  for (const { data } of a.broadcasts) assert.ok(data.length <= LIMITS.store)
  for (const [i, { at }] of a.broadcasts.slice(1).entries()) assert.ok(at - a.broadcasts[i]!.at >= FLUSH_MS)
})

test('an overflow of writes is replaced by a whole-state transfer', () => {
  const { net, a, b, c } = three()
  net.run(6000)
  for (let i = 0; i < 60_000; i++) net.put(a, 't', `k${i}`, 'v')
  net.run(3000)
  assert.is(net.held(b, 't').length, 60_000)
  assert.is(net.held(c, 't').length, 60_000)
  assert.ok(a.broadcasts.length < 20, `${a.broadcasts.length} messages`)
})

test('the last writer wins on all members, also with different clocks', () => {
  const { net, a, b, c } = three()
  a.wallMs = 3_600_000
  net.put(a, 't', 'k', 'first')
  net.run(20)
  net.put(b, 't', 'k', 'second')
  net.run(100)
  for (const node of net.nodes) assert.is(net.value(node, 't', 'k'), 'second')
  net.put(a, 't', 'x', 'of a')
  net.put(b, 't', 'x', 'of b')
  net.put(c, 't', 'x', 'of c')
  net.run(200)
  assert.equal(net.held(b, 't'), net.held(a, 't'))
  assert.equal(net.held(c, 't'), net.held(a, 't'))
})

test('a removal persists and is reported as a change', () => {
  const { net, a, b } = three()
  net.put(a, 't', 'k', 'v')
  net.run(100)
  assert.ok(b.core.remove('t', 'k', net.at(b)) !== null)
  assert.is(b.core.remove('t', 'k', net.at(b)), null)
  assert.is(b.core.remove('t', 'never', net.at(b)), null)
  net.run(100)
  assert.is(net.value(a, 't', 'k'), null)
  assert.is(a.changed.at(-1)?.value, null)
  assert.is(a.core.status().tables.t, 0)
  net.run(30_000)
  for (const node of net.nodes) assert.is(net.value(node, 't', 'k'), null)
  assert.ok([...a.core.allEntries(net.at(a))].some(({ key, value }) => key === 'k' && value === null))
})

test('lost writes are found by anti-entropy and counted', () => {
  const { net, a, b, c } = three()
  net.lost = (from, to) => from === a && to === b
  for (let i = 0; i < 50; i++) net.put(a, 't', `k${i}`, 'v')
  net.run(100)
  assert.is(net.held(b, 't').length, 0)
  net.lost = () => false
  net.run(15_000)
  assert.is(net.held(b, 't').length, 50)
  assert.is(b.core.status().counts.repaired, 50)
  assert.is(c.core.status().counts.repaired, 0)
})

test('two members after a partition repair both ways, tombstones included', () => {
  const { net, a, b, c } = three()
  net.put(a, 't', 'both', 'v')
  net.run(100)
  for (const other of [b, c]) net.disconnect(a, other)
  for (let i = 0; i < 200; i++) net.put(a, 't', `a${i}`, 'v')
  for (let i = 0; i < 200; i++) net.put(b, 't', `b${i}`, 'v')
  b.core.remove('t', 'both', net.at(b))
  net.run(5000)
  for (const other of [b, c]) net.connect(a, other)
  net.run(5000)
  for (const node of net.nodes) {
    assert.is(net.held(node, 't').length, 400)
    assert.is(net.value(node, 't', 'both'), null)
  }
})

test('large differences: both take the whole state', () => {
  const { net, a, b, c } = three()
  net.disconnect(a, b)
  net.disconnect(a, c)
  for (let i = 0; i < 15_000; i++) net.put(a, 't', `a${i}`, 'v')
  for (let i = 0; i < 15_000; i++) net.put(b, 't', `b${i}`, 'v')
  net.run(6000)
  net.connect(a, b)
  net.connect(a, c)
  net.run(30_000)
  for (const node of net.nodes) assert.is(net.held(node, 't').length, 30_000)
  assert.ok(a.core.status().counts.pulls + b.core.status().counts.pulls > 2)
})

test('entries too large for one message of their bucket are repaired, too', () => {
  const { net, a, b } = three()
  net.lost = (from, to) => from === a && to === b
  for (let i = 0; i < 150; i++) net.put(a, 't', `k${i}`, `${i}`.padEnd(8000, '.'))
  net.run(10_000)
  net.lost = () => false
  net.run(60_000)
  assert.equal(net.held(b, 't'), net.held(a, 't'))
})

test('in a quiet cluster comparisons cost a few small messages', () => {
  const { net, a, b } = three()
  for (let i = 0; i < 2000; i++) net.put(a, 't', `k${i}`, 'v')
  net.run(20_000)
  a.sends = []
  b.sends = []
  net.run(60_000)
  const sends = [...a.sends, ...b.sends]
  assert.ok(sends.length >= 20 && sends.length <= 34, `${sends.length} messages`)
  assert.ok(sends.every(({ data }) => data.length < 100))
  assert.is(a.core.status().counts.repaired + b.core.status().counts.repaired, 0)
})

test('tables that only some members own are not compared', () => {
  const net = new Net()
  const [a, b] = ['a', 'b'].map(id => net.add(id, { limits: { unownedEntries: 10 } })) as [Node, Node]
  net.own('t', 1000, [a])
  net.connect(a, b)
  net.run(2000)
  for (let i = 0; i < 100; i++) net.put(a, 't', `k${i}`, 'v')
  net.run(30_000)
  assert.equal(b.core.status().tables, { '': 10 })
  assert.is(b.core.status().counts.repaired, 0)
  net.own('t', 1000, [b])
  net.run(10_000)
  assert.equal(net.held(b, 't'), net.held(a, 't'))
})

test('writes stamped far ahead are refused and reported', () => {
  const { net, a, b } = three()
  for (const node of net.nodes) node.tellsClock = false
  net.run(20_000)
  a.wallMs = STORE_LIMITS.uncomparedAheadMs + 60_000
  net.put(a, 't', 'k', 'v')
  net.run(100)
  assert.is(net.value(b, 't', 'k'), null)
  assert.is(b.core.status().counts.refused, 1)
  assert.match(b.warned[0]!, /^ahead a: refused its writes: their stamps are 24 hours ahead of the cluster's time/)
  net.put(b, 't', 'k', 'w')
  assert.is(net.value(b, 't', 'k'), 'w')
})

test('without clock readings stamps a day ahead are accepted, and moved back later', () => {
  const net = new Net()
  const hour = 3_600_000
  const [a, b, old] = [net.add('a'), net.add('b'), net.add('old', {}, 20 * hour)]
  old.tellsClock = false
  net.own('t', 100)
  net.connect(a, b)
  for (const node of [a, b]) net.connect(node, old)
  net.run(20_000)
  net.put(old, 't', 'k', 'of old')
  net.run(100)
  for (const node of [a, b]) assert.is(net.value(node, 't', 'k'), 'of old')
  // A write over such an entry is stamped as far ahead and is accepted, too.
  net.put(a, 't', 'k', 'of a')
  net.run(100)
  assert.is(net.value(b, 't', 'k'), 'of a')
  net.put(old, 't', 'other', 'of old')
  net.run(100)
  for (const node of [a, b]) net.disconnect(node, old)
  net.run(10_000)
  for (const node of [a, b]) {
    assert.is(net.value(node, 't', 'other'), 'of old')
    for (const { wall } of node.core.entries('t', net.at(node))) assert.ok(wall <= net.at(node).wall, node.id)
    assert.equal(node.core.time(net.at(node)).latest, net.at(node).wall + STORE_LIMITS.aheadMs)
  }
  assert.equal(net.held(a, 't'), net.held(b, 't'))
  assert.equal([...a.warned, ...b.warned], [])
})

test('clocks months ahead and behind: the last writer wins', () => {
  const net = new Net()
  const day = 86_400_000
  const [a, b, c] = [net.add('a', {}, 400 * day), net.add('b', {}, -400 * day), net.add('c')]
  for (const node of net.nodes) net.own('t', 100, [node])
  for (const node of net.nodes) for (const key of ['k', `of-${node.id}`]) net.put(node, 't', key, `alone at ${node.id}`)
  net.run(1000)
  net.connect(a, b)
  net.connect(b, c)
  net.connect(a, c)
  net.run(15_000)
  for (const node of net.nodes) {
    assert.equal(net.held(node, 't'), net.held(a, 't'), node.id)
    assert.is(net.held(node, 't').length, 4, 'nothing that one alone had written is lost')
  }
  for (const [n, writer] of [a, b, c, b, a, c].entries()) {
    net.put(writer, 't', 'k', `write ${n}`)
    net.run(500)
    for (const node of net.nodes) assert.is(net.value(node, 't', 'k'), `write ${n}`, node.id)
  }
  const off = (node: Node) => [...node.core.clockOffs(net.at(node))].map(([id, ms]) => `${id} ${Math.round(ms / day)}`).sort()
  for (const node of net.nodes) assert.equal(off(node), ['a 400', 'b -400', 'c 0'], node.id)
})

for (const how of ['disconnected', 'gone'] as const) {
  test(`a member 400 days ahead that restarts repeatedly moves no time: ${how}`, () => {
    const net = new Net()
    const [a, b] = [net.add('a'), net.add('b')]
    net.own('t', 100)
    net.connect(a, b)
    net.run(1000)
    for (let start = 0; start < 4; start++) {
      const again = net.add(`c${start}`, {}, 400 * 86_400_000)
      net.own('t', 100, [again])
      for (const other of [a, b]) net.connect(other, again)
      for (const node of [a, b, again]) net.put(node, 't', `of-${node.id}`, `start ${start}`)
      net.run(1000)
      for (const node of [a, b]) assert.is(node.core.reading(net.at(node)).off, 0, `start ${start}`)
      for (const other of [a, b]) {
        if (how === 'disconnected') net.disconnect(other, again)
        else {
          other.peers.delete(again)
          net.give(other, { kind: 'gone', member: again.id })
        }
      }
    }
  })
}

test("a member at the ahead limit does not get the others' writes refused", () => {
  const { net, a, b, c } = three()
  for (const node of net.nodes) node.tellsClock = false
  net.run(20_000)
  c.wallMs = STORE_LIMITS.uncomparedAheadMs
  b.wallMs = -2_000
  for (let i = 0; i < 20; i++) {
    net.put(c, 't', 'k', `v${i}`)
    net.run(50)
    net.put(a, 't', `k${i}`, 'v')
    net.run(50)
  }
  for (let i = 0; i < 20; i++) assert.is(net.value(b, 't', `k${i}`), 'v')
  // A write over its entry wins wherever that entry was accepted.
  net.put(a, 't', 'k', 'right')
  assert.is(net.value(a, 't', 'k'), 'right')
})

test('invalid messages are counted and reported and change nothing', () => {
  const { net, a } = three()
  for (const data of [[], [9], [1, 0, 0, 77], [1, 3, 0]]) net.give(a, { kind: 'message', from: 'b', data: Uint8Array.from(data) })
  assert.is(a.core.status().counts.refused, 4)
  assert.is(a.warned.length, 4)
  assert.match(a.warned[0]!, /dropped a message of the shared state: it is truncated/)
})

test('requests of one member are rate-limited', () => {
  const { net, a, b } = three()
  for (let i = 0; i < 100; i++) net.put(a, 't', `k${i}`, 'v')
  net.run(100)
  const question = encodeStore({ kind: 'roots', cut: { wall: 2 ** 47, count: 0 }, roots: [{ name: 1, count: 1, digest: 1 }] })
  const before = a.core.status().counts.refused
  for (let i = 0; i < 1000; i++) net.give(a, { kind: 'message', from: b.id, data: question })
  assert.ok(a.core.status().counts.refused - before >= 950)
})

test('requests under many names do not crowd out responses to others', () => {
  const { net, a, b, c } = three()
  const tables = Array.from({ length: 16 }, (_, i) => `t${i}`)
  for (const node of net.nodes) node.core.setTables(new Map(tables.map(table => [table, 1_000])), net.at(node))
  net.disconnect(a, b)
  net.disconnect(b, c)
  for (const table of tables) for (let i = 0; i < 20; i++) net.put(a, table, `k${i}`, 'v')
  net.run(3000)
  const roots = tables.map(table => ({ name: hashText(table), count: 1, digest: 1 }))
  let strangers = 0
  const ask = (): void => {
    const data = encodeStore({ kind: 'roots', cut: { wall: 2 ** 47, count: 0 }, roots })
    net.give(a, { kind: 'message', from: c.id, data })
    for (const kind of ['stateOffer', 'stateRequest'] as const) {
      net.give(a, { kind: 'message', from: `stranger-${strangers++}`, data: encodeStore({ kind }) })
    }
    net.give(a, { kind: 'message', from: `stranger-${strangers++}`, data })
  }
  for (let ms = 0; ms < 3000; ms += 100) {
    ask()
    net.run(100)
  }
  net.connect(a, b)
  for (let ms = 0; ms < 6000; ms += 100) {
    ask()
    net.run(100)
  }
  for (const table of tables) assert.is(net.held(b, table).length, 20, table)
  assert.ok(a.core.status().counts.refused > 100)
})

test('a full table converges to the same entries on all members', () => {
  const { net, a, b, c } = three()
  net.own('t', 100)
  for (let i = 0; i < 300; i++) {
    for (const node of [a, b, c]) net.put(node, 't', `${node.id}${i}`, 'v', 3_600_000, i % 7 === 0 ? 1 : 0)
    net.run(10)
  }
  net.run(15_000)
  assert.is(net.held(a, 't').length, 100)
  assert.equal(net.held(b, 't'), net.held(a, 't'))
  assert.equal(net.held(c, 't'), net.held(a, 't'))
  assert.ok(a.core.status().counts.evicted > 500)
  // Confirmed entries stay, except for the share of provisional ones.
  assert.is(net.held(a, 't').filter(text => Number(/^\w(\d+)=/.exec(text)?.[1]) % 7 === 0).length, 100 - (100 >> 5))
})

test('own writes beyond the limits throw', () => {
  const net = new Net()
  const a = net.add('a')
  const put = (table: string, key: string, value: string, ttlMs: number) => () => net.put(a, table, key, value, ttlMs)
  for (const [call, reason] of [
    [put('', 'k', 'v', 1), /table of 0 characters: expected 1 to 600/],
    [put('t', '', 'v', 1), /key of 0 characters/],
    [put('t', 'k'.repeat(601), 'v', 1), /key of 601 characters: expected 1 to 600/],
    [put('t', 'k', 'v'.repeat(8193), 1), /value of 8193 characters: expected 0 to 8192/],
    [put('t', 'k', 'v', 0), /ttlMs 0: expected 1 to /],
    [put('t', 'k', 'v', Number.NaN), /ttlMs NaN/],
    [put('t', 'k', 'v', Number.POSITIVE_INFINITY), /ttlMs Infinity/],
    [() => net.own('t', -1), /cap -1 of table t/],
    [() => net.own('t', 1.5), /cap 1.5/],
    [() => net.own('t', 2_000_000), /cap 2000000/],
  ] as const) {
    assert.throws(call, (error: unknown) => error instanceof RangeError && reason.test(error.message), String(reason))
  }
})

test('merged entries are returned to the caller and not forwarded', () => {
  const { net, a, b } = three()
  const entry: Entry = {
    table: 't',
    key: 'k',
    value: 'v',
    wall: net.at(a).wall,
    count: 0,
    origin: 'redis',
    rank: 1,
    ttlMs: 60_000,
  }
  assert.equal(a.core.merge([entry, { ...entry, key: '' }, { ...entry, wall: Number.NaN }, { ...entry, ttlMs: 0 }], net.at(a)), [
    entry,
  ])
  assert.is(a.core.status().counts.refused, 3)
  assert.equal(a.core.merge([entry], net.at(a)), [])
  net.give(a, { kind: 'tick' })
  net.run(200)
  assert.equal(a.changed, [])
  assert.is(net.value(b, 't', 'k'), null)
  // Written after the merged entry, although the wall clock stands still.
  assert.ok(net.put(a, 't', 'k', 'w').wall >= entry.wall)
  assert.is(net.value(a, 't', 'k'), 'w')
})

test('lone surrogates are replaced, so that all members hold the same key', () => {
  const { net, a, b } = three()
  net.put(a, 't', 'k\ud800', 'v\udfff')
  net.run(50)
  assert.is(net.value(a, 't', 'k\ud800'), 'v\ufffd')
  assert.is(net.value(b, 't', 'k\ufffd'), 'v\ufffd')
})

test('entries expire on time on all members', () => {
  const { net, a } = three()
  for (let i = 0; i < 100; i++) net.put(a, 't', `k${i}`, 'v', 2000)
  net.run(1900)
  for (const node of net.nodes) assert.is(net.held(node, 't').length, 100)
  net.run(200)
  for (const node of net.nodes) assert.is(net.held(node, 't').length, 0)
  net.run(10_000)
  for (const node of net.nodes) {
    assert.is(node.core.status().entries, 0)
    assert.is(node.core.status().counts.expired, 100)
    assert.is(node.core.status().counts.repaired, 0)
  }
})

test('the flush interval grows with the cluster', () => {
  const { net, a } = three()
  net.give(a, { kind: 'members', count: 64 })
  for (let i = 0; i < 200; i++) {
    net.put(a, 't', `k${i}`, 'v')
    net.run(10)
  }
  assert.ok(a.broadcasts.length <= 11, `${a.broadcasts.length}`)
})

test('unsent writes are sent when the store stops', () => {
  const { net, a, b } = three()
  net.put(a, 't', 'first', 'v')
  net.run(10)
  net.put(a, 't', 'last', 'v')
  net.give(a, { kind: 'end' })
  net.run(10)
  assert.is(net.value(b, 't', 'last'), 'v')
})

test('a message with a hundred thousand tables does not fill the memory', () => {
  const { net, a } = three()
  for (let round = 0; round < 20; round++) {
    const batch = new BatchWriter(false)
    let i = 0
    const entry = (): Entry => ({
      table: `stray-${round}-${i}`,
      key: 'k',
      value: 'v',
      wall: net.at(a).wall,
      count: i,
      origin: 'b',
      rank: 1,
      ttlMs: 60_000,
    })
    while (batch.add(entry())) i++
    net.give(a, { kind: 'message', from: 'b', data: batch.done() })
  }
  assert.is(a.core.status().entries, STORE_LIMITS.unownedEntries)
  assert.ok(a.core.tables.all.size <= STORE_LIMITS.unownedEntries + 1)
  assert.ok(a.core.status().counts.evicted > 1000)
})

test.run()
