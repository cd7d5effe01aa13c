// Three replicas that find one another by gossip only, each with the same services file and no manager: the leader's file is
// used by all.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { allServe, ClusteredReplica, stopAll } from './clustered-replica.ts'
import { LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { replace, SteadyLoad, tomlOf } from './services-files.ts'
import { endAll, ownDirectory } from './skein-process.ts'

const first = await LoopbackTasks.start(2, (_, __, response) => void response.end('first'))
const second = await LoopbackTasks.start(2, (_, __, response) => void response.end('second'))
const FIRST = tomlOf({ name: 'app', tasks: first })
const SECOND = tomlOf({ name: 'app', tasks: second }, { name: 'more', tasks: first })

const names = ['a', 'b', 'c'] as const
const files = names.map(() => join(ownDirectory(), 'services.toml'))
for (const file of files) writeFileSync(file, FIRST)
const port = await freePort()
let members: readonly ClusteredReplica[] = await Promise.all(
  names.map((name, n) =>
    ClusteredReplica.start({
      name,
      peers: [`127.0.0.1:${port}`],
      ...(n === 0 ? { port } : {}),
      more: ['--services-file', files[n] as string],
    }),
  ),
)

test.after(async () => {
  try {
    await stopAll(members)
    for (const { replica } of members) assert.not.match(replica.out, /"level":"(?:error|fatal)"/)
  } finally {
    endAll()
    stopTasks()
  }
})

function fileOf({ name }: ClusteredReplica): string {
  return files[names.indexOf(name as (typeof names)[number])] as string
}

async function leader(): Promise<ClusteredReplica> {
  for (const member of members) if ((await member.status()).role === 'leader') return member
  throw new Error('nobody leads')
}

async function says(member: ClusteredReplica, host: string, body: string): Promise<void> {
  await until(`${member.name} answers ${body} for ${host}`, async () => (await member.replica.get(host)).body === body, 60_000, {
    everyMs: 50,
  })
}

test('all replicas serve what the leader reads, with equal snapshots', async () => {
  await Promise.all(members.map(member => member.agreesWith(3)))
  await allServe(members, 'app.test')
  const hashes = await Promise.all(members.map(async ({ replica }) => (await replica.api('snapshot')).hash))
  assert.is(new Set(hashes).size, 1)
  for (const { replica } of members) assert.is((await replica.api('health')).synced, true)
})

test("a change of a follower's file changes nothing; its mistakes are logged by that follower", async () => {
  const leads = await leader()
  const follower = members.find(member => member !== leads) as ClusteredReplica
  replace(fileOf(follower), '[backends\n')
  const line = await follower.replica.logs(/services file .* of this replica/)
  assert.match(line.msg, /expected TOML at line 1, .*; its last valid content stays in use/)
  for (const member of members) {
    assert.equal((await member.replica.api('snapshot')).errors, [])
    assert.is((await member.replica.get('app.test')).body, 'first')
  }
  replace(fileOf(follower), FIRST)
  await follower.replica.logs(/services file .* is readable again/)
})

test('the leader is killed: the services of the file stay, no request fails elsewhere', async () => {
  const leads = await leader()
  const rest = members.filter(member => member !== leads)
  const loads = rest.map(({ replica }) => new SteadyLoad(() => replica.get('app.test')))
  await leads.replica.stop('SIGKILL')
  members = rest
  await Promise.all(members.map(member => member.agreesWith(2)))
  // The new leader has read its own file, with the same content.
  await leader()
  await new Promise(resolve => setTimeout(resolve, 2_500))
  for (const load of loads) await load.stop()
  assert.equal(
    loads.flatMap(({ failed }) => failed),
    [],
  )
  for (const { replica } of members) assert.equal(Object.keys((await replica.api('snapshot')).services), ['app'])
})

test('a change of the file on all replicas is followed, no request fails', async () => {
  const loads = members.map(({ replica }) => new SteadyLoad(() => replica.get('app.test')))
  for (const file of files) replace(file, SECOND)
  for (const member of members) {
    await says(member, 'app.test', 'second')
    await says(member, 'more.test', 'first')
  }
  for (const load of loads) await load.stop()
  assert.equal(
    loads.flatMap(({ failed }) => failed),
    [],
  )
})

test('a restarted replica follows the leader, whatever its own file contains', async () => {
  const name = names.find(one => members.every(member => member.name !== one)) as string
  const file = join(ownDirectory(), 'services.toml')
  writeFileSync(file, FIRST)
  const peers = members.map(({ gossip }) => gossip)
  const back = await ClusteredReplica.start({ name, peers, more: ['--services-file', file] })
  members = [...members, back]
  await Promise.all(members.map(member => member.agreesWith(3)))
  await says(back, 'app.test', 'second')
  await says(back, 'more.test', 'first')
})

test('mistakes in the leader’s file are reported by every replica', async () => {
  const leads = await leader()
  replace(fileOf(leads), '[backends\n')
  for (const { replica } of members) {
    await until('the error is seen', async () => (await replica.api('snapshot')).errors.length > 0, 60_000, { everyMs: 50 })
    const { errors, services } = await replica.api('snapshot')
    assert.equal(
      errors.map(({ source, message }) => [
        source,
        /^expected TOML at line 1, .*; its last valid content stays in use$/.test(message),
      ]),
      [[fileOf(leads), true]],
    )
    assert.equal(Object.keys(services), ['app', 'more'])
  }
})

test.run()
