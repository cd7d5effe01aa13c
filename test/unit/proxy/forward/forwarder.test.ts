// The forwarder with a codec in memory (memory-codec.ts): retries, sessions, breakers and failover without sockets, and several
// concurrent exchanges on one client connection.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Breaker } from '../../../../src/config/model.ts'
import { FieldList } from '../../../../src/proxy/message/field-list.ts'
import { type ServiceSketch, snapshotOf } from '../../../integration/harness.ts'
import { testMiddlewares } from '../../../integration/test-middlewares.ts'
import { until } from '../../../until.ts'
import { MemoryClient, MemoryWorker, type ServerCall } from './memory-codec.ts'

const workers: MemoryWorker[] = []
test.after.each(() => {
  for (const worker of workers.splice(0)) worker.stop()
})

function setUp(sketch: ServiceSketch, overrides: ConstructorParameters<typeof MemoryWorker>[1] = {}) {
  const worker = new MemoryWorker(snapshotOf({ app: sketch }), overrides)
  workers.push(worker)
  return { worker, client: new MemoryClient(worker) }
}

/** Waits until a server has this many requests; returns the last. */
async function callOf(worker: MemoryWorker, port: number, count = 1): Promise<ServerCall> {
  await until(`server ${port} has ${count} requests`, () => worker.server(port).calls.length >= count)
  return worker.server(port).calls[count - 1]!
}

test('concurrent exchanges on one connection: responses end in any order and do not mix', async () => {
  const { worker, client } = setUp({ servers: [1] })
  worker.server(1).handle = () => {}
  const [a, b, c] = ['/a', '/b', '/c'].map(path => client.request('GET', path))
  await callOf(worker, 1, 3)
  assert.equal([client.open, worker.forwarder.inFlight, worker.service().servers[0]!.inFlight], [3, 3, 3])
  const [first, second, third] = worker.server(1).calls
  third!.respond(200, {}, ['c1', 'c2'])
  first!.respond(201, {}, ['a1'], { open: true })
  second!.respond(404)
  assert.equal([a!.state, b!.state, c!.state], ['open', 'ended', 'ended'])
  first!.data('a2')
  first!.finish()
  assert.equal([a!.status, a!.body, b!.status, c!.body], [201, 'a1a2', 404, 'c1c2'])
  assert.ok(worker.quiet)
  assert.is(worker.counters().requests, 3)
})

test('one exchange is reset by its client: the others on the connection continue', async () => {
  const { worker, client } = setUp({ servers: [1] })
  worker.server(1).handle = () => {}
  const gone = client.request('GET', '/gone')
  const stays = client.request('GET', '/stays')
  await callOf(worker, 1, 2)
  gone.abort()
  const [first, second] = worker.server(1).calls
  assert.equal([first!.closed, second!.closed], [true, false])
  second!.respond(200, {}, ['ok'])
  assert.is((await stays.over).body, 'ok')
  assert.ok(worker.quiet)
})

test('content and trailers pass both ways', async () => {
  const { worker, client } = setUp({ servers: [1] })
  worker.server(1).handle = () => {}
  const upload = client.request('POST', '/', { 'content-type': 'text/plain' }, true)
  upload.send('one ')
  const call = await callOf(worker, 1)
  upload.send('two')
  upload.end(new FieldList('checksum', '7'))
  await until('the body is complete', () => call.complete)
  assert.equal([call.method, call.host, call.body, call.trailers.pairs], ['POST', 'app.test', 'one two', ['checksum', '7']])
  call.respond(200, { 'x-app': 'a' }, ['three'], { trailers: new FieldList('grpc-status', '0') })
  const { body, fields, state, trailers } = await upload.over
  assert.equal([state, body, fields.value('x-app'), trailers.pairs], ['ended', 'three', 'a', ['grpc-status', '0']])
})

test('a sink that asks for a pause: the client is paused, and resumed in a later turn', async () => {
  const { registry: middlewares } = testMiddlewares()
  const snapshot = snapshotOf({ app: { servers: [1] } }, { pauses: { kind: 'pauses' } })
  const worker = new MemoryWorker(snapshot, { middlewares })
  workers.push(worker)
  worker.server(1).handle = () => {}
  const upload = new MemoryClient(worker).request('POST', '/', {}, true)
  const call = await callOf(worker, 1)
  for (const text of ['one ', 'two']) {
    upload.send(text)
    assert.ok(upload.bodyPaused)
    await until('it is resumed', () => !upload.bodyPaused)
  }
  upload.end()
  call.respond(200)
  assert.equal([(await upload.over).status, call.body, call.complete], [200, 'one two', true])
  assert.ok(worker.quiet)
})

test('a refused connect: another server gets the request, whatever the method', async () => {
  const { worker, client } = setUp({ servers: [1, 2] })
  worker.server(1).accepts = 'refused'
  const calls = [1, 2, 3, 4].map(() => client.request('POST', '/', {}, true))
  for (const call of calls) {
    call.send('x')
    call.end()
  }
  for (const call of calls) assert.is((await call.over).body, '2')
  assert.equal(worker.ejections, ['task-1 out refused'])
  assert.ok(worker.quiet)
})

test('a reset before the response: a GET is sent again, a POST gets 502', async () => {
  const { worker, client } = setUp({ servers: [1, 2] })
  worker.server(1).handle = call => call.reset()
  const gets = [client.request('GET', '/'), client.request('GET', '/')]
  for (const get of gets) assert.equal([(await get.over).status, get.body], [200, '2'])
  assert.is(worker.counters().retries, 1)
  const posts = [client.request('POST', '/', {}, true), client.request('POST', '/', {}, true)]
  for (const post of posts) post.end()
  const statuses = [(await posts[0]!.over).status, (await posts[1]!.over).status]
  assert.equal(statuses.sort(), [200, 502])
  assert.ok(worker.quiet)
})

test('a reset within the response: the client sees a broken response', async () => {
  const { worker, client } = setUp({ servers: [1] })
  worker.server(1).handle = call => {
    call.respond(200, {}, ['half'], { open: true })
    call.reset()
  }
  const { body, state } = await client.request('GET', '/').over
  assert.equal([state, body], ['broken', 'half'])
  assert.ok(worker.quiet)
})

test('concurrent retries: no more than the budget at a time, and the others wait for a place', async () => {
  const { worker, client } = setUp({ servers: [1, 2] }, { retry: { budgetMin: 1, budgetRatio: 0 } })
  const failed = new Set<string>()
  let retries = 0
  let most = 0
  worker.server(1).handle = call => {
    failed.add(call.target)
    call.reset()
  }
  worker.server(2).handle = call => {
    if (!failed.has(call.target)) return call.respond(200)
    most = Math.max(most, ++retries)
    setTimeout(() => {
      retries--
      call.respond(200)
    }, 10)
  }
  const gets = [1, 2, 3, 4, 5, 6].map(n => client.request('GET', `/${n}`))
  for (const get of gets) assert.is((await get.over).status, 200)
  assert.equal([failed.size, most], [3, 1])
  assert.ok(worker.quiet)
})

test('no response: the probe finds the server gone, and idempotent requests move to another one', async () => {
  const { worker, client } = setUp({ servers: [1, 2] }, { timeouts: { connectMs: 100, noResponseMs: 100 } })
  const lost = worker.server(1)
  lost.handle = () => {}
  const gets = [client.request('GET', '/'), client.request('GET', '/')]
  await callOf(worker, 1)
  lost.accepts = 'hang'
  for (const get of gets) assert.equal([(await get.over).status, get.body], [200, '2'])
  assert.equal(worker.ejections, ['task-1 out silence'])
  assert.ok(worker.quiet)
})

test('a connect that hangs: its request moves to a server that has responded', async () => {
  const { worker, client } = setUp({ servers: [1, 2] }, { timeouts: { connectMs: 5000 } })
  for (let i = 0; i < 2; i++) await client.request('GET', '/').over
  worker.server(1).accepts = 'hang'
  const gets = [client.request('POST', '/', {}, true), client.request('POST', '/', {}, true)]
  for (const get of gets) get.end()
  for (const get of gets) assert.is((await get.over).body, '2')
})

test('learned sessions: concurrent exchanges of one session on one connection use one server', async () => {
  const learn = { from: 'cookie', name: 'sid', ttlMs: 60_000, size: 100, drain: 'move' } as const
  const { worker, client } = setUp({ servers: [1, 2, 3], learn })
  for (const port of [1, 2, 3]) {
    worker.server(port).handle = call => call.respond(200, { 'set-cookie': `sid=s${port}` }, [String(port)])
  }
  const { body: home } = await client.request('GET', '/').over
  const cookie = `sid=s${home}`
  const calls = Array.from({ length: 5 }, () => client.request('GET', '/', { cookie }))
  for (const call of calls) assert.is((await call.over).body, home)
  worker.server(Number(home)).accepts = 'refused'
  const moved = (await client.request('GET', '/', { cookie }).over).body
  assert.is.not(moved, home)
  for (let i = 0; i < 3; i++) assert.is((await client.request('GET', '/', { cookie }).over).body, moved)
})

test('sticky cookie: the exchange that brings it goes to its server', async () => {
  const sticky = { name: 'srv', secure: false, httpOnly: false, sameSite: null }
  const { client } = setUp({ servers: [1, 2, 3], sticky })
  const first = await client.request('GET', '/').over
  const cookie = first.fields.value('Set-Cookie')!.split(';', 1)[0]!
  const calls = Array.from({ length: 6 }, () => client.request('GET', '/', { cookie }))
  for (const call of calls) assert.is((await call.over).body, first.body)
})

test('circuit breaker: an open gate refuses, a probing gate admits one of several concurrent exchanges', async () => {
  const breaker = { expression: 'NetworkErrorRatio() > 0.5' } as Breaker
  const { worker, client } = setUp({ servers: [1], breaker })
  const gate = worker.service().breaker!
  assert.is((await client.request('GET', '/').over).status, 200)
  gate.setGate({ state: 'open', retryMs: 60_000 } as Parameters<typeof gate.setGate>[0], performance.now())
  assert.is((await client.request('GET', '/').over).status, 503)
  gate.setGate({ state: 'probing', retryMs: 60_000 } as Parameters<typeof gate.setGate>[0], performance.now())
  const calls = Array.from({ length: 4 }, () => client.request('GET', '/'))
  const statuses: number[] = []
  for (const call of calls) statuses.push((await call.over).status)
  assert.equal(statuses.sort(), [200, 503, 503, 503])
  assert.is(worker.server(1).calls.length, 2)
})

test('a service without servers: concurrent requests wait, and go to the server that appears', async () => {
  const { worker, client } = setUp({ servers: [] }, { retry: { serverWaitMs: 5000 } })
  const gets = [client.request('GET', '/'), client.request('GET', '/')]
  worker.runtime.apply(snapshotOf({ app: { servers: [4] } }), new Map([['app', 1]]))
  for (const get of gets) assert.is((await get.over).body, '4')
  assert.ok(worker.quiet)
})

test('an early response to an upload: the rest of the body still reaches the server', async () => {
  const { worker, client } = setUp({ servers: [1] })
  worker.server(1).handle = call => call.respond(200, {}, ['early'])
  const upload = client.request('POST', '/', {}, true)
  upload.send('one ')
  const call = await callOf(worker, 1)
  upload.send('two')
  upload.end()
  assert.equal([(await upload.over).body, call.body, call.complete], ['early', 'one two', true])
  assert.ok(worker.quiet)
})

test('an upload that waits for a retry: content that arrives meanwhile reaches the next attempt', async () => {
  const { worker, client } = setUp({ servers: [1] }, { retry: { bufferBytes: 64 * 1024, serverWaitMs: 5000 } })
  const server = worker.server(1)
  server.handle = call => {
    if (server.calls.length === 1) return call.reset()
    call.onBody = () => {
      if (call.complete) call.respond(200)
    }
    call.onBody()
  }
  const upload = client.request('PUT', '/', {}, true)
  upload.send('a'.repeat(40_000))
  await until('the first attempt is over', () => server.calls.length === 1 && worker.service().servers[0]!.inFlight === 0)
  upload.send('b'.repeat(40_000))
  upload.send('c'.repeat(1_000))
  upload.end()
  assert.is((await upload.over).status, 200)
  assert.equal(
    server.calls.map(call => call.body.length),
    [40_000, 81_000],
  )
  assert.ok(worker.quiet)
})

test('the write of the end of an upload fails at once: the response is awaited up to its time limit', async () => {
  for (const sends of ['nothing', 'a response']) {
    const { worker, client } = setUp({ servers: [1] }, { timeouts: { responseHeaderMs: 1000 } })
    const server = worker.server(1)
    server.handle = () => {}
    server.failsEnd = true
    const upload = client.request('POST', '/', {}, true)
    upload.send('content')
    const call = await callOf(worker, 1)
    upload.end()
    worker.later(500)
    assert.is(upload.state, 'open')
    if (sends === 'nothing') worker.later(2000)
    else call.respond(413)
    assert.equal([upload.state, upload.status], sends === 'nothing' ? ['local', 504] : ['ended', 413])
    assert.ok(worker.quiet)
  }
})

test.run()
