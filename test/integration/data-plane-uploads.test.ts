// Responses before the request's body has been sent: rejections by servers that close without reading the rest, early successes, and
// clients that continue to send after their response.

import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok } from './harness.ts'
import { fieldOf, type RawConnection, statusOf } from './raw-connection.ts'
import { pairOf } from './relay-edges.ts'

const open: { stop(): void }[] = []

async function edgeOf(port: number, overrides: Parameters<typeof Edge.start>[1] = {}): Promise<Edge> {
  const edge = await Edge.start({ app: { servers: [port] } }, overrides)
  open.push(edge)
  return edge
}

async function rawBackend(...parameters: Parameters<typeof Backend.raw>): Promise<Backend> {
  const backend = await Backend.raw(...parameters)
  open.push(backend)
  return backend
}

/** A server that sends `text` after the first bytes of each connection and resets it, before it reads on. */
async function resetting(text: string): Promise<number> {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => socket.write(text, () => socket.resetAndDestroy()))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  open.push({ stop: () => void server.close() })
  return (server.address() as AddressInfo).port
}

/** Node's own server: responds with `status` and closes without reading the body. */
async function refusing(status: number): Promise<{ port: number; server: HttpServer }> {
  const server = createHttpServer((_request, response) => {
    response.writeHead(status, { Connection: 'close', Location: '/elsewhere' })
    response.end('no')
    response.socket?.destroySoon()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  open.push({
    stop: () => {
      server.close()
      server.closeAllConnections()
    },
  })
  return { port: (server.address() as AddressInfo).port, server }
}

test.after.each(async () => {
  for (const one of open) if (one instanceof Edge) await until('no request is in flight', () => one.isIdle)
  for (const one of open.splice(0)) one.stop()
})

const BLOCK = Buffer.alloc(16_384, 'x')

interface Upload {
  readonly answer: string
  /** The error code at the client, or ''. */
  readonly error: string
  /** The whole body was written before the connection ended. */
  readonly sentAll: boolean
}

/** A client that reads nothing before it has sent its whole body, as Python's requests does. */
async function upload(port: number, size: number, head = ''): Promise<Upload> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.pause()
  let error = ''
  socket.on('error', (cause: NodeJS.ErrnoException) => {
    error = cause.code ?? cause.message
  })
  socket.write(head === '' ? `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${size}\r\n\r\n` : head)
  let left = size
  for (; left > 0 && error === ''; left -= BLOCK.length) {
    if (!socket.write(left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left))) await settled(socket, 'drain')
  }
  let answer = ''
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1')
  })
  socket.resume()
  await settled(socket, 'end')
  socket.destroy()
  return { answer, error, sentAll: left <= 0 }
}

/** Resolves when `event` has occurred or the socket has closed. */
function settled(socket: Socket, event: 'drain' | 'end'): Promise<void> {
  return new Promise(resolve => {
    const go = (): void => {
      socket.off(event, go).off('close', go)
      resolve()
    }
    socket.on(event, go).on('close', go)
    if (socket.closed) go()
  })
}

test('a server that rejects an upload with a reset: the response arrives, no failure is counted', async () => {
  const port = await resetting('HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno')
  const edge = await edgeOf(port)
  for (let i = 0; i < 20; i++) {
    const { answer, error, sentAll } = await upload(edge.port, 1_000_000)
    assert.match(answer, /^HTTP\/1\.1 413 Content Too Large\r\n.*\r\n\r\nno$/s)
    assert.match(answer, /\r\nConnection: close\r\n/)
    assert.is(error, '', 'the client gets no reset')
    assert.ok(sentAll, 'everything that it sends is read')
  }
  const [server] = edge.service().servers
  assert.equal([server!.failures, server!.ejectedUntilMs, edge.ejections.length], [0, 0, 0])
  assert.is(edge.counters(1).failed, 0)
})

test("Node's own server rejects uploads of any size: each client gets the response", async () => {
  for (const status of [302, 401, 403, 413]) {
    const { port } = await refusing(status)
    const edge = await edgeOf(port)
    for (const size of [300_000, 3_000_000, 20_000_000]) {
      const { answer, error } = await upload(edge.port, size)
      assert.is(answer.slice(0, 12), `HTTP/1.1 ${status}`, `${size} bytes`)
      assert.is(error, '')
    }
    assert.equal(edge.ejections, [])
  }
})

test('a rejection delimited by close is complete although a reset ends it', async () => {
  const port = await resetting('HTTP/1.0 403 Forbidden\r\n\r\nnot here')
  const edge = await edgeOf(port)
  for (let i = 0; i < 10; i++) {
    const { answer } = await upload(edge.port, 1_000_000)
    assert.match(answer, /^HTTP\/1\.1 403 Forbidden\r\n.*\r\n8\r\nnot here\r\n0\r\n\r\n$/s)
  }
  assert.is(edge.service().servers[0]!.failures, 0)
})

test('a reset after the complete upload truncates an error page that is delimited by close', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('0123456789')
    connection.write('HTTP/1.1 500 Oops\r\n\r\nfirst part of the pa')
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n0123456789')
  assert.match(await client.takeThrough('first part of the pa\r\n'), /^HTTP\/1\.1 500 Oops\r\n/)
  backend.connections[0]!.socket.resetAndDestroy()
  await client.until(() => client.closed, 'the connection is reset')
  assert.is(client.error, 'ECONNRESET')
  assert.is(client.peek(), '')
  assert.ok(edge.logs.some(({ level, message }) => level === 'warn' && message.includes('broke off its answer')))
})

test('a reset without a response during an upload is 502 and not a failure of the server', async () => {
  const port = await resetting('')
  const edge = await edgeOf(port)
  for (let i = 0; i < 4; i++) assert.match((await upload(edge.port, 5_000_000)).answer, /^HTTP\/1\.1 502 /)
  assert.is(edge.service().servers[0]!.failures, 0)
})

test('an early response below 400: the server gets the rest of the body, connections are kept', async () => {
  let body = ''
  const backend = await rawBackend(async connection => {
    for (;;) {
      const head = await connection.takeThrough('\r\n\r\n')
      connection.write(ok('early'))
      body = (await connection.take(Number(fieldOf(head, 'content-length')))).toString()
    }
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  for (const word of ['one', 'two']) {
    client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1003\r\n\r\n`)
    const answer = await client.takeMessage()
    assert.is(answer.body.toString(), 'early')
    assert.is(fieldOf(answer.head, 'connection'), undefined)
    client.write('x'.repeat(1000))
    client.write(word)
    await until('the body arrives', () => body.endsWith(word))
    await until('the exchange is over', () => edge.isIdle)
  }
  assert.is(backend.accepted, 1)
  assert.equal(edge.accessLog, ['POST app.test / 200', 'POST app.test / 200'])
})

test('an early response below 400 to a chunked upload with a pipelined request after it', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write(ok('early'))
    await connection.takeThrough('0\r\n\r\n')
    await connection.takeThrough('\r\n\r\n')
    connection.write(ok('second'))
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  assert.is((await client.takeMessage()).body.toString(), 'early')
  client.write(`3\r\ndef\r\n0\r\n\r\n${get('/next')}`)
  assert.is((await client.takeMessage()).body.toString(), 'second')
  assert.is(backend.accepted, 1)
})

test('a challenge before the body is read: the connection is kept, the whole body arrives', async () => {
  const backend = await rawBackend(async connection => {
    for (const answer of ['401 No\r\nWWW-Authenticate: NTLM TlRMTVNTUAACAAAA', '200 OK']) {
      await connection.takeThrough('\r\n\r\n')
      connection.write(`HTTP/1.1 ${answer}\r\nContent-Length: 0\r\n\r\n`)
      await connection.take(1000)
    }
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  for (const [token, status] of [
    ['TlRMTVNTUAABAAAA', 401],
    ['TlRMTVNTUAADAAAA', 200],
  ]) {
    client.write(`PUT / HTTP/1.1\r\nHost: app.test\r\nAuthorization: NTLM ${token}\r\nContent-Length: 1000\r\n\r\n`)
    const answer = await client.takeMessage()
    assert.is(statusOf(answer), status)
    assert.is(fieldOf(answer.head, 'connection'), undefined)
    client.write('x'.repeat(1000))
    await until('the exchange is over', () => edge.isIdle)
  }
  assert.is(backend.accepted, 1)
})

test('a server that reads no more after an early success: the response stays, the rest is read', async () => {
  const port = await resetting(ok('enough'))
  const edge = await edgeOf(port)
  for (let i = 0; i < 5; i++) {
    const { answer, error, sentAll } = await upload(edge.port, 5_000_000)
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nenough$/s)
    assert.is(error, '')
    assert.ok(sentAll)
  }
  assert.is(edge.service().servers[0]!.failures, 0)
  assert.equal(new Set(edge.accessLog), new Set(['POST app.test / 200']))
})

test('an early success whose server stops reading is closed after the stall time', async () => {
  let taken: RawConnection | undefined
  const backend = await rawBackend(async connection => {
    taken = connection
    await connection.takeThrough('\r\n\r\n')
    connection.socket.pause()
    connection.write(ok('early'))
  })
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 300 } })
  const { answer, error } = await upload(edge.port, 30_000_000)
  assert.match(answer, /early$/)
  assert.is(error, '')
  taken!.socket.resume()
  assert.ok(await taken!.ends())
})

test('an early success whose client stops sending: its connection ends without a reset', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write(ok('early'))
  })
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 300 } })
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000\r\n\r\nhalf')
  assert.is(statusOf(await client.takeMessage()), 200)
  assert.ok(await client.ends())
  assert.is(client.error, '')
  assert.ok(await backend.connections[0]!.ends())
})

test('a malformed chunk after a complete early response ends both connections', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write(ok('early'))
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  await client.takeMessage()
  client.write(`zz\r\n${get('/smuggled')}`)
  assert.ok(await client.ends())
  assert.is(client.error, '')
  assert.is(client.peek(), '')
  assert.ok(await backend.connections[0]!.ends())
  assert.not.match(backend.connections[0]!.peek(), /smuggled/)
})

test('after a rejection the client may continue to send for longer than two seconds', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n')
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\nhalf')
  assert.is(statusOf(await client.takeMessage()), 413)
  assert.ok(await client.ends())
  for (let i = 0; i < 30; i++) {
    client.write('x')
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  assert.is(client.error, '')
  assert.not(client.closed)
  client.socket.end()
  await until('the connection closes when the client ends', () => edge.connections.size === 0)
})

test('a local rejection of an upload reaches a client that reads only after sending everything', async () => {
  const backend = await rawBackend(async () => {})
  const edge = await edgeOf(backend.port, { limits: { bodyBytes: 1000 } })
  for (const head of ['', 'POST / HTTP/1.1\r\nHost: app.test\r\nX: \0\r\n\r\n']) {
    const { answer, error, sentAll } = await upload(edge.port, 20_000_000, head)
    assert.match(answer, head === '' ? /^HTTP\/1\.1 413 / : /^HTTP\/1\.1 400 /)
    assert.is(error, '')
    assert.ok(sentAll)
  }
  assert.is(backend.accepted, 0)
})

test('through a relay: a rejection by reset arrives, an early success gets the whole body', async () => {
  const refuses = await resetting('HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno')
  const one = await pairOf([refuses])
  open.push(one.from, one.to)
  for (let i = 0; i < 10; i++) {
    const { answer, error, sentAll } = await upload(one.from.port, 5_000_000)
    assert.match(answer, /^HTTP\/1\.1 413 No\r\n.*\r\n\r\nno$/s)
    assert.is(error, '')
    assert.ok(sentAll)
  }
  assert.equal(one.to.ejections, [])
  assert.not(
    one.from.ejections.some(line => !line.endsWith(' out unreachable')),
    'no failure of the peer is counted',
  )
  let taken = 0
  const early = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write(ok('early'))
    taken = (await connection.take(5_000_000)).length
  })
  const two = await pairOf([early.port])
  open.push(two.from, two.to)
  const { answer, error } = await upload(two.from.port, 5_000_000)
  assert.match(answer, /early$/)
  assert.is(error, '')
  await until('the whole body is at the server', () => taken === 5_000_000)
})

test.run()
