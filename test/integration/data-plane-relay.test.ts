// A replica that reaches no server of a service relays its requests to a peer that does. All of HTTP passes as through one proxy.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { defineMiddleware } from '../../src/middlewares/middleware.ts'
import { MiddlewareRegistry } from '../../src/middlewares/registry.ts'
import { until } from '../until.ts'
import { Backend, get, ok, sleep, snapshotOf } from './harness.ts'
import { fieldOf, type Message, statusOf } from './raw-connection.ts'
import { backendOf, cutOff, edgeOf, NOWHERE, pairOf, stopAll, stopLater } from './relay-edges.ts'

const echo = () =>
  backendOf((request, connection) => connection.write(ok(`${request.startLine.split(' ')[0]} ${request.body.length}`)))

test.after.each(stopAll)

test('every method, with and without a body, is relayed once and gets its response', async () => {
  const backend = await echo()
  const { from } = await pairOf([backend.port])
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    for (const body of ['', 'hello']) {
      const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`
      const answer = await from.ask(`${method} /path?q=1 HTTP/1.1\r\nHost: app.test\r\n${length}\r\n${body}`)
      assert.is(statusOf(answer), 200)
      assert.is(answer.body.toString(), `${method} ${body.length}`)
    }
  }
  assert.is(backend.requests.length, 12)
  assert.equal(from.reachabilityChanges, ['app unreachable through edge-2'])
})

test('unusual requests and faulty responses are handled as without a peer', async () => {
  let answer = ''
  const backend = await backendOf((_request, connection) => connection.write(answer))
  const { from, to } = await pairOf([backend.port])
  for (const [request, startLine, sent, head, body] of [
    ['LIST /\xc3\xa9 HTTP/1.1\r\nHost: app.test:\r\n\r\n', 'LIST /%C3%A9 HTTP/1.1', ok(), 'Content-Length: 2\r\n', 'ok'],
    [get(), 'GET / HTTP/1.1', 'HTTP/1.1 200 OK\nX : a\n b\nContent-Length: 2, 2\n\nok', 'X: a b\r\nContent-Length: 2\r\n', 'ok'],
    [
      get(),
      'GET / HTTP/1.1',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n002 ;x\r\nok\r\n0 \r\nX : y\r\n\r\n',
      'Transfer-Encoding: chunked\r\n',
      'ok',
    ],
    [
      get(),
      'GET / HTTP/1.1',
      'HTTP/1.1 426 No\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno',
      'Content-Length: 2\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n',
      'no',
    ],
  ] as const) {
    answer = sent
    const message = await from.ask(request)
    const last = backend.requests.at(-1)!
    assert.is(last.startLine, startLine)
    assert.is(fieldOf(last.head, 'host'), 'app.test')
    assert.is(message.head.slice(message.startLine.length + 2, -2), head)
    assert.is(message.body.toString(), body)
  }
  answer = 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'
  for (let i = 0; i < 5; i++) assert.is(statusOf(await from.ask(get())), 502)
  assert.equal(
    [from.ejections, to.ejections].flat().filter(line => line.includes('reset')),
    [],
  )
})

test('the server receives the same request as without a peer', async () => {
  const backend = await echo()
  const { from } = await pairOf([backend.port])
  await from.ask(get('/a/b%20c?x=%41', 'X-Custom: 1\r\nCookie: a=b\r\n'))
  const { head } = backend.requests[0]!
  assert.match(head, /^GET \/a\/b%20c\?x=%41 HTTP\/1\.1\r\nHost: app\.test\r\nX-Custom: 1\r\nCookie: a=b\r\n/)
  assert.is(fieldOf(head, 'x-forwarded-for'), '127.0.0.1')
  assert.is(fieldOf(head, 'x-forwarded-server'), 'edge-1')
  assert.is(fieldOf(head, 'x-real-ip'), '127.0.0.1')
  assert.is(fieldOf(head, 'x-forwarded-host'), 'app.test')
  assert.not.match(head, /skein/i)
})

test("the forwarded chain of a trusted balancer in front of the sender is the server's", async () => {
  const backend = await echo()
  const overrides = { entryPoint: { forwardedHeaders: { trustedIPs: ['127.0.0.1'], insecure: false } } }
  const { from } = await pairOf([backend.port], {}, overrides)
  await from.ask(get('/', 'X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n'))
  const { head } = backend.requests[0]!
  assert.is(fieldOf(head, 'x-forwarded-for'), '203.0.113.7, 127.0.0.1')
  assert.is(fieldOf(head, 'x-forwarded-proto'), 'https')
})

test('passHostHeader off: the peer sets the Host of the server it chose', async () => {
  const backend = await echo()
  const { from } = await pairOf([backend.port], { router: { passHostHeader: false } })
  assert.is(statusOf(await from.ask(get())), 200)
  assert.is(fieldOf(backend.requests[0]!.head, 'host'), `127.0.0.1:${backend.port}`)
})

test('HTTP/1.0 without a Host', async () => {
  const backend = await echo()
  const { from } = await pairOf([backend.port])
  const answer = await from.ask('GET / HTTP/1.0\r\n\r\n')
  assert.is(answer.body.toString(), 'GET 0')
  assert.is(fieldOf(backend.requests[0]!.head, 'host'), '')
})

test('a service name with characters that a field cannot carry', async () => {
  const backend = await echo()
  const name = 'shop;host=server é\u4e16 %41'
  const { from, to } = await pairOf([backend.port])
  from.apply(snapshotOf({ [name]: { servers: [{ port: 1, host: NOWHERE }] } }))
  to.apply(snapshotOf({ [name]: { servers: [backend.port] }, shop: { servers: [] } }))
  assert.is(statusOf(await from.ask(get())), 200)
})

test('HEAD, 304 and 204 have no body, and their connections are reused', async () => {
  const backend = await backendOf((request, connection) => {
    if (request.startLine.startsWith('HEAD')) connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
    else if (request.startLine.includes('/304')) connection.write('HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')
    else connection.write('HTTP/1.1 204 No Content\r\n\r\n')
  })
  const { from } = await pairOf([backend.port])
  const client = await from.client()
  for (let i = 0; i < 3; i++) {
    client.write('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')
    const head = await client.takeMessage({ noBody: true })
    assert.is(fieldOf(head.head, 'content-length'), '1000')
    client.write(get('/304'))
    assert.is(fieldOf((await client.takeMessage()).head, 'etag'), '"1"')
    client.write(get('/204'))
    assert.is(statusOf(await client.takeMessage()), 204)
  }
  assert.is(client.peek(), '')
})

test('1 MB up and 1 MB down, by length and in chunks, with trailers', async () => {
  const megabyte = Buffer.alloc(1_000_000, 'x')
  const backend = await backendOf((request, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    connection.write(`${request.body.length.toString(16)}\r\n`)
    connection.write(request.body)
    connection.write(`\r\n0\r\nX-Trailer: ${request.trailers.trim()}\r\n\r\n`)
  })
  const { from } = await pairOf([backend.port])
  const byLength = Buffer.concat([Buffer.from(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\n`), megabyte])
  const sized = await from.ask(byLength)
  assert.is(sized.body.length, 1_000_000)
  const pieces: Buffer[] = [Buffer.from('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n')]
  for (let i = 0; i < 100; i++) pieces.push(Buffer.from('2710\r\n'), megabyte.subarray(0, 10_000), Buffer.from('\r\n'))
  pieces.push(Buffer.from('0\r\nX-Sum: 42\r\n\r\n'))
  const chunked = await from.ask(Buffer.concat(pieces))
  assert.is(chunked.body.length, 1_000_000)
  assert.match(chunked.trailers, /X-Trailer: X-Sum: 42/)
})

test('bodies stream in both directions', async () => {
  const half = 'y'.repeat(200_000)
  const raw = stopLater(
    await Backend.raw(async connection => {
      await connection.takeThrough('\r\n\r\n')
      await connection.take(200_000)
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst')
      await connection.take(200_000)
      connection.write('again')
    }),
  )
  const { from } = await pairOf([raw.port])
  const client = await from.client()
  client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 400000\r\n\r\n${half}`)
  assert.match(await client.takeThrough('first'), /^HTTP\/1\.1 200/)
  client.write(half)
  await client.takeThrough('again')
})

test('a response delimited by close arrives complete', async () => {
  const backend = await backendOf((_request, connection) => {
    connection.write('HTTP/1.1 200 OK\r\n\r\nuntil the end')
    connection.socket.end()
  })
  const { from } = await pairOf([backend.port])
  assert.is((await from.ask(get())).body.toString(), 'until the end')
  assert.is((await from.ask('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')).body.toString(), 'until the end')
})

test('Expect: 100-continue passes; the confirmation of the peer is not forwarded', async () => {
  const backend = await backendOf((request, connection) => connection.write(ok(String(request.body.length))))
  const { from } = await pairOf([backend.port])
  const client = await from.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 200000\r\n\r\n')
  await sleep(100)
  client.write('z'.repeat(200_000))
  const answer = await client.takeMessage()
  assert.is(answer.startLine, 'HTTP/1.1 200 OK')
  assert.not.match(answer.head, /skein/i)
  const asks = stopLater(
    await Backend.raw(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write('HTTP/1.1 100 Continue\r\nX-From: server\r\n\r\n')
      await connection.take(5)
      connection.write(ok('thanks'))
    }),
  )
  const second = await pairOf([asks.port])
  const waiting = await second.from.client()
  waiting.write('POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  assert.match(await waiting.takeThrough('\r\n\r\n'), /^HTTP\/1\.1 100 Continue\r\nX-From: server\r\n/)
  waiting.write('hello')
  assert.match(await waiting.takeThrough('thanks'), /^HTTP\/1\.1 200/)
})

test('an upgrade becomes a tunnel through both replicas, with half-close', async () => {
  const backend = await backendOf(async (request, connection) => {
    assert.is(fieldOf(request.head, 'upgrade'), 'websocket')
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello')
    for (;;) connection.write((await connection.take(4)).toString().toUpperCase())
  })
  const { from, to } = await pairOf([backend.port])
  const client = await from.client()
  client.write(get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'))
  assert.match(await client.takeThrough('hello'), /^HTTP\/1\.1 101/)
  for (let i = 0; i < 3; i++) {
    client.write('ping')
    assert.is((await client.take(4)).toString(), 'PING')
  }
  client.write('last')
  client.socket.end()
  assert.is((await client.take(4)).toString(), 'LAST')
  backend.connections[0]!.socket.end()
  assert.ok(await client.ends())
  await until('both tunnels are closed', () => from.isIdle && to.isIdle)
  await until('and booked', () => from.accessLog.length === 1 && to.peerConnections.size === 0)
})

test('heads at the size limit pass in both directions', async () => {
  const large = 'v'.repeat(60_000)
  const backend = await backendOf((request, connection) => {
    assert.is(fieldOf(request.head, 'x-large')?.length, large.length)
    connection.write(ok('ok', `X-Large: ${large}\r\n`))
  })
  const { from } = await pairOf([backend.port], {}, { limits: { headerBytes: 61_000 } })
  const answer = await from.ask(get('/', `X-Large: ${large}\r\n`))
  assert.is(statusOf(answer), 200)
  assert.is(fieldOf(answer.head, 'x-large')?.length, large.length)
  const many = 'A: b\r\n'.repeat(120)
  assert.is(statusOf(await from.ask(get('/', `X-Large: ${large.slice(0, 60_000)}\r\n`.concat(many).slice(0, 60_900)))), 200)
})

test('the peer sets the sticky cookie, and it is valid on every replica', async () => {
  const backends = await Promise.all(['a', 'b', 'c'].map(name => backendOf((_request, connection) => connection.write(ok(name)))))
  const sticky = { name: 'srv', secure: false, httpOnly: false, sameSite: null }
  const { from, to } = await pairOf(
    backends.map(one => one.port),
    { sticky },
  )
  const first = await from.ask(get())
  const cookie = fieldOf(first.head, 'set-cookie')?.split(';')[0]
  assert.match(cookie ?? '', /^srv=[A-Za-z0-9_-]{22}$/)
  for (let i = 0; i < 6; i++) {
    for (const edge of [from, to]) {
      const again: Message = await edge.ask(get('/', `Cookie: ${cookie}\r\n`))
      assert.is(again.body.toString(), first.body.toString())
      assert.is(fieldOf(again.head, 'set-cookie'), undefined)
    }
  }
})

test('a peer that lacks a feature of the service declines: another one serves it, with and without a body', async () => {
  const backend = await echo()
  const kind = { kind: 'newer', feature: 'newer', schema: () => null as never, compile: () => ({}) }
  const middlewares = new MiddlewareRegistry([defineMiddleware(kind)])
  const features = ['newer']
  const from = await edgeOf('edge-1', cutOff([backend.port], { features }), { middlewares })
  const older = await edgeOf('edge-2', { app: { servers: [backend.port], features } })
  const newer = await edgeOf('edge-3', { app: { servers: [backend.port], features } }, { middlewares })
  from.relayTo(older.target(), newer.target())
  for (let i = 0; i < 4; i++) {
    assert.is(statusOf(await from.ask(get())), 200)
    assert.is(statusOf(await from.ask('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab')), 200)
  }
  await until('all are counted', () => newer.counters(1).relayedIn === 8)
  assert.is(older.counters(1).relayedIn, 0)
  assert.match(older.logs.map(({ message }) => message).join(), /has no feature 'newer'/)
  from.relayTo(older.target())
  assert.is(statusOf(await from.ask(get())), 503)
})

test('requests count at the replica of the client; the peer counts relayed ones separately', async () => {
  const backend = await echo()
  const { from, to } = await pairOf([backend.port])
  for (let i = 0; i < 5; i++) await from.ask(get('/x'))
  await until('all are booked', () => from.accessLog.length === 5 && to.accessLog.length === 5)
  assert.is(from.counters(1).requests, 5)
  assert.is(from.counters(1).relayedOut, 5)
  assert.is(from.counters(1).inFlight, 0)
  assert.is(to.counters(1).requests, 0)
  assert.is(to.counters(1).relayedIn, 5)
  assert.is(to.counters(1).inFlight, 0)
  assert.equal(new Set(from.accessLog), new Set(['GET app.test /x 200 through edge-2']))
})

test.run()
