// Redis over gossip, as in a cluster: a write that arrives by both is reported once, and a member that alone has lost Redis
// still replicates through gossip.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Change, SharedStore } from '../../cluster/store/model.ts'
import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import { redisStore } from '../../cluster/store/redis/store.ts'
import { until } from '../until.ts'
import { endAll, RecordedLog, sleep, startMember, type TestMember } from './cluster-harness.ts'
import { endServers, hasRedis, redisOptions, startSingle } from './redis-servers.ts'

const LIFE = { ttlMs: 60_000 }

interface Both {
  readonly member: TestMember
  readonly store: SharedStore
  readonly changes: Change[]
}

if (hasRedis('Redis over gossip')) {
  test.after(async () => {
    await endAll()
    await endServers()
  })

  test('writes by two ways are reported once; a member without Redis uses gossip', async () => {
    const server = await startSingle()
    const all: Both[] = []
    const open = async (name: string, options: RedisStoreOptions): Promise<Both> => {
      const changes: Change[] = []
      const changed = (some: readonly Change[]): void => void changes.push(...some)
      const member = await startMember(
        name,
        all.map(one => one.member),
        { onShared: changed },
      )
      const both = { member, changes, store: redisStore(member.store, { options, log: new RecordedLog(), changed }) }
      all.push(both)
      return both
    }
    const a = await open('a', redisOptions(server))
    const b = await open('b', redisOptions(server))
    const c = await open('c', redisOptions({ address: { host: '127.0.0.1', port: 1 } }))
    await until('all see each other', () => all.every(({ member }) => member.status().members.length === 3))
    await Promise.all(all.map(({ store }) => store.ready()))
    assert.equal(
      all.map(({ store }) => store.status().redis?.state),
      ['up', 'up', 'away'],
    )
    const everywhere = (key: string, value: string): Promise<unknown> =>
      until(`${key} is ${value}`, () => all.every(({ store }) => store.get('t', key)?.value === value))

    for (let i = 0; i < 100; i++) a.store.put('t', `from-a-${i}`, 'v', LIFE)
    for (let i = 0; i < 100; i++) c.store.put('t', `from-c-${i}`, 'v', LIFE)
    assert.is(await b.store.claim('t', 'claimed', 'by b', { ...LIFE, waitMs: 500 }), 'by b')
    await everywhere('from-a-99', 'v')
    await everywhere('from-c-99', 'v')
    await everywhere('claimed', 'by b')
    assert.is(await c.store.claim('t', 'claimed', 'by c', { ...LIFE, waitMs: 500 }), 'by b')
    await sleep(500)
    for (const { changes } of all) {
      const news = changes.filter(({ key }) => key !== 'claimed')
      assert.is(new Set(news.map(({ key }) => key)).size, news.length, 'each once')
    }
    assert.is(b.changes.filter(({ key }) => key !== 'claimed').length, 200)
    assert.is(c.changes.filter(({ key }) => key !== 'claimed').length, 100)
    assert.is(b.changes.filter(({ key }) => key === 'claimed').length, 0, 'nothing for an own claim')
    await Promise.all(all.map(({ store }) => store.stop()))
  })
}

test.run()
