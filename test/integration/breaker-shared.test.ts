// Three replicas as processes, connected by gossip only, with a circuit breaker from a label: it opens on all, one member
// probes, and /api/breakers names author and figures.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { BreakerReport } from '../../src/admin/admin-source.ts'
import { until } from '../until.ts'
import { allServe, type ClusteredReplica, startCluster, stopAll } from './clustered-replica.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll } from './skein-process.ts'

const tasks = await LoopbackTasks.start(2)
const manager = await ScriptedManager.start({
  name: 'app',
  labels: {
    'traefik.port': String(tasks.port),
    'traefik.backend.circuitbreaker.expression': 'ResponseCodeRatio(500, 600, 0, 600) > 0.3',
    'skein.breaker.open': '6s',
    'skein.breaker.recovery': '1s',
    'skein.outlier.errors': '0',
  },
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

async function breakerOf({ replica }: ClusteredReplica): Promise<BreakerReport> {
  const report = (await replica.api('breakers')).find(({ service }) => service === 'app')
  if (report === undefined) throw new Error('no breaker')
  return report
}

async function status(member: ClusteredReplica): Promise<number> {
  return (await ask(member.replica.web, 'app.test')).status
}

async function allAre(state: BreakerReport['state']): Promise<boolean> {
  return (await Promise.all(members.map(breakerOf))).every(report => report.state === state)
}

test('failures on one replica open it on all; one probe, then all recover', async () => {
  const [a, b, c] = members as [ClusteredReplica, ClusteredReplica, ClusteredReplica]
  assert.ok(await allAre('closed'))
  tasks.answer = (_, __, response) => void response.writeHead(500).end()
  for (let i = 0; i < 400 && (await breakerOf(a)).state === 'closed'; i++) await status(a)
  await until('it is open everywhere', () => allAre('open'), 60_000, { everyMs: 50 })
  const reports = await Promise.all(members.map(breakerOf))
  const [first = 0, ...later] = reports.map(report => report.sinceMs)
  console.log(`it spread to all within ${first - Math.min(...later)} ms`)
  for (const report of reports) {
    assert.is(report.by, 'a')
    assert.ok((report.because?.errorRatio ?? 0) > 0.3)
    assert.is(report.expression, 'ResponseCodeRatio(500, 600, 0, 600) > 0.3')
  }
  // Control has it a moment before the worker.
  for (const member of members)
    await until(`${member.name} refuses`, async () => (await status(member)) === 503, 60_000, { everyMs: 50 })
  const reached = tasks.seen
  for (const member of members) for (let i = 0; i < 5; i++) assert.is(await status(member), 503)
  assert.is(tasks.seen, reached)
  tasks.answer = (address, _, response) => void response.end(address)
  await until('it is half-open', () => allAre('half-open'), 60_000, { everyMs: 50 })
  // Sequential, so that only one request can be the probe.
  const before = tasks.seen
  for (let i = 0; i < 2_000 && tasks.seen === before; i++) await status([b, c, a][i % 3]!)
  await until('a verdict', async () => !(await allAre('half-open')) && (await breakerOf(b)).state !== 'half-open', 60_000, {
    everyMs: 50,
  })
  await until('it is closed', () => allAre('closed'), 60_000, { everyMs: 50 })
  for (const member of members)
    await until(`${member.name} serves`, async () => (await status(member)) === 200, 60_000, { everyMs: 50 })
  const probes = members.filter(({ replica }) => /a request is let through as a probe/.test(replica.out)).length
  assert.is(probes, 1)
  for (const { replica } of members) {
    assert.is(replica.out.match(/circuit breaker of service app is open/g)?.length, 1)
    assert.is(replica.out.match(/circuit breaker of service app is closed/g)?.length, 1)
  }
})

test.run()
