// A task that ends without an event, and whose address may be another service's a moment later: the first connect that fails makes
// the replica read the swarm at once, however seldom it is polled at rest.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll, Replica } from './skein-process.ts'

const backends: Backend[] = []
async function backendOf(name: string): Promise<Backend> {
  const backend = await Backend.start((_request, connection) => connection.write(ok(name)))
  backends.push(backend)
  return backend
}

test.after(() => {
  endAll()
  closeManagers()
  for (const backend of backends) backend.stop()
})

test('a task that refuses connections: the swarm is read at once, and the next task is found', async () => {
  const first = await backendOf('first')
  const service = (port: number) => ({ name: 'app', labels: { 'traefik.port': `${port}` } })
  const manager = await ScriptedManager.start(service(first.port))
  // At rest it would be read in ten minutes; services have a safety net of 30 s.
  const replica = await Replica.start(['--manager', manager.endpoint, '--domain', 'test', '--poll-rest', '600s'])
  await replica.serves()
  assert.is(await replica.answers('app.test', 200), 'first')
  const next = await backendOf('next')
  // No event announces it.
  const { streams } = manager
  const listening = [...streams]
  streams.clear()
  manager.set(service(next.port))
  for (const stream of listening) streams.add(stream)
  first.stop()
  const started = performance.now()
  const answer = await replica.get('app.test')
  assert.equal(answer, { status: 200, body: 'next' })
  assert.ok(performance.now() - started < 5000, 'it was found by the safety net')
})

test.run()
