// Content that a replica does not know must not be removed when it becomes the leader or restarts: a services file that is
// broken before its replica has read it, and the swarm for a replica with files only.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { allServe, ClusteredReplica } from './clustered-replica.ts'
import { LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { replace, SteadyLoad, tomlOf } from './services-files.ts'
import { endAll, ownDirectory, Replica } from './skein-process.ts'

const old = await LoopbackTasks.start(1, (_, __, response) => void response.end('old'))
const young = await LoopbackTasks.start(1, (_, __, response) => void response.end('young'))
const BROKEN = '[backends\n'

test.after(() => {
  endAll()
  closeManagers()
  stopTasks()
})

test('restart with a broken file: its stored content is served, the other file is followed', async () => {
  const [dataDir, dir] = [ownDirectory(), ownDirectory()]
  const [app, other] = [join(dir, 'app.toml'), join(dir, 'other.toml')]
  writeFileSync(app, tomlOf({ name: 'app', tasks: old }))
  writeFileSync(other, tomlOf({ name: 'other', tasks: old }, { name: 'gone', tasks: old }))
  const args = ['--data-dir', dataDir, '--services-file', app, '--services-file', other]
  const before = await Replica.start(args)
  await before.answers('app.test', 200)
  assert.is((await before.stop()).code, 0)
  writeFileSync(app, BROKEN)
  writeFileSync(other, tomlOf({ name: 'other', tasks: young }))
  const replica = await Replica.start(args)
  await replica.serves()
  assert.is((await replica.get('app.test')).body, 'old')
  assert.is((await replica.get('other.test')).body, 'young')
  assert.is((await replica.get('gone.test')).status, 404)
  const { errors } = await replica.api('snapshot')
  assert.equal(
    errors.map(({ source }) => source),
    [app],
  )
  replace(app, tomlOf({ name: 'app', tasks: young }))
  await until('the mended file counts', async () => (await replica.get('app.test')).body === 'young', 10_000, { everyMs: 50 })
  replace(app, '# no services\n')
  await replica.answers('app.test', 404)
  assert.is((await replica.stop()).code, 0)
})

test('a new leader whose file was broken from the start removes nothing', async () => {
  const files = ['a', 'b'].map(() => join(ownDirectory(), 'services.toml')) as [string, string]
  writeFileSync(files[0], tomlOf({ name: 'app', tasks: old }))
  writeFileSync(files[1], BROKEN)
  const a = await ClusteredReplica.start({ name: 'a', more: ['--services-file', files[0]] })
  await a.replica.serves()
  const b = await ClusteredReplica.start({ name: 'b', peers: [a.gossip], more: ['--services-file', files[1]] })
  await Promise.all([a.agreesWith(2), b.agreesWith(2)])
  await allServe([a, b], 'app.test')
  assert.is((await a.status()).role, 'leader')
  const load = new SteadyLoad(() => b.replica.get('app.test'))
  await a.replica.stop('SIGKILL')
  await until('b leads and tells of its file', async () => (await b.replica.api('snapshot')).errors.length > 0, 30_000, {
    everyMs: 50,
  })
  await new Promise(resolve => setTimeout(resolve, 2_000))
  await load.stop()
  assert.equal(load.failed, [])
  replace(files[1], tomlOf({ name: 'app', tasks: young }))
  await until('the mended file counts', async () => (await b.replica.get('app.test')).body === 'young', 10_000, { everyMs: 50 })
  assert.equal((await b.replica.api('snapshot')).errors, [])
  assert.is((await b.replica.stop()).code, 0)
})

test('a leader with files only, no manager left: no swarm service is removed', async () => {
  const swarm = await LoopbackTasks.start(1, (_, __, response) => void response.end('swarm'))
  const labels = { 'traefik.port': String(swarm.port), 'traefik.frontend.rule': 'Host:web.test' }
  const manager = await ScriptedManager.start({ name: 'web', labels, tasks: swarm.tasks })
  const file = join(ownDirectory(), 'services.toml')
  writeFileSync(file, tomlOf({ name: 'app', tasks: old }))
  const a = await ClusteredReplica.start({ name: 'a', manager: manager.endpoint })
  await a.replica.serves()
  const b = await ClusteredReplica.start({ name: 'b', peers: [a.gossip], more: ['--services-file', file] })
  await Promise.all([a.agreesWith(2), b.agreesWith(2)])
  await allServe([a, b], 'web.test')
  const load = new SteadyLoad(() => b.replica.get('web.test'))
  manager.close()
  await a.replica.stop('SIGKILL')
  assert.is(await b.replica.answers('app.test', 200), 'old')
  replace(file, tomlOf({ name: 'app', tasks: young }))
  await until('its own file is followed', async () => (await b.replica.get('app.test')).body === 'young', 10_000, { everyMs: 50 })
  await load.stop()
  assert.equal(load.failed, [])
  assert.is((await b.replica.stop()).code, 0)
})

test.run()
