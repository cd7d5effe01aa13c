// Services on networks that the edges are not on, tested on a running replica that is a task of its swarm: an error names the
// networks, requests get 503 at once without a connect, and the service is served as soon as a task is on a network of the
// edges.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { networkInterfaces } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager, type ServiceSketch } from './scripted-manager.ts'
import { endAll, Replica } from './skein-process.ts'

const tasks = await LoopbackTasks.start(2)
const [near = '', far = ''] = tasks.addresses
/** The replica is a task of this service, by label and node name. */
const EDGE: ServiceSketch = {
  name: 'edge',
  labels: { 'skein.replica': 'edge', 'traefik.enable': 'false' },
  tasks: [{ address: '127.0.0.9', network: 'web' }],
}

function app(name: string, network: string, labels: Readonly<Record<string, string>> = {}): ServiceSketch {
  return {
    name,
    labels: { 'traefik.port': `${tasks.port}`, ...labels },
    tasks: [{ address: network === 'web' ? near : far, network }],
  }
}

const manager = await ScriptedManager.start(EDGE, app('good', 'web'))
const inside = await Replica.start(['--manager', manager.endpoint, '--domain', 'test', '--name', 'n1'])
const outside = await Replica.start(['--manager', manager.endpoint, '--domain', 'test', '--name', 'by-hand'])

test.before(async () => {
  await Promise.all([inside.serves(), outside.serves()])
})
test.after(() => {
  endAll()
  closeManagers()
  stopTasks()
})

let marks = 0
/** Creates these services beside the edge's and waits until the replica knows them. */
async function withServices(...services: readonly ServiceSketch[]): Promise<void> {
  const mark = `mark${marks++}`
  manager.set(EDGE, ...services, app(mark, 'web'))
  await inside.answers(`${mark}.test`, 200)
}

async function errorsOf(source: string): Promise<readonly string[]> {
  const { errors } = await inside.api('snapshot')
  return errors.filter(error => error.source === source).map(error => `${error.severity}: ${error.message}`)
}

test('on a network that no edge is on: an error with both networks, 503 at once and no connect', async () => {
  await withServices(app('lost', 'other'))
  assert.equal(await errorsOf('lost'), [
    "error: expected an address on a network that the edges are on (web); 1 of 1 tasks have addresses on 'other' only and were left out",
  ])
  const seen = tasks.seen
  const started = performance.now()
  for (let i = 0; i < 5; i++) assert.is((await inside.get('lost.test')).status, 503)
  // A wait for a server would take 5 s (--server-wait) for each request.
  assert.ok(performance.now() - started < 4000, 'requests waited for a server')
  assert.is(tasks.seen, seen)
  assert.is((await inside.get('lost.test')).body.startsWith('503'), true)
})

test('the service is served once one of its tasks is on a network of the edges', async () => {
  await withServices(app('lost', 'web'))
  assert.is(await inside.answers('lost.test', 200), near)
  assert.equal(await errorsOf('lost'), [])
})

test('the label names a network of the task that the edges are not on: the same', async () => {
  await withServices(app('named', 'other', { 'traefik.docker.network': 'other' }))
  const [error = '', ...more] = await errorsOf('named')
  assert.match(error, /^error: expected an address on network 'other', and one that the edges are on \(web\); 1 of 1 tasks/)
  assert.equal(more, [])
  assert.is((await inside.get('named.test')).status, 503)
})

test('the label names a network that the task is not on: an error', async () => {
  await withServices(app('wrong', 'web', { 'traefik.docker.network': 'other' }))
  const [error = ''] = await errorsOf('wrong')
  assert.match(error, /^error: expected an address on network 'other', .* have addresses on 'web' only and were left out$/)
  assert.is((await inside.get('wrong.test')).status, 503)
})

test('a replica that is no task of the swarm tries every address', async () => {
  await withServices(app('lost', 'other'))
  assert.is(await outside.answers('lost.test', 200), far)
})

// On a machine with only the loopback interface, the unit test of edge-networks.ts covers this.
const outward = Object.values(networkInterfaces())
  .flatMap(list => list ?? [])
  .find(({ family, internal, cidr }) => family === 'IPv4' && !internal && cidr !== null)?.address
if (outward !== undefined) {
  test('on a network that an edge was attached to by hand: served without an error', async () => {
    const server = createServer((_, response) => void response.end('attached'))
    server.listen(tasks.port, outward)
    await once(server, 'listening')
    try {
      const attached = { ...app('attached', 'other'), tasks: [{ address: outward, network: 'other' }] }
      await withServices(attached)
      assert.equal(await errorsOf('attached'), [])
      assert.is(await inside.answers('attached.test', 200), 'attached')
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })
}

test.run()
