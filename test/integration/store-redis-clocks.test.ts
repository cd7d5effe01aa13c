// Replicas with different wall clocks over a real Redis: a claim is won once, no write is lost, and no message counts as
// malformed. A single replica accepts stamps up to a day ahead; with the cluster's time all use that. Needs redis-server.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GossipStore, type StoreNetwork } from '../../cluster/store/gossip.ts'
import { memoryStore } from '../../cluster/store/memory.ts'
import type { InnerStore, SharedStore } from '../../cluster/store/model.ts'
import { keyNames, keyOf } from '../../cluster/store/redis/codec.ts'
import { redisStore } from '../../cluster/store/redis/store.ts'
import { until } from '../until.ts'
import { RecordedLog } from './cluster-harness.ts'
import { endServers, hasRedis, redisOptions, startSingle } from './redis-servers.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const LIFE = { ttlMs: HOUR }

if (hasRedis('replicas with different clocks over Redis')) {
  const server = await startSingle()
  const open: SharedStore[] = []
  test.after(async () => {
    await Promise.all(open.map(store => store.stop()))
    await endServers()
  })

  async function over(inner: InnerStore, cluster: string): Promise<SharedStore> {
    const store = redisStore(inner, { options: redisOptions(server, { cluster }), log: new RecordedLog(), changed: () => {} })
    open.push(store)
    store.setTables(new Map([['t', 1000]]))
    await store.ready()
    await until('Redis is in use', () => store.status().redis?.state === 'up')
    return store
  }

  function alone(name: string, offMs: number, cluster: string): Promise<SharedStore> {
    const wall = (): number => Date.now() + offMs
    return over(
      memoryStore(name, () => performance.now(), wall),
      cluster,
    )
  }

  /** A member that receives clock readings of two others, which are `rightMs` from this process's clock, and nothing else. */
  async function member(name: string, offMs: number, cluster: string, rightMs = 0): Promise<SharedStore> {
    const network: StoreNetwork = {
      broadcast: () => {},
      send: () => {},
      pull: () => Promise.reject(new Error('nobody is there')),
      changed: () => {},
      warn: () => {},
    }
    const inner = new GossipStore({ origin: name, network, log: null, wall: () => Date.now() + rightMs + offMs })
    for (const from of ['x', 'y']) inner.dispatch({ kind: 'clock', from, reading: { time: Date.now() + rightMs, off: 0 } })
    assert.is(inner.time().latest - inner.time().ms, 10 * MINUTE)
    return await over(inner, cluster)
  }

  let n = 0
  const cases: readonly (readonly [what: string, open: typeof member, offMs: number])[] = [
    ['alone, 15 min behind', alone, -15 * MINUTE],
    ['alone, 15 min ahead', alone, 15 * MINUTE],
    ['alone, 20 h ahead', alone, 20 * HOUR],
    ['alone, 20 h behind', alone, -20 * HOUR],
    ['a member 1 h behind', member, -HOUR],
    ['a member 1 h ahead', member, HOUR],
    ['a member 400 days behind', member, -400 * 24 * HOUR],
  ]
  for (const [what, opened, offMs] of cases) {
    test(`a replica with another clock: claims, writes, messages: ${what}`, async () => {
      const cluster = `clocks-${(n += 1)}`
      // The clock of b is this process's; only the clock comparison may read it.
      const a = await opened(`a-${n}`, 0, cluster, -offMs)
      const b = await opened(`b-${n}`, offMs, cluster, -offMs)
      for (const [key, first, second] of [
        ['by-a', a, b],
        ['by-b', b, a],
      ] as const) {
        // The second one has not received it yet.
        const [one, other] = await Promise.all([
          first.claim('t', key, 'first', { ...LIFE, waitMs: 5000 }),
          second.claim('t', key, 'second', { ...LIFE, waitMs: 5000 }),
        ])
        assert.is(one, other, key)
        await until(`${key} is the same`, () => [a, b].every(store => store.get('t', key)?.value === one))
      }
      assert.is(await b.claim('t', 'later', 'b', { ...LIFE, waitMs: 5000 }), 'b')
      assert.is(await a.claim('t', 'later', 'a', { ...LIFE, waitMs: 5000 }), 'b')
      b.put('t', 'of-b', 'v', LIFE)
      await until('a reads it', () => a.get('t', 'of-b')?.value === 'v')
      assert.match(String(await server.ask('GET', keyOf(keyNames({ prefix: 'skein', cluster }), 't', 'of-b'))), /\nv$/)
      a.put('t', 'of-a', 'v', LIFE)
      await until('b reads it', () => b.get('t', 'of-a')?.value === 'v')
      assert.equal([a.status().counts.refused, b.status().counts.refused], [0, 0])
    })
  }

  test('a claim of a single replica an hour ahead holds for members and is moved back', async () => {
    const early = await alone('early', HOUR, 'put-back')
    assert.is(await early.claim('t', 'k', 'server 1', { ...LIFE, waitMs: 5000 }), 'server 1')
    const a = await member('a', 0, 'put-back')
    assert.is(await a.claim('t', 'k', 'server 2', { ...LIFE, waitMs: 5000 }), 'server 1')
    assert.is(a.get('t', 'k')?.value, 'server 1')
    const b = await member('b', -HOUR, 'put-back')
    assert.is(b.get('t', 'k')?.value, 'server 1')
    assert.ok(b.get('t', 'k')!.wall <= Date.now())
    a.put('t', 'k', 'server 3', LIFE)
    await until('it is written', () => b.get('t', 'k')?.value === 'server 3')
  })
}

test.run()
