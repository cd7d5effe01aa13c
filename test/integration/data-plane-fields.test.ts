// Header fields through the data plane (RFC 9110, 7.6.1; Traefik 1.7's X-Forwarded-*): hop-by-hop fields and those named in
// Connection are dropped in both directions; forwarded fields are kept from trusted addresses only; the PROXY protocol.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Backend, type BackendRequest, Edge, get, ok, snapshotOf } from './harness.ts'
import { fieldOf, RawConnection, statusOf } from './raw-connection.ts'

let backend: Backend
let edge: Edge
let fields = ''

test.before(async () => {
  backend = await Backend.start((_request, connection) => connection.write(ok('ok', fields)))
  edge = await Edge.start({ app: { servers: [backend.port] } })
})

test.after(() => {
  edge.stop()
  backend.stop()
})

test.before.each(() => {
  fields = ''
})

const lastRequest = (): BackendRequest => backend.requests.at(-1)!
const sent = (name: string) => fieldOf(lastRequest().head, name)

test('order, case and repetition of fields are kept', async () => {
  await edge.ask(get('/', 'X-b: 1\r\nx-A: 2\r\nX-B: 3\r\nAccept:*/*\r\nX-Empty:\r\n'))
  const head = lastRequest().head
  assert.ok(head.includes('\r\nX-b: 1\r\nx-A: 2\r\nX-B: 3\r\nAccept:*/*\r\nX-Empty:\r\n'), head)
})

test('hop-by-hop fields of a request and those that Connection names are dropped', async () => {
  await edge.ask(
    get(
      '/',
      'Connection: close, X-One\r\nX-One: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\n' +
        'Proxy-Authorization: x\r\nx-two: 2\r\nUpgrade: h2c\r\nConnection: X-TWO, keep-alive ,, \r\nX-Three: 3\r\nTrailer: x\r\n',
    ),
  )
  for (const name of ['connection', 'x-one', 'keep-alive', 'te', 'proxy-connection', 'proxy-authorization', 'x-two', 'upgrade']) {
    assert.is(sent(name), undefined, name)
  }
  assert.is(sent('x-three'), '3')
  assert.is(sent('trailer'), 'x')
})

test('Connection cannot drop fields that frame or address the message', async () => {
  const answer = await edge.ask(
    'POST / HTTP/1.1\r\nHost: app.test\r\nConnection: Host, Content-Length, X-Forwarded-For, X-Real-Ip\r\nContent-Length: 3\r\n\r\nabc',
  )
  assert.is(statusOf(answer), 200)
  assert.is(sent('host'), 'app.test')
  assert.is(lastRequest().body.toString(), 'abc')
  assert.is(sent('x-forwarded-for'), '127.0.0.1')
  await edge.ask(
    'POST / HTTP/1.1\r\nHost: app.test\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  )
  assert.is(lastRequest().body.toString(), 'abc')
})

test('a Connection field with too many options is refused', async () => {
  assert.is(statusOf(await edge.ask(get('/', `Connection: ${'a,'.repeat(5000)}\r\n`))), 400)
})

test('hop-by-hop fields of a response and those that Connection names are dropped', async () => {
  fields =
    'Connection: X-One\r\nX-One: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2\r\nProxy-Authenticate: Basic\r\nX-Two: 2\r\nx-TWO: 3\r\n'
  const { head } = await edge.ask(get())
  for (const name of ['connection', 'x-one', 'keep-alive', 'upgrade', 'proxy-authenticate']) {
    assert.is(fieldOf(head, name), undefined, name)
  }
  assert.is(fieldOf(head, 'x-two'), '2 | 3')
})

test('forwarded fields of a client that is not trusted are replaced', async () => {
  await edge.ask(
    get(
      '/',
      'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Real-Ip: 1.1.1.1\r\n' +
        'X-Forwarded-Server: evil\r\nForwarded: for=1.1.1.1\r\nX_Forwarded_For: 1.1.1.1\r\nX-Forwarded_Host: evil\r\nx_real_ip: 1.1.1.1\r\n' +
        'X-Forwarded-Prefix: /evil\r\nX-Forwarded-For: 2.2.2.2\r\n',
    ),
  )
  assert.not.match(lastRequest().head, /evil|1\.1\.1\.1|2\.2\.2\.2/)
  assert.is(sent('x-forwarded-for'), '127.0.0.1')
  assert.is(sent('x-real-ip'), '127.0.0.1')
  assert.is(sent('x-forwarded-proto'), 'http')
  assert.is(sent('x-forwarded-host'), 'app.test')
  assert.is(sent('x-forwarded-port'), '80')
  assert.is(sent('x-forwarded-server'), 'edge-1')
  assert.is(sent('forwarded'), undefined)
  await edge.ask('GET / HTTP/1.1\r\nHost: app.test:8080\r\n\r\n')
  assert.is(sent('x-forwarded-port'), '8080')
  assert.is(sent('x-forwarded-host'), 'app.test:8080')
})

test('the forwarded fields follow the Host of each request on a connection', async () => {
  const client = await edge.client()
  for (const host of ['a.test', 'b.test:81', 'b.test:81', 'a.test']) {
    client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    await client.takeMessage()
    assert.is(sent('x-forwarded-host'), host)
  }
})

test('forwarded fields of a trusted address are kept and extended', async () => {
  const trusting = await Edge.start(
    { app: { servers: [backend.port] } },
    { entryPoint: { forwardedHeaders: { trustedIPs: ['127.0.0.0/8'], insecure: false } } },
  )
  await trusting.ask(
    get(
      '/',
      'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\nX-Real-Ip: 1.1.1.1\r\n' +
        'X-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Server: front\r\nX-Forwarded-Prefix: /shop\r\nForwarded: for=1.1.1.1\r\n',
    ),
  )
  assert.is(sent('x-forwarded-for'), '1.1.1.1, 2.2.2.2, 127.0.0.1')
  assert.is(sent('x-real-ip'), '1.1.1.1')
  assert.is(sent('x-forwarded-proto'), 'https')
  assert.is(sent('x-forwarded-host'), 'shop.test')
  assert.is(sent('x-forwarded-port'), '443')
  assert.is(sent('x-forwarded-server'), 'edge-1')
  assert.is(sent('x-forwarded-prefix'), '/shop')
  assert.is(sent('forwarded'), 'for=1.1.1.1')
  await trusting.ask(get())
  assert.is(sent('x-forwarded-for'), '127.0.0.1')
  trusting.stop()
})

test('a retry sends the added fields once', async () => {
  const bad = await Backend.start((_request, connection) => void connection.socket.resetAndDestroy())
  edge.apply(snapshotOf({ app: { servers: [bad.port, backend.port] } }))
  for (let i = 0; i < 2; i++) {
    await edge.ask(get())
    assert.is(sent('x-forwarded-for'), '127.0.0.1')
    assert.is(sent('host'), 'app.test')
  }
  bad.stop()
  edge.apply(snapshotOf({ app: { servers: [backend.port] } }))
})

test("passHostHeader=false sends the server's own address, also on a retry", async () => {
  const bad = await Backend.start((_request, connection) => void connection.socket.resetAndDestroy())
  edge.apply(snapshotOf({ app: { servers: [bad.port, backend.port], router: { passHostHeader: false } } }))
  for (let i = 0; i < 2; i++) {
    await edge.ask(get())
    assert.is(sent('host'), `127.0.0.1:${backend.port}`)
    assert.is(sent('x-forwarded-host'), 'app.test')
  }
  bad.stop()
  edge.apply(snapshotOf({ app: { servers: [backend.port] } }))
})

test('middlewares change the path that is sent; the query is unchanged', async () => {
  edge.apply(
    snapshotOf(
      { app: { servers: [backend.port] } },
      { strip: { kind: 'stripPrefix', prefixes: ['/api'] }, add: { kind: 'addPrefix', prefix: '/v2' } },
    ),
  )
  await edge.ask(get('/api/users?x=/api'))
  assert.is(lastRequest().startLine, 'GET /v2/users?x=/api HTTP/1.1')
  edge.apply(snapshotOf({ app: { servers: [backend.port] } }))
})

test('a sticky cookie is set once and honoured', async () => {
  const backends = await Promise.all(['a', 'b', 'c'].map(name => Backend.start((_r, connection) => connection.write(ok(name)))))
  edge.apply(
    snapshotOf({
      app: { servers: backends.map(b => b.port), sticky: { name: 'srv', secure: true, httpOnly: true, sameSite: 'lax' } },
    }),
  )
  const first = await edge.ask(get())
  const cookie = fieldOf(first.head, 'set-cookie')!
  assert.match(cookie, /^srv=[\w-]{22}; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  for (let i = 0; i < 6; i++) {
    const again = await edge.ask(get('/', `Cookie: other=1; ${cookie.split(';')[0]}\r\n`))
    assert.is(again.body.toString(), first.body.toString())
    assert.is(fieldOf(again.head, 'set-cookie'), undefined)
  }
  for (const one of backends) one.stop()
  edge.apply(snapshotOf({ app: { servers: [backend.port] } }))
})

const V2 = Buffer.concat([
  Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
  Buffer.from([0x21, 0x11, 0, 12, 9, 9, 9, 9, 10, 0, 0, 1, 0x12, 0x34, 0, 80]),
])

test('PROXY headers of both versions, at once or byte by byte, precede ordinary requests', async () => {
  const behind = await Edge.start(
    { app: { servers: [backend.port] } },
    { entryPoint: { proxyProtocol: { trustedIPs: ['127.0.0.1'], insecure: false } } },
  )
  for (const [header, address] of [
    [Buffer.from('PROXY TCP4 8.8.4.4 10.0.0.1 4711 80\r\n'), '8.8.4.4'],
    [Buffer.from('PROXY TCP6 2001:DB8:0::1 ::1 4711 80\r\n'), '2001:db8::1'],
    [Buffer.from('PROXY UNKNOWN\r\n'), '127.0.0.1'],
    [V2, '9.9.9.9'],
  ] as const) {
    for (const whole of [true, false]) {
      const client = await behind.client()
      const bytes = Buffer.concat([header, Buffer.from(get())])
      if (whole) client.write(bytes)
      else {
        for (const byte of bytes) {
          client.write(Buffer.from([byte]))
          await new Promise(resolve => setImmediate(resolve))
        }
      }
      assert.is(statusOf(await client.takeMessage()), 200)
      assert.is(sent('x-forwarded-for'), address)
      client.write(get())
      assert.is(statusOf(await client.takeMessage()), 200)
      assert.is(sent('x-real-ip'), address)
    }
  }
  behind.stop()
})

test('a connection of a balancer without a valid PROXY header is closed, and nothing is served', async () => {
  const behind = await Edge.start(
    { app: { servers: [backend.port] } },
    { entryPoint: { proxyProtocol: { trustedIPs: ['127.0.0.1'], insecure: false } }, timeouts: { requestHeaderMs: 300 } },
  )
  const before = backend.requests.length
  for (const bytes of [get(), 'PROXY TCP4 x y 1 2\r\n', 'PROXY TCP4 1.1.1.1 2.2.2.2 1 2', '']) {
    const client = await behind.client()
    if (bytes !== '') client.write(bytes)
    assert.ok(await client.ends(), JSON.stringify(bytes))
    assert.is(client.received, 0)
  }
  assert.is(backend.requests.length, before)
  behind.stop()
})

test('a PROXY header does not make forwarded fields of the client trusted', async () => {
  const behind = await Edge.start(
    { app: { servers: [backend.port] } },
    {
      entryPoint: {
        proxyProtocol: { trustedIPs: ['127.0.0.1'], insecure: false },
        forwardedHeaders: { trustedIPs: ['127.0.0.1'], insecure: false },
      },
    },
  )
  await behind.ask(`PROXY TCP4 8.8.4.4 10.0.0.1 4711 80\r\n${get('/', 'X-Forwarded-For: 1.1.1.1\r\n')}`)
  assert.is(sent('x-forwarded-for'), '8.8.4.4')
  behind.stop()
})

test('a PROXY header is a malformed request where the protocol is not enabled', async () => {
  const client = await RawConnection.open(edge.port)
  client.write(`PROXY TCP4 8.8.4.4 10.0.0.1 4711 80\r\n${get()}`)
  assert.is(statusOf(await client.takeMessage()), 400)
  client.destroy()
})

test.run()
