// Failover of Redis with Sentinels and in a Redis Cluster: the replicas find the new master, and it holds all entries again,
// whatever the failover lost.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import { until } from '../until.ts'
import { sleep } from './cluster-harness.ts'
import { openRedisReplica, type RedisReplica } from './redis-replica.ts'
import {
  endServers,
  hasRedis,
  ownerOf,
  type RedisServer,
  redisOptions,
  type Sentinels,
  startCluster,
  startSentinels,
} from './redis-servers.ts'

const LIFE = { ttlMs: 60_000 }
const SOME = 300
const opened: RedisReplica[] = []

async function pair(options: RedisStoreOptions): Promise<[RedisReplica, RedisReplica]> {
  const both: [RedisReplica, RedisReplica] = [openRedisReplica(options), openRedisReplica(options)]
  opened.push(...both)
  await Promise.all(both.map(({ store }) => store.ready()))
  for (let i = 0; i < SOME; i++) both[0].store.put('t', `k${i}`, `v${i}`, LIFE)
  await until('both have all', () => both.every(one => count(one) === SOME))
  return both
}

function count({ store }: RedisReplica): number {
  return [...store.entries('t')].length
}

/** Writes continue during the failover. In the end the replicas and Redis hold everything, and the log has one line each. */
async function failOver(options: RedisStoreOptions, harm: () => Promise<void>, hasMoved: () => Promise<boolean>): Promise<void> {
  const both = await pair(options)
  const [a, b] = both
  await harm()
  const deadline = performance.now() + 60_000
  let written = 0
  let moved = false
  while (!moved || both.some(one => one.redis().state !== 'up')) {
    a.store.put('t', `meanwhile-${written}`, 'v', LIFE)
    written += 1
    await sleep(20)
    moved ||= both.every(one => one.told('warn').length > 0) && (await hasMoved())
    if (performance.now() > deadline) throw new Error(`no failover: ${JSON.stringify(both.map(one => one.redis()))}`)
  }
  const all = SOME + written
  await until('both have everything', () => both.every(one => count(one) === all))
  b.store.put('t', 'after', 'v', LIFE)
  await until('they hear each other', () => a.store.get('t', 'after') !== null)
  await until('nothing waits', () => both.every(one => one.redis().waiting === 0))
  const newcomer = openRedisReplica(options)
  opened.push(newcomer)
  await newcomer.store.ready()
  assert.is(count(newcomer), all + 1, 'the new master has everything')
  for (const one of both) {
    assert.is(one.told('warn').length, 1, one.log.lines.join('\n'))
    assert.is(one.told('info').length, 2, one.log.lines.join('\n'))
    assert.match(one.told('info')[1] as string, /Redis at .* is in use again after/)
  }
}

if (hasRedis('failover of Redis')) {
  test.after.each(async () => {
    await Promise.all(opened.splice(0).map(({ store }) => store.stop()))
  })
  test.after(endServers)

  let sentinels: Sentinels
  const bySentinels = (cluster: string): RedisStoreOptions => ({
    ...redisOptions(sentinels.servers[0] as RedisServer),
    mode: 'sentinel',
    hosts: sentinels.sentinels.map(({ address }) => address),
    master: 'main',
    password: 'sesame',
    sentinelPassword: 'other-sesame',
    cluster,
  })

  test('Sentinels: the master hangs, another takes over, the old one becomes a replica', async () => {
    sentinels = await startSentinels('main', 'sesame', 'other-sesame')
    const old = await sentinels.master()
    const options = bySentinels('hangs')
    await failOver(
      options,
      async () => old.freeze(),
      async () => (await sentinels.master()).port !== old.port,
    )
    const [a] = opened as [RedisReplica]
    old.thaw()
    await sleep(1_500)
    assert.is(a.redis().state, 'up')
    assert.is(a.told('warn').length, 1)
  })

  test('Sentinels: the master and one Sentinel stop', async () => {
    await sentinels.sentinels[0]?.stop()
    const old = await sentinels.master()
    await failOver(
      bySentinels('dies'),
      () => old.stop(),
      async () => (await sentinels.master()).port !== old.port,
    )
  })

  test('Sentinels: none of them is reachable', async () => {
    await Promise.all(sentinels.sentinels.map(one => one.stop()))
    const replica = openRedisReplica(bySentinels('none'))
    opened.push(replica)
    await until('it is away', () => replica.redis().state === 'away')
    assert.match(replica.redis().reason, /127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+: nothing listens there/)
  })

  test("Redis Cluster: the keys' master stops, a replica not in the options takes over", async () => {
    const nodes = await startCluster()
    const cluster = 'dies'
    const key = `{skein:${cluster}}:generation`
    const owner = await ownerOf(nodes, key)
    // One seed, which knows the other nodes and is not the one that stops.
    const seed = nodes.slice(0, 3).find(node => node !== owner) as RedisServer
    const options: RedisStoreOptions = { ...redisOptions(seed), mode: 'cluster', cluster }
    await failOver(
      options,
      () => owner.stop(),
      async () =>
        (await ownerOf(
          nodes.filter(node => node !== owner),
          key,
        ).catch(() => owner)) !== owner,
    )
    const now = await ownerOf(
      nodes.filter(node => node !== owner),
      key,
    )
    // The seed stops, too: the learned nodes are sufficient.
    const [a] = opened as [RedisReplica]
    await seed.stop()
    await now.ask('CLIENT', 'KILL', 'TYPE', 'normal')
    await until('it is away', () => a.told('warn').length === 2)
    await until('it is back', () => a.told('info').length === 3)
  })

  test('Redis Cluster: CLUSTERDOWN is reported', async () => {
    const nodes = await startCluster()
    const key = '{skein:down}:generation'
    const owner = await ownerOf(nodes, key)
    const replica = openRedisReplica({ ...redisOptions(owner), mode: 'cluster', cluster: 'down' })
    opened.push(replica)
    await replica.store.ready()
    assert.is(replica.redis().state, 'up')
    for (const node of nodes) if (node !== owner) await node.stop()
    await until('it is away', () => replica.redis().state === 'away')
    assert.match(replica.redis().reason, /its cluster is down: no master serves the keys \(CLUSTERDOWN\)/)
  })
}

test.run()
