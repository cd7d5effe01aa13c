// Authentication of the relay channel: other keys, changes of the secret, clients and servers that send Skein-Relay, peers that
// violate the protocol, unauthenticated connections to the relay port.

import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Mux } from '../../src/proxy/relay/mux.ts'
import { RELAY_PROTOCOL, relayKey } from '../../src/proxy/relay/relay-key.ts'
import { pskClientOptions } from '../../src/util/psk-channel.ts'
import { until } from '../until.ts'
import { type Edge, get, ok } from './harness.ts'
import { fieldOf, RawConnection, statusOf } from './raw-connection.ts'
import { backendOf, cutOff, edgeOf, KEY, pairOf, stopAll, stopLater } from './relay-edges.ts'

const good = (name = 'ok') => backendOf((_request, connection) => connection.write(ok(name)))

/** A connection to an edge's relay port by somebody who holds the key. */
async function asPeer(edge: Edge, key = KEY): Promise<RawConnection> {
  const options = { ...pskClientOptions(Buffer.from(key, 'hex'), RELAY_PROTOCOL), host: '127.0.0.1', port: edge.relayPort }
  const socket = connectTls(options)
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
  })
  const mux = new Mux(socket, true, 60_000, { onStream: null, onLeave: () => {}, onGone: () => {} })
  stopLater({ stop: () => mux.destroy('closed') })
  return new RawConnection(mux.open() as unknown as Socket)
}

test.after.each(stopAll)

test('another key: the peer counts and logs the connection, the sender tries the next peer', async () => {
  const backend = await good()
  const { from, to } = await pairOf([backend.port])
  const other = await edgeOf('edge-3', { app: { servers: [backend.port] } }, { relay: { keys: [relayKey('another secret')] } })
  from.relayTo(other.target())
  assert.is(statusOf(await from.ask(get())), 503)
  await until('told', () => other.logs.some(line => line.message.includes('is not one of the accepted cluster secrets')))
  assert.equal(other.accessLog, [])
  from.relayTo(other.target(), to.target())
  for (let i = 0; i < 4; i++) assert.is(statusOf(await from.ask(get())), 200)
  assert.is(other.logs.filter(line => line.message.includes('connection refused')).length, 1, 'once a minute')
})

test('during a change of the secret, old and new replicas relay for each other', async () => {
  const backend = await good()
  const [oldKey, newKey] = [relayKey('old'), relayKey('new')]
  const services = { app: { servers: [backend.port] } }
  for (const [mine, theirs] of [
    [[oldKey, newKey], [oldKey]],
    [[oldKey], [newKey, oldKey]],
    [
      [newKey, oldKey],
      [oldKey, newKey],
    ],
  ] as const) {
    const from = await edgeOf('edge-1', cutOff(), { relay: { keys: mine } })
    const to = await edgeOf('edge-2', services, { relay: { keys: theirs } })
    from.relayTo(to.target())
    assert.is(statusOf(await from.ask(get())), 200)
  }
})

test('a Skein-Relay field from a client is dropped', async () => {
  const secret = await good('secret')
  const backend = await good('public')
  const edge = await edgeOf('edge-1', {
    app: { servers: [backend.port] },
    hidden: { servers: [secret.port], router: { priority: 0 } },
  })
  for (const value of ['hidden', 'hidden;host=server', 'app', '']) {
    const answer = await edge.ask(get('/', `Skein-Relay: ${value}\r\nskein-relay: ${value}\r\n`))
    assert.is(answer.body.toString(), 'public')
  }
  for (const { head } of backend.requests) assert.not.match(head, /skein-relay/i)
  assert.is(secret.requests.length, 0)
})

test('a Skein-Relay field from a server is dropped', async () => {
  const backend = await backendOf((_request, connection) =>
    connection.write(
      'HTTP/1.1 100 Continue\r\nSkein-Relay: sent\r\n\r\nHTTP/1.1 503 Nope\r\nSkein-Relay: unsent\r\nContent-Length: 3\r\n\r\nnot',
    ),
  )
  const { from, to } = await pairOf([backend.port])
  for (const edge of [from, to]) {
    const client = await edge.client()
    client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\n\r\nx')
    assert.match((await client.takeMessage()).head, /^HTTP\/1\.1 100 Continue\r\n\r\n$/)
    const answer = await client.takeMessage()
    assert.is(answer.startLine, 'HTTP/1.1 503 Nope')
    assert.is(fieldOf(answer.head, 'skein-relay'), undefined)
  }
  assert.is(backend.requests.length, 2, 'neither was sent again')
})

test('an authenticated peer is parsed as strictly as a client', async () => {
  const backend = await good()
  const to = await edgeOf('edge-2', { app: { servers: [backend.port] } })
  const cases: readonly (readonly [string, number])[] = [
    [get(), 400],
    [get('/', 'Skein-Relay: app\r\nSkein-Relay: app\r\n'), 400],
    [get('/', 'Skein-Relay: app;host=evil\r\n'), 400],
    [get('/', 'Skein-Relay: %\r\n'), 400],
    [get('/', 'Skein-Relay: nobody\r\n'), 503],
    ['GET / HTTP/1.1\r\nHost: a\r\nSkein-Relay: app\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
    ['\x00\x01\x02\r\n\r\n', 400],
    [get('/', `X: ${'v'.repeat(200_000)}\r\n`), 431],
    [get('/', 'Skein-Relay: app\r\n'), 200],
  ]
  for (const [request, status] of cases) {
    const peer = await asPeer(to)
    peer.write(request)
    const answer = await peer.takeMessage()
    assert.is(statusOf(answer), status, request.slice(0, 80))
    assert.is(fieldOf(answer.head, 'skein-relay'), status === 503 ? 'unsent' : undefined)
  }
  assert.is(backend.requests.length, 1)
})

test('relay port: garbage is refused at once, idle handshakes time out, peers still connect', async () => {
  const backend = await good()
  const { from, to } = await pairOf([backend.port])
  const silent = Array.from({ length: 50 }, () => {
    const socket = connect(to.relayPort, '127.0.0.1').on('error', () => {})
    stopLater({ stop: () => socket.destroy() })
    return new RawConnection(socket)
  })
  for (const garbage of [get(), 'x'.repeat(100_000), '\x16\x03\x01\x00\x05hello']) {
    const stranger = await RawConnection.open(to.relayPort)
    stranger.write(garbage)
    assert.ok(await stranger.ends(), garbage.slice(0, 10))
    stranger.destroy()
  }
  assert.is(statusOf(await from.ask(get())), 200)
  for (const one of silent) assert.ok(await one.ends())
})

test.run()
