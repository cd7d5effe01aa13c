// Three replicas that read a manager and services files. Whichever replica leads, and whether or not the manager is alive,
// services of neither source are lost because the other source was read first.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { allServe, type ClusteredReplica, startCluster, stopAll } from './clustered-replica.ts'
import { LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { replace, SteadyLoad, tomlOf } from './services-files.ts'
import { endAll, ownDirectory } from './skein-process.ts'

const swarm = await LoopbackTasks.start(1, (_, __, response) => void response.end('swarm'))
const legacy = await LoopbackTasks.start(1, (_, __, response) => void response.end('legacy'))
const manager = await ScriptedManager.start({
  name: 'web',
  labels: { 'traefik.port': String(swarm.port), 'traefik.frontend.rule': 'Host:web.test' },
  tasks: swarm.tasks,
})
const file = join(ownDirectory(), 'services.toml')
writeFileSync(file, tomlOf({ name: 'legacy', tasks: legacy }))
let members = await startCluster(['a', 'b', 'c'], { manager: manager.endpoint, more: ['--services-file', file] })

test.after(async () => {
  try {
    await stopAll(members)
  } finally {
    endAll()
    closeManagers()
    stopTasks()
  }
})

/** Kills the leader while requests for both services go to all others. @returns the failed requests */
async function failedWhileLeaderDies(): Promise<string[]> {
  const reports = await Promise.all(members.map(member => member.status()))
  const leader = members[reports.findIndex(({ role }) => role === 'leader')] as ClusteredReplica
  members = members.filter(member => member !== leader)
  const loads = members.flatMap(({ replica }) => ['web.test', 'legacy.test'].map(host => new SteadyLoad(() => replica.get(host))))
  await leader.replica.stop('SIGKILL')
  await Promise.all(members.map(member => member.agreesWith(members.length)))
  // Until the new leader has read both sources, or no longer waits for one of them.
  const leads = async (): Promise<boolean> => (await Promise.all(members.map(m => m.status()))).some(s => s.role === 'leader')
  await until('another leads', leads, 60_000, { everyMs: 50 })
  await new Promise(resolve => setTimeout(resolve, 4_000))
  for (const load of loads) await load.stop()
  return loads.flatMap(({ failed }) => failed)
}

async function bothAreThere(): Promise<void> {
  for (const { replica } of members) {
    const { services } = await replica.api('snapshot')
    assert.equal(
      Object.values(services)
        .map(({ provider }) => provider)
        .sort(),
      ['file', 'swarm'],
    )
  }
}

test('the leader is killed while the manager lives', async () => {
  await allServe(members, 'web.test')
  await allServe(members, 'legacy.test')
  assert.equal(await failedWhileLeaderDies(), [])
  await bothAreThere()
})

test('manager and leader die: the swarm services stay, a file change is followed', async () => {
  manager.close()
  assert.equal(await failedWhileLeaderDies(), [])
  await bothAreThere()
  const more = await LoopbackTasks.start(1, (_, __, response) => void response.end('more'))
  replace(file, tomlOf({ name: 'legacy', tasks: legacy }, { name: 'more', tasks: more }))
  await allServe(members, 'more.test')
  await allServe(members, 'web.test')
})

test.run()
