// Upgraded connections (RFC 9110, 7.8): raw in both directions with half-close, closed when idle or broken. Protocols that must not
// be tunnelled are removed, and the request is served without them.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, sleep } from './harness.ts'
import { fieldOf, statusOf } from './raw-connection.ts'

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

test.after.each(async () => {
  for (const one of open) if (one instanceof Edge) await until('no request is in flight', () => one.isIdle)
  for (const one of open.splice(0)) one.stop()
})

test('an upgraded connection is raw, including bytes sent ahead; half-close passes', async () => {
  const backend = await rawBackend(async connection => {
    const head = await connection.takeThrough('\r\n\r\n')
    assert.is(fieldOf(head, 'upgrade'), 'websocket')
    assert.is(fieldOf(head, 'connection'), 'Upgrade')
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-X: y\r\n\r\nhello')
    const all = await connection.takeAll()
    connection.write(`you said ${all.toString()}`)
    connection.socket.end()
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  client.write(get('/', 'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n'))
  const head = await client.takeThrough('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  assert.is(fieldOf(head, 'upgrade'), 'websocket')
  assert.is(fieldOf(head, 'connection'), 'Upgrade')
  assert.is(fieldOf(head, 'sec-x'), 'y')
  assert.is((await client.take(5)).toString(), 'hello')
  client.write('GET /smuggled HTTP/1.1\r\n')
  client.socket.end('bye')
  assert.is((await client.takeAll()).toString(), 'you said GET /smuggled HTTP/1.1\r\nbye')
  await until('the tunnel is closed', () => edge.connections.size === 0)
  assert.is(edge.counters(1).answers['1xx'], 1)
})

test('an idle tunnel is closed after its idle time, one with a reset side at once', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
  })
  const edge = await edgeOf(backend.port, { timeouts: { tunnelIdleMs: 1000 } })
  const request = get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n')
  const idle = await edge.client()
  idle.write(request)
  await idle.takeThrough('\r\n\r\n')
  for (let i = 0; i < 4; i++) {
    await sleep(350)
    idle.write('.')
  }
  assert.not(idle.ended || idle.closed, 'bytes keep the tunnel open')
  assert.ok(await idle.ends())
  const broken = await (await edgeOf(backend.port)).client()
  broken.write(request)
  await broken.takeThrough('\r\n\r\n')
  backend.connections.at(-1)!.socket.resetAndDestroy()
  assert.ok(await broken.ends())
})

test('an Upgrade of h2c alone, a malformed one, or one in HTTP/1.0 is removed from the request', async () => {
  const backend = await Backend.start((_request, connection) => connection.write(ok()))
  open.push(backend)
  const edge = await edgeOf(backend.port)
  for (const request of [
    get('/', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n'),
    get(
      '/',
      'Connection: Upgrade\r\nUpgrade: H2C-14\r\nUpgrade: HTTP/2.0, TLS/1.2, h2\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n',
    ),
    get('/', 'Connection: Upgrade\r\nUpgrade: web socket, "websocket", a/b/c, h2c;q=1,, /1\r\n'),
    'GET / HTTP/1.0\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    get('/', 'Upgrade: websocket\r\n'),
  ]) {
    assert.is(statusOf(await edge.ask(request)), 200)
    const { head } = backend.requests.at(-1)!
    assert.is(fieldOf(head, 'upgrade'), undefined)
    assert.is(fieldOf(head, 'connection'), undefined)
    assert.is(fieldOf(head, 'http2-settings'), undefined)
  }
})

test('protocols that carry HTTP are removed from a list of upgrades, others are forwarded', async () => {
  const backend = await rawBackend(async connection => {
    const head = await connection.takeThrough('\r\n\r\n')
    connection.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${fieldOf(head, 'upgrade')}, ` +
        `${fieldOf(head, 'http2-settings')}, ${fieldOf(head, 'x-forwarded-proto')}`,
    )
    connection.socket.end()
  })
  const edge = await edgeOf(backend.port)
  for (const [offered, passed, proto] of [
    ['websocket, h2c', 'websocket', 'ws'],
    ['H2C, WebSocket', 'WebSocket', 'ws'],
    ['h2c\r\nUpgrade: websocket', 'websocket', 'ws'],
    ['TLS/1.0,websocket ,HTTP/2.0, SPDY/3.1', 'websocket, SPDY/3.1', 'http'],
    ['h2cx, tlsx, httpx', 'h2cx, tlsx, httpx', 'http'],
  ] as const) {
    const client = await edge.client()
    client.write(
      get('/', `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${offered}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n`),
    )
    assert.is(fieldOf(await client.takeThrough('\r\n\r\n'), 'upgrade'), 'websocket')
    client.socket.end()
    assert.is((await client.takeAll()).toString(), `${passed}, undefined, ${proto}`)
  }
})

test('a server that switches to h2c nevertheless: 502, and none of its bytes reaches the client', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nSETTINGS')
  })
  const edge = await edgeOf(backend.port)
  const answer = await edge.ask(get('/', 'Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n'))
  assert.is(statusOf(answer), 502)
  assert.not.match(answer.head + answer.body.toString(), /h2c|SETTINGS/)
})

test('a 101 has no framing whatever the server sends; its first bytes belong to the tunnel', async () => {
  for (const framing of ['Content-Length: 0', 'Content-Length: 5', 'Transfer-Encoding: chunked']) {
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write(
        `HTTP/1.1 101 Switching Protocols\r\n${framing}\r\nConnection: Upgrade\r\nUpgrade: x\r\nX-Kept: y\r\n\r\nhello`,
      )
      connection.socket.end()
    })
    const edge = await edgeOf(backend.port)
    const client = await edge.client()
    client.write(get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n'))
    const head = await client.takeThrough('\r\n\r\n')
    assert.match(head, /^HTTP\/1\.1 101 /)
    assert.is(fieldOf(head, 'content-length'), undefined, framing)
    assert.is(fieldOf(head, 'transfer-encoding'), undefined, framing)
    assert.is(fieldOf(head, 'x-kept'), 'y')
    client.socket.end()
    assert.is((await client.takeAll()).toString(), 'hello')
  }
})

test('426 keeps its Upgrade, also on a closing connection and in HTTP/1.0; others do not', async () => {
  let status = '426 Upgrade Required'
  const backend = await Backend.start((_request, connection) =>
    connection.write(
      `HTTP/1.1 ${status}\r\nUpgrade: websocket, TLS/1.2\r\nUpgrade: h2c\r\nConnection: upgrade, x-one\r\nX-One: 1\r\nContent-Length: 2\r\n\r\nno`,
    ),
  )
  open.push(backend)
  const edge = await edgeOf(backend.port)
  for (const [request, connection] of [
    [get(), 'Upgrade'],
    [get('/', 'Connection: close\r\n'), 'close, Upgrade'],
    ['GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n', 'keep-alive, Upgrade'],
  ] as const) {
    const answer = await edge.ask(request)
    assert.is(statusOf(answer), 426)
    assert.is(fieldOf(answer.head, 'upgrade'), 'websocket, TLS/1.2, h2c')
    assert.is(fieldOf(answer.head, 'connection'), connection)
    assert.is(fieldOf(answer.head, 'x-one'), undefined)
    assert.is(answer.body.toString(), 'no')
  }
  status = '400 Bad Request'
  assert.is(fieldOf((await edge.ask(get())).head, 'upgrade'), undefined)
})

test('an upgrade that the server declines is an ordinary request', async () => {
  const backend = await Backend.start((_request, connection) => connection.write(ok('no')))
  open.push(backend)
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  for (let i = 0; i < 2; i++) {
    client.write(get('/', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'))
    assert.is((await client.takeMessage()).body.toString(), 'no')
  }
})

test.run()
