// Connection-based authentication through a peer: client connection, stream and server connection belong together on both replicas.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { type AuthBackend, ask, authBackend, logIn, TYPE_1, TYPE_3 } from './connection-auth-backend.ts'
import { snapshotOf } from './harness.ts'
import type { RawConnection } from './raw-connection.ts'
import { cutOff, edgeOf, pairOf, stopAll, stopLater } from './relay-edges.ts'

async function backendOf(fields = ''): Promise<AuthBackend> {
  return stopLater(await authBackend(fields))
}

async function statusOf(client: RawConnection, request: string): Promise<string> {
  client.write(request)
  const { startLine, body } = await client.takeMessage()
  return `${startLine.slice(9, 12)} ${body}`.trim()
}

test.after.each(stopAll)

test('a relayed client without credentials is not served as the client before it', async () => {
  const backends = [await backendOf(), await backendOf()]
  const { from, to } = await pairOf(backends.map(({ port }) => port))
  for (const user of ['alice', 'bob']) {
    const client = await from.client()
    assert.is(await logIn(client, user), `200 ${user}`)
    for (let i = 0; i < 4; i++) {
      assert.is(await statusOf(await from.client(), ask()), '401')
      assert.is(await statusOf(await to.client(), ask()), '401')
      assert.is(await statusOf(client, ask()), `200 ${user}`)
    }
  }
  const users = backends.flatMap(({ states }) => [...states.values()].map(({ user }) => user)).filter(user => user !== '')
  assert.equal(users.sort(), ['alice', 'bob'])
})

const CHALLENGES: readonly (readonly [string, string])[] = [
  ['WWW-Authenticate', 'WWW-Authenticate: NTLM\r\n'],
  ['Proxy-Authenticate, which the peer drops', 'Proxy-Authenticate: NTLM\r\n'],
  ['Persistent-Auth', 'Persistent-Auth: true\r\n'],
]
for (const [what, fields] of CHALLENGES) {
  test(`a relayed challenge makes stream and server connection private: ${what}`, async () => {
    const backend = await backendOf(fields)
    const { from, to } = await pairOf([backend.port])
    const a = await from.client()
    assert.is(await statusOf(a, ask()), '401')
    assert.is(await statusOf(await from.client(), ask()), '401')
    assert.is(backend.accepted, 2)
    assert.is(to.peerConnections.size, 2)
    assert.is(await statusOf(a, ask()), '401')
    assert.is(backend.accepted, 2)
  })
}

test('the field by which the peer marks the stream does not reach the client', async () => {
  const backend = await backendOf()
  const { from } = await pairOf([backend.port])
  const a = await from.client()
  a.write(ask())
  assert.not.match((await a.takeMessage()).head, /skein/i)
})

test('a 503 of the server on such a stream is not a 503 of the peer', async () => {
  const backend = await backendOf('WWW-Authenticate: NTLM\r\n')
  const { from } = await pairOf([backend.port])
  const a = await from.client()
  assert.is(await logIn(a, 'alice'), '200 alice')
  const write = backend.connections[0]!.write.bind(backend.connections[0])
  backend.connections[0]!.write = () => write('HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy')
  assert.is(await statusOf(a, ask()), '503 busy')
})

test('a handshake that one peer declines starts at the next; the client connection stays open', async () => {
  const backend = await backendOf()
  const from = await edgeOf('edge-1', cutOff([backend.port]))
  const bad = await edgeOf('edge-2', cutOff([backend.port]))
  const good = await edgeOf('edge-3', { app: { servers: [backend.port] } })
  from.relayTo(bad.target(), good.target())
  const clients = await Promise.all([1, 2, 3, 4].map(() => from.client()))
  const answers = await Promise.all(clients.map(client => statusOf(client, ask(TYPE_1))))
  assert.equal(answers, ['401', '401', '401', '401'])
  assert.ok(bad.accessLog.length > 0, 'the first peer declined one')
  for (const [i, client] of clients.entries()) assert.is(await statusOf(client, ask(`${TYPE_3}user${i}`)), `200 user${i}`)
})

test('a relayed client that closes within a handshake closes the server connection', async () => {
  const backend = await backendOf()
  const { from, to } = await pairOf([backend.port])
  const a = await from.client()
  await statusOf(a, ask())
  await statusOf(a, ask(TYPE_1))
  a.destroy()
  await until('it closes', () => backend.connections[0]!.closed || backend.connections[0]!.ended)
  await until('the stream ends', () => to.peerConnections.size === 0)
  assert.is(await statusOf(await from.client(), ask(`${TYPE_3}mallory`)), '401 out of turn')
})

test('a server that closes within a relayed handshake closes the client connection', async () => {
  const backend = await backendOf()
  const { from } = await pairOf([backend.port])
  const a = await from.client()
  await statusOf(a, ask())
  await statusOf(a, ask(TYPE_1))
  backend.connections[0]!.socket.end()
  await a.until(() => a.ended, 'the client connection is closed')
  assert.is(a.peek(), '')
})

test('a handshake continues through the peer after the service is reachable locally again', async () => {
  const backend = await backendOf()
  const nearer = await backendOf()
  const { from } = await pairOf([backend.port])
  const a = await from.client()
  await statusOf(a, ask())
  await statusOf(a, ask(TYPE_1))
  from.apply(snapshotOf({ app: { servers: [nearer.port] } }))
  await until('the service is local again', () => from.reachabilityChanges.at(-1) === 'app back')
  assert.is(await statusOf(await from.client(), ask()), '401')
  assert.is(nearer.requests.length, 1)
  assert.is(await statusOf(a, ask(`${TYPE_3}alice`)), '200 alice')
  assert.is(await statusOf(a, ask()), '200 alice')
  assert.is(nearer.requests.length, 1)
})

test.run()
