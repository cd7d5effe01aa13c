// Three replicas as processes, connected by gossip only: an ejection on one is applied by all, and /api/snapshot names the
// finder.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { EjectionReport } from '../../src/admin/admin-source.ts'
import { until } from '../until.ts'
import { allServe, type ClusteredReplica, startCluster, stopAll } from './clustered-replica.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll } from './skein-process.ts'

const tasks = await LoopbackTasks.start(4)
const [failing = ''] = tasks.addresses
const manager = await ScriptedManager.start({
  name: 'app',
  labels: { 'traefik.port': String(tasks.port), 'skein.outlier.errors': '4' },
  tasks: tasks.tasks,
})
const members = await startCluster(['a', 'b', 'c'], { manager: manager.endpoint })

test.before(() => allServe(members, 'app.test'))
test.after(async () => {
  await stopAll(members)
  for (const { replica } of members) assert.not.match(replica.out, /"level":"(?:error|fatal)"/)
  endAll()
  closeManagers()
  stopTasks()
})

async function ejectionAt({ replica }: ClusteredReplica): Promise<EjectionReport | undefined> {
  const { services } = await replica.api('snapshot')
  return services.app?.servers.find(({ host }) => host === failing)?.ejection
}

test('a run of 5xx on one replica ejects on all three; the others name the finder', async () => {
  tasks.answer = (address, _, response) => void response.writeHead(address === failing ? 500 : 200).end(address)
  const [a, b, c] = members as [ClusteredReplica, ClusteredReplica, ClusteredReplica]
  let errors = 0
  for (let i = 0; i < 200 && (await ejectionAt(a)) === undefined; i++) {
    if ((await ask(a.replica.web, 'app.test')).status === 500) errors++
  }
  const foundMs = performance.now()
  assert.ok(errors >= 4, `${errors} errors`)
  for (const member of [b, c]) {
    await until(`${member.name} has heard`, async () => (await ejectionAt(member)) !== undefined, 30_000, { everyMs: 50 })
    const told = await ejectionAt(member)
    assert.is(told?.cause, 'errors')
    assert.is(told?.by, 'a')
    for (let i = 0; i < 12; i++) assert.is((await ask(member.replica.web, 'app.test')).status, 200)
    assert.match(member.replica.out, /server ejected, reported by a/)
  }
  tasks.answer = (address, _, response) => void response.end(address)
  for (const member of members) {
    await until(`${member.name} has it back`, async () => (await ejectionAt(member)) === undefined, 60_000, { everyMs: 50 })
  }
  assert.ok(performance.now() - foundMs > 3000)
})

test.run()
