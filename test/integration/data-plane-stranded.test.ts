// A service that was never reached from this edge: its first request waits for one connect timeout at most, later ones fail at once. It
// is served once a connect succeeds or another server appears. Requests wait for a service that was reached before.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, sleep, snapshotOf } from './harness.ts'
import { statusOf } from './raw-connection.ts'
import { type Stoppable, startStoppable } from './stoppable.ts'

const CONNECT_MS = 1000
/** Requests wait so long for a server; what is known for less may still become reachable. */
const WAIT_MS = 600
const edges: Edge[] = []
const open: (Stoppable | Backend)[] = []

test.after(() => {
  for (const edge of edges) edge.stop()
  for (const one of open) one.stop()
})

/** Servers to which connects time out. */
async function lost(count: number): Promise<Stoppable[]> {
  const all = await Promise.all(Array.from({ length: count }, () => startStoppable()))
  open.push(...all)
  for (const one of all) {
    one.freeze()
    await one.fill()
  }
  return all
}

async function edgeOf(servers: readonly number[], serverWaitMs = WAIT_MS): Promise<Edge> {
  const edge = await Edge.start({ app: { servers } }, { timeouts: { connectMs: CONNECT_MS }, retry: { serverWaitMs } })
  edges.push(edge)
  return edge
}

test('two unreachable servers: one connect timeout, then 503 at once', async () => {
  const edge = await edgeOf((await lost(2)).map(({ port }) => port))
  await sleep(WAIT_MS)
  const first = performance.now()
  assert.is(statusOf(await edge.ask(get())), 503)
  const firstMs = performance.now() - first
  assert.ok(firstMs < 2 * CONNECT_MS, `the first request took ${firstMs} ms`)
  const next = performance.now()
  for (let i = 0; i < 10; i++) assert.is(statusOf(await edge.ask(get())), 503)
  const nextMs = performance.now() - next
  assert.ok(nextMs < CONNECT_MS, `ten more took ${nextMs} ms`)
  assert.ok(edge.isIdle)
})

test('a probe finds a server that is reachable again', async () => {
  const [one] = await lost(1)
  const edge = await edgeOf([one!.port])
  await sleep(WAIT_MS)
  assert.is(statusOf(await edge.ask(get())), 503)
  one!.thaw()
  await until('it is let in', () => edge.ejections.includes(`app ${one!.port} in probe`))
  assert.is(statusOf(await edge.ask(get())), 200)
})

test('a new server gets the next request', async () => {
  const [one] = await lost(1)
  const edge = await edgeOf([one!.port])
  await sleep(WAIT_MS)
  assert.is(statusOf(await edge.ask(get())), 503)
  const good = await Backend.start((_request, connection) => connection.write(ok('good')))
  open.push(good)
  edge.apply(snapshotOf({ app: { servers: [one!.port, good.port] } }))
  assert.is((await edge.ask(get())).body.toString(), 'good')
})

test('requests wait for a service that was reached before', async () => {
  const one = await startStoppable()
  open.push(one)
  const edge = await edgeOf([one.port], 30_000)
  const warm = await edge.client()
  warm.write(get())
  assert.is(statusOf(await warm.takeMessage()), 200)
  one.freeze()
  await one.fill()
  edge.service().servers[0]!.transport.closeIdle()
  const waits = await edge.client()
  waits.write(get())
  await until('it is ejected', () => edge.ejections.includes(`app ${one.port} out timeout`))
  one.thaw()
  assert.is(statusOf(await waits.takeMessage()), 200)
})

test('requests for a service on no shared network do not wait', async () => {
  const edge = await edgeOf([])
  edge.apply(snapshotOf({ app: { servers: [], outOfReach: true } }))
  const started = performance.now()
  for (let i = 0; i < 5; i++) assert.is(statusOf(await edge.ask(get())), 503)
  assert.ok(performance.now() - started < WAIT_MS * 3, 'each waited for a server')
})

test.run()
