// A leading replica with a --drain-delay receives SIGTERM: its peers see it drain at once, another replica leads, and it keeps
// serving the configuration of the new leader.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { type ClusteredReplica, startCluster } from './clustered-replica.ts'
import { LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { replace, tomlOf } from './services-files.ts'
import { endAll, ownDirectory } from './skein-process.ts'

const WITHIN_MS = 60_000

test.after(() => {
  endAll()
  stopTasks()
})

test('a leader with a drain delay: peers see it drain, another leads, it serves and follows', async () => {
  const first = await LoopbackTasks.start(1, (_, __, response) => void response.end('first'))
  const second = await LoopbackTasks.start(1, (_, __, response) => void response.end('second'))
  const file = join(ownDirectory(), 'services.toml')
  writeFileSync(file, tomlOf({ name: 'app', tasks: first }))
  const members = await startCluster(['a', 'b'], { more: ['--services-file', file, '--drain-delay', '1h'] })
  for (const { replica } of members) await replica.answers('app.test', 200)
  const roles = await Promise.all(members.map(async member => (await member.status()).role))
  const leaving = members[roles.indexOf('leader')] as ClusteredReplica
  const staying = members.find(member => member !== leaving) as ClusteredReplica
  leaving.replica.child.kill('SIGTERM')
  await until(
    'the other leads and lists it as draining',
    async () => {
      const { role, members: seen } = await staying.status()
      return role === 'leader' && seen.some(({ name, state }) => name === leaving.name && state === 'draining')
    },
    WITHIN_MS,
    { everyMs: 50 },
  )
  assert.is((await leaving.replica.api('health')).status, 'draining')
  assert.is((await leaving.replica.get('app.test')).body, 'first')
  replace(file, tomlOf({ name: 'app', tasks: second }))
  for (const { replica, name } of [staying, leaving])
    await until(`${name} serves what the leader says`, async () => (await replica.get('app.test')).body === 'second', WITHIN_MS, {
      everyMs: 50,
    })
})

test.run()
