// Limits and time-outs on the client's side: each has its status, a request id that is in the log, and closes the connection where
// necessary. Slow-loris, oversized heads, too many connections; and shutdown (RFC 9112, 9.6).

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, closedPort, Edge, get, ok, sleep } from './harness.ts'
import { fieldOf, type Message, refuses, statusOf } from './raw-connection.ts'

let backend: Backend
/** Completes one request to /held. */
const held: (() => void)[] = []
const edges: Edge[] = []

test.before(async () => {
  backend = await Backend.start(async (request, connection) => {
    if (request.startLine.includes('/slow')) await sleep(400)
    if (request.startLine.includes('/held')) await new Promise<void>(resolve => held.push(resolve))
    if (request.startLine.includes('/never')) return
    connection.write(ok())
  })
})

test.after(() => backend.stop())

test.after.each(async () => {
  for (const edge of edges) await until('no request is in flight', () => edge.isIdle)
  for (const edge of edges.splice(0)) edge.stop()
})

async function edgeOf(overrides: Parameters<typeof Edge.start>[1] = {}, ports = [backend.port]): Promise<Edge> {
  const edge = await Edge.start({ app: { servers: ports } }, overrides)
  edges.push(edge)
  return edge
}

/** Checks that the response is a complete local reply whose request id is in the log with the same status. */
function assertOwn(edge: Edge, message: Message, status: number, what = ''): void {
  assert.is(statusOf(message), status, what)
  const id = fieldOf(message.head, 'x-request-id')!
  assert.match(id, /^edge-1-[a-z0-9]+-[a-z0-9]+$/)
  assert.ok(message.body.toString().startsWith(`${status} `), what)
  assert.ok(message.body.toString().endsWith(`request id: ${id}\n`), what)
  assert.is(fieldOf(message.head, 'cache-control'), 'no-store')
  const lines = edge.logs.filter(entry => entry.fields.requestId === id)
  assert.is(lines.length, 1, `${what}: one line in the log`)
  assert.is(lines[0]!.fields.status, status, what)
  assert.is(lines[0]!.fields.client, '127.0.0.1')
}

test('every status of a local reply has its request id in the log', async () => {
  const limits = { bodyBytes: 100, headerBytes: 4096, headerCount: 20, uriBytes: 256 }
  const edge = await edgeOf({ limits, timeouts: { responseHeaderMs: 300 } })
  const H = 'Host: app.test\r\n'
  const cases: readonly (readonly [number, string])[] = [
    [400, `GET / HTTP/1.1\r\n\r\n`],
    [404, `OPTIONS * HTTP/1.1\r\n${H}\r\n`],
    [405, `CONNECT a:1 HTTP/1.1\r\n${H}\r\n`],
    [413, `POST / HTTP/1.1\r\n${H}Content-Length: 101\r\n\r\n`],
    [413, `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n65\r\n${'x'.repeat(101)}\r\n0\r\n\r\n`],
    [414, `GET /${'a'.repeat(300)} HTTP/1.1\r\n${H}\r\n`],
    [414, `GET /${'a'.repeat(5000)}`],
    [431, `GET / HTTP/1.1\r\n${H}X: ${'a'.repeat(5000)}\r\n\r\n`],
    [431, `GET / HTTP/1.1\r\n${H}${'X: y\r\n'.repeat(20)}\r\n`],
    [501, `${'A'.repeat(33)} / HTTP/1.1\r\n${H}\r\n`],
    [504, get('/never')],
    [505, `GET / HTTP/2.0\r\n${H}\r\n`],
  ]
  for (const [status, bytes] of cases) assertOwn(edge, await edge.ask(bytes), status, `${status} ${bytes.slice(0, 40)}`)
  const refused = await edgeOf({}, [await closedPort()])
  assertOwn(refused, await refused.ask(get()), 502)
  const empty = await edgeOf({}, [])
  const answer = await empty.ask(get())
  assertOwn(empty, answer, 503)
  assert.is(fieldOf(answer.head, 'retry-after'), '1')
})

test('local replies to HEAD have no body, and the connection stays open where possible', async () => {
  const edge = await edgeOf({}, [])
  const client = await edge.client()
  client.write('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  const head = await client.takeMessage({ noBody: true })
  assert.is(statusOf(head), 503)
  client.write(get())
  assert.is(statusOf(await client.takeMessage()), 503)
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello')
  const post = await client.takeMessage()
  assert.is(statusOf(post), 503)
  assert.is(fieldOf(post.head, 'connection'), 'close')
  assert.ok(await client.ends())
})

test('the access log has the known parts of a refused request and none of the previous one', async () => {
  const edge = await edgeOf({ timeouts: { requestHeaderMs: 300 }, limits: { headerBytes: 2000, uriBytes: 1000 } })
  const cases: readonly [bytes: string, status: number, line: string][] = [
    ['HEAD /a?b HTTP/1.1\r\n\r\n', 400, 'HEAD  /a 400'],
    ['HEAD /../a HTTP/1.1\r\nHost: x.test\r\n\r\n', 400, 'HEAD x.test /../a 400'],
    ['HEAD a HTTP/1.1\r\nHost: x.test\r\n\r\n', 400, 'HEAD x.test  400'],
    ['HEAD / HTTP/2.0\r\nHost: x.test\r\n\r\n', 505, 'HEAD   505'],
    [`HEAD /${'a'.repeat(3000)}`, 414, 'HEAD   414'],
    ['HEAD / HTTP/1.1\r\nHost: x', 408, 'HEAD   408'],
    ['HEAD / HTTP/1.1\nHost: x', 400, 'HEAD   400'],
  ]
  for (const [bytes, status, line] of cases) {
    for (const method of ['HEAD', 'POST']) {
      const client = await edge.client()
      client.write('GET /before HTTP/1.1\r\nHost: before.test\r\n\r\n')
      await client.takeMessage()
      edge.accessLog.length = 0
      client.write(bytes.replace('HEAD', method))
      const answer = (await client.takeAll()).toString()
      assert.match(answer, `HTTP/1.1 ${status} `, bytes)
      assert.is(answer.endsWith('\r\n\r\n'), method === 'HEAD', `${method}: ${answer}`)
      assert.equal(edge.accessLog, [line.replace('HEAD', method)])
      client.destroy()
    }
  }
})

test('429 beyond the limit of requests at once per client; places are released', async () => {
  const edge = await Edge.start({ app: { servers: [backend.port], maxConn: { amount: 2, by: 'request.header.X-User' } } })
  edges.push(edge)
  const ask = (user: string, path = '/') => edge.ask(get(path, `X-User: ${user}\r\n`))
  const holding = (count: number): Promise<true> => until(`${count} requests at the server`, () => held.length === count)
  const release = (): void => held.splice(0).forEach(go => void go())
  const answers = [ask('a', '/held'), ask('a', '/held'), ask('b', '/held')]
  await holding(3)
  assertOwn(edge, await ask('a'), 429)
  release()
  assert.equal((await Promise.all(answers)).map(statusOf), [200, 200, 200])
  assert.is(statusOf(await ask('a')), 200)
  const gone = await edge.client()
  gone.write(get('/held', 'X-User: a\r\n'))
  await holding(1)
  gone.destroy()
  await until('the aborted request is over', () => edge.isIdle)
  release()
  const again = [ask('a', '/held'), ask('a', '/held')]
  await holding(2)
  release()
  assert.equal((await Promise.all(again)).map(statusOf), [200, 200])
})

test('408 for a head that does not arrive in time, byte by byte or not at all', async () => {
  const edge = await edgeOf({ timeouts: { requestHeaderMs: 500 } })
  const drip = await edge.client()
  const timer = setInterval(() => drip.write('a'), 50)
  drip.write('GET / HTTP/1.1\r\nHost: app.test\r\nX-Drip: ')
  const answer = await drip.takeMessage()
  clearInterval(timer)
  assertOwn(edge, answer, 408)
  assert.ok(await drip.ends())

  const silent = await edge.client()
  assert.ok(await silent.ends(), 'a connection without a byte is closed')
  assert.is(silent.received, 0, 'without a reply')

  const second = await edge.client()
  second.write(get())
  await second.takeMessage()
  second.write('GET / HT')
  assertOwn(edge, await second.takeMessage(), 408)
})

test('408 for a body that stops, and the server connection is closed', async () => {
  const edge = await edgeOf({ timeouts: { stallMs: 300 } })
  for (const framing of ['Content-Length: 100', 'Transfer-Encoding: chunked']) {
    const n = backend.connections.length
    const client = await edge.client()
    client.write(`POST / HTTP/1.1\r\nHost: app.test\r\n${framing}\r\n\r\n4\r\nhalf`)
    assertOwn(edge, await client.takeMessage(), 408)
    await until('the server connection is closed', () => backend.connections.slice(n).every(c => c.closed || c.ended))
  }
})

test('a body that arrives slowly is not stalled', async () => {
  const edge = await edgeOf({ timeouts: { stallMs: 1000 } })
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 8\r\n\r\n')
  for (let i = 0; i < 8; i++) {
    await sleep(250)
    client.write('x')
  }
  assert.is(statusOf(await client.takeMessage()), 200)
})

test('an idle connection is closed with a FIN after its time, also after an empty line', async () => {
  const edge = await edgeOf({ timeouts: { clientIdleMs: 300 } })
  for (const extra of ['', '\r\n']) {
    const client = await edge.client()
    client.write(get())
    await client.takeMessage()
    client.write(extra === '' ? Buffer.alloc(0) : extra)
    assert.ok(await client.ends())
    assert.is(client.peek(), '', 'no 408 without a request')
    assert.is(client.error, '')
  }
})

test('oversized heads: many fields, long fields, many connections with half a head', async () => {
  const edge = await edgeOf({ timeouts: { requestHeaderMs: 1000 } })
  const bombs = [
    `GET / HTTP/1.1\r\nHost: app.test\r\n${'X: y\r\n'.repeat(50_000)}`,
    `GET / HTTP/1.1\r\nHost: app.test\r\nX: ${'y'.repeat(300_000)}`,
    `GET / HTTP/1.1\r\nHost: app.test\r\n${'y'.repeat(300_000)}`,
    `GET /${'y'.repeat(300_000)}`,
    `${'G'.repeat(300_000)}`,
  ]
  for (const bytes of bombs) {
    const client = await edge.client()
    client.write(bytes)
    const status = statusOf(await client.takeMessage())
    assert.ok([400, 414, 431].includes(status), `${status}`)
    client.destroy()
  }
  const half = await Promise.all(Array.from({ length: 50 }, () => edge.client()))
  for (const client of half) client.write('GET / HTTP/1.1\r\nHost: app.te')
  assert.is(statusOf(await edge.ask(get())), 200, 'other clients are served meanwhile')
  for (const client of half) assert.is(statusOf(await client.takeMessage()), 408)
})

test('connections above the limit get 503 at once; open ones are served', async () => {
  const edge = await edgeOf({ limits: { connections: 2 } })
  const first = await edge.client()
  const second = await edge.client()
  first.write(get())
  second.write(get())
  await first.takeMessage()
  await second.takeMessage()
  const third = await edge.client()
  assert.is(statusOf(await third.takeMessage()), 503)
  assert.ok(await third.ends())
  first.write(get())
  assert.is(statusOf(await first.takeMessage()), 200)
  second.destroy()
  await until('the second connection is closed', () => edge.connections.size === 1)
  assert.is(statusOf(await edge.ask(get())), 200)
})

test('draining: in flight ends with Connection: close, idle may send one last request', async () => {
  const edge = await edgeOf()
  const idle = await edge.client()
  const late = await edge.client()
  for (const client of [idle, late]) {
    client.write(get())
    await client.takeMessage()
  }
  const busy = await edge.client()
  busy.write(get('/slow'))
  await until('the request is in flight', () => edge.forwarder.inFlight === 1)
  await edge.drain()
  assert.ok(await refuses(edge.port))
  late.write(get())
  const last = await late.takeMessage()
  assert.is(statusOf(last), 200)
  assert.is(fieldOf(last.head, 'connection'), 'close')
  const answer = await busy.takeMessage()
  assert.is(statusOf(answer), 200)
  assert.is(fieldOf(answer.head, 'connection'), 'close')
  assert.ok(await idle.ends())
  assert.is(idle.error, '')
  await until('all connections are closed', () => edge.connections.size === 0)
})

test('bytes of a refused client are read and discarded, so that no reset destroys the response', async () => {
  const edge = await edgeOf({ limits: { bodyBytes: 1000 } })
  const client = await edge.client()
  client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3000000\r\n\r\n${'x'.repeat(3_000_000)}`)
  assert.is(statusOf(await client.takeMessage()), 413)
  await sleep(100)
  assert.is(client.error, '')
})

test.run()
