// Early responses: the response starts or ends while the request's body is still being sent. No byte of the body is lost while both
// sides live, and every wait has a limit.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Exchange } from '../../src/proxy/forward/exchange.ts'
import type { UpstreamConnection } from '../../src/proxy/http1/upstream-connection.ts'
import { until } from '../until.ts'
import { Backend, Edge, ok, sleep } from './harness.ts'
import { type RawConnection, statusOf } from './raw-connection.ts'
import { pairOf, stopAll, stopLater } from './relay-edges.ts'

test.after.each(stopAll)

type Overrides = NonNullable<Parameters<typeof Edge.start>[1]>
const KiB = 1024
const CHUNKED = 'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n'
const STREAM = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
const LAST = '0\r\n\r\n'

async function edgeOf(port: number, overrides: Overrides = {}): Promise<Edge> {
  return stopLater(await Edge.start({ app: { servers: [port] } }, overrides))
}

/** A server that the test drives: `server()` is its newest connection. */
async function driven(): Promise<{ backend: Backend; server: () => Promise<RawConnection> }> {
  const backend = stopLater(await Backend.raw(() => {}))
  const server = async (): Promise<RawConnection> => {
    await until('the edge connects', () => backend.connections.length > 0)
    return backend.connections.at(-1)!
  }
  return { backend, server }
}

/** The edge's connection to its only server or peer that carries a request. */
function busyOf(edge: Edge): UpstreamConnection {
  const c = (edge.service().servers[0]!.active[0] ?? edge.forwarder.relays.peers[0]?.active[0]) as UpstreamConnection | undefined
  if (c === undefined) throw new Error('no request is in flight')
  return c
}

function part(size: number): string {
  return `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`
}

/** Sends parts of a chunked body until some bytes wait at the edge for the server, which reads nothing, but fewer than block it. */
async function fill(client: RawConnection, c: UpstreamConnection, x: Exchange): Promise<void> {
  while (c.socket.writableLength === 0) {
    const all = x.bytesIn + 16 * KiB
    client.write(part(16 * KiB))
    await until('the part is read', () => x.bytesIn === all)
    if (c.socket.writableLength > 0) await sleep(50)
  }
}

for (const status of ['200 OK', '303 See Other']) {
  test(`an early ${status}: unsent bytes of a complete body still reach the server`, async () => {
    const { backend, server } = await driven()
    const edge = await edgeOf(backend.port)
    const client = await edge.client()
    client.write(CHUNKED)
    const connection = await server()
    await connection.takeThrough('\r\n\r\n')
    connection.socket.pause()
    const c = busyOf(edge)
    const x = c.x!
    await fill(client, c, x)
    client.write(LAST)
    await until('the whole body is at the edge', () => x.body.done)
    assert.ok(c.socket.writableLength > 0, 'bytes wait for the server')
    connection.write(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\nearly`)
    assert.is((await client.takeMessage()).body.toString(), 'early')
    connection.socket.resume()
    await connection.takeThrough(LAST)
    assert.ok(await connection.ends())
  })
}

test('through a relay: unsent bytes of a complete body still reach the server', async () => {
  const { backend, server } = await driven()
  const { from } = await pairOf([backend.port])
  const client = await from.client()
  client.write(CHUNKED)
  const connection = await server()
  await connection.takeThrough('\r\n\r\n')
  connection.socket.pause()
  const c = busyOf(from)
  const x = c.x!
  // A stream of the mux knows how much the peer accepts.
  const stream = c.socket as unknown as { readonly credit: number }
  for (let steady = 0; steady < 20; ) {
    if (stream.credit < 30 * KiB) {
      steady++
      await sleep(5)
      continue
    }
    steady = 0
    const all = x.bytesIn + 16 * KiB
    client.write(part(16 * KiB))
    await until('the part is read', () => x.bytesIn === all)
  }
  client.write(part(40 * KiB) + LAST)
  await until('the whole body is at the edge', () => x.body.done)
  assert.ok(c.socket.writableLength > 0, 'bytes wait for the peer')
  connection.write(ok('early'))
  assert.is((await client.takeMessage()).body.toString(), 'early')
  connection.socket.resume()
  await connection.takeThrough(LAST)
})

test('a server that reads the end of a body late may respond for longer than the stall time', async () => {
  const { backend, server } = await driven()
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 1000 } })
  const client = await edge.client()
  client.write(CHUNKED)
  const connection = await server()
  await connection.takeThrough('\r\n\r\n')
  connection.socket.pause()
  connection.write(STREAM)
  await client.takeThrough('\r\n\r\n')
  const c = busyOf(edge)
  const x = c.x!
  await fill(client, c, x)
  // The write buffer is full, and no more of the body follows.
  client.write(part(60 * KiB) + LAST)
  await until('the whole body is at the edge', () => x.body.done)
  assert.ok(c.socket.writableNeedDrain, 'the server blocks the body')
  connection.socket.resume()
  await connection.takeThrough(LAST)
  await sleep(1500)
  assert.not(client.closed, 'a quiet response is not cut off')
  connection.write(`4\r\nlate\r\n${LAST}`)
  await client.takeThrough(LAST)
  assert.equal(edge.logs, [])
})

test('a FIN within an upload during the response: the exchange is over with the response', async () => {
  const { backend, server } = await driven()
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 0 } })
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\nabc')
  const connection = await server()
  await connection.takeThrough('abc')
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no')
  await client.takeThrough('\r\n\r\no')
  client.socket.end()
  await sleep(50)
  connection.write('k')
  assert.is((await client.takeAll()).toString(), 'k')
  assert.is(client.error, '')
  assert.ok(await connection.ends(), 'the server connection is closed')
  await until('no request and no connection is left', () => edge.forwarder.inFlight === 0 && edge.connections.size === 0)
  assert.equal(edge.accessLog, ['POST app.test / 200'])
})

test('a response that continues is not cut off although its server reads nothing of the body', async () => {
  const { backend, server } = await driven()
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 500 } })
  const client = await edge.client()
  client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${30 * KiB * KiB}\r\n\r\n`)
  const connection = await server()
  await connection.takeThrough('\r\n\r\n')
  connection.socket.pause()
  connection.write(STREAM)
  await client.takeThrough('\r\n\r\n')
  client.write(Buffer.alloc(30 * KiB * KiB))
  for (let i = 0; i < 20; i++) {
    connection.write('1\r\nx\r\n')
    await client.takeThrough('x\r\n')
    await sleep(100)
  }
  connection.write(LAST)
  await client.takeThrough(LAST)
  assert.is(client.error, '')
  assert.equal(edge.logs, [])
})

test('a client that pauses its response has its own stall time while the server blocks the body', async () => {
  const { backend, server } = await driven()
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 500 } })
  const client = await edge.client()
  client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${30 * KiB * KiB}\r\n\r\n`)
  const connection = await server()
  await connection.takeThrough('\r\n\r\n')
  connection.socket.pause()
  connection.write('HTTP/1.1 200 OK\r\n\r\n')
  await client.takeThrough('\r\n\r\n')
  client.socket.pause()
  client.write(Buffer.alloc(30 * KiB * KiB))
  connection.write(Buffer.alloc(30 * KiB * KiB))
  await until('the connection is cut off', () => edge.connections.size === 0)
  assert.match(edge.logs.at(-1)!.message, /the client read nothing of the response for 0\.5 s/)
})

test('a server that ends its side after an early response still gets the rest of the body', async () => {
  const { backend, server } = await driven()
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 0 } })
  const client = await edge.client()
  client.write(CHUNKED)
  const connection = await server()
  await connection.takeThrough('\r\n\r\n')
  connection.socket.pause()
  connection.write(ok('early'))
  await client.takeMessage()
  const c = busyOf(edge)
  await fill(client, c, c.x!)
  client.write(LAST)
  await until('the exchange is over', () => edge.isIdle)
  assert.ok(c.deadline > 0 && c.deadline < Number.POSITIVE_INFINITY, 'there is a limit without a stall time, too')
  connection.socket.end()
  await sleep(200)
  connection.socket.resume()
  await connection.takeThrough(LAST)
  assert.ok(await connection.ends())
  assert.is(connection.error, '')
})

for (const fields of ['', 'Transfer-Encoding: chunked\r\n']) {
  test(`an early response to HTTP/1.0 ends with its last byte${fields === '' ? '' : ' (chunks)'}`, async () => {
    const { backend, server } = await driven()
    const edge = await edgeOf(backend.port)
    const client = await edge.client()
    client.write('POST / HTTP/1.0\r\nHost: app.test\r\nContent-Length: 6\r\n\r\nabc')
    const connection = await server()
    await connection.takeThrough('abc')
    connection.write(`HTTP/1.1 200 OK\r\n${fields}\r\n${fields === '' ? 'all' : `3\r\nall\r\n${LAST}`}`)
    if (fields === '') connection.socket.end()
    assert.match((await client.takeAll()).toString(), /\r\n\r\nall$/)
    client.write('def')
    assert.is((await connection.take(3)).toString(), 'def')
    await until('the exchange is over', () => edge.isIdle)
    assert.equal(edge.accessLog, ['POST app.test / 200'])
    assert.is(client.error, '')
  })
}

test('an early response to HTTP/1.0 that its client reads late ends with its last byte', async () => {
  const { backend, server } = await driven()
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  client.write('POST / HTTP/1.0\r\nHost: app.test\r\nContent-Length: 6\r\n\r\nabc')
  const connection = await server()
  await connection.takeThrough('abc')
  client.socket.pause()
  connection.write('HTTP/1.1 200 OK\r\n\r\n')
  connection.write(Buffer.alloc(8 * KiB * KiB))
  connection.socket.end()
  await sleep(300)
  client.socket.resume()
  assert.ok((await client.takeAll()).length > 8 * KiB * KiB)
  client.write('def')
  assert.is((await connection.take(3)).toString(), 'def')
  await until('the exchange is over', () => edge.isIdle)
})

test('a connection whose write failed is not reused although a response was read from it', async () => {
  const empty = 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n'
  const { backend, server } = await driven()
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  // A request with a body: from here on a failed write does not end reading.
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\n\r\nabc')
  const first = await server()
  await first.takeThrough('abc')
  first.write(ok('first'))
  await client.takeMessage()
  await until('the connection is kept', () => edge.idleConnections() === 1)
  // In one turn, so that the edge reads the requests first and writes to a connection that was reset after a response.
  client.write(empty + empty)
  first.write(ok('second'))
  first.socket.resetAndDestroy()
  assert.is((await client.takeMessage()).body.toString(), 'second')
  await until('the next request uses another connection', () => backend.connections.length === 2)
  const next = await server()
  await next.takeThrough('\r\n\r\n')
  next.write(ok('third'))
  assert.is((await client.takeMessage()).body.toString(), 'third')
})

/** The error of a write that fails while the other direction of the socket stays open. */
function failWrite(c: UpstreamConnection): void {
  ;(c as unknown as { onWriteFailed(code: string): boolean }).onWriteFailed('EPIPE')
}

for (const [what, length, stallMs, responseHeaderMs] of [
  ['the whole body is sent, no stall time', 3, 0, 300],
  ['the body is not complete, no stall time', 6, 0, 300],
  ['the body is not complete, no header time', 6, 300, 0],
] as const) {
  test(`a server that stops reading and writing is awaited for a limited time: ${what}`, async () => {
    const { backend, server } = await driven()
    const edge = await edgeOf(backend.port, { timeouts: { stallMs, responseHeaderMs } })
    const client = await edge.client()
    client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${length}\r\n\r\nabc`)
    await (await server()).takeThrough('abc')
    failWrite(busyOf(edge))
    assert.is(statusOf(await client.takeMessage({ ms: 5000 })), 504)
    assert.not.match(edge.logs.at(-1)!.message, /Infinity/)
  })
}

test('a server that stops reading and writing is awaited for a limited time: no limit set', async () => {
  const { backend, server } = await driven()
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 0, responseHeaderMs: 0 } })
  for (const length of [3, 6]) {
    const client = await edge.client()
    client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${length}\r\n\r\nabc`)
    await until('the edge connects', () => edge.service().servers[0]!.active.length > 0)
    await (await server()).takeThrough('abc')
    const c = busyOf(edge)
    failWrite(c)
    assert.ok(c.deadline > 0 && c.deadline < Number.POSITIVE_INFINITY)
    assert.ok(c.headDeadline < Number.POSITIVE_INFINITY)
    client.destroy()
    await until('the exchange is over', () => edge.isIdle)
  }
})

test.run()
