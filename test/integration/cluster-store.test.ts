// The shared store between real members on the loopback: writes reach all; a new or returning member receives everything; a
// malicious member that holds the secret does no harm.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS, type Message } from '../../cluster/core/state.ts'
import { encode } from '../../cluster/protocol.ts'
import { BatchWriter } from '../../cluster/store/codec.ts'
import { type Entry, STORE_LIMITS } from '../../cluster/store/model.ts'
import { until } from '../until.ts'
import { endAll, openNetwork, sleep, startMember, type TestMember, together } from './cluster-harness.ts'

const CAPS = new Map([
  ['sessions', 100_000],
  ['breakers', 1_000],
])
const HOUR_MS = 3_600_000

async function members(count: number): Promise<TestMember[]> {
  const all: TestMember[] = []
  for (let i = 0; i < count; i++) {
    const member = await startMember(`store-${i}`, all)
    member.store.setTables(CAPS)
    all.push(member)
  }
  await together(all)
  return all
}

const value = (member: TestMember, key: string, table = 'sessions'): string | null => member.store.get(table, key)?.value ?? null

function content(member: TestMember, table = 'sessions'): readonly string[] {
  return [...member.store.entries(table)]
    .map(({ key, value, wall, count, origin }) => `${key} ${value} ${wall} ${count} ${origin}`)
    .sort()
}

function same(all: readonly TestMember[], table = 'sessions'): boolean {
  const [first, ...others] = all.map(member => content(member, table).join('\n'))
  return others.every(text => text === first)
}

test('writes reach all members; the last writer wins; removed entries are gone', async () => {
  const all = await members(3)
  const [a, b, c] = all as [TestMember, TestMember, TestMember]
  a.store.put('sessions', 'k', 'server-1', { ttlMs: HOUR_MS })
  await until('all have it', () => all.every(member => value(member, 'k') === 'server-1'))
  assert.ok(b.shared.some(({ key, value, origin }) => key === 'k' && value === 'server-1' && origin === a.id))
  assert.not(a.shared.some(({ key }) => key === 'k'))
  c.store.put('sessions', 'k', 'server-2', { ttlMs: HOUR_MS })
  await until('the later one wins', () => all.every(member => value(member, 'k') === 'server-2'))
  for (const member of all) member.store.put('sessions', 'contended', member.name, { ttlMs: HOUR_MS })
  await until('they agree', () => value(a, 'contended') !== null && same(all))
  assert.is(await b.store.claim('sessions', 'k', 'server-3', { ttlMs: HOUR_MS, waitMs: 10 }), 'server-2')
  assert.is(await b.store.claim('sessions', 'new', 'server-3', { ttlMs: HOUR_MS, waitMs: 10 }), 'server-3')
  b.store.remove('sessions', 'k')
  await until('it is gone', () => all.every(member => value(member, 'k') === null))
  await until('the claim has arrived', () => value(a, 'new') === 'server-3')
  for (const member of all) assert.is(member.store.status().counts.refused, 0)
  await Promise.all(all.map(member => member.stop()))
})

test('a new member holds everything when it is ready, and so does a returning one', async () => {
  const all = await members(2)
  const [a, b] = all as [TestMember, TestMember]
  for (let i = 0; i < 5000; i++) a.store.put('sessions', `k${i}`, `server-${i % 7}`, { ttlMs: HOUR_MS })
  await until('both have all', () => content(b).length === 5000 && same(all))
  const c = await startMember('store-new', [a])
  c.store.setTables(CAPS)
  await c.store.ready()
  assert.is(content(c).length, 5000)
  assert.is(c.store.status().counts.pulls, 1)
  assert.is(c.shared.length, 5000)
  await b.stop()
  a.store.put('sessions', 'meanwhile', 'v', { ttlMs: HOUR_MS })
  a.store.remove('sessions', 'k0')
  const back = await startMember('store-1', [a])
  back.store.setTables(CAPS)
  await until('it holds everything', () => value(back, 'meanwhile') === 'v' && same([a, c, back]))
  assert.is(value(back, 'k0'), null)
  await Promise.all([a, c, back].map(member => member.stop()))
})

test('the state arrives even if the configuration is later', async () => {
  const [a] = (await members(1)) as [TestMember]
  for (let i = 0; i < 10_000; i++) a.store.put('sessions', `k${i}`, 'v', { ttlMs: HOUR_MS })
  const b = await startMember('store-late', [a])
  await b.store.ready()
  assert.ok(b.store.status().entries <= STORE_LIMITS.unownedEntries)
  b.store.setTables(CAPS)
  await until('it has all', () => content(b).length === 10_000)
  await Promise.all([a, b].map(member => member.stop()))
})

test('writes just before a member stops are sent', async () => {
  const all = await members(2)
  const [a, b] = all as [TestMember, TestMember]
  a.store.put('sessions', 'first', 'v', { ttlMs: HOUR_MS })
  await until('it has arrived', () => value(b, 'first') === 'v')
  for (let i = 0; i < 50; i++) a.store.put('sessions', `last-${i}`, 'v', { ttlMs: HOUR_MS })
  await a.stop()
  await until('all have arrived', () => content(b).length === 51)
  await b.stop()
})

/** A peer with the secret that sends arbitrary messages. */
async function hostile(victim: TestMember) {
  const network = await openNetwork()
  network.setTargets([`127.0.0.1:${victim.port}`])
  await until('it is admitted', () => network.connected.size === 1)
  let n = 0
  const say = (message: Message): void => network.send(victim.id, encode({ v: 1, cluster: 'test', n: n++, message }))
  const sayBytes = (bytes: Uint8Array): void => say({ kind: 'store', data: Buffer.from(bytes).toString('base64') })
  const sayEntries = (entries: Iterable<Partial<Entry>>): number => {
    const batch = new BatchWriter(false)
    for (const more of entries) {
      const entry = {
        table: 'sessions',
        key: 'k',
        value: 'v',
        wall: Date.now(),
        count: 0,
        origin: network.self,
        rank: 1 as const,
        ttlMs: HOUR_MS,
        ...more,
      }
      if (!batch.add(entry)) break
    }
    sayBytes(batch.done())
    return batch.count
  }
  return { network, say, sayBytes, sayEntries }
}

test('a malicious member does no harm', async () => {
  const [a] = (await members(1)) as [TestMember]
  const { say, sayBytes, sayEntries, network } = await hostile(a)
  a.store.put('sessions', 'mine', 'server-1', { ttlMs: HOUR_MS })

  // Not base64: a malformed message.
  say({ kind: 'store', data: '!!! no base64 !!!' })
  await until('it is counted as malformed', () => a.status().counts.malformed === 1)
  // Base64 of invalid data.
  for (const text of ['', 'AAAA', Buffer.from('no message of a store').toString('base64')]) say({ kind: 'store', data: text })
  await until('invalid data is refused', () => a.store.status().counts.refused === 3)
  assert.ok(a.log.has(/dropped a message of the shared state: /))
  // The largest possible message, filled with ones.
  sayBytes(new Uint8Array(LIMITS.store).fill(1))
  await until('it is refused', () => a.store.status().counts.refused === 4)

  // Tables without an owner: bounded, and invisible among owned ones.
  let sent = 0
  for (let round = 0; round < 12; round++) {
    sent += sayEntries(Array.from({ length: 3000 }, (_, i) => ({ table: `none-${round}`, key: `k${i}` })))
    await sleep(20)
  }
  assert.ok(sent > 2 * STORE_LIMITS.unownedEntries)
  await until('entries without owner are bounded', () => a.store.status().counts.evicted === sent - STORE_LIMITS.unownedEntries)
  assert.equal(a.store.status().tables, { sessions: 1, breakers: 0, '': STORE_LIMITS.unownedEntries })
  assert.is(value(a, 'mine'), 'server-1')

  // A stamp far in the future: refused, and the clock does not follow it.
  const before = a.store.status().counts.refused
  sayEntries([{ key: 'mine', value: 'stolen', wall: Date.now() + 2 * STORE_LIMITS.uncomparedAheadMs }])
  await until('it is refused', () => a.store.status().counts.refused === before + 1)
  assert.is(value(a, 'mine'), 'server-1')
  assert.ok(a.log.has(/refused its writes: their stamps are 2 days ahead of the cluster's time/))
  a.store.put('sessions', 'after', 'v', { ttlMs: HOUR_MS })
  assert.ok(a.store.get('sessions', 'after')!.wall < Date.now() + 1000)

  // A state that was not requested, and endless requests.
  for (let i = 0; i < 150; i++) sayBytes(Uint8Array.from([1, 1, 0, 0, 0]))
  await until('requests are bounded', () => a.store.status().counts.refused > before + 50)
  assert.ok(network.connected.size === 1)
  assert.not(a.log.has(/internal error/))
  await a.stop()
})

test('the maximum rate of a store is not treated as a flood', async () => {
  const all = await members(2)
  const [a, b] = all as [TestMember, TestMember]
  const dropped = b.status().counts.dropped
  // Three seconds of twenty full messages each.
  let i = 0
  for (let second = 0; second < 30; second++) {
    for (let n = 0; n < 10; n++, i++) a.store.put('breakers', `k${i % 500}`, `${i}`.padEnd(8000, 'x'), { ttlMs: HOUR_MS })
    await sleep(100)
  }
  await until('everything has arrived', () => same(all, 'breakers') && content(b, 'breakers').length === Math.min(i, 500))
  assert.is(b.status().counts.dropped, dropped)
  assert.is(b.store.status().counts.repaired, 0)
  assert.ok(all.every(({ log }) => !log.has(/floods/)))
  await Promise.all(all.map(member => member.stop()))
})

test.after(endAll)
test.run()
