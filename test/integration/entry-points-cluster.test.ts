// Two replicas whose entry points have different names, as during a rolling update that renames one. The replicated
// configuration names entry points as the labels do; each replica serves those that it has.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { ClusteredReplica, stopAll } from './clustered-replica.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll } from './skein-process.ts'

const tasks = await LoopbackTasks.start(1, (_, __, response) => void response.end('app'))
const rule = (host: string) => ({ 'traefik.port': String(tasks.port), 'traefik.frontend.rule': `Host:${host}` })
const manager = await ScriptedManager.start(
  { name: 'both', labels: { ...rule('both.test'), 'traefik.frontend.entryPoints': 'old,new' }, tasks: tasks.tasks },
  { name: 'only', labels: { ...rule('only.test'), 'traefik.frontend.entryPoints': 'new' }, tasks: tasks.tasks },
  { name: 'wide', labels: rule('wide.test'), tasks: tasks.tasks },
)

const gossip = await freePort()
const oldPort = await freePort()
const newPort = await freePort()

function start(name: string, point: string, port: number, peer: number, at?: number): Promise<ClusteredReplica> {
  return ClusteredReplica.start({
    name,
    manager: manager.endpoint,
    peers: [`127.0.0.1:${peer}`],
    ...(at === undefined ? {} : { port: at }),
    more: ['--entry-point', `${point}=127.0.0.1:${port}`],
  })
}

// `a` has been up for a while when `b`, already updated, joins: `a` leads.
let a = await start('a', 'old', oldPort, gossip, gossip)
await a.agreesWith(1)
const b = await start('b', 'new', newPort, gossip)

test.after(async () => {
  try {
    await stopAll([a, b])
  } finally {
    endAll()
    closeManagers()
    stopTasks()
  }
})

/** Status of each service at the entry point of this port. */
async function statuses(port: number): Promise<number[]> {
  const answers = await Promise.all(['both.test', 'only.test', 'wide.test'].map(host => ask(port, host)))
  return answers.map(({ status }) => status)
}

/** Errors and warnings of a replica, as `severity service label: message`. */
async function errorsOf({ replica }: ClusteredReplica): Promise<string[]> {
  const { errors } = await replica.api('snapshot')
  return errors.map(({ severity, source, key, value, message }) => `${severity} ${source} ${key}=${value}: ${message}`)
}

const AT_OLD = [
  'warning both traefik.frontend.entryPoints=old,new: expected entry points among old, web, which this replica has; it serves the router at old only',
  'error only traefik.frontend.entryPoints=new: expected entry points among old, web, which this replica has; it does not serve the router',
]
const AT_NEW = [
  'warning both traefik.frontend.entryPoints=old,new: expected entry points among new, web, which this replica has; it serves the router at new only',
]

async function bothServeTheirOwn(): Promise<void> {
  await Promise.all([a.agreesWith(2), b.agreesWith(2)])
  await b.replica.answers('wide.test', 200)
  assert.equal(await statuses(oldPort), [200, 404, 200], 'the replica with the entry point old')
  assert.equal(await statuses(newPort), [200, 200, 200], 'the replica with the entry point new')
  assert.equal(await errorsOf(a), AT_OLD)
  assert.equal(await errorsOf(b), AT_NEW)
}

test('the leader lacks an entry point that a service names: the replica with it serves it', async () => {
  assert.is((await a.agreesWith(2)).role, 'leader')
  await bothServeTheirOwn()
  for (const { replica } of [a, b]) assert.is(await (await replica.api('health')).hash, (await a.replica.api('health')).hash)
  const line = await a.replica.logs(/service only/)
  assert.match(line.msg, /^error: service only, label traefik\.frontend\.entryPoints: .* it does not serve the router$/)
})

test('the replica with it leads: the other one serves what it has as before', async () => {
  await a.replica.stop()
  await b.agreesWith(1)
  a = await start('a', 'old', oldPort, Number(b.gossip.split(':')[1]))
  await a.agreesWith(2)
  assert.is((await b.status()).role, 'leader')
  await a.replica.answers('wide.test', 200)
  await bothServeTheirOwn()
})

test.run()
