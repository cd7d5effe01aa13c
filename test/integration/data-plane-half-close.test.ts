// Clients that end their side of the connection after their requests (RFC 9112, 9.6): they get their responses, then the connection
// closes. An incomplete request is not served. A client that is gone altogether still cancels its request.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, sleep } from './harness.ts'
import { fieldOf, type RawConnection, statusOf } from './raw-connection.ts'
import { pairOf } from './relay-edges.ts'

const open: { stop(): void }[] = []

async function edgeOf(servers: readonly number[], overrides: Parameters<typeof Edge.start>[1] = {}): Promise<Edge> {
  const edge = await Edge.start({ app: { servers } }, overrides)
  open.push(edge)
  return edge
}

async function backendOf(...parameters: Parameters<typeof Backend.start>): Promise<Backend> {
  const backend = await Backend.start(...parameters)
  open.push(backend)
  return backend
}

async function rawBackend(...parameters: Parameters<typeof Backend.raw>): Promise<Backend> {
  const backend = await Backend.raw(...parameters)
  open.push(backend)
  return backend
}

test.after.each(async () => {
  for (const one of open) if (one instanceof Edge) await until('no request is in flight', () => one.isIdle)
  for (const one of open.splice(0)) one.stop()
})

/** Sends `text` and a FIN. @returns everything that is received until the other side ends */
async function sendAndEnd(edge: Edge, text: string): Promise<string> {
  const client = await edge.client()
  client.socket.end(Buffer.from(text, 'latin1'))
  const all = (await client.takeAll()).toString('latin1')
  assert.is(client.error, '')
  await until('the connection is closed', () => edge.connections.size === 0)
  return all
}

const post = (body: string) => `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`

test('a request followed by a FIN gets its response, then the connection closes', async () => {
  const backend = await backendOf(async (request, connection) => {
    await sleep(100)
    connection.write(ok(`${request.startLine.split(' ')[0]} ${request.body}`))
  })
  const edge = await edgeOf([backend.port])
  for (const [request, body] of [
    [get(), 'GET '],
    [post('hello'), 'POST hello'],
    ['POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n', 'POST hi'],
    ['GET / HTTP/1.0\r\nHost: app.test\r\n\r\n', 'GET '],
  ] as const) {
    const all = await sendAndEnd(edge, request)
    assert.match(all, /^HTTP\/1\.1 200 OK\r\nContent-Length: \d+\r\n/, request)
    assert.ok(all.endsWith(`\r\n\r\n${body}`), all)
  }
  assert.is(edge.counters(1).aborted, 0)
})

test('every kind of response reaches a client that has ended its side', async () => {
  const large = 'x'.repeat(3_000_000)
  const answers: Record<string, [string, RegExp]> = {
    '/interim': [
      `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok()}`,
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
    ],
    '/chunked': [
      'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      /^HTTP\/1\.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n$/,
    ],
    '/close': ['HTTP/1.1 200 OK\r\n\r\nall', /^HTTP\/1\.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n$/],
    '/none': ['HTTP/1.1 204 No Content\r\n\r\n', /^HTTP\/1\.1 204 No Content\r\n\r\n$/],
    '/bad': ['nonsense\r\n\r\n', /^HTTP\/1\.1 502 Bad Gateway\r\n/],
    '/large': [ok(large), /x{100}$/],
  }
  const backend = await backendOf((request, connection) => {
    const path = request.startLine.split(' ')[1]!
    connection.write(answers[path]![0])
    if (path === '/close') connection.socket.end()
  })
  const edge = await edgeOf([backend.port])
  for (const [path, [, expected]] of Object.entries(answers)) {
    const all = await sendAndEnd(edge, get(path))
    assert.match(all.slice(-3000), path === '/large' ? expected : /./)
    if (path === '/large') assert.ok(all.length > large.length)
    else assert.match(all, expected, path)
  }
})

test('local replies reach a client that has ended its side, also after a failed attempt', async () => {
  const resets = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    await sleep(50)
    connection.socket.resetAndDestroy()
  })
  const edge = await edgeOf([resets.port])
  assert.match(await sendAndEnd(edge, get()), /^HTTP\/1\.1 502 Bad Gateway\r\nContent-Type: text\/plain/)
  assert.match(await sendAndEnd(edge, 'GET /a/../b HTTP/1.1\r\nHost: app.test\r\n\r\n'), /^HTTP\/1\.1 400 Bad Request\r\n/)
  const good = await backendOf((_request, connection) => connection.write(ok('second try')))
  const two = await edgeOf([resets.port, good.port])
  for (let i = 0; i < 2; i++) assert.match(await sendAndEnd(two, get()), /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nsecond try$/s)
})

test('pipelined requests before a FIN are all served in order, also beyond the backlog', async () => {
  const backend = await backendOf((request, connection) => connection.write(ok(request.startLine.split(' ')[1])))
  const edge = await edgeOf([backend.port])
  const count = 2000
  const all = await sendAndEnd(edge, Array.from({ length: count }, (_, i) => get(`/${i}`, `X: ${'x'.repeat(100)}\r\n`)).join(''))
  const paths = [...all.matchAll(/\r\n\r\n(\/\d+)/g)].map(match => match[1])
  assert.equal(
    paths,
    Array.from({ length: count }, (_, i) => `/${i}`),
  )
  assert.is(all.split('HTTP/1.1 200 OK\r\n').length - 1, count)
})

test('a FIN within a pipelined request: earlier ones are served, that one gets 400', async () => {
  const backend = await backendOf((request, connection) => connection.write(ok(request.startLine.split(' ')[1])))
  const edge = await edgeOf([backend.port])
  for (const part of [
    'GET /c HTTP/1.1\r\nHost: app',
    `${post('hello').slice(0, -2)}`,
    'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel',
  ]) {
    const all = await sendAndEnd(edge, get('/a') + get('/b') + part)
    assert.match(
      all,
      /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n\/aHTTP\/1\.1 200 OK\r\n.*\r\n\r\n\/bHTTP\/1\.1 400 Bad Request\r\n/s,
      part,
    )
    assert.is(all.split('HTTP/1.1').length - 1, 3)
  }
  assert.not(backend.requests.some(request => request.startLine !== 'GET /a HTTP/1.1' && request.startLine !== 'GET /b HTTP/1.1'))
})

test('a FIN within a request: 400, and no server takes it for a complete one', async () => {
  const parts: RawConnection[] = []
  const backend = await rawBackend(async connection => void parts.push(connection))
  const edge = await edgeOf([backend.port])
  for (const part of [
    'G',
    'GET / HTTP/1.1\r\nHost: app.test\r\n',
    post('hello').slice(0, -1),
    'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
  ]) {
    const all = await sendAndEnd(edge, part)
    assert.match(all, /^HTTP\/1\.1 400 Bad Request\r\n/, part)
    assert.is(all.split('HTTP/1.1').length - 1, 1)
  }
  for (const one of parts) assert.ok(await one.ends())
  for (const one of parts) assert.not.match(one.peek(), /hello$|\r\n0\r\n\r\n/)
  assert.is(await sendAndEnd(edge, ''), '', 'no bytes get no response')
  assert.is(await sendAndEnd(edge, '\r\n'), '')
})

test('the 400 for an incomplete request has a request id, a log line and a counter', async () => {
  const backend = await rawBackend(() => {})
  const edge = await edgeOf([backend.port])
  const all = await sendAndEnd(edge, post('hello').slice(0, -1))
  const [line] = edge.logs
  assert.is(edge.logs.length, 1)
  assert.is(line!.message, "the client ended the connection within a request's body")
  assert.is(line!.fields.status, 400)
  assert.match(String(line!.fields.requestId), /./)
  assert.ok(all.includes(String(line!.fields.requestId)), all)
  assert.equal(edge.accessLog, ['POST app.test / 400'])
  assert.is(edge.counters(1).aborted, 0)
})

test('a FIN within an upload that has its response: the response is complete, then closed', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write(ok('early'))
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  client.write(post('x'.repeat(1000)).slice(0, -500))
  assert.is((await client.takeMessage()).body.toString(), 'early')
  client.socket.end()
  assert.is((await client.takeAll()).toString(), '')
  assert.is(client.error, '')
  assert.ok(await backend.connections[0]!.ends())
})

test('an event stream continues through silence for a client that ended its side at once', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    await sleep(3000)
    connection.write('5\r\nevent\r\n0\r\n\r\n')
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  client.socket.end(get())
  await until('the request is sent', () => backend.accepted === 1)
  assert.match((await client.takeAll()).toString(), /^HTTP\/1\.1 200 OK\r\n.*5\r\nevent\r\n0\r\n\r\n$/s)
})

test('a FIN during a response: the response continues while bytes flow', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n')
    for (const byte of 'slowly') {
      await sleep(600)
      connection.write(byte)
    }
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  client.write(get())
  await client.takeThrough('\r\n\r\n')
  client.socket.end()
  assert.is((await client.takeAll()).toString(), 'slowly')
  assert.is(client.error, '')
})

test('a FIN while the response is quiet: it continues after a silence within the stall time', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n')
    await sleep(3500)
    connection.write('ok')
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  client.write(get())
  await client.takeThrough('\r\n\r\n')
  client.socket.end()
  assert.is((await client.takeAll()).toString(), 'ok')
  assert.is(client.error, '')
})

test('a FIN while the response is quiet for the stall time: it is cut off and logged', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n')
  })
  const edge = await edgeOf([backend.port], { timeouts: { stallMs: 500 } })
  const client = await edge.client()
  client.write(get())
  await client.takeThrough('\r\n\r\n')
  client.socket.end()
  await client.until(() => client.closed, 'the connection is cut off')
  assert.is(client.error, 'ECONNRESET')
  const [line] = edge.logs
  assert.match(line!.message, /^cut off: the client has ended its side, and the response was quiet for 0\.5 s \(--stall-timeout/)
  assert.is(line!.fields.service, 'app')
})

test('a FIN of a client that does not read: its response arrives whole within the stall time', async () => {
  const large = Buffer.alloc(14_000_000, 'x')
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${large.length}\r\n\r\n`)
    connection.write(large)
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  client.write(get())
  await client.takeThrough('\r\n\r\n')
  client.socket.pause()
  let written = -1
  const filled = () => {
    const before = written
    written = backend.connections[0]!.socket.bytesWritten - backend.connections[0]!.socket.writableLength
    return written === before
  }
  while (!filled()) await sleep(300)
  client.socket.end()
  await sleep(5000)
  client.socket.resume()
  assert.is((await client.takeAll()).length, large.length)
  assert.is(client.error, '')
  assert.equal(edge.logs, [])
})

test('the response to a client that has ended is one write if its server is quick', async () => {
  const backend = await backendOf(async (_request, connection) => {
    await sleep(30)
    connection.write(ok())
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  const pieces: string[] = []
  client.socket.on('data', (chunk: Buffer) => pieces.push(chunk.toString()))
  client.socket.end(get())
  await client.takeAll()
  assert.is(pieces.length, 1, JSON.stringify(pieces))
})

test('a client that is gone before its response cancels its request, also among pipelined ones', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  client.write(get('/a') + get('/b'))
  await until('the first request is sent', () => backend.accepted === 1)
  client.destroy()
  assert.ok(await backend.connections[0]!.ends())
  await until('the exchange is over', () => edge.isIdle && edge.connections.size === 0)
  assert.is(edge.counters(1).aborted, 1)
  assert.is(backend.accepted, 1)
})

test('a FIN before the response to an upgrade ends that direction of the tunnel', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    await sleep(100)
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
    const all = await connection.takeAll()
    connection.socket.end(`got ${all}`)
  })
  const edge = await edgeOf([backend.port])
  const all = await sendAndEnd(edge, `${get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n')}first`)
  assert.match(all, /^HTTP\/1\.1 101 Switching Protocols\r\n.*\r\n\r\ngot first$/s)
})

test('through a relay: FIN gets a response, a reset cancels, half-close passes a tunnel', async () => {
  const backend = await rawBackend(async connection => {
    const head = await connection.takeThrough('\r\n\r\n')
    if (head.startsWith('GET /tunnel ')) {
      connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
      connection.socket.end(`got ${await connection.takeAll()}`)
    } else if (head.startsWith('GET /late ')) {
      await sleep(100)
      connection.write(ok('late'))
    }
  })
  const { from, to } = await pairOf([backend.port])
  open.push(from, to)
  assert.match(await sendAndEnd(from, get('/late')), /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nlate$/s)
  const gone = await from.client()
  gone.write(get('/never'))
  await until('the request is at the server', () => backend.connections.some(one => !one.ended && one.received > 0))
  gone.destroy()
  await until('the request is cancelled', () => from.isIdle && to.isIdle)
  const tunnel = await from.client()
  tunnel.write(get('/tunnel', 'Connection: Upgrade\r\nUpgrade: x\r\n'))
  assert.is(statusOf({ ...(await tunnel.takeMessage()) }), 101)
  tunnel.socket.end('bye')
  assert.is((await tunnel.takeAll()).toString(), 'got bye')
})

test('an idle connection that its client ends is closed at once, after its earlier responses', async () => {
  const backend = await backendOf((_request, connection) => connection.write(ok()))
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  client.write(get())
  const answer = await client.takeMessage()
  assert.is(fieldOf(answer.head, 'connection'), undefined)
  client.socket.end()
  assert.is((await client.takeAll()).toString(), '')
  await until('the connection is closed', () => edge.connections.size === 0)
})

test.run()
