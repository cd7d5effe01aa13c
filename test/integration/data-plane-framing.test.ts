// Framing of messages through the data plane (RFC 9112, 6; RFC 9110, 15): keep-alive, pipelining, lengths, chunks, trailers,
// responses without a body, interim responses, HTTP/1.0 on either side, and the forms of a request target.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, type BackendRequest, Edge, get, ok, snapshotOf } from './harness.ts'
import { fieldOf, type RawConnection, statusOf } from './raw-connection.ts'

type Answer = (request: BackendRequest, connection: RawConnection) => void | Promise<void>

let answer: Answer
let backend: Backend
let edge: Edge

test.before(async () => {
  backend = await Backend.start((request, connection) => answer(request, connection))
  edge = await Edge.start({ app: { servers: [backend.port] } })
})

test.after(() => {
  edge.stop()
  backend.stop()
})

test.before.each(() => {
  backend.requests.length = 0
  answer = (_request, connection) => connection.write(ok())
})

test.after.each(async () => {
  await until('no request is in flight', () => edge.isIdle)
})

const lastRequest = (): BackendRequest => backend.requests.at(-1)!

test('one client connection and one server connection carry many requests', async () => {
  const client = await edge.client()
  const before = backend.accepted
  for (let i = 0; i < 20; i++) {
    client.write(get(`/${i}`))
    assert.is(statusOf(await client.takeMessage()), 200)
  }
  assert.ok(backend.accepted - before <= 1)
  assert.is(backend.requests.length, 20)
})

test('a thousand pipelined requests are answered in order', async () => {
  answer = (request, connection) => connection.write(ok(request.startLine.split(' ')[1]))
  const client = await edge.client()
  client.write(Array.from({ length: 1000 }, (_, i) => get(`/${i}`)).join(''))
  for (let i = 0; i < 1000; i++) assert.is((await client.takeMessage()).body.toString(), `/${i}`)
  assert.is(client.peek(), '')
})

test('pipelined requests with bodies of both kinds and local replies between them', async () => {
  answer = (request, connection) => connection.write(ok(`${request.startLine.split(' ')[1]} ${request.body.toString()}`))
  const client = await edge.client()
  let bytes = ''
  for (let i = 0; i < 300; i += 3) {
    bytes += `POST /${i} HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nbody${i % 10}`
    bytes += `POST /${i + 1} HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`
    bytes += `OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n`
  }
  // In pieces of every size, so that heads and chunks are split anywhere.
  for (let at = 0, size = 1; at < bytes.length; at += size, size = (size % 97) + 1) client.write(bytes.slice(at, at + size))
  for (let i = 0; i < 300; i += 3) {
    assert.is((await client.takeMessage()).body.toString(), `/${i} body${i % 10}`)
    assert.is((await client.takeMessage()).body.toString(), `/${i + 1} abcde`)
    assert.is(statusOf(await client.takeMessage()), 404)
  }
})

test('chunks are encoded anew: content and trailers arrive, extensions do not', async () => {
  await edge.ask(
    'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n' +
      '00003;a=b\r\nabc\r\n1\r\nd\r\n0;z\r\nX-Sum: 4\r\n\r\n',
  )
  assert.is(lastRequest().body.toString(), 'abcd')
  assert.is(lastRequest().trailers, 'X-Sum: 4\r\n')
  assert.is(fieldOf(lastRequest().head, 'transfer-encoding'), 'chunked')
  assert.is(fieldOf(lastRequest().head, 'trailer'), 'X-Sum')
})

test('a chunked response passes with its trailers, and the connection stays open', async () => {
  answer = (_request, connection) =>
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n')
  const client = await edge.client()
  for (let i = 0; i < 3; i++) {
    client.write(get())
    const message = await client.takeMessage()
    assert.is(message.body.toString(), 'abcde')
    assert.is(message.trailers, 'X-Sum: 5\r\n')
  }
})

test('a response is the same wherever its bytes are split', async () => {
  const whole = 'HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n'
  for (let cut = 1; cut < whole.length; cut += 3) {
    answer = async (_request, connection) => {
      connection.write(whole.slice(0, cut))
      await new Promise(resolve => setTimeout(resolve, 2))
      connection.write(whole.slice(cut))
    }
    const message = await edge.ask(get())
    assert.is(message.body.toString(), 'abc', `cut at ${cut}`)
    assert.is(message.trailers, 'X-Sum: 3\r\n')
  }
})

test('responses to HEAD, 204 and 304 have no body, and their connections stay open', async () => {
  answer = (request, connection) => {
    if (request.startLine.startsWith('HEAD')) connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
    else if (request.startLine.includes('/204')) connection.write('HTTP/1.1 204 No Content\r\n\r\n')
    else connection.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "x"\r\n\r\n')
  }
  const client = await edge.client()
  const before = backend.accepted
  for (let i = 0; i < 2; i++) {
    client.write('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')
    assert.is(fieldOf((await client.takeMessage({ noBody: true })).head, 'content-length'), '1000')
    client.write(get('/204'))
    assert.is(statusOf(await client.takeMessage()), 204)
    client.write(get('/304'))
    assert.is(fieldOf((await client.takeMessage()).head, 'etag'), '"x"')
  }
  assert.ok(backend.accepted - before <= 1)
})

test('a 204 that announces a body: the announcement is dropped, its connection is not reused', async () => {
  answer = (_request, connection) => connection.write('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n')
  const client = await edge.client()
  client.write(get())
  const message = await client.takeMessage()
  assert.is(fieldOf(message.head, 'content-length'), undefined)
  const before = backend.accepted
  answer = (_request, connection) => connection.write(ok())
  client.write(get())
  assert.is(statusOf(await client.takeMessage()), 200)
  assert.is(backend.accepted, before + 1)
})

test('bytes after a complete response are never taken for the next one', async () => {
  for (const extra of ['HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', 'x']) {
    answer = (request, connection) => connection.write(request.startLine.includes(' /1 ') ? ok('fine') + extra : ok('next'))
    const client = await edge.client()
    client.write(get('/1'))
    assert.is((await client.takeMessage()).body.toString(), 'fine')
    client.write(get('/2'))
    assert.is((await client.takeMessage()).body.toString(), 'next')
  }
})

test('interim responses pass, with the body after 100; an HTTP/1.0 client gets none', async () => {
  answer = (_request, connection) =>
    connection.write(`HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-y\r\nX-Y: z\r\n\r\n${ok()}`)
  const client = await edge.client()
  client.write(get())
  const hints = await client.takeMessage()
  assert.is(statusOf(hints), 103)
  assert.is(fieldOf(hints.head, 'link'), '</a.css>')
  assert.is(fieldOf(hints.head, 'x-y'), undefined)
  assert.is(statusOf(await client.takeMessage()), 200)
  assert.is(statusOf(await edge.ask('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')), 200)
})

test('Expect: 100-continue: the server decides when the body is sent', async () => {
  const raw = await Backend.raw(async connection => {
    const head = await connection.takeThrough('\r\n\r\n')
    assert.is(fieldOf(head, 'expect'), '100-continue')
    connection.write('HTTP/1.1 100 Continue\r\n\r\n')
    connection.write(ok((await connection.take(5)).toString()))
  })
  edge.apply(snapshotOf({ app: { servers: [raw.port] } }))
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  assert.is(statusOf(await client.takeMessage()), 100)
  client.write('hello')
  assert.is((await client.takeMessage()).body.toString(), 'hello')
  raw.stop()
  edge.apply(snapshotOf({ app: { servers: [backend.port] } }))
})

test('Expect: 100-continue and an immediate final response: no 100, and the connection closes', async () => {
  const raw = await Backend.raw(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
  })
  edge.apply(snapshotOf({ app: { servers: [raw.port] } }))
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  const message = await client.takeMessage()
  assert.is(statusOf(message), 403)
  assert.is(fieldOf(message.head, 'connection'), 'close')
  assert.ok(await client.ends())
  raw.stop()
  edge.apply(snapshotOf({ app: { servers: [backend.port] } }))
})

test('an HTTP/1.0 client gets no chunks, and a close as the end unless it asks for keep-alive', async () => {
  answer = (_request, connection) =>
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n')
  const plain = await edge.client()
  plain.write('GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n')
  const message = await plain.takeMessage()
  assert.is(fieldOf(message.head, 'transfer-encoding'), undefined)
  assert.is(fieldOf(message.head, 'connection'), 'close')
  assert.is(message.body.toString(), 'abcde')

  answer = (_request, connection) => connection.write(ok('abc'))
  const closing = await edge.client()
  closing.write('GET / HTTP/1.0\r\n\r\n')
  assert.is(fieldOf((await closing.takeMessage()).head, 'connection'), 'close')
  assert.ok(await closing.ends())

  const kept = await edge.client()
  for (let i = 0; i < 3; i++) {
    kept.write('GET / HTTP/1.0\r\nHost: app.test\r\nConnection: Keep-Alive\r\n\r\n')
    const reply = await kept.takeMessage()
    assert.is(fieldOf(reply.head, 'connection'), 'keep-alive')
    assert.is(reply.body.toString(), 'abc')
  }
})

test('a request of HTTP/1.0 is sent as HTTP/1.1 with a Host', async () => {
  await edge.ask('GET /x HTTP/1.0\r\n\r\n')
  assert.is(lastRequest().startLine, 'GET /x HTTP/1.1')
  assert.is(fieldOf(lastRequest().head, 'host'), '')
})

test("a response delimited by close becomes chunked; the client's connection stays open", async () => {
  answer = (_request, connection) => {
    connection.write('HTTP/1.1 200 OK\r\n\r\nuntil')
    setTimeout(() => {
      connection.write(' the end')
      connection.socket.end()
    }, 20)
  }
  const client = await edge.client()
  for (let i = 0; i < 2; i++) {
    client.write(get())
    const message = await client.takeMessage()
    assert.is(fieldOf(message.head, 'transfer-encoding'), 'chunked')
    assert.is(message.body.toString(), 'until the end')
  }
})

test('a server of HTTP/1.0, with and without keep-alive', async () => {
  answer = (_request, connection) => {
    connection.write('HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok')
  }
  const client = await edge.client()
  const before = backend.accepted
  for (let i = 0; i < 3; i++) {
    client.write(get())
    const message = await client.takeMessage()
    assert.is(message.startLine, 'HTTP/1.1 200 OK')
    assert.is(fieldOf(message.head, 'connection'), undefined)
  }
  assert.ok(backend.accepted - before <= 1)
  answer = (_request, connection) => connection.write('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok')
  for (let i = 0; i < 2; i++) {
    client.write(get())
    await client.takeMessage()
  }
  assert.ok(backend.accepted - before >= 2)
})

test('the authority of an absolute target overrides Host, and the path is sent', async () => {
  await edge.ask('GET http://Other.test:81/a?b=c HTTP/1.1\r\nHost: app.test\r\n\r\n')
  assert.is(lastRequest().startLine, 'GET /a?b=c HTTP/1.1')
  assert.is(fieldOf(lastRequest().head, 'host'), 'Other.test:81')
  await edge.ask('GET HTTP://other.test HTTP/1.1\r\nHost: app.test\r\n\r\n')
  assert.is(lastRequest().startLine, 'GET / HTTP/1.1')
  await edge.ask('GET https://other.test?q HTTP/1.1\r\nHost: app.test\r\n\r\n')
  assert.is(lastRequest().startLine, 'GET /?q HTTP/1.1')
})

test('paths pass unchanged: encoded slashes, double slashes, dots within segments, odd queries', async () => {
  for (const path of ['/a..b/.c', '/a%2fb%2Fc', '//x//y', '/a;b=c', '/?', '/?a?b/../c', '/%zz%2', "/a'(b)*c", '/...']) {
    await edge.ask(get(path))
    assert.is(lastRequest().startLine, `GET ${path} HTTP/1.1`)
  }
  await edge.ask(get('/%41%2d%c3%a9?%41'))
  assert.is(lastRequest().startLine, 'GET /A-%c3%a9?%41 HTTP/1.1')
})

test('unusual reasons and statuses pass', async () => {
  for (const line of ['HTTP/1.1 200 Alles gut', 'HTTP/1.1 299 ', 'HTTP/1.1 599 x\xe9', 'HTTP/1.1 799 Beyond']) {
    answer = (_request, connection) => connection.write(`${line}\r\nContent-Length: 0\r\n\r\n`)
    assert.is((await edge.ask(get())).startLine, line)
  }
  assert.is(edge.counters(1).inFlight, 0)
})

test('malformed responses become 502, never half a head', async () => {
  const bad: readonly string[] = [
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/1.1 2000 OK\r\n\r\n',
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
    'HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc',
    'HTTP/1.1 100 Continue\r\n\r\n'.repeat(40),
    'SSH-2.0-OpenSSH_9.2\r\n',
    '<html>hello</html>',
    `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(200)}\r\n`,
  ]
  for (const bytes of bad) {
    answer = (_request, connection) => connection.write(bytes)
    // Detected by the bytes, not by a time-out, which is longer than a client waits here.
    const client = await edge.client()
    client.write(get())
    let message = await client.takeMessage()
    while (statusOf(message) === 100) message = await client.takeMessage()
    assert.is(statusOf(message), 502, JSON.stringify(bytes.slice(0, 60)))
    const id = fieldOf(message.head, 'x-request-id')
    assert.ok(edge.logs.some(entry => entry.fields.requestId === id && entry.level === 'warn'))
    client.destroy()
  }
})

test.run()
