// The shell around the core: writes of one turn of the event loop are sent together, effects reach the network, defects and
// failures only the log; and the store of a single replica.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeStore, encodeStore } from '../../../../cluster/store/codec.ts'
import { GossipStore, type StoreNetwork } from '../../../../cluster/store/gossip.ts'
import { memoryStore } from '../../../../cluster/store/memory.ts'
import type { Change, Entry } from '../../../../cluster/store/model.ts'

const HOUR_MS = 3_600_000
const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const TABLE = new Map([['t', 100]])

interface Opened {
  readonly store: GossipStore
  readonly said: Uint8Array[]
  readonly sent: { readonly to: string; readonly data: Uint8Array }[]
  readonly changed: Change[]
  readonly warned: string[]
}

function open(id: string, pull: StoreNetwork['pull'] = () => Promise.reject(new Error('no peer'))): Opened {
  const opened = {
    said: [] as Uint8Array[],
    sent: [] as Opened['sent'][number][],
    changed: [] as Change[],
    warned: [] as string[],
  }
  const network: StoreNetwork = {
    broadcast: data => void opened.said.push(data),
    send: (to, data) => void opened.sent.push({ to, data }),
    pull,
    changed: changes => void opened.changed.push(...changes),
    warn: (subject, from, message) => void opened.warned.push(`${subject} ${from}: ${message}`),
  }
  const store = new GossipStore({ origin: id, network, log: null })
  store.setTables(TABLE)
  return { ...opened, store }
}

function entriesIn(data: Uint8Array): readonly Entry[] {
  const decoded = decodeStore(data)
  return decoded.ok && decoded.message.kind === 'batch' ? decoded.message.entries : []
}

test('writes of one turn are sent together and merged by the peer', async () => {
  const [a, b] = [open('a'), open('b')]
  a.store.dispatch({ kind: 'connected', peer: 'b' })
  const written: string[] = []
  a.store.onWrite = entry => void written.push(entry.key)
  for (let i = 0; i < 10; i++) a.store.put('t', `k${i}`, 'v', { ttlMs: HOUR_MS })
  a.store.remove('t', 'k3')
  assert.is(a.said.length, 0)
  await sleep(20)
  assert.is(a.said.length, 1)
  assert.is(entriesIn(a.said[0]!).length, 10)
  assert.is(written.length, 11)
  b.store.dispatch({ kind: 'message', from: 'a', data: a.said[0]! })
  assert.is(b.changed.length, 10)
  assert.is(b.store.get('t', 'k1')?.value, 'v')
  assert.is(b.store.get('t', 'k3'), null)
  assert.is([...b.store.entries('t')].length, 9)
  assert.is([...b.store.allEntries()].length, 10)
  assert.is(await b.store.claim('t', 'k1', 'w', { ttlMs: HOUR_MS }), 'v')
  assert.is(await b.store.claim('t', 'k3', 'w', { ttlMs: HOUR_MS }), 'w')
  await Promise.all([a, b].map(({ store }) => store.stop()))
})

test('unsent writes are sent on stop; nothing after that', async () => {
  const a = open('a')
  a.store.dispatch({ kind: 'connected', peer: 'b' })
  a.store.put('t', 'k', 'v', { ttlMs: HOUR_MS })
  await a.store.stop()
  assert.equal(
    entriesIn(a.said[0]!).map(({ key }) => key),
    ['k'],
  )
  a.store.put('t', 'k', 'w', { ttlMs: HOUR_MS })
  a.store.dispatch({ kind: 'connected', peer: 'c' })
  await sleep(60)
  assert.is(a.said.length, 1)
  await a.store.ready()
})

test('a state is pulled; a failed pull is reported', async () => {
  const asked: string[] = []
  const a = open('a', (from, hash) => {
    asked.push(`${from} ${hash}`)
    return Promise.reject(new Error('the line is cut'))
  })
  a.store.dispatch({ kind: 'connected', peer: 'b' })
  const hash = 'ab'.repeat(32)
  a.store.dispatch({
    kind: 'message',
    from: 'b',
    data: encodeStore({ kind: 'state', ready: true, ageMs: 0, bodies: [{ hash, size: 8 }] }),
  })
  await sleep(20)
  assert.equal(asked, [`b ${hash}`])
  assert.match(a.warned[0]!, /^pull b: could not fetch a part of its shared state: the line is cut/)
  await a.store.stop()
})

test('without a network: ready at once, same rules, calls advance the time', async () => {
  const at = { now: 0, wall: 1_767_225_600_000 }
  const store = memoryStore(
    'a',
    () => at.now,
    () => at.wall,
  )
  await store.ready()
  store.setTables(new Map([['t', 3]]))
  for (let i = 0; i < 5; i++) store.put('t', `k${i}`, 'v', { ttlMs: 1000 })
  assert.equal(
    [...store.entries('t')].map(({ key }) => key),
    ['k2', 'k3', 'k4'],
  )
  assert.is(store.status().counts.evicted, 2)
  store.remove('t', 'k4')
  assert.is(store.get('t', 'k4'), null)
  assert.equal(store.status().tables, { t: 2 })
  at.now = 999
  assert.is(store.get('t', 'k3')?.ttlMs, 1)
  at.now = 1001
  assert.is(store.get('t', 'k3'), null)
  for (let i = 0; i < 3; i++) {
    at.now += 300
    store.put('t', 'other', 'v', { ttlMs: 1000 })
  }
  assert.is(store.status().counts.expired, 2)
  const entry: Entry = { table: 't', key: 'x', value: 'v', wall: at.wall + 5, count: 0, origin: 'redis', rank: 1, ttlMs: 500 }
  assert.equal(store.merge([entry]), [entry])
  assert.equal(store.merge([entry]), [])
  await store.stop()
})

test.run()
