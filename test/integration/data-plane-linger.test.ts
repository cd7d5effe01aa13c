// How long a connection is read after its last response: while its client still sends, while it reads the response, and after that.

import type { Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, sleep } from './harness.ts'
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

/** A server that refuses an upload when it has read the head. */
const refusing = () =>
  rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno')
  })

const UPLOAD = 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\n'

/** A client whose upload was refused and that continues to send. */
async function refusedClient(edge: Edge): Promise<RawConnection> {
  const client = await edge.client()
  client.write(UPLOAD)
  await client.until(() => client.ended, 'the refusal')
  return client
}

/** Bytes that were read from the only client. */
function bytesRead(edge: Edge): number {
  const [connection] = edge.connections
  return connection === undefined ? Number.POSITIVE_INFINITY : (connection as unknown as { lingered: number }).lingered
}

/** Bytes of its response that the only client has not received. */
function pendingTo(edge: Edge): number {
  const [connection] = edge.connections
  return (connection as unknown as { socket: Socket }).socket.writableLength
}

test.after.each(() => {
  for (const one of open.splice(0).reverse()) one.stop()
})

test('within the drain delay a refused client may pause its upload as usual', async () => {
  const edge = await edgeOf(await refusing())
  edge.announceDrain()
  const client = await refusedClient(edge)
  client.write('x')
  await sleep(3500)
  assert.is(client.error, '')
  assert.is(edge.connections.size, 1)
  assert.match(client.peek(), /^HTTP\/1\.1 413 /)
  await edge.drain()
  await until('the grace period does not wait for it', () => edge.connections.size === 0, 10_000)
})

test('a client that continues to send after a refusal is closed after five minutes', async () => {
  const edge = await edgeOf(await refusing())
  const client = await refusedClient(edge)
  const { sweep } = edge.context
  sweep.stop()
  // From here the test advances the clock.
  let elapsedMs = 0
  const from = sweep.now
  while (edge.connections.size > 0 && elapsedMs < 1_000_000) {
    const before = bytesRead(edge)
    client.write('x')
    await until('the byte is read', () => bytesRead(edge) > before)
    elapsedMs += 20_000
    sweep.tick(from + elapsedMs)
  }
  assert.ok(elapsedMs > 250_000 && elapsedMs <= 330_000, `${elapsedMs} ms`)
  assert.is(edge.context.lingering, 0)
})

test('a client that reads its last response and does not close is closed soon after', async () => {
  for (const stallMs of [300_000, 0]) {
    let edge: Edge | null = null
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      while (pendingTo(edge!) === 0) {
        connection.write(`4000\r\n${'x'.repeat(0x4000)}\r\n`)
        await sleep(1)
      }
      connection.write('0\r\n\r\n')
    })
    edge = await edgeOf(backend, { timeouts: { stallMs } })
    const client = await edge.client()
    client.socket.pause()
    client.write(get('/', 'Connection: close\r\n'))
    await until('the request is in flight', () => edge.forwarder.inFlight === 1)
    await until('the server has sent everything', () => edge.isIdle)
    assert.ok(pendingTo(edge) > 0)
    client.socket.resume()
    await client.until(() => client.ended, 'the end of the response')
    assert.match(client.peek().slice(-8), /0\r\n\r\n$/)
    await until('the edge closes the connection', () => edge.connections.size === 0, 15_000)
  }
})

test.run()
