// Middlewares over real sockets: replies, waits, edits of responses, state across snapshots, and routers that fail closed.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NO_FIELDS } from '../../src/proxy/message/field-list.ts'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, type ServiceSketch, sleep, snapshotOf } from './harness.ts'
import { fieldOf, statusOf } from './raw-connection.ts'
import { testMiddlewares } from './test-middlewares.ts'

const stops: (() => unknown)[] = []

async function backendOf(answer: () => string = () => ok('fine', 'Server: app\r\n')): Promise<Backend> {
  const backend = await Backend.start((_request, connection) => connection.write(answer()))
  stops.push(() => backend.stop())
  return backend
}

test.after.each(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

const BREAKER: ServiceSketch['breaker'] = {
  expression: 'NetworkErrorRatio() > 0.5',
  when: { kind: 'networkErrorRatio', is: '>', value: 0.5 },
  minRequests: 1,
  openMs: 1_000,
  recoveryMs: 1_000,
}

type Descriptions = Parameters<typeof snapshotOf>[1]

async function edgeOf(middlewares: Descriptions, more: Partial<ServiceSketch> = {}, backend?: Backend) {
  const server = backend ?? (await backendOf())
  const tests = testMiddlewares()
  const edge = await Edge.start({ app: { servers: [server.port] } }, { middlewares: tests.registry })
  stops.push(() => edge.stop())
  const apply = (descriptions: Descriptions) => edge.apply(snapshotOf({ app: { servers: [server.port], ...more } }, descriptions))
  apply(middlewares)
  return { edge, server, apply, ...tests }
}

test('a middleware replies: 401 with its fields, nothing reaches the server', async () => {
  const { edge, server } = await edgeOf({ auth: { kind: 'auth' } })
  const client = await edge.client()
  client.write(get())
  const refused = await client.takeMessage()
  assert.is(statusOf(refused), 401)
  assert.is(fieldOf(refused.head, 'www-authenticate'), 'Basic')
  assert.match(refused.body.toString(), /request id: /)
  assert.is(server.requests.length, 0)
  client.write(get('/', 'Authorization: yes\r\n'))
  assert.is((await client.takeMessage()).body.toString(), 'fine', 'on the same connection')
  client.write('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  assert.is(statusOf(await client.takeMessage({ noBody: true })), 401)
  assert.ok(edge.isIdle)
  assert.is(edge.counters(1).inFlight, 0)
  assert.is(edge.counters(1).answers['4xx'], 2)
})

test('a 401 does not use the probe of a half-open breaker', async () => {
  const { edge } = await edgeOf({ auth: { kind: 'auth' } }, { breaker: BREAKER })
  edge.service().breaker!.setGate({ state: 'probing', retryMs: 60_000 }, performance.now())
  for (let i = 0; i < 5; i++) assert.is(statusOf(await edge.ask(get())), 401)
  assert.equal(edge.probes, [])
  assert.is(statusOf(await edge.ask(get('/', 'Authorization: yes\r\n'))), 200)
  assert.equal(edge.probes, ['app probing', 'app probed 200'])
})

test('an open breaker refuses only what the middlewares pass', async () => {
  const { edge } = await edgeOf({ auth: { kind: 'auth' } }, { breaker: BREAKER })
  edge.service().breaker!.setGate({ state: 'open', retryMs: 60_000 }, performance.now())
  assert.is(statusOf(await edge.ask(get())), 401)
  assert.is(statusOf(await edge.ask(get('/', 'Authorization: yes\r\n'))), 503)
})

const WAITS = { one: { kind: 'wait' }, two: { kind: 'ready' } }
const LIMITED: Partial<ServiceSketch> = { breaker: BREAKER, maxConn: { amount: 1, by: 'request.host' } }

test('a waiting request continues or is answered when its middleware decides', async () => {
  const { edge, waits, server } = await edgeOf(WAITS, LIMITED)
  const client = await edge.client()
  client.write(get('/', 'X-Wait: 1\r\n') + get('/next'))
  await until('it waits', () => waits.all.length === 1)
  assert.is(edge.counters(1).inFlight, 1)
  assert.is(statusOf(await edge.ask(get())), 200, 'a waiting request holds no place of maxConn')
  waits.all[0]!.resume()
  assert.is((await client.takeMessage()).body.toString(), 'fine')
  assert.is((await client.takeMessage()).body.toString(), 'fine', 'the pipelined one follows')
  client.write(get('/', 'X-Wait: 1\r\n'))
  await until('it waits', () => waits.all.length === 2)
  const { length } = server.requests
  waits.all[1]!.resume({ status: 403, fields: NO_FIELDS, body: 'no\n' })
  const refused = await client.takeMessage()
  assert.is(statusOf(refused), 403)
  assert.is(refused.body.toString(), 'no\n')
  assert.is(server.requests.length, length)
  assert.ok(edge.isIdle)
})

test('a body that arrives while a middleware waits is sent afterwards', async () => {
  const { edge, waits, server } = await edgeOf(WAITS)
  for (const size of [10, 300_000]) {
    const client = await edge.client()
    client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nX-Wait: 1\r\nContent-Length: ${size}\r\n\r\n`)
    client.write('b'.repeat(size))
    await until('it waits', () => waits.all.at(-1)?.pending === true)
    await sleep(50)
    waits.all.at(-1)!.resume()
    assert.is(statusOf(await client.takeMessage()), 200)
    assert.is(server.requests.at(-1)!.body.length, size)
  }
})

test('a client that leaves while a middleware waits leaves no count behind', async () => {
  const { edge, waits } = await edgeOf(WAITS, LIMITED)
  edge.service().breaker!.setGate({ state: 'probing', retryMs: 60_000 }, performance.now())
  for (const request of [
    get('/', 'X-Wait: 1\r\n'),
    'POST / HTTP/1.1\r\nHost: app.test\r\nX-Wait: 1\r\nContent-Length: 9\r\n\r\nhalf',
  ]) {
    const before = waits.all.length
    const client = await edge.client()
    client.write(request)
    await until('it waits', () => waits.all.length === before + 1)
    assert.is(edge.counters(1).inFlight, 1)
    client.destroy()
    await until('it is cancelled', () => waits.cancelled === before + 1)
    assert.is(edge.counters(1).inFlight, 0)
    assert.is(edge.forwarder.inFlight, 0)
    // A late decision has no effect.
    waits.all.at(-1)!.resume()
  }
  assert.is(edge.service().limit!.size, 0)
  assert.equal(edge.probes, [])
  assert.is(statusOf(await edge.ask(get())), 200, 'it is the probe')
  assert.equal(edge.probes, ['app probing', 'app probed 200'])
})

test('a body that stalls while a middleware waits: 408, and the wait is cancelled', async () => {
  const tests = testMiddlewares()
  const server = await backendOf()
  const edge = await Edge.start({ app: { servers: [server.port] } }, { middlewares: tests.registry, timeouts: { stallMs: 300 } })
  stops.push(() => edge.stop())
  edge.apply(snapshotOf({ app: { servers: [server.port] } }, WAITS))
  const answer = await edge.ask('POST / HTTP/1.1\r\nHost: app.test\r\nX-Wait: 1\r\nContent-Length: 9\r\n\r\nhalf')
  assert.is(statusOf(answer), 408)
  assert.is(tests.waits.cancelled, 1)
  assert.is(edge.forwarder.inFlight, 0)
  assert.is(edge.counters(1).inFlight, 0)
})

test('responses pass the middlewares in reverse order; framing and hostile values are safe', async () => {
  const { edge } = await edgeOf({
    outer: { kind: 'headers', value: 'outer' },
    auth: { kind: 'auth' },
    inner: { kind: 'headers', value: 'inner' },
  })
  const served = await edge.ask(get('/', 'Authorization: yes\r\n'))
  assert.is(fieldOf(served.head, 'x-frame'), 'inner,outer')
  assert.is(fieldOf(served.head, 'server'), undefined)
  assert.is(fieldOf(served.head, 'x-bad'), undefined)
  assert.is(served.body.toString(), 'fine')
  const refused = await edge.ask(get())
  assert.is(statusOf(refused), 401)
  assert.is(fieldOf(refused.head, 'x-frame'), 'outer', 'only those before the one that replied')
})

test('a middleware keeps its state across snapshots while its description is equal', async () => {
  const { edge, apply, closed } = await edgeOf({ count: { kind: 'count', limit: 2 } })
  assert.is(statusOf(await edge.ask(get())), 200)
  apply({ count: { kind: 'count', limit: 2 } })
  assert.is(statusOf(await edge.ask(get())), 200)
  apply({ count: { kind: 'count', limit: 2 }, other: { kind: 'ready' } })
  const refused = await edge.ask(get())
  assert.is(statusOf(refused), 429)
  assert.is(refused.body.toString(), 'used 3\n')
  assert.equal(closed, [])
  apply({ count: { kind: 'count', limit: 3 } })
  assert.equal(closed, ['count'])
  assert.is(statusOf(await edge.ask(get())), 200, 'another description starts anew')
})

const BODIES = { outer: { kind: 'brackets' }, one: { kind: 'doubles' }, inner: { kind: 'brackets' } }

test('request bodies pass the sinks, with a length and chunked, also those read while a middleware waits', async () => {
  const { edge, server, waits } = await edgeOf({ first: { kind: 'wait' }, ...BODIES, two: { kind: 'doubles' } })
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab')
  assert.is((await client.takeMessage()).body.toString(), '<<fine>>')
  assert.is(server.requests.at(-1)!.body.toString(), 'abababab')
  assert.is(fieldOf(server.requests.at(-1)!.head, 'content-length'), undefined)
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n')
  await sleep(30)
  client.write('2\r\nbc\r\n0\r\n\r\n')
  assert.is((await client.takeMessage()).body.toString(), '<<fine>>', 'on the same connection')
  assert.is(server.requests.at(-1)!.body.toString().length, 12)
  for (const size of [3, 40_000]) {
    client.write(`PUT / HTTP/1.1\r\nHost: app.test\r\nX-Wait: 1\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`)
    await until('it waits', () => waits.all.at(-1)?.pending === true)
    await sleep(30)
    waits.all.at(-1)!.resume()
    assert.is(statusOf(await client.takeMessage()), 200)
    assert.is(server.requests.at(-1)!.body.length, 4 * size)
  }
  client.write(get())
  assert.is((await client.takeMessage()).body.toString(), '<<fine>>', 'without a body')
  assert.ok(edge.isIdle)
})

test('response bodies pass the sinks whatever their framing; HEAD and 204 have none', async () => {
  let answer = ok('fine')
  const server = await backendOf(() => answer)
  const { edge } = await edgeOf(BODIES, {}, server)
  const cases: [answer: string, body: string][] = [
    [ok('fine'), '<<fine>>'],
    [ok('fine', 'Content-Type: image/png\r\n'), 'fine'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=1\r\ncde\r\n0\r\nX-Sum: 1\r\n\r\n', '<<abcde>>'],
    ['HTTP/1.1 204 No Content\r\n\r\n', ''],
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', ''],
  ]
  const client = await edge.client()
  for (const [given, body] of cases) {
    answer = given
    client.write(get())
    assert.is((await client.takeMessage({ noBody: given.includes(' 204 ') })).body.toString(), body, given)
  }
  answer = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n'
  client.write('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  const head = await client.takeMessage({ noBody: true })
  assert.is(fieldOf(head.head, 'content-length'), undefined, 'a GET would have another length')
  answer = ok('old')
  const old = await edge.ask('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')
  assert.is(old.body.toString(), '<<old>>')
  assert.ok(edge.isIdle)
})

test('a large response through sinks to a slow client arrives whole', async () => {
  const size = 8_000_000
  const server = await backendOf(() => ok('x'.repeat(size)))
  const { edge } = await edgeOf(BODIES, {}, server)
  const answer = await edge.ask(get(), { ms: 60_000 })
  assert.is(answer.body.length, size + 4)
})

test('a sink that fails: 500 before the response, a reset within it, and no count stays behind', async () => {
  const { edge } = await edgeOf({ bad: { kind: 'bodyFails', of: 'request' } })
  const refused = await edge.ask('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab')
  assert.is(statusOf(refused), 500)
  assert.is(statusOf(await edge.ask(get())), 200)
  assert.ok(edge.isIdle)
  const { edge: other } = await edgeOf({ bad: { kind: 'bodyFails', of: 'response' } })
  const client = await other.client()
  client.write(get())
  await until('an answer or the break', () => client.closed || client.ended || client.error !== '', 10_000).catch(() => {})
  await until('nothing is left', () => other.isIdle)
  assert.is(other.counters(1).inFlight, 0)
})

test('a middleware that throws: 500, and the worker goes on', async () => {
  const { edge, server } = await edgeOf({ throws: { kind: 'throws' } })
  assert.is(statusOf(await edge.ask(get())), 500)
  assert.is(server.requests.length, 0)
  assert.match(edge.logs.map(({ message }) => message).join(), /middleware of router app failed: broken/)
  assert.ok(edge.isIdle)
})

const POST = 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab'
const messages = (edge: Edge): string => edge.logs.map(({ message }) => message).join('\n')

test('requestBody() that throws: 500, nothing reaches the server, no count stays behind', async () => {
  const { edge, server } = await edgeOf({ bad: { kind: 'sinkThrows' } })
  assert.is(statusOf(await edge.ask(POST)), 500)
  assert.is(statusOf(await edge.ask(get())), 200, 'without a body')
  assert.is(server.requests.length, 1)
  assert.match(messages(edge), /middleware of router app failed: no sink/)
  assert.ok(edge.isIdle)
  assert.is(edge.counters(1).inFlight, 0)
})

test('response() that throws on the reply of a resumed wait: 500, and the next request is served', async () => {
  const { edge, waits, server } = await edgeOf({ bad: { kind: 'responseThrows' }, wait: { kind: 'wait' } })
  const client = await edge.client()
  client.write(get('/', 'X-Wait: 1\r\n'))
  await until('it waits', () => waits.all.length === 1)
  waits.all[0]!.resume({ status: 403, fields: NO_FIELDS, body: 'no\n' })
  assert.is(statusOf(await client.takeMessage()), 500)
  assert.match(messages(edge), /middleware of router app failed: no edit/)
  client.write(get('/', 'X-Wait: 1\r\n'))
  await until('it waits', () => waits.all.length === 2)
  client.destroy()
  await until('it is cancelled', () => waits.cancelled === 1)
  assert.is(server.requests.length, 0)
  assert.is(edge.forwarder.inFlight, 0)
  assert.is(edge.counters(1).inFlight, 0)
})

test('a sink that fails on a body held during a wait: 500, and the pipelined request is sent once', async () => {
  const { edge, waits, server } = await edgeOf({ wait: { kind: 'wait' }, bad: { kind: 'bodyFails', of: 'request' } })
  const client = await edge.client()
  client.write(POST.replace('\r\n\r\n', '\r\nX-Wait: 1\r\n\r\n') + get('/next'))
  await until('it waits', () => waits.all.length === 1)
  await sleep(30)
  waits.all[0]!.resume()
  assert.is(statusOf(await client.takeMessage()), 500)
  assert.is((await client.takeMessage()).body.toString(), 'fine')
  await sleep(30)
  assert.equal(
    server.requests.map(({ startLine }) => startLine),
    ['GET /next HTTP/1.1'],
  )
  assert.is(client.peek(), '', 'one response')
  assert.ok(edge.isIdle)
  assert.is(edge.counters(1).inFlight, 0)
})

test('a wait that fails to be cancelled is logged, and no count stays behind', async () => {
  const { edge, waits } = await edgeOf({ bad: { kind: 'cancelThrows' } }, LIMITED)
  const client = await edge.client()
  client.write(get('/', 'X-Wait: 1\r\n'))
  await until('it waits', () => edge.counters(1).inFlight === 1)
  client.destroy()
  await until('it is cancelled', () => waits.cancelled === 1)
  await until('nothing is left', () => edge.counters(1).inFlight === 0 && edge.connections.size === 0)
  assert.is(edge.counters(1).aborted, 1)
  assert.is(edge.forwarder.inFlight, 0)
  assert.is(edge.service().limit!.size, 0)
  assert.is(messages(edge), 'a middleware of router app failed to cancel its wait: no cancel')
})

test('a middleware that fails to close is logged, and the snapshot takes effect', async () => {
  const { edge, apply, closed } = await edgeOf({ bad: { kind: 'closeThrows' }, count: { kind: 'count', limit: 0 } })
  assert.is(statusOf(await edge.ask(get())), 429)
  apply({})
  assert.equal(closed, ['closeThrows', 'count'])
  assert.is(statusOf(await edge.ask(get())), 200)
  assert.is(messages(edge), "middleware 'bad' of router app failed to close: no close")
})

test('response() that throws on a 101: 500 instead of a tunnel, and the server connection is closed', async () => {
  const server = await Backend.raw(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw')
  })
  stops.push(() => server.stop())
  const { edge } = await edgeOf({ bad: { kind: 'responseThrows' } }, {}, server)
  const client = await edge.client()
  client.write(get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n'))
  assert.is(statusOf(await client.takeMessage()), 500)
  await until('the server connection is closed', () => server.connections.every(({ ended, closed }) => ended || closed))
  assert.is(client.peek(), '')
  assert.match(messages(edge), /middleware of router app failed: no edit/)
  assert.ok(edge.isIdle)
  assert.is(edge.counters(1).inFlight, 0)
  assert.is(edge.counters(1).answers['1xx'], 0)
})

for (const body of ['request', 'response']) {
  test(`a ${body} sink that fails is no failure of the service`, async () => {
    const { edge } = await edgeOf({ bad: { kind: 'bodyFails', of: body } }, { breaker: BREAKER })
    const events = { probing: () => {}, probed: () => {} }
    const client = await edge.client()
    client.write(POST)
    await until('it is over', () => edge.counters(1).requests === 1)
    await until('nothing is left', () => edge.isIdle)
    assert.is(edge.counters(1).failed, 0)
    assert.is(edge.service().breaker!.report(performance.now(), events), null)
  })
}

test('the reply of a middleware: fields of the framing and values that would break a line are left out', async () => {
  const { edge } = await edgeOf({ bad: { kind: 'hostile' } })
  const client = await edge.client()
  for (let i = 0; i < 2; i++) {
    client.write(get())
    const { head, body } = await client.takeMessage()
    assert.match(head, /^HTTP\/1\.1 403 /)
    assert.is(fieldOf(head, 'x-good'), 'a')
    assert.is(fieldOf(head, 'content-length'), '3')
    assert.not.match(head, /evil|x-bad|x name|connection|99/i)
    assert.is(body.toString(), 'no\n', 'on the same connection')
  }
})

test('a sink that always asks for a pause: the whole body arrives', async () => {
  const { edge, server } = await edgeOf({ pauses: { kind: 'pauses' } })
  const size = 1_000_000
  const answer = await edge.ask(`PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`)
  assert.is(statusOf(answer), 200)
  assert.is(server.requests[0]!.body.length, size)
})

test('a missing, unknown or broken middleware, or an unknown feature: 503 for its router only', async () => {
  const server = await backendOf()
  const tests = testMiddlewares()
  const edge = await Edge.start({ app: { servers: [server.port] } }, { middlewares: tests.registry })
  stops.push(() => edge.stop())
  const servers = [server.port]
  const snapshot = snapshotOf(
    {
      good: { servers, router: { middlewares: ['ready'] } },
      missing: { servers, router: { middlewares: ['ready', 'absent'] } },
      newer: { servers, router: { middlewares: ['newer'] } },
      broken: { servers, router: { middlewares: ['broken'] } },
      feature: { servers, router: { middlewares: [], features: ['from-the-future'] } },
      service: { servers, features: ['from-the-future'], router: { middlewares: [] } },
    },
    { ready: { kind: 'ready' }, newer: { kind: 'newer', users: ['a'] }, broken: { kind: 'broken' } },
  )
  edge.apply(snapshot)
  const statuses: Record<string, number> = {}
  for (const name of Object.keys(snapshot.routers)) {
    statuses[name] = statusOf(await edge.ask(`GET / HTTP/1.1\r\nHost: ${name}.test\r\n\r\n`))
  }
  assert.equal(statuses, { good: 200, missing: 503, newer: 503, broken: 503, feature: 503, service: 503 })
  assert.is(server.requests.length, 1)
  assert.match(edge.logs.map(({ message }) => message).join('\n'), /router feature cannot be served.*from-the-future/)
})

test.run()
