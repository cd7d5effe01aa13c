// Garbage in the keys and on the channel of Redis while two replicas share state there: data that no replica wrote is ignored,
// counted and logged once; keys of wrong types, values of a megabyte and a flooded channel stop nothing; learned sessions stay.
// Needs redis-server.

import { randomBytes } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { keyNames, keyOf } from '../../cluster/store/redis/codec.ts'
import { until } from '../until.ts'
import { allServe, startCluster, stopAll } from './clustered-replica.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { endServers, hasRedis, startSingle } from './redis-servers.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll, type Replica } from './skein-process.ts'

const names = keyNames({ prefix: 'skein', cluster: 'skein' })
const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

if (hasRedis('garbage in Redis')) {
  const backends = await LoopbackTasks.start(3, (address, asked, response) => {
    const id = /^\/login\?(.+)$/.exec(asked.url ?? '')?.[1]
    if (id !== undefined) response.setHeader('Set-Cookie', `SID=${id}; Path=/`)
    response.end(address)
  })
  const labels = { 'traefik.port': String(backends.port), 'skein.sticky.learn': 'cookie:SID' }
  const manager = await ScriptedManager.start({ name: 'learn', labels, tasks: backends.tasks })
  const redis = await startSingle()
  const more = ['--store', 'redis', '--redis-url', `redis://127.0.0.1:${redis.port}/0`]
  const members = await startCluster(['a', 'b'], { manager: manager.endpoint, more })
  const [a, b] = members.map(({ replica }) => replica) as [Replica, Replica]
  const users = new Map<string, string>()

  test.before(async () => {
    await allServe(members, 'learn.test')
    await up()
    for (let i = 0; i < 20; i++) {
      const id = randomBytes(12).toString('hex')
      users.set(id, (await ask(a.web, 'learn.test', {}, `/login?${id}`)).body)
    }
    const known = async (): Promise<number> => Object.values((await b.api('state')).sessions).reduce((sum, n) => sum + n, 0)
    await until('the other replica has heard of all', async () => (await known()) >= users.size, 60_000, { everyMs: 50 })
    // The worker receives it a moment after control.
    await sleep(200)
    await everybodyStays()
  })

  test.after(async () => {
    await stopAll(members)
    await endServers()
    endAll()
    closeManagers()
    stopTasks()
    for (const { replica } of members) assert.not.match(replica.out, /"level":"(?:error|fatal)"/)
  })

  /** Waits until both use Redis. */
  async function up(): Promise<void> {
    for (const replica of [a, b])
      await until('Redis is in use', async () => (await replica.api('state')).store.redis?.state === 'up', 60_000, {
        everyMs: 50,
      })
  }

  async function everybodyStays(): Promise<void> {
    for (const [id, task] of users) {
      for (const replica of [a, b]) {
        const answer = await ask(replica.web, 'learn.test', { cookie: `SID=${id}` })
        assert.equal([answer.status, answer.body], [200, task])
      }
    }
  }

  test('keys of any type with any content', async () => {
    const table = 'ghosts'
    const far = Date.now() + 400 * 86_400_000
    const values: (string | Buffer)[] = [
      '',
      'x',
      '1 2 3',
      `1 ${Date.now()} 0 1 v nobody\nvalue`,
      `1 ${far} 0 1 v nobody\nvalue`,
      `1 -5 0 1 v nobody\nvalue`,
      `1 ${Date.now()} 0 7 q nobody\nvalue`,
      `1 ${Date.now()} 99999999999 1 v nobody\nvalue`,
      `2 ${Date.now()} 0 1 v nobody\nvalue`,
      `1 ${Date.now()} 0 1 v ${'n'.repeat(5000)}\nvalue`,
      Buffer.concat([Buffer.from(`1 ${Date.now()} 0 1 v nobody\n`), randomBytes(4000)]),
      randomBytes(2000),
      Buffer.alloc(1024 * 1024, 'x'),
    ]
    for (const [i, value] of values.entries()) await redis.ask('SET', keyOf(names, table, `k${i}`), value, 'PX', 60_000)
    for (const suffix of [
      '',
      ':',
      '0:',
      '999:x',
      '5:abc',
      '-1:x',
      'x'.repeat(4000),
      '\u0000\u001b[2J',
      '7:session',
      '07:session',
    ])
      await redis.ask('SET', `${names.entries}${suffix}`, `1 ${Date.now()} 0 1 v nobody\nvalue`)
    await redis.ask('RPUSH', keyOf(names, table, 'list'), 'a', 'b')
    await redis.ask('HSET', keyOf(names, table, 'hash'), 'a', 'b')
    await redis.ask('ZADD', keyOf(names, table, 'set'), 1, 'b')
    // The replicas' own keys, replaced by invalid values: the replicas keep theirs.
    const own = (await redis.ask('KEYS', `${names.entries}*`)) as string[]
    const theirs = own.filter(key => !key.includes(table) && /:\d+:session/.test(key)).slice(0, 10)
    assert.is(theirs.length, 10, own.join(' ').slice(0, 1000))
    for (const key of theirs.slice(0, 5)) await redis.ask('SET', key, 'garbage')
    // In one step, because a replica may rewrite its own in between.
    for (const key of theirs.slice(5))
      await redis.ask('EVAL', "redis.call('DEL', KEYS[1]) return redis.call('RPUSH', KEYS[1], ARGV[1])", 1, key, 'garbage')
    // All of it is loaded at the next connect.
    await redis.ask('CLIENT', 'KILL', 'TYPE', 'normal')
    await redis.ask('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await sleep(500)
    await up()
    await everybodyStays()
    for (const replica of [a, b]) {
      assert.is((await replica.logs(/ignored data in Redis that no replica wrote/)).level, 'warn')
      const { store } = await replica.api('state')
      assert.ok(store.counts.refused > 10, `${store.counts.refused} refused`)
      assert.ok(store.entries < 200, `${store.entries} entries`)
    }
  })

  test('the channel with any content, in large amounts', async () => {
    const key = keyOf(names, 'ghosts', 'k')
    const value = `1 ${Date.now()} 0 1 v nobody\nvalue`
    const entry = `${key.length} 60000 ${value.length}\n${key}${value}`
    const messages: (string | Buffer)[] = [
      '',
      '1',
      '1 \n',
      '1 nobody\n',
      `1 nobody\n${entry}`,
      `1 nobody\n${entry}${'9'.repeat(100)}`,
      `1 nobody\n99999 60000 5\nx`,
      `1 nobody\n${key.length} 0 ${value.length}\n${key}${value}`,
      `9 nobody\n${entry}`,
      `1 ${'n'.repeat(200)}\n${entry}`,
      randomBytes(5000),
      Buffer.alloc(2 * 1024 * 1024, '1'),
      JSON.stringify({ kind: 'batch' }),
    ]
    for (const message of messages) await redis.ask('PUBLISH', names.channel, message)
    for (let i = 0; i < 5000; i += 100)
      await Promise.all(Array.from({ length: 100 }, () => redis.ask('PUBLISH', names.channel, randomBytes(300))))
    await everybodyStays()
    await up()
    for (const replica of [a, b]) assert.ok((await replica.api('state')).store.counts.refused > 5000)
  })

  test('a flood of entries for unknown services is bounded and expires', async () => {
    for (let i = 0; i < 8000; i += 200) {
      await Promise.all(
        Array.from({ length: 200 }, (_, j) => {
          const value = `1 ${Date.now()} 0 1 v nobody\nvalue`
          return redis.ask('SET', keyOf(names, `sessions/ghost-${i % 7}`, `k${i + j}`), value, 'PX', 600_000)
        }),
      )
    }
    await redis.ask('CLIENT', 'KILL', 'TYPE', 'normal')
    await redis.ask('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await sleep(500)
    await up()
    for (const replica of [a, b]) {
      const { store } = await replica.api('state')
      assert.ok(store.entries < 5000, `${store.entries} entries`)
    }
    await everybodyStays()
  })

  test('overwritten internal keys, then FLUSHALL: in use again and refilled', async () => {
    for (const mark of [names.generation, names.pulse]) {
      await redis.ask('DEL', mark)
      await redis.ask('RPUSH', mark, 'garbage')
    }
    await sleep(2500)
    await everybodyStays()
    await redis.ask('FLUSHALL')
    await up()
    await until('it is filled anew', async () => Number(await redis.ask('DBSIZE')) >= users.size, 60_000, { everyMs: 50 })
    await everybodyStays()
  })
}

test.run()
