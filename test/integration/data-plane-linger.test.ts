// How long a connection is read on after its last answer: while its client still sends, takes the answer, or has everything.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Backend, Edge, eventually, sleep } from './harness.ts'
import type { RawConnection } from './raw-connection.ts'

const open: { stop(): void }[] = []

async function edgeOf(backend: Backend, overrides: Parameters<typeof Edge.start>[1] = {}): Promise<Edge> {
  const edge = await Edge.start({ app: { servers: [backend.port] } }, overrides)
  open.push(edge)
  return edge
}

async function rawBackend(...parameters: Parameters<typeof Backend.raw>): Promise<Backend> {
  const backend = await Backend.raw(...parameters)
  open.push(backend)
  return backend
}

/** A server that refuses an upload by its head. */
const refusing = () =>
  rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno')
  })

const UPLOAD = 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\n'

/** A client whose upload was refused, and that goes on sending it. */
async function refusedClient(edge: Edge): Promise<RawConnection> {
  const client = await edge.client()
  client.write(UPLOAD)
  await client.until(() => client.ended, 'the refusal')
  return client
}

test.after.each(() => {
  for (const one of open.splice(0).reverse()) one.stop()
})

test('within the drain delay a client that was refused may pause its upload as usual', async () => {
  const edge = await edgeOf(await refusing())
  edge.leave()
  const client = await refusedClient(edge)
  client.write('x')
  await sleep(3500)
  assert.is(client.error, '')
  assert.is(edge.connections.size, 1)
  assert.match(client.peek(), /^HTTP\/1\.1 413 /)
  await edge.drain()
  await eventually(() => edge.connections.size === 0, 'the grace does not wait for it', 10_000)
})

test.run()
