// Whole replicas with --store redis, single and in a cluster: log and admin API when Redis goes away and returns, without the
// password.

import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RedisStatus } from '../../cluster/store/model.ts'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { sleep } from './cluster-harness.ts'
import { endServers, hasRedis, startSingle } from './redis-servers.ts'
import { endAll, ownDirectory, Replica, skein } from './skein-process.ts'

const PASSWORD = 'open-sesame-of-redis'
const directory = ownDirectory()
const passwordFile = join(directory, 'password')
writeFileSync(passwordFile, `${PASSWORD}\n`)
chmodSync(passwordFile, 0o600)

async function redisIs(what: string, replica: Replica, holds: (redis: RedisStatus) => boolean): Promise<void> {
  let redis: RedisStatus | null = null
  const ask = async (): Promise<boolean> => {
    redis = (await replica.api('state')).store.redis
    return redis !== null && holds(redis)
  }
  await until(what, ask, 60_000, { everyMs: 50, detail: () => `${JSON.stringify(redis)}\n${replica.out.slice(-3000)}` })
}

test('skein check prints no password, for valid and invalid options', async () => {
  const url = `redis://:${PASSWORD}@redis:6379/0`
  const right = await skein(['check', '--store', 'redis', '--redis-url', url])
  assert.is(right.code, 0, right.err)
  const wrong = await skein(['check', '--store', 'redis', '--redis-url', `${url}/nonsense`, '--redis-password', PASSWORD])
  assert.is(wrong.code, 2)
  assert.match(
    wrong.err,
    /^skein check: --redis-url has a wrong value \(not shown, it is secret\), expected the number of a database/,
  )
  const strict = await skein(['check', '--store-consistency', 'strict'], { SKEIN_REDIS_URL: url })
  assert.is(strict.code, 2)
  assert.match(strict.err, /--store-consistency is strict, expected --store redis beside it/)
  for (const { out, err } of [right, wrong, strict]) assert.not.match(out + err, /sesame/)
})

if (hasRedis('replicas with a Redis store')) {
  test.after(async () => {
    endAll()
    await endServers()
  })
  const redis = await startSingle([], PASSWORD)
  const args = ['--manager', 'tcp://127.0.0.1:1', '--store', 'redis', '--redis-url', `redis://127.0.0.1:${redis.port}/0`]
  const env = { SKEIN_REDIS_PASSWORD_FILE: passwordFile }

  test('single replica: Redis in use, away and in use again are logged once each', async () => {
    const replica = await Replica.start(args, env)
    await redisIs('Redis is in use', replica, ({ state }) => state === 'up')
    assert.is((await replica.api('state')).store.kind, 'redis')
    await redis.stop()
    await redisIs('it is away', replica, ({ state }) => state === 'away')
    await sleep(1_500)
    await redis.start()
    await redisIs('it is back', replica, ({ state }) => state === 'up')
    const told = replica.lines.filter(({ msg }) => msg.startsWith('Redis '))
    assert.equal(
      told.map(({ msg }) =>
        msg
          .replace(/ at [\d.:]+/, '')
          .replace(/ \(.*/, '')
          .replace(/ after .*|: .*/, ''),
      ),
      ['Redis is in use', 'Redis is away', 'Redis is in use again'],
    )
    const { code, out, err } = await replica.stop()
    assert.is(code, 0)
    assert.not.match(out + err, /sesame/)
    assert.is(err, '')
  })

  test('members of a cluster: Redis over gossip', async () => {
    const [one, two] = [await freePort(), await freePort()]
    const member = (port: number, peer: number): Promise<Replica> =>
      Replica.start(
        [
          ...args,
          '--secret',
          'the secret of this test, long enough',
          '--cluster-listen',
          `127.0.0.1:${port}`,
          '--cluster-peer',
          `127.0.0.1:${peer}`,
          '--name',
          `edge-${port}`,
        ],
        env,
      )
    const both = [await member(one, two), await member(two, one)]
    for (const replica of both) await redisIs('Redis is in use', replica, ({ state }) => state === 'up')
    const names = String(await redis.ask('CLIENT', 'LIST')).split('\n').length
    assert.ok(names >= 4, 'two connections each')
    await redis.stop()
    for (const replica of both) await redisIs('it is away', replica, ({ state }) => state === 'away')
    for (const replica of both) assert.is((await replica.stop()).code, 0)
  })
}

test.run()
