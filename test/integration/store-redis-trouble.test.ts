// Failures of a single Redis server, with real ones: requests are answered meanwhile, the log has one line, and afterwards
// Redis holds everything again.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import { until } from '../until.ts'
import { sleep } from './cluster-harness.ts'
import { openRedisReplica, type RedisReplica } from './redis-replica.ts'
import { endServers, hasRedis, type RedisServer, redisOptions, startSingle } from './redis-servers.ts'

const LIFE = { ttlMs: 60_000 }
const PASSWORD = 'open-sesame'
const SOME = 300
const opened: RedisReplica[] = []

function open(options: RedisStoreOptions): RedisReplica {
  const replica = openRedisReplica(options)
  opened.push(replica)
  return replica
}

async function pair(options: RedisStoreOptions): Promise<[RedisReplica, RedisReplica]> {
  const both: [RedisReplica, RedisReplica] = [open(options), open(options)]
  await Promise.all(both.map(({ store }) => store.ready()))
  for (let i = 0; i < SOME; i++) both[0].store.put('t', `k${i}`, `v${i}`, LIFE)
  await until('both have all', () => both.every(one => count(one) === SOME))
  return both
}

function count({ store }: RedisReplica): number {
  return [...store.entries('t')].length
}

/** The entries in Redis, as a new replica reads them. */
async function heldByRedis(options: RedisStoreOptions): Promise<number> {
  const newcomer = openRedisReplica(options)
  await newcomer.store.ready()
  const held = count(newcomer)
  await newcomer.store.stop()
  return held
}

interface Harm {
  readonly what: string
  readonly password?: string
  readonly harm: (server: RedisServer) => Promise<unknown>
  readonly reason: RegExp
  readonly heal: (server: RedisServer) => Promise<unknown>
}

const HARMS: readonly Harm[] = [
  {
    what: 'Redis stops and restarts empty',
    harm: server => server.stop(),
    reason: /127\.0\.0\.1:\d+: (nothing listens there \(connection refused\)|it closed the connection)/,
    heal: server => server.start(),
  },
  {
    what: 'Redis hangs (SIGSTOP)',
    harm: async server => server.freeze(),
    reason: /127\.0\.0\.1:\d+: no answer within \d+ ms/,
    heal: async server => server.thaw(),
  },
  {
    what: 'Redis is full (maxmemory, noeviction)',
    harm: server => server.ask('CONFIG', 'SET', 'maxmemory', 1),
    reason: /it is full and refuses writes \(maxmemory/,
    heal: server => server.ask('CONFIG', 'SET', 'maxmemory', 0),
  },
  {
    what: 'Redis becomes a replica of another (read-only)',
    harm: server => server.ask('REPLICAOF', '127.0.0.1', 1),
    reason: /it refuses writes: it is now a replica of another Redis/,
    heal: server => server.ask('REPLICAOF', 'NO', 'ONE'),
  },
  {
    what: 'Redis gets a password while it runs',
    async harm(server) {
      await server.ask('CONFIG', 'SET', 'requirepass', PASSWORD)
      for (const type of ['pubsub', 'normal']) await server.ask('CLIENT', 'KILL', 'TYPE', type)
      server.usePassword(PASSWORD)
    },
    reason: /it requires a password and none is configured \(--redis-password-file\)/,
    async heal(server) {
      await server.ask('CONFIG', 'SET', 'requirepass', '')
      server.usePassword('')
    },
  },
  {
    what: 'the password of Redis changes while it runs',
    password: PASSWORD,
    async harm(server) {
      await server.ask('CONFIG', 'SET', 'requirepass', 'another')
      for (const type of ['pubsub', 'normal']) await server.ask('CLIENT', 'KILL', 'TYPE', type)
      server.usePassword('another')
    },
    reason: /the password \(or user name\) is wrong/,
    async heal(server) {
      await server.ask('CONFIG', 'SET', 'requirepass', PASSWORD)
      server.usePassword(PASSWORD)
    },
  },
  {
    what: 'the user of Redis loses the permission to write (ACL)',
    async harm(server) {
      await server.ask('ACL', 'SETUSER', 'default', '-set')
    },
    reason: /the user lacks permission for the required commands/,
    heal: server => server.ask('ACL', 'SETUSER', 'default', '+set'),
  },
]

if (hasRedis('trouble with Redis')) {
  test.after.each(async () => {
    await Promise.all(opened.splice(0).map(({ store }) => store.stop()))
  })
  test.after(endServers)

  for (const { what, password = '', harm, reason, heal } of HARMS) {
    test(what, async () => {
      const server = await startSingle([], password)
      const options = redisOptions(server, { password })
      const both = await pair(options)
      const [a, b] = both
      await harm(server)
      await until('both see it', () => both.every(one => one.redis().state === 'away' && reason.test(one.redis().reason)))
      const before = performance.now()
      for (let i = 0; i < SOME; i++) a.store.put('t', `meanwhile-${i}`, 'v', LIFE)
      assert.is(a.store.get('t', 'k1')?.value, 'v1')
      assert.is(await a.store.claim('t', 'k1', 'other', { ...LIFE, waitMs: 20_000 }), 'v1')
      assert.is(await b.store.claim('t', 'claimed', 'mine', { ...LIFE, waitMs: 20_000 }), 'mine')
      assert.ok(performance.now() - before < 10_000, 'nobody waits')
      await sleep(1_000)
      await heal(server)
      await until('both are back', () => both.every(one => one.redis().state === 'up'))
      const all = 2 * SOME + 1
      await until('each has what the other wrote meanwhile', () => both.every(one => count(one) === all))
      await until('nothing waits', () => both.every(one => one.redis().waiting === 0))
      assert.is(await heldByRedis(options), all)
      a.store.put('t', 'after', 'v', LIFE)
      await until('they hear each other again', () => b.store.get('t', 'after') !== null)
      for (const one of both) {
        assert.is(one.told('warn').length, 1, one.log.lines.join('\n'))
        assert.match(one.told('warn')[0] as string, /^warn: Redis is away \(127\.0\.0\.1:\d+: .*\): using own memory and gossip/)
        assert.is(one.told('info').length, 2, one.log.lines.join('\n'))
        assert.match(one.told('info')[1] as string, /^info: Redis at .* is in use again after \d+(\.\d)? s: loaded \d+ entries/)
        assert.not.match(one.log.lines.join('\n'), /sesame/)
        assert.is(one.redis().reason, '')
      }
      assert.ok(both.reduce((sum, one) => sum + one.redis().reseeded, 0) >= SOME, 'what was written meanwhile was re-seeded')
    })
  }

  test('Redis unreachable at the start: ready anyway, used once it is up', async () => {
    const server = await startSingle()
    await server.stop()
    const before = performance.now()
    const replica = open(redisOptions(server))
    replica.store.put('t', 'k', 'v', LIFE)
    await replica.store.ready()
    assert.ok(performance.now() - before < 20_000)
    assert.is(replica.redis().state, 'away')
    await server.start()
    await until('it is up', () => replica.redis().state === 'up')
    assert.is(await heldByRedis(redisOptions(server)), 1)
    assert.is(replica.told('warn').length, 1)
    assert.match(replica.told('info').join(), /Redis at 127\.0\.0\.1:\d+ is in use: loaded 0 entries, wrote 1/)
  })

  test('a wrong password from the start: logged once, retried slowly, never printed', async () => {
    const server = await startSingle([], PASSWORD)
    const options = redisOptions(server, { password: 'wrong-sesame', username: 'default' })
    const replica = open(options)
    await until('it is away', () => replica.redis().state === 'away')
    assert.match(replica.redis().reason, /the password \(or user name\) is wrong/)
    const attempts = async (): Promise<number> =>
      Number(/total_connections_received:(\d+)/.exec(String(await server.ask('INFO', 'stats')))?.[1])
    const before = await attempts()
    await sleep(3_000)
    assert.ok((await attempts()) - before <= 2, 'two connections at the next attempt, at most')
    assert.is(replica.told('warn').length, 1)
    assert.not.match(`${replica.log.lines.join('\n')} ${JSON.stringify(replica.store.status())}`, /sesame/)
    await server.ask('CONFIG', 'SET', 'requirepass', 'wrong-sesame')
    await until('it is up', () => replica.redis().state === 'up')
  })

  test('FLUSHALL: detected without a disconnect, refilled within seconds', async () => {
    const server = await startSingle()
    const options = redisOptions(server)
    const both = await pair(options)
    await server.ask('FLUSHALL')
    await until('it was filled again', () => both.every(one => one.told('info').length === 2))
    assert.is(await heldByRedis(options), SOME)
    for (const one of both) {
      assert.is(one.redis().state, 'up')
      assert.match(one.told('info')[1] as string, /Redis was emptied; wrote \d+ entries to it again/)
      assert.equal(one.told('warn'), [])
    }
  })

  test('a lost subscription: messages sent meanwhile are loaded', async () => {
    const server = await startSingle()
    const [a, b] = await pair(redisOptions(server))
    await server.ask('CLIENT', 'KILL', 'TYPE', 'pubsub')
    for (let i = 0; i < SOME; i++) a.store.put('t', `meanwhile-${i}`, 'v', LIFE)
    await until('all is there', () => count(b) === 2 * SOME)
  })

  test('malformed keys and messages: ignored, counted, logged once a minute, overwritten', async () => {
    const server = await startSingle()
    const options = redisOptions(server)
    const [a, b] = await pair(options)
    const tag = '{skein:test}'
    const far = Date.now() + 100 * 86_400_000
    await server.ask('SET', `${tag}:e:1:tk1`, 'no entry')
    await server.ask('SET', `${tag}:e:1:tk2`, `1 ${far} 0 1 v evil\nfrom the future`, 'PX', 60_000)
    await server.ask('SET', `${tag}:e:1:tk3`, `1 ${Date.now()} 0 1 v evil\nfor ever`)
    await server.ask('RPUSH', `${tag}:e:1:tlist`, 'a')
    await server.ask('SET', `${tag}:e:nonsense`, 'x', 'PX', 60_000)
    await server.ask('SET', `${tag}:e:1:t${'k'.repeat(700)}`, `1 ${Date.now()} 0 1 v evil\nx`, 'PX', 60_000)
    await server.ask('SET', `${tag}:e:1:tbig`, `1 ${Date.now()} 0 1 v evil\n${'x'.repeat(100_000)}`, 'PX', 60_000)
    await server.ask('SET', `${tag}:e:1:tbinary`, Buffer.from([0xff, 0xfe, 0, 10, 13]), 'PX', 60_000)
    const channel = `${tag}:batches`
    const entry = `1 ${Date.now()} 0 1 v evil\nv`
    const key = `${tag}:e:1:tpublished`
    for (const words of [
      '',
      '\n',
      'x',
      '1 evil',
      '1 evil\n9 9\n',
      '1 evil\n99999 60000 99999\nshort',
      `1 evil\n${key.length} 0 ${entry.length}\n${key}${entry}`,
      `1 evil\n${key.length} 99999999999 ${entry.length}\n${key}${entry}`,
      `1 evil\n5 60000 5\nother12345`,
      `${'x'.repeat(100)}\n`,
    ])
      await server.ask('PUBLISH', channel, words)
    await server.ask('PUBLISH', channel, Buffer.alloc(3 * 1024 * 1024, 1))
    await server.ask('PUBLISH', channel, Buffer.from([0x31, 0x20, 0xff, 0x0a]))
    await until('they are counted', () => b.store.status().counts.refused >= 11)
    assert.is(b.store.get('t', 'published'), null)
    for (const key of ['k1', 'k2', 'k3', 'list']) a.store.put('t', key, 'written anew', LIFE)
    await until('it goes on', () => b.store.get('t', 'list')?.value === 'written anew')
    const newcomer = open(options)
    await newcomer.store.ready()
    assert.is(count(newcomer), SOME + 1)
    for (const key of ['k1', 'k2', 'k3', 'list']) assert.is(newcomer.store.get('t', key)?.value, 'written anew', key)
    for (const key of ['big', 'binary', 'published']) assert.is(newcomer.store.get('t', key), null)
    assert.ok(newcomer.store.status().counts.refused >= 4, String(newcomer.store.status().counts.refused))
    for (const one of [a, b, newcomer]) {
      assert.is(one.redis().state, 'up')
      assert.is(one.told('warn').length, 1, one.told('warn').join('\n'))
      assert.match(one.told('warn')[0] as string, /ignored data in Redis that no replica wrote/)
    }
  })

  test('a shared Redis: foreign keys are neither read nor changed', async () => {
    const server = await startSingle()
    await server.ask('SET', 'theirs', 'x')
    await server.ask('SET', '{skein:other}:e:1:tk', `1 ${Date.now()} 0 1 v a\nv`, 'PX', 60_000)
    const [a] = await pair(redisOptions(server))
    assert.is(a.store.get('t', 'k'), null)
    assert.is(await server.ask('GET', 'theirs'), 'x')
    const keys = (await server.ask('KEYS', '*')) as string[]
    assert.is(keys.filter(key => key.startsWith('{skein:test}:')).length, SOME + 2)
    assert.is(keys.length, SOME + 4)
    assert.equal(a.told('warn'), [])
  })

  test('a user with only the required permissions (ACL)', async () => {
    const server = await startSingle()
    const may = 'auth ping select eval evalsha scan subscribe publish get set getrange pttl'.split(' ').map(name => `+${name}`)
    const rules = ['on', `>${PASSWORD}`, 'resetkeys', '~{skein:test}:*', 'resetchannels', '&{skein:test}:*', '-@all', ...may]
    await server.ask('ACL', 'SETUSER', 'edge', ...rules)
    const options = redisOptions(server, { username: 'edge', password: PASSWORD, database: 1 })
    const [a, b] = await pair(options)
    assert.is(await a.store.claim('t', 'claimed', 'mine', { ...LIFE, waitMs: 500 }), 'mine')
    await until('the other has it', () => b.store.get('t', 'claimed')?.value === 'mine')
    assert.is(await heldByRedis(options), SOME + 1)
    assert.equal([...a.told('warn'), ...b.told('warn')], [])
  })

  test('waiting writes are written when a replica stops', async () => {
    const server = await startSingle()
    const options = redisOptions(server)
    const replica = open(options)
    await replica.store.ready()
    for (let i = 0; i < 2_000; i++) replica.store.put('t', `k${i}`, 'v', LIFE)
    await replica.store.stop()
    assert.is(await heldByRedis(options), 2_000)
  })

  test('stop does not wait for a hanging Redis', async () => {
    const server = await startSingle()
    const [a, b] = await pair(redisOptions(server))
    server.freeze()
    a.store.put('t', 'k', 'v', LIFE)
    const before = performance.now()
    await Promise.all([a.store.stop(), b.store.stop()])
    assert.ok(performance.now() - before < 10_000, `${performance.now() - before} ms`)
    server.thaw()
  })
}

test.run()
