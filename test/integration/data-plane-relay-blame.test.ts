// Which failures count against which party while requests are relayed: a server that refuses connects is reachable, a server that cuts
// its response does not eject the peer, and a service without servers is not relayed.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { closedPort, get, ok, sleep, snapshotOf } from './harness.ts'
import { statusOf } from './raw-connection.ts'
import { backendOf, cutOff, edgeOf, NOWHERE, pairOf, stopAll, stopLater } from './relay-edges.ts'
import { startStoppable } from './stoppable.ts'

const good = (name = 'ok') => backendOf((_request, connection) => connection.write(ok(name)))

test.after.each(stopAll)

test('a new server that refuses connects is reachable: relaying ends with the probe', async () => {
  const backend = await good()
  const { from } = await pairOf([backend.port])
  assert.is(statusOf(await from.ask(get())), 200)
  from.apply(snapshotOf({ ...cutOff([backend.port]), shop: { servers: [await closedPort()] } }))
  const shop = from.service('shop').servers[0]!
  await until('the probe says that it refuses', () => shop.ejectedFor !== 'unreachable')
  assert.is(shop.ejectedFor, 'refused')
  assert.is(statusOf(await from.ask('GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n')), 502)
  assert.equal(
    from.reachabilityChanges.filter(line => line.startsWith('shop')),
    [],
  )
})

test('a server that refused and then times out is unreachable: the last probe counts', async () => {
  const backend = await good('peer')
  const port = await closedPort()
  const from = await edgeOf('edge-1', { app: { servers: [port] } }, { timeouts: { connectMs: 300 } })
  const to = await edgeOf('edge-2', { app: { servers: [backend.port] } })
  assert.is(statusOf(await from.ask(get())), 502)
  from.relayTo(to.target())
  const server = from.service('app').servers[0]!
  // No probe while there is somebody who takes connects: not before the process is frozen and its queue full.
  await until('none is under way', () => server.probeAtMs !== Number.POSITIVE_INFINITY)
  server.probeAtMs = Number.POSITIVE_INFINITY
  server.ejectedUntilMs = Number.POSITIVE_INFINITY
  const gone = stopLater(await startStoppable(port))
  gone.freeze()
  await gone.fill()
  assert.is(server.ejectedFor, 'refused')
  server.probeAtMs = performance.now()
  await until('the probe finds that nobody answers', () => server.ejectedFor === 'timeout')
  assert.is((await from.ask(get())).body.toString(), 'peer')
})

test('responses that a server cuts off do not eject the relaying peer', async () => {
  const backend = await backendOf((request, connection) => {
    if (request.startLine.includes('/fine')) connection.write(ok())
    else connection.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun')
  })
  const { from } = await pairOf([backend.port])
  const clients = await Promise.all(Array.from({ length: 4 }, () => from.client()))
  for (const client of clients) {
    client.write(get('/broken'))
    await client.takeThrough('begun')
  }
  for (const connection of backend.connections) connection.socket.destroy()
  for (const client of clients) assert.ok(await client.ends())
  assert.is(from.forwarder.relays.peers[0]!.ejections, 0)
  assert.is(statusOf(await from.ask(get('/fine'))), 200)
})

test('a peer at its connection limit declines requests, whatever the method', async () => {
  const backend = await backendOf((request, connection) => {
    if (!request.startLine.includes('/held')) connection.write(ok())
  })
  const from = await edgeOf('edge-1', cutOff(), { retry: { serverWaitMs: 60_000 } })
  const full = await edgeOf('edge-2', { app: { servers: [backend.port] } }, { limits: { connections: 1 } })
  from.relayTo(full.target())
  const held = await from.client()
  held.write(get('/held'))
  await until('one is under way', () => backend.requests.length === 1)
  const answer = from.ask('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello')
  await sleep(100)
  held.destroy()
  assert.is(statusOf(await answer), 200)
})

test('a relayed request whose server broke waits at the peer for another server', async () => {
  const backend = await backendOf((_request, connection) => void connection.socket.destroy())
  const next = await good('next')
  const { from, to } = await pairOf([backend.port], {}, { retry: { serverWaitMs: 60_000 } })
  const answer = from.ask(get())
  await until('it was sent', () => backend.requests.length > 0)
  to.apply(snapshotOf({ app: { servers: [next.port] } }))
  assert.is((await answer).body.toString(), 'next')
})

test('a relayed service scaled to zero is no longer relayed', async () => {
  const backend = await good()
  const { from, to } = await pairOf([backend.port])
  assert.is(statusOf(await from.ask(get())), 200)
  for (const edge of [from, to]) edge.apply(snapshotOf({ app: { servers: [] } }))
  await until('there is nothing to reach', () => from.reachabilityChanges.at(-1) === 'app back')
  const before = to.accessLog.length
  assert.is(statusOf(await from.ask(get())), 503)
  assert.is(to.accessLog.length, before)
})

test('servers that answer health checks with errors are reachable', async () => {
  const backend = await good()
  const { from } = await pairOf([backend.port])
  from.apply(snapshotOf({ app: { servers: [{ port: backend.port, host: NOWHERE, id: 'a' }] } }))
  from.runtime.setHealth('app', 'a', false, true)
  assert.is(statusOf(await from.ask(get())), 200)
  from.runtime.setHealth('app', 'a', false)
  await until('it has answered', () => from.reachabilityChanges.at(-1) === 'app back')
  assert.is(statusOf(await from.ask(get())), 503)
})

test('a service that no peer reaches does not affect other services', async () => {
  const near = await good('near')
  const { from, to } = await pairOf([1])
  assert.is(statusOf(await from.ask(get())), 200 + 302)
  from.relayTo(to.target({ unreachable: ['app'] }))
  await until('nobody can', () => from.reachabilityChanges.at(-1) === 'app unreachable through no peer')
  from.apply(snapshotOf({ ...cutOff([1]), near: { servers: [near.port] } }))
  assert.is(from.service('near').servers[0]!.ejectedUntilMs, 0)
})

test.run()
