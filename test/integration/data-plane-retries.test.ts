// Failures of servers: which requests are sent again, where and how often; stale connections; servers that stop responding. Backends
// are scripted sockets that count every request.

import { createServer } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, closedPort, Edge, get, ok, type ServiceSketch, sleep, snapshotOf } from './harness.ts'
import { fieldOf, type RawConnection, statusOf } from './raw-connection.ts'
import { startStoppable } from './stoppable.ts'

const open: { stop(): void }[] = []

async function edgeOf(servers: ServiceSketch['servers'], overrides: Parameters<typeof Edge.start>[1] = {}): Promise<Edge> {
  const edge = await Edge.start({ app: { servers } }, overrides)
  open.push(edge)
  return edge
}

async function backendOf(...parameters: Parameters<typeof Backend.start>): Promise<Backend> {
  const backend = await Backend.start(...parameters)
  open.push(backend)
  return backend
}

const good = (name: string) => backendOf((request, connection) => connection.write(ok(`${name} ${request.body.toString()}`)))
const resets = () => backendOf((_request, connection) => void connection.socket.resetAndDestroy())

test.after.each(async () => {
  for (const edge of open) if (edge instanceof Edge) await until('no request is in flight', () => edge.isIdle)
  for (const one of open.splice(0)) one.stop()
})

const post = (body = 'hello', method = 'POST', fields = '') =>
  `${method} / HTTP/1.1\r\nHost: app.test\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`

test('a refused connect: another server gets the request, whatever the method', async () => {
  const other = await good('other')
  const edge = await edgeOf([await closedPort(), await closedPort(), other.port])
  for (let i = 0; i < 6; i++) {
    const answer = await edge.ask(i % 2 === 0 ? get() : post())
    assert.is(statusOf(answer), 200)
  }
  assert.is(other.requests.length, 6)
  assert.ok(edge.ejections.length >= 2, 'a refusal ejects at once')
})

test('all connects fail: 502 after three attempts or all servers', async () => {
  const ports = [await closedPort(), await closedPort(), await closedPort(), await closedPort()]
  const edge = await edgeOf(ports)
  assert.is(statusOf(await edge.ask(post())), 502)
  assert.is(edge.ejections.length, 3)
  assert.is(edge.counters(1).retries, 2)
  const single = await edgeOf([await closedPort()])
  assert.is(statusOf(await single.ask(get())), 502)
  assert.is(single.ejections.length, 1)
})

test('a service without servers: 503', async () => {
  const edge = await edgeOf([])
  const answer = await edge.ask(get())
  assert.is(statusOf(answer), 503)
  assert.is(fieldOf(answer.head, 'retry-after'), '1')
})

test('a reset before the response: idempotent requests are sent again, others get 502', async () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']) {
    const bad = await resets()
    const other = await good('other')
    const edge = await edgeOf([bad.port, other.port])
    for (let i = 0; i < 2; i++) {
      const request = method === 'PUT' ? post('hello', 'PUT') : `${method} / HTTP/1.1\r\nHost: app.test\r\n\r\n`
      assert.is(statusOf(await edge.ask(request, { noBody: method === 'HEAD' })), 200, method)
    }
    assert.ok(bad.requests.length >= 1, `${method}: at least one came here first`)
    assert.is(other.requests.length, 2, method)
  }
  for (const method of ['POST', 'PATCH', 'LOCK']) {
    const bad = await resets()
    const other = await good('other')
    const edge = await edgeOf([bad.port, other.port])
    const statuses = [statusOf(await edge.ask(post('x', method))), statusOf(await edge.ask(post('x', method)))].sort()
    assert.equal(statuses, [200, 502], method)
    assert.is(bad.requests.length + other.requests.length, 2, `${method} is never sent twice`)
  }
})

test('at most three attempts, no server twice', async () => {
  const bad = await Promise.all([resets(), resets(), resets(), resets(), resets()])
  const edge = await edgeOf(bad.map(one => one.port))
  assert.is(statusOf(await edge.ask(get())), 502)
  assert.is(
    bad.reduce((sum, one) => sum + one.requests.length, 0),
    3,
  )
  for (const one of bad) assert.ok(one.requests.length <= 1)
  const two = await Promise.all([resets(), resets()])
  const small = await edgeOf(two.map(one => one.port))
  assert.is(statusOf(await small.ask(get())), 502)
  assert.equal(
    two.map(one => one.requests.length),
    [1, 1],
  )
})

test('waiting for a server does not repeat a request that crashes servers', async () => {
  const bad = await resets()
  const edge = await edgeOf([bad.port], { retry: { serverWaitMs: 3000 } })
  const answer = await edge.ask(get())
  assert.is(statusOf(answer), 502)
  assert.ok(bad.requests.length <= 3, `sent ${bad.requests.length} times`)
})

test('a request that crashes both servers is sent three times in all', async () => {
  const bad = await Promise.all([resets(), resets()])
  const edge = await edgeOf(
    bad.map(one => one.port),
    { retry: { serverWaitMs: 5000 } },
  )
  assert.is(statusOf(await edge.ask(get())), 502)
  assert.is(
    bad.reduce((sum, one) => sum + one.requests.length, 0),
    3,
  )
})

test('a request waits for a server that appears', async () => {
  const port = await closedPort()
  const edge = await edgeOf([port], { retry: { serverWaitMs: 3000 } })
  const answer = edge.ask(post())
  await sleep(300)
  const late = await backendOf((_request, connection) => connection.write(ok('late')))
  edge.apply(snapshotOf({ app: { servers: [late.port] } }))
  assert.is((await answer).body.toString(), 'late')
})

test('a request whose response has begun is not sent again', async () => {
  const half = await backendOf((_request, connection) => {
    connection.write('HTTP/1.1 20')
    connection.socket.end()
  })
  const other = await good('other')
  const edge = await edgeOf([half.port, other.port])
  const statuses = [statusOf(await edge.ask(get())), statusOf(await edge.ask(get()))].sort()
  assert.equal(statuses, [200, 502])
  assert.is(other.requests.length, 1)
})

test('a buffered body is sent again, a longer one is not', async () => {
  for (const [size, status] of [
    [1000, 200],
    [65_536, 200],
    [200_000, 502],
  ] as const) {
    const bad = await resets()
    const other = await backendOf((request, connection) => connection.write(ok(`${request.body.length}`)))
    const edge = await edgeOf([bad.port, other.port])
    const seen: number[] = []
    for (let i = 0; i < 2; i++) {
      const answer = await edge.ask(post('x'.repeat(size), 'PUT'))
      seen.push(statusOf(answer))
      if (statusOf(answer) === 200) assert.is(answer.body.toString(), String(size))
    }
    assert.equal(seen.sort(), [200, status], `${size} bytes`)
  }
})

test('a buffered chunked body is sent again with its trailers', async () => {
  const bad = await resets()
  const other = await backendOf((request, connection) => connection.write(ok(`${request.body} ${request.trailers.trim()}`)))
  const edge = await edgeOf([bad.port, other.port])
  for (let i = 0; i < 2; i++) {
    const client = await edge.client()
    client.write('PUT / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    await sleep(5)
    client.write('2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n')
    assert.is((await client.takeMessage()).body.toString(), 'abcde X-Sum: 5')
  }
})

test('a connect that fails during the upload: the other server gets the whole body', async () => {
  const other = await backendOf((request, connection) => connection.write(ok(`${request.body.length}`)))
  const edge = await edgeOf([await closedPort(), other.port])
  for (let i = 0; i < 2; i++) assert.is((await edge.ask(post('x'.repeat(500_000)))).body.toString(), '500000')
})

test('a stale idle connection costs no request and ejects no server', async () => {
  const backend = await backendOf((request, connection) => {
    // The second request of a connection meets a closed door: no byte, just the end.
    if (request.number === 1) connection.write(ok(request.body.toString()))
    else connection.socket.resetAndDestroy()
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  for (let i = 0; i < 6; i++) {
    client.write(i % 2 === 0 ? get() : post('hello', 'PUT'))
    assert.is(statusOf(await client.takeMessage()), 200)
  }
  assert.is(edge.ejections.length, 0)
})

test('an idle connection that the server closes is not reused', async () => {
  const backend = await backendOf((_request, connection) => {
    connection.write(ok())
    connection.socket.end()
  })
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  for (let i = 0; i < 5; i++) {
    client.write(post())
    assert.is(statusOf(await client.takeMessage()), 200)
    await until('the closed connection is forgotten', () => edge.idleConnections() === 0)
  }
})

test('a non-idempotent request uses no connection that was idle for long', async () => {
  const backend = await good('a')
  const edge = await edgeOf([backend.port])
  await edge.ask(post())
  await sleep(1150)
  await edge.ask(get())
  assert.is(backend.accepted, 1, 'a GET may')
  await sleep(1150)
  await edge.ask(post())
  assert.is(backend.accepted, 2, 'a POST may not')
})

test("the server's keep-alive hint is respected", async () => {
  const backend = await backendOf((_request, connection) => connection.write(ok('x', 'Keep-Alive: timeout=1\r\n')))
  const edge = await edgeOf([backend.port])
  const answer = await edge.ask(get())
  assert.is(fieldOf(answer.head, 'keep-alive'), undefined)
  await edge.ask(get())
  assert.is(backend.accepted, 2)
})

test('many requests lose their server: idempotent ones are retried within the budget', async () => {
  const waiting: RawConnection[] = []
  const dying = await backendOf((_request, connection) => void waiting.push(connection))
  let most = 0
  let now = 0
  const other = await backendOf(async (_request, connection) => {
    most = Math.max(most, ++now)
    await sleep(10)
    now--
    connection.write(ok())
  })
  const edge = await edgeOf([{ port: dying.port }, { port: other.port, weight: 0 }], {
    retry: { budgetMin: 2, budgetRatio: 0.1 },
  })
  const answers = Array.from({ length: 40 }, () => edge.ask(get()))
  await until('all wait', () => waiting.length === 40)
  edge.apply(snapshotOf({ app: { servers: [{ port: dying.port, weight: 0 }, { port: other.port }] } }))
  dying.stop()
  for (const answer of await Promise.all(answers)) assert.is(statusOf(answer), 200)
  assert.ok(most <= 8, `at most a few retries at a time, saw ${most}`)
})

test('a slow server that accepts connections is waited for', async () => {
  const slow = await backendOf(async (_request, connection) => {
    await sleep(2500)
    connection.write(ok('slow'))
  })
  const other = await good('other')
  const edge = await edgeOf([{ port: slow.port }, { port: other.port, weight: 0 }], {
    timeouts: { noResponseMs: 300, responseHeaderMs: 8000 },
  })
  const answers = await Promise.all([edge.ask(get()), edge.ask(post())])
  for (const answer of answers) assert.is(answer.body.toString().trim(), 'slow')
  assert.is(slow.requests.length, 2)
  assert.is(edge.ejections.length, 0)
})

test('a server that vanishes without a reset: idempotent requests move', async () => {
  // It accepts, takes the request, and then is as good as gone: stopped, with a full queue of connects.
  const child = await startStoppable()
  open.push(child)
  const other = await good('other')
  const edge = await edgeOf([{ port: child.port }, { port: other.port, weight: 0 }], { timeouts: { responseHeaderMs: 25_000 } })
  const warm = await edge.client()
  warm.write(get())
  assert.is((await warm.takeMessage()).body.toString(), 'child')
  child.freeze()
  await child.fill()
  edge.apply(
    snapshotOf({
      app: { servers: [{ port: child.port }, { port: other.port }] },
    }),
  )
  const answers = await Promise.all([0, 1, 2, 3, 4, 5].map(() => edge.ask(get())))
  for (const message of answers) assert.is(message.body.toString().trim(), 'other')
  await until('it is ejected', () => edge.ejections.some(line => line.startsWith(`app ${child.port} out`)))
  // From here nobody is sent there.
  await until('all are booked', () => edge.counters(1).requests === 7)
  const { retries } = edge.counters(1)
  for (let i = 0; i < 4; i++) assert.is((await edge.ask(get())).body.toString().trim(), 'other')
  await until('these too', () => edge.counters(1).requests === 11)
  assert.is(edge.counters(1).retries, retries)
})

test('no response in time: 504 without a retry', async () => {
  const mute = await backendOf(() => {})
  const other = await good('other')
  const edge = await edgeOf([{ port: mute.port }, { port: other.port, weight: 0 }], { timeouts: { responseHeaderMs: 500 } })
  assert.is(statusOf(await edge.ask(get())), 504)
  assert.is(statusOf(await edge.ask(post())), 504)
  assert.is(mute.requests.length, 2)
})

test('response timeouts eject a server that answers nothing, not a whole service', async () => {
  const slow = (name: string) =>
    backendOf((request, connection) => void (/GET \/slow /.test(request.head) || connection.write(ok(name))))
  const one = await slow('one')
  const two = await slow('two')
  const timeouts = { noResponseMs: 100, responseHeaderMs: 400 }
  const alone = await edgeOf([one.port], { timeouts })
  const both = await edgeOf([one.port, two.port], { timeouts })
  for (const edge of [alone, both]) {
    for (let i = 0; i < 2; i++) {
      const answers = await Promise.all([0, 1, 2, 3].map(() => edge.ask(get('/slow'))))
      assert.equal(answers.map(statusOf), [504, 504, 504, 504])
    }
  }
  assert.equal(alone.ejections, [])
  assert.is(both.ejections.filter(line => line.endsWith('out late')).length, 1, 'half of them at most')
  const mute = await backendOf(() => {})
  const edge = await edgeOf([mute.port, two.port], { timeouts })
  await Promise.all([0, 1, 2, 3, 4, 5].map(() => edge.ask(get())))
  assert.equal(edge.ejections, [`app ${mute.port} out late`])
})

test('an ejected server returns when a connect succeeds', async () => {
  const port = await closedPort()
  const edge = await edgeOf([port])
  assert.is(statusOf(await edge.ask(get())), 502)
  const server = createServer(socket => {
    socket.on('data', () => socket.write(ok('back')))
    socket.on('error', () => {})
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  await until('the probe lets it in', () => edge.ejections.includes(`app ${port} in probe`))
  assert.is((await edge.ask(get())).body.toString(), 'back')
  edge.stop()
  server.close()
})

test('consecutive resets eject a server; rejected uploads do not', async () => {
  const bad = await resets()
  const edge = await edgeOf([bad.port, (await good('other')).port], { retry: { attempts: 1 } })
  const statuses = []
  for (let i = 0; i < 6; i++) statuses.push(statusOf(await edge.ask(get())))
  assert.equal(statuses.sort(), [200, 200, 200, 502, 502, 502])
  assert.equal(edge.ejections, [`app ${bad.port} out reset`])
  const single = await edgeOf([bad.port], { retry: { attempts: 1 } })
  for (let i = 0; i < 4; i++) assert.is(statusOf(await single.ask(get())), 502)
  assert.equal(single.ejections, [], 'but never the only one')
  const picky = await Backend.raw(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.socket.resetAndDestroy()
  })
  open.push(picky)
  const other = await edgeOf([picky.port])
  for (let i = 0; i < 4; i++) {
    const client = await other.client()
    client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100\r\n\r\nhalf')
    assert.is(statusOf(await client.takeMessage()), 502)
    client.destroy()
  }
  assert.is(other.ejections.length, 0)
})

test('invalid responses: 502 and no ejection, on new and reused connections', async () => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (const unreadable of [
    'SSH-2.0-OpenSSH_9.2\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(70_000)}\r\n\r\n`,
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n'.repeat(40),
    `${chunked}zz\r\n`,
    `${chunked}5\r\nhello!`,
  ]) {
    const odd = await backendOf(({ number }, connection) => connection.write(number % 2 === 1 ? ok('first') : unreadable))
    const other = await good('other')
    const edge = await edgeOf([odd.port, other.port])
    for (let i = 0; i < 24; i++) {
      const client = await edge.client()
      client.write(get())
      await client.takeMessage().catch(() => {})
      client.destroy()
    }
    assert.equal(edge.ejections, [], unreadable.slice(0, 40))
    assert.is(edge.service().servers.find(server => server.port === odd.port)!.failures, 0)
    assert.ok(odd.requests.length >= 10, 'it goes on getting requests')
  }
})

test('an invalid response ends a run of resets', async () => {
  let n = 0
  const mixed = await backendOf((_request, connection) =>
    n++ % 3 === 2 ? connection.write('nonsense') : void connection.socket.resetAndDestroy(),
  )
  const edge = await edgeOf([mixed.port, (await good('other')).port], { retry: { attempts: 1 } })
  for (let i = 0; i < 24; i++) await edge.ask(get())
  assert.equal(edge.ejections, [])
})

test('a client that stalls its upload ejects no server', async () => {
  const backend = await good('a')
  const edge = await edgeOf([backend.port], { timeouts: { stallMs: 300 } })
  for (let i = 0; i < 3; i++) {
    const client = await edge.client()
    client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100\r\n\r\nhalf')
    assert.is(statusOf(await client.takeMessage()), 408)
    assert.ok(await client.ends())
  }
  assert.is(edge.ejections.length, 0)
  assert.is(edge.service().servers[0]!.failures, 0)
})

/** Answers every request; on the first `connections` the body of an answer to HEAD follows: at once, while idle, or too late. */
async function strays(when: 'at once' | 'idle' | 'late', connections = Number.POSITIVE_INFINITY): Promise<Backend> {
  const backend = await Backend.raw(async (connection, self) => {
    const stray = self.accepted <= connections
    let owed = ''
    for (;;) {
      const head = await connection.takeThrough('\r\n\r\n')
      if (head.startsWith('POST')) await connection.take(1)
      if (owed !== '') {
        connection.write(owed)
        return
      }
      if (!head.startsWith('HEAD')) connection.write(ok('hello'))
      else if (stray && when === 'at once') connection.write(ok('stray'))
      else {
        connection.write(ok('stray').slice(0, -5))
        if (stray && when === 'late') owed = 'stray'
        if (!stray || when === 'late') continue
        await sleep(30)
        connection.write('stray')
      }
    }
  })
  open.push(backend)
  return backend
}

test('a body after a HEAD response: the next idempotent request uses a new connection', async () => {
  for (const when of ['at once', 'idle', 'late'] as const) {
    const backend = await strays(when, 1)
    const edge = await edgeOf([backend.port])
    const client = await edge.client()
    client.write('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')
    assert.is(statusOf(await client.takeMessage({ noBody: true })), 200)
    if (when === 'idle') await sleep(100)
    client.write(get())
    assert.is((await client.takeMessage()).body.toString(), 'hello', when)
    assert.is(backend.accepted, 2, when)
    assert.ok(await backend.connections[0]!.ends(), 'the connection is closed')
    assert.equal([edge.ejections, edge.counters(1).failed], [[], 0])
  }
})

test('a POST after a stray body: 502, not sent twice, no ejection', async () => {
  const backend = await strays('late')
  const edge = await edgeOf([backend.port])
  const client = await edge.client()
  client.write('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  await client.takeMessage({ noBody: true })
  client.write(post('x'))
  assert.is(statusOf(await client.takeMessage()), 502)
  assert.is(backend.accepted, 1)
  assert.equal(edge.ejections, [])
})

test('after two stray bodies, connections are not reused after HEAD', async () => {
  for (const when of ['at once', 'idle', 'late'] as const) {
    const backend = await strays(when, 3)
    const edge = await edgeOf([backend.port])
    const client = await edge.client()
    for (let i = 0; i < 4; i++) {
      client.write('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')
      assert.is(statusOf(await client.takeMessage({ noBody: true })), 200)
      if (when === 'idle') await sleep(100)
      const before = backend.accepted
      client.write(get())
      assert.is((await client.takeMessage()).body.toString(), 'hello')
      assert.is(backend.accepted, before + 1, `${when}, ${i}`)
      edge.service().servers[0]!.transport.closeIdle()
    }
  }
})

test('after two stray bodies: reuse after 204, and after HEAD ten minutes later', async () => {
  let strayed = 0
  const backend = await Backend.start((request, connection) => {
    if (request.startLine.includes('/204 ')) connection.write('HTTP/1.1 204 No Content\r\n\r\n')
    else connection.write(request.startLine.startsWith('HEAD') && strayed++ >= 2 ? ok('hello').slice(0, -5) : ok('hello'))
  })
  open.push(backend)
  const edge = await edgeOf([backend.port])
  const opened = async (first: string): Promise<number> => {
    const client = await edge.client()
    const before = backend.accepted
    client.write(first)
    await client.takeMessage({ noBody: true })
    client.write(get())
    assert.is((await client.takeMessage()).body.toString(), 'hello')
    return backend.accepted - before
  }
  const head = 'HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n'
  for (let i = 0; i < 2; i++) assert.is(await opened(head), i === 0 ? 2 : 1)
  assert.is(await opened(head), 1, 'a connection for the GET behind it')
  assert.is(await opened(get('/204')), 0, 'a 204 was never followed by a body')
  const { sweep } = edge.context
  sweep.stop()
  sweep.tick(sweep.now + 600_001)
  await until('connections kept for so long are closed', () => edge.idleConnections() === 0)
  assert.is(await opened(head), 1, 'one connection for both')
  assert.is(await opened(head), 0)
})

test('stray bytes on a new connection are an invalid response: 502', async () => {
  const backend = await Backend.raw(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('stray')
  })
  open.push(backend)
  const edge = await edgeOf([backend.port])
  assert.is(statusOf(await edge.ask(get())), 502)
  assert.is(backend.accepted, 1)
})

test.run()
