// A data worker that was blocked for longer than its timeouts (a busy machine, a frozen container) blames no server: received data is
// read before any deadline is enforced.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Edge, get, sleep } from './harness.ts'
import { statusOf } from './raw-connection.ts'

/** Answers in a thread of its own, after as many ms as the path says; goes on while this thread stands still. */
const BACKEND = `
const { createServer } = require('node:net')
const { parentPort } = require('node:worker_threads')
const server = createServer(socket => {
  socket.on('error', () => {})
  socket.on('data', data => {
    const answer = () => socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
    setTimeout(answer, Number(/\\d+/.exec(String(data))[0]))
  })
})
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
`

const backend = new Worker(BACKEND, { eval: true })
const [port] = (await once(backend, 'message')) as [number]
const edges: Edge[] = []

test.after(async () => {
  for (const edge of edges) edge.stop()
  await backend.terminate()
})

const standStill = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

async function edgeOf(timeouts: Readonly<Record<string, number>>): Promise<Edge> {
  const edge = await Edge.start({ app: { servers: [port] } }, { timeouts })
  edges.push(edge)
  return edge
}

test('a blocked thread during a connect ejects no server', async () => {
  const edge = await edgeOf({ connectMs: 500 })
  const client = await edge.client()
  client.write(get('/1'))
  while (edge.forwarder.inFlight === 0) await new Promise(resolve => setImmediate(resolve))
  standStill(900)
  assert.is(statusOf(await client.takeMessage()), 200)
  assert.equal(edge.ejections, [])
  assert.equal(edge.healthReports, [])
})

test('a blocked thread while the response arrives ejects no server', async () => {
  const edge = await edgeOf({ responseHeaderMs: 500, noResponseMs: 400 })
  assert.is(statusOf(await edge.ask(get('/1'))), 200)
  const client = await edge.client()
  client.write(get('/100'))
  while (edge.forwarder.inFlight === 0) await new Promise(resolve => setImmediate(resolve))
  await sleep(20)
  standStill(3000)
  assert.is(statusOf(await client.takeMessage()), 200)
  assert.equal(edge.ejections, [])
})

test('a blocked thread while a head arrives refuses no client', async () => {
  const edge = await edgeOf({ requestHeaderMs: 500 })
  const client = await edge.client()
  client.write('GET /1 HTTP/1.1\r\n')
  while (edge.connections.size === 0) await new Promise(resolve => setImmediate(resolve))
  await sleep(20)
  client.write('Host: app.test\r\n\r\n')
  standStill(900)
  assert.is(statusOf(await client.takeMessage()), 200)
})

test.run()
