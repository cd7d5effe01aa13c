// Relaying when something fails: start and end of relaying, and peers that decline, refuse connects or die. No request that could have
// been served may be lost.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { closedPort, get, ok, sleep, snapshotOf } from './harness.ts'
import { statusOf } from './raw-connection.ts'
import { backendOf, cutOff, edgeOf, NOWHERE, pairOf, stopAll, stopLater } from './relay-edges.ts'
import { startStoppable } from './stoppable.ts'

const good = (name = 'ok') => backendOf((_request, connection) => connection.write(ok(name)))

const post = (body: string, fields = '') =>
  `POST / HTTP/1.1\r\nHost: app.test\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`

test.after.each(stopAll)

// ---- going over and coming back ----

test('connects time out: the first request waits for one connect, later ones for none', async () => {
  const backend = await good()
  const gone = stopLater(await startStoppable())
  gone.freeze()
  await gone.fill()
  const from = await edgeOf('edge-1', { app: { servers: [gone.port] } })
  const to = await edgeOf('edge-2', { app: { servers: [backend.port] } })
  from.relayTo(to.target())
  assert.is(statusOf(await from.ask(post('hello'))), 200)
  await until('the first made one connect in vain', () => from.counters(1).retries === 1)
  for (let i = 0; i < 10; i++) assert.is(statusOf(await from.ask(post('hello'))), 200)
  await until('all are booked', () => from.counters(1).requests === 11)
  assert.is(from.counters(1).retries, 1, 'the others went through the peer at once')
  assert.equal(from.reachabilityChanges, ['app timeout through edge-2'])
})

test('with many lost servers a request is relayed after two connects', async () => {
  const backend = await good()
  const all = await Promise.all(Array.from({ length: 4 }, () => startStoppable()))
  for (const one of all) {
    stopLater(one)
    one.freeze()
    await one.fill()
  }
  const from = await edgeOf('edge-1', { app: { servers: all.map(one => one.port) } }, { timeouts: { connectMs: 300 } })
  const to = await edgeOf('edge-2', { app: { servers: [backend.port] } })
  from.relayTo(to.target())
  assert.is(statusOf(await from.ask(get())), 200)
  await until('two connects in vain, then the peer', () => from.counters(1).retries === 2)
  assert.equal(from.ejections.filter(line => line.includes(' out ')).length, 2)
})

test('relaying starts and ends under load without a lost request', async () => {
  const backend = await backendOf(async (_request, connection) => {
    await sleep(2)
    connection.write(ok())
  })
  const { from } = await pairOf([backend.port])
  from.apply(snapshotOf({ app: { servers: [backend.port] } }))
  const statuses: number[] = []
  let stop = false
  const load = Array.from({ length: 16 }, async (_, n) => {
    const client = await from.client()
    while (!stop) {
      client.write(n % 2 === 0 ? get() : post('hello'))
      statuses.push(statusOf(await client.takeMessage()))
    }
  })
  const some = async (): Promise<void> => {
    const before = statuses.length
    await until('some more are answered', () => statuses.length > before + 40)
  }
  for (let round = 0; round < 3; round++) {
    await some()
    // The service is rolled to a server that cannot be reached from here, and then to one that can.
    from.apply(snapshotOf(cutOff([backend.port])))
    await until('it has gone over', () => from.reachabilityChanges.length === round * 2 + 1)
    await some()
    from.apply(snapshotOf({ app: { servers: [{ port: backend.port, id: `round-${round}` }] } }))
    await until('it is back', () => from.reachabilityChanges.length === round * 2 + 2)
  }
  stop = true
  await Promise.all(load)
  assert.ok(statuses.length > 100)
  assert.equal([...new Set(statuses)], [200])
  assert.ok(from.counters(1).relayedOut > 10)
})

test('a probe finds a server that is reachable again, and relaying ends', async () => {
  const backend = await good('through the peer')
  const gone = stopLater(await startStoppable())
  gone.freeze()
  await gone.fill()
  const from = await edgeOf('edge-1', { app: { servers: [gone.port] } }, { timeouts: { connectMs: 300 } })
  const to = await edgeOf('edge-2', { app: { servers: [backend.port] } })
  from.relayTo(to.target())
  assert.is((await from.ask(get())).body.toString(), 'through the peer')
  gone.thaw()
  await until('the probe finds it', () => from.reachabilityChanges.at(-1) === 'app back')
  assert.is((await from.ask(get())).body.toString(), 'child')
})

test('while a service is relayed, new servers are probed before use', async () => {
  const backend = await good('peer')
  const near = await good('near')
  const gone = stopLater(await startStoppable())
  gone.freeze()
  await gone.fill()
  const { from, to } = await pairOf([backend.port])
  assert.is(statusOf(await from.ask(get())), 200)
  from.apply(snapshotOf({ ...cutOff([backend.port]), shop: { servers: [gone.port] }, near: { servers: [near.port] } }))
  to.apply(snapshotOf({ app: { servers: [backend.port] }, shop: { servers: [backend.port] }, near: { servers: [near.port] } }))
  assert.is(statusOf(await from.ask('GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n')), 200)
  await until('it is booked', () => from.counters(2).requests === 1)
  assert.is(from.counters(2).retries, 0, 'it did not wait for a connect to the new server')
  await until('the one that can be reached is in use soon', () => from.service('near').servers[0]!.ejectedUntilMs === 0)
})

test('pending requests are relayed as soon as a peer is available', async () => {
  const backend = await good()
  const from = await edgeOf('edge-1', cutOff(), { retry: { serverWaitMs: 60_000 } })
  const to = await edgeOf('edge-2', { app: { servers: [backend.port] } })
  const answer = from.ask(post('hello'))
  await sleep(500)
  assert.is(backend.requests.length, 0)
  from.relayTo(to.target())
  assert.is(statusOf(await answer), 200)
  await until('through whom is told', () => from.reachabilityChanges.at(-1) === 'app unreachable through edge-2')
})

test('servers that refuse connects are reachable: nothing is relayed', async () => {
  const backend = await good()
  const from = await edgeOf('edge-1', { app: { servers: [await closedPort()] } })
  const to = await edgeOf('edge-2', { app: { servers: [backend.port] } })
  from.relayTo(to.target())
  assert.is(statusOf(await from.ask(get())), 502)
  assert.equal(from.reachabilityChanges, [])
})

test('a failed health-check connect means unreachable, an error response does not', async () => {
  const backend = await good()
  const { from } = await pairOf([backend.port])
  from.apply(snapshotOf({ app: { servers: [{ port: backend.port, id: 'a' }] } }))
  from.runtime.setHealth('app', 'a', false)
  assert.is(statusOf(await from.ask(get())), 503)
  from.runtime.setHealth('app', 'a', false, true)
  assert.is(statusOf(await from.ask(get())), 200)
  assert.is(backend.requests.length, 1)
})

// ---- peers that cannot help ----

test('a peer that declines: another peer gets the request with its body, whatever the method', async () => {
  const backend = await backendOf((request, connection) => connection.write(ok(String(request.body.length))))
  const from = await edgeOf('edge-1', cutOff())
  const lost = await edgeOf('edge-2', cutOff())
  const able = await edgeOf('edge-3', { app: { servers: [backend.port] } })
  for (const size of [0, 5, 70_000, 1_000_000]) {
    for (let i = 0; i < 2; i++) {
      from.relayTo()
      from.relayTo(lost.target(), able.target())
      const answer = await from.ask(post('b'.repeat(size)))
      assert.is(statusOf(answer), 200, `${size} bytes`)
      assert.is(answer.body.toString(), String(size))
    }
  }
  assert.is(backend.requests.length, 8)
  assert.ok(lost.accessLog.length >= 4, 'each size was handed back once')
  assert.is(lost.counters(1).relayedIn, 0)
})

test('an unconfirmed relayed body is sent only as far as it is buffered', async () => {
  const backend = await backendOf((request, connection) => connection.write(ok(String(request.body.length))))
  const gone = stopLater(await startStoppable())
  gone.freeze()
  await gone.fill()
  const from = await edgeOf('edge-1', cutOff([gone.port]))
  const slow = await edgeOf('edge-2', { app: { servers: [gone.port] } })
  const able = await edgeOf('edge-3', { app: { servers: [backend.port] } })
  from.relayTo(slow.target())
  const client = await from.client()
  client.write(post('b'.repeat(3_000_000)))
  await until('the peer has it', () => slow.peerConnections.size === 1)
  from.relayTo(slow.target(), able.target())
  const answer = await client.takeMessage()
  assert.is(answer.body.toString(), '3000000')
  assert.is(slow.counters(1).relayedIn, 0)
  assert.ok(slow.accessLog.length === 1)
})

test('a relayed request is not relayed again, and is declined at once', async () => {
  const backend = await good()
  const from = await edgeOf('edge-1', cutOff())
  const middle = await edgeOf('edge-2', cutOff(), { retry: { serverWaitMs: 60_000 } })
  const far = await edgeOf('edge-3', { app: { servers: [backend.port] } })
  from.relayTo(middle.target())
  middle.relayTo(far.target())
  // The middle one's own clients would wait for a server.
  assert.is(statusOf(await from.ask(get())), 502)
  assert.is(backend.requests.length, 0)
  assert.is(from.counters(1).relayFailed, 1)
  // The middle one still relays for clients of its own.
  assert.is(statusOf(await middle.ask(get())), 200)
})

test('a peer that reports a service as unreachable gets no request for it', async () => {
  const backend = await good()
  const from = await edgeOf('edge-1', cutOff())
  const lost = await edgeOf('edge-2', cutOff())
  const able = await edgeOf('edge-3', { app: { servers: [backend.port] } })
  from.relayTo(lost.target({ unreachable: ['app'] }), able.target())
  for (let i = 0; i < 6; i++) assert.is(statusOf(await from.ask(get())), 200)
  assert.equal(lost.accessLog, [])
  from.relayTo(lost.target({ unreachable: ['app'] }), able.target({ unreachable: ['app'] }))
  assert.is(statusOf(await from.ask(get())), 503)
})

test('a service that is not configured at the peer: declined', async () => {
  const from = await edgeOf('edge-1', cutOff())
  const to = await edgeOf('edge-2', { other: { servers: [] } })
  from.relayTo(to.target())
  assert.is(statusOf(await from.ask(get())), 502)
  await until('its log says why', () => to.logs.some(line => line.message.includes('not configured here')))
})

test('a peer that refuses connects: its other addresses, then another peer, are tried', async () => {
  const backend = await good()
  const { from, to } = await pairOf([backend.port])
  const dead = { host: '127.0.0.1', port: await closedPort() }
  from.relayTo(to.target({ id: 'dead', name: 'edge-9', addresses: [dead] }), to.target())
  for (let i = 0; i < 6; i++) assert.is(statusOf(await from.ask(post('hello'))), 200)
  const works = to.target().addresses[0]!
  from.relayTo(to.target({ addresses: [{ host: NOWHERE, port: 1 }, dead, works] }))
  for (let i = 0; i < 3; i++) assert.is(statusOf(await from.ask(post('hello'))), 200)
  const [peer] = from.forwarder.relays.peers
  assert.equal([peer!.host, peer!.port], [works.host, works.port], 'the one that works is remembered')
  assert.is(peer!.ejections, 0)
})

test('a peer that shuts down finishes its requests; new ones go to another peer', async () => {
  const backend = await backendOf(async (_request, connection) => {
    await sleep(200)
    connection.write(ok())
  })
  const servers = [backend.port]
  const from = await edgeOf('edge-1', cutOff())
  const one = await edgeOf('edge-2', { app: { servers } })
  const two = await edgeOf('edge-3', { app: { servers } })
  from.relayTo(one.target(), two.target())
  const statuses: number[] = []
  let stop = false
  const load = Array.from({ length: 8 }, async (_, n) => {
    const client = await from.client()
    while (!stop) {
      client.write(n % 2 === 0 ? get() : post('hello'))
      statuses.push(statusOf(await client.takeMessage()))
    }
  })
  await until('the first relays', () => one.accessLog.length > 0)
  await one.drain()
  await until('the second relays, the first has ended', () => two.accessLog.length > 0 && one.peerConnections.size === 0)
  stop = true
  await Promise.all(load)
  assert.equal([...new Set(statuses)], [200])
})

test('a peer that dies: begun responses are cut, idempotent requests are sent again', async () => {
  let dying: (() => void) | null = null
  const backend = await backendOf((request, connection) => {
    if (request.startLine.includes('/begun')) connection.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun')
    else if (dying !== null) dying()
    else connection.write(ok())
  })
  const servers = [backend.port]
  const from = await edgeOf('edge-1', cutOff())
  const one = await edgeOf('edge-2', { app: { servers } })
  const two = await edgeOf('edge-3', { app: { servers } })
  from.relayTo(one.target())
  const client = await from.client()
  client.write(get('/begun'))
  await client.takeThrough('begun')
  for (const connection of one.peerConnections) connection.destroy()
  assert.ok(await client.ends())
  assert.is(client.error, 'ECONNRESET')
  from.relayTo(one.target(), two.target())
  dying = () => {
    dying = null
    for (const edge of [one, two]) for (const connection of edge.peerConnections) connection.destroy()
  }
  assert.is(statusOf(await from.ask(get())), 200)
  dying = () => {
    dying = null
    for (const edge of [one, two]) for (const connection of edge.peerConnections) connection.destroy()
  }
  const before = backend.requests.length
  assert.is(statusOf(await from.ask(post('once'))), 502)
  assert.is(backend.requests.length, before + 1, 'a POST is not sent twice')
})

test('a client that disconnects: the relayed request is cancelled at the server', async () => {
  const mute = await backendOf(() => {})
  const { from, to } = await pairOf([mute.port])
  const client = await from.client()
  client.write(get())
  await until('the server has it', () => mute.requests.length === 1)
  client.destroy()
  assert.ok(await mute.connections[0]!.ends())
  await until('nothing is left', () => from.isIdle && to.isIdle)
  assert.is(from.counters(1).aborted, 1)
  assert.is(to.counters(1).aborted, 0)
})

test.run()
