// Whole-state transfer to a new member, also when the peer disconnects, does not respond, sends invalid data, or is new itself.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeStore, encodeStore } from '../../../../cluster/store/codec.ts'
import { Net, type Node } from './core-net.ts'

function full(net: Net, id: string, entries: number): Node {
  const node = net.add(id)
  net.own('t', 200_000, [node])
  for (let i = 0; i < entries; i++) net.put(node, 't', `k${i}`, `server-${i % 9}`)
  return node
}

function readied(net: Net, ...nodes: Node[]): void {
  for (const [i, a] of nodes.entries()) for (const b of nodes.slice(i + 1)) net.connect(a, b)
  net.run(6000)
}

test('without peers it is ready after a second', () => {
  const net = new Net()
  const a = net.add('a')
  net.run(900)
  assert.is(a.ready, null)
  net.run(200)
  assert.ok(a.ready !== null)
})

test('a new member takes the state of one peer and signals ready once', () => {
  const net = new Net()
  const [a, b] = [full(net, 'a', 20_000), full(net, 'b', 0)]
  readied(net, a, b)
  const c = net.add('c')
  net.own('t', 200_000, [c])
  const startedAt = net.now
  net.connect(c, a)
  net.connect(c, b)
  net.run(1000)
  assert.ok(c.ready !== null && c.ready - startedAt < 500, `${c.ready}`)
  assert.equal(net.held(c, 't'), net.held(a, 't'))
  assert.is(c.core.status().counts.pulls, 1)
  assert.is(a.core.status().counts.served + b.core.status().counts.served >= 1, true)
  assert.is(c.core.status().counts.evicted, 0)
  const ttlMs = c.core.get('t', 'k0', net.at(c))!.ttlMs
  assert.ok(ttlMs <= a.core.get('t', 'k0', net.at(a))!.ttlMs + 10)
})

test('entries received before the configuration are kept for it', () => {
  const net = new Net()
  const a = full(net, 'a', 20_000)
  readied(net, a, full(net, 'x', 0))
  const b = net.add('b')
  net.connect(a, b)
  net.run(800)
  assert.ok(b.ready !== null)
  assert.equal(b.core.status().tables, { '': 4096 })
  assert.is(b.core.status().counts.evicted, 0)
  net.own('t', 200_000, [b])
  net.run(50)
  assert.is(net.held(b, 't').length, 20_000)
  assert.is(b.core.status().counts.pulls, 1)
})

test('a peer that disconnects during the transfer is replaced by another', () => {
  const net = new Net()
  const [a, b] = [full(net, 'a', 20_000), full(net, 'b', 0)]
  readied(net, a, b)
  const c = net.add('c')
  net.own('t', 200_000, [c])
  net.connect(c, a)
  net.connect(c, b)
  while (c.pulls < 2) net.run(5)
  const first = c.sends[0]!.to
  net.disconnect(c, first === 'a' ? a : b)
  net.run(1000)
  assert.is(net.held(c, 't').length, 20_000)
  assert.ok(c.ready !== null)
})

test('no response: given up after 1 s; ready after 2 s in any case', () => {
  const net = new Net()
  const [a, b] = [full(net, 'a', 100), full(net, 'b', 0)]
  readied(net, a, b)
  const c = net.add('c')
  net.own('t', 200_000, [c])
  net.lost = (from, to) => from === a && to === c
  const startedAt = net.now
  net.connect(c, a)
  net.connect(c, b)
  net.run(1500)
  assert.is(net.held(c, 't').length, 100)
  const d = net.add('d')
  net.own('t', 200_000, [d])
  net.lost = (_, to) => to === d
  const since = net.now
  for (const node of [a, b, c]) net.connect(d, node)
  net.run(1900)
  assert.is(d.ready, null)
  net.run(200)
  assert.ok(d.ready !== null && d.ready - since <= 2010)
  assert.ok(startedAt < since)
  // It continues to request and to compare.
  net.lost = () => false
  net.run(15_000)
  assert.is(net.held(d, 't').length, 100)
})

test('a late first connection leaves the full time for the transfer', () => {
  const net = new Net()
  const [a, b] = [full(net, 'a', 100), full(net, 'b', 0)]
  readied(net, a, b)
  const c = net.add('c')
  net.own('t', 200_000, [c])
  net.run(900)
  const since = net.now
  net.lost = (_, to) => to === c
  net.connect(c, a)
  net.run(1900)
  assert.is(c.ready, null)
  net.run(200)
  assert.ok(c.ready !== null && c.ready - since <= 2010)
})

test('bodies that cannot be pulled are requested from another member', () => {
  const net = new Net()
  const [a, b] = [full(net, 'a', 10_000), full(net, 'b', 0)]
  readied(net, a, b)
  const c = net.add('c')
  net.own('t', 200_000, [c])
  net.pullFails = from => from === a
  net.connect(c, a)
  net.connect(c, b)
  net.run(1000)
  assert.is(net.held(c, 't').length, 10_000)
})

test('two members that start together do not wait for each other', () => {
  const net = new Net()
  const [a, b] = [net.add('a'), net.add('b')]
  net.own('t', 1000)
  net.put(a, 't', 'of a', 'v')
  net.put(b, 't', 'of b', 'v')
  net.connect(a, b)
  net.run(500)
  assert.ok(a.ready !== null && b.ready !== null)
  assert.equal(net.held(a, 't'), net.held(b, 't'))
  assert.is(net.held(a, 't').length, 2)
})

test('a peer that is new itself: another one is asked', () => {
  const net = new Net()
  const a = full(net, 'a', 1000)
  net.run(1500)
  const [b, c] = [net.add('b'), net.add('c')]
  net.own('t', 200_000, [b, c])
  net.connect(b, c)
  net.connect(c, a)
  net.connect(b, a)
  net.run(1000)
  assert.is(net.held(b, 't').length, 1000)
  assert.is(net.held(c, 't').length, 1000)
})

test('unrequested or mismatched states are not taken', () => {
  const net = new Net()
  const [a, b] = [full(net, 'a', 10), full(net, 'b', 0)]
  readied(net, a, b)
  const state = encodeStore({ kind: 'state', ready: true, ageMs: 0, bodies: [{ hash: 'ab'.repeat(32), size: 10 }] })
  const before = b.pulls
  net.give(b, { kind: 'message', from: 'a', data: state })
  assert.is(b.pulls, before)
  const c = net.add('c')
  net.own('t', 200_000, [c])
  c.peers.add(a)
  net.give(c, { kind: 'connected', peer: 'a' })
  net.give(c, { kind: 'message', from: 'a', data: state })
  assert.is(c.pulls, 1)
  net.give(c, { kind: 'pulled', from: 'b', hash: 'ab'.repeat(32), body: 'AQAAAA==' })
  assert.equal(c.warned, [])
  net.give(c, { kind: 'pulled', from: 'a', hash: 'ab'.repeat(32), body: 'no base64 of anything' })
  assert.match(c.warned[0]!, /could not take its shared state: it has 21 characters, announced were 10/)
})

test('bodies are kept for 30 s and built once for concurrent requests', () => {
  const net = new Net()
  const a = full(net, 'a', 30_000)
  net.run(1500)
  const newcomers = ['b', 'c', 'd'].map(id => net.add(id))
  net.own('t', 200_000, newcomers)
  for (const node of newcomers) net.connect(a, node)
  net.run(1000)
  for (const node of newcomers) assert.is(net.held(node, 't').length, 30_000)
  assert.is(a.core.status().counts.served, 3)
  const answers = a.sends.filter(({ data }) => data[1] === 6)
  assert.is(answers.length, 3)
  const hash = Buffer.from(answers[0]!.data.subarray(-35, -3)).toString('hex')
  assert.ok(a.core.bodyOf(hash) !== null)
  net.run(40_000)
  assert.is(a.core.bodyOf(hash), null)
})

test('a reused state is followed at once by newer writes', () => {
  const net = new Net()
  const a = full(net, 'a', 10_000)
  net.run(3000)
  const [b, c] = [net.add('b'), net.add('c')]
  net.own('t', 200_000, [b, c])
  net.connect(a, b)
  net.run(200)
  net.put(a, 't', 'k1', 'moved')
  net.put(a, 't', 'late', 'v')
  net.run(100)
  net.connect(a, c)
  net.run(150)
  assert.is(a.core.status().counts.served, 2)
  assert.is(net.value(c, 't', 'late'), 'v')
  assert.is(net.value(c, 't', 'k1'), 'moved')
})

test('kept states are bounded; the last two stay complete', () => {
  const net = new Net()
  const a = net.add('a')
  net.own('t', 200_000, [a])
  for (let i = 0; i < 9_000; i++) net.put(a, 't', `k${i}`, `${i}`.padEnd(600, 'x'))
  const hashes = new Set<string>()
  const bodies = (): Map<string, number> =>
    new Map([...hashes].flatMap(hash => ((text = a.core.bodyOf(hash)) => (text === null ? [] : [[hash, text.length]]))()))
  let last: string[] = []
  for (let s = 0; s < 20; s++) {
    net.put(a, 't', `new${s}`, 'v')
    net.give(a, { kind: 'message', from: 'b', data: encodeStore({ kind: 'stateRequest' }) })
    net.run(1000)
    const decoded = decodeStore(a.sends.at(-1)!.data)
    if (!decoded.ok || decoded.message.kind !== 'state') throw new Error('no state was said')
    last = decoded.message.bodies.map(({ hash }) => hash)
    for (const hash of last) hashes.add(hash)
  }
  const kept = bodies()
  assert.ok(hashes.size > 100)
  assert.ok([...kept.values()].reduce((sum, size) => sum + size, 0) <= 48 * 1024 * 1024)
  for (const hash of last) assert.ok(kept.has(hash))
})

test.run()
