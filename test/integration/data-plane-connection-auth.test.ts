// Connection-based authentication (NTLM, Negotiate): a server connection on which either side has used it serves one client
// connection only, until one of the two closes.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { type AuthBackend, ask, authBackend, authenticate, logIn, TYPE_1, TYPE_2, TYPE_3 } from './connection-auth-backend.ts'
import { Backend, Edge, get, ok, snapshotOf } from './harness.ts'
import { fieldOf, type RawConnection, statusOf } from './raw-connection.ts'

const open: { stop(): void }[] = []

async function backendOf(fields = ''): Promise<AuthBackend> {
  const backend = await authBackend(fields)
  open.push(backend)
  return backend
}

async function edgeOf(...parameters: Parameters<typeof Edge.start>): Promise<Edge> {
  const edge = await Edge.start(...parameters)
  open.push(edge)
  return edge
}

function stopLater<T extends { stop(): void }>(one: T): T {
  open.push(one)
  return one
}

async function statusAndBody(client: RawConnection, request: string): Promise<string> {
  client.write(request)
  const { startLine, body } = await client.takeMessage()
  return `${startLine.slice(9, 12)} ${body}`.trim()
}

const loggedIn = (backend: AuthBackend): string[] =>
  [...backend.states].flatMap(([connection, { user }]) => (connection.ended || connection.closed ? [] : [user])).sort()

test.after.each(async () => {
  const all = open.splice(0)
  try {
    for (const one of all) if (one instanceof Edge) await until('no request is in flight', () => one.isIdle)
  } finally {
    for (const one of all) one.stop()
  }
})

for (const scheme of ['NTLM', 'Negotiate', 'negotiate', 'Kerberos', 'CredSSP']) {
  test(`${scheme}: a client without credentials is not served as the client before it`, async () => {
    const backend = await backendOf(`WWW-Authenticate: ${scheme}\r\n`)
    const edge = await edgeOf({ app: { servers: [backend.port] } })
    const a = await edge.client()
    assert.is(await logIn(a, 'alice', scheme), '200 alice')
    for (let i = 0; i < 3; i++) assert.is(await statusAndBody(await edge.client(), ask()), '401')
    assert.is(await statusAndBody(a, ask()), '200 alice')
  })
}

test('the requests of a handshake go to one server on one connection', async () => {
  const backends = [await backendOf(), await backendOf(), await backendOf()]
  const edge = await edgeOf({ app: { servers: backends.map(({ port }) => port) } })
  for (const user of ['alice', 'bob', 'carol', 'dave']) {
    const client = await edge.client()
    assert.is(await logIn(client, user), `200 ${user}`)
    for (let i = 0; i < 4; i++) assert.is(await statusAndBody(client, ask()), `200 ${user}`)
  }
  assert.equal(backends.flatMap(loggedIn).sort(), ['alice', 'bob', 'carol', 'dave'])
})

test('a client that starts with type 1 gets a new connection, not one that served others', async () => {
  const backend = await backendOf('X-Nothing: 1\r\n')
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const before = await edge.client()
  assert.is(await statusAndBody(before, ask()), '401')
  const a = await edge.client()
  assert.is(await statusAndBody(a, ask(TYPE_1)), '401')
  assert.is(await statusAndBody(a, ask(`${TYPE_3}alice`)), '200 alice')
  assert.is(backend.accepted, 2)
  assert.is(await statusAndBody(before, ask()), '401')
  assert.is(backend.accepted, 2)
})

test('pipelined requests of a handshake are served in turn on one connection', async () => {
  const backends = [await backendOf(), await backendOf()]
  const edge = await edgeOf({ app: { servers: backends.map(({ port }) => port) } })
  const client = await edge.client()
  client.write(ask() + ask(TYPE_1) + ask(`${TYPE_3}alice`) + ask() + ask())
  const answers: string[] = []
  for (let i = 0; i < 5; i++) answers.push((await client.takeMessage()).startLine.slice(9, 12))
  assert.equal(answers, ['401', '401', '200', '200', '200'])
  assert.is(backends.filter(({ accepted }) => accepted === 1).length, 1)
})

const CHALLENGES: readonly (readonly [string, string])[] = [
  ['several fields, NTLM last', 'WWW-Authenticate: Basic realm="x"\r\nWWW-Authenticate: NTLM\r\n'],
  ['a list in one field', 'WWW-Authenticate: Basic realm="a, b", Negotiate, NTLM\r\n'],
  ['Proxy-Authenticate', 'Proxy-Authenticate: NTLM\r\n'],
  ['an unknown scheme with Persistent-Auth', 'WWW-Authenticate: Other\r\nPersistent-Auth: true\r\n'],
  ['an unknown scheme with Proxy-Support', 'WWW-Authenticate: Other\r\nProxy-Support: Session-Based-Authentication\r\n'],
]
for (const [what, fields] of CHALLENGES) {
  test(`a challenge makes the connection private: ${what}`, async () => {
    const backend = await backendOf(fields)
    const edge = await edgeOf({ app: { servers: [backend.port] } })
    const a = await edge.client()
    assert.is(await statusAndBody(a, ask()), '401')
    assert.is(await statusAndBody(await edge.client(), ask()), '401')
    assert.is(backend.accepted, 2)
    assert.is(await statusAndBody(a, ask()), '401')
    assert.is(backend.accepted, 2)
  })
}

test('Basic, Digest, Bearer and other per-request schemes share connections as before', async () => {
  const challenge = 'WWW-Authenticate: Basic realm="NTLM only"\r\nWWW-Authenticate: Digest nonce="negotiate", qop=auth\r\n'
  const backend = await backendOf(challenge)
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  for (const credentials of [
    'Basic YTpi',
    'Bearer ntlm.negotiate',
    'Digest username="a", realm="x"',
    'AWS4-HMAC-SHA256 a=b, c=d',
    'raw',
  ]) {
    const client = await edge.client()
    client.write(get('/', `Authorization: ${credentials}\r\n`))
    assert.is(statusOf(await client.takeMessage()), 401)
  }
  assert.is(backend.accepted, 1)
})

test('a client that closes within a handshake closes its server connection', async () => {
  const backend = await backendOf()
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  await statusAndBody(a, ask())
  await statusAndBody(a, ask(TYPE_1))
  a.destroy()
  await until('it closes', () => backend.connections[0]!.closed || backend.connections[0]!.ended)
  const b = await edge.client()
  assert.is(await statusAndBody(b, ask(`${TYPE_3}mallory`)), '401 out of turn')
  assert.is(backend.accepted, 2)
})

test('a client that closes while its request waits closes its server connection', async () => {
  const backend = stopLater(
    await Backend.start((request, connection) => {
      if (fieldOf(request.head, 'authorization') === undefined) connection.write(ok())
    }),
  )
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  a.write(ask(TYPE_1))
  await until('it came', () => backend.requests.length === 1)
  a.destroy()
  await until('it closes', () => backend.connections[0]!.closed || backend.connections[0]!.ended)
  assert.is(statusOf(await edge.ask(get())), 200)
})

test('a server that closes within a handshake closes the client connection', async () => {
  const backend = await backendOf()
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  await statusAndBody(a, ask())
  await statusAndBody(a, ask(TYPE_1))
  backend.connections[0]!.socket.end()
  await a.until(() => a.ended, 'the client connection is closed')
  assert.is(a.peek(), '')
})

test('a server that closes on type 3 without a response: no retry, the client connection closes', async () => {
  const state = { challenged: false, user: '' }
  const backend = stopLater(
    await Backend.start((request, connection) => {
      if (request.head.includes(TYPE_3)) connection.socket.end()
      else connection.write(authenticate(request, state))
    }),
  )
  const other = await backendOf()
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  await statusAndBody(a, ask(TYPE_1))
  edge.apply(snapshotOf({ app: { servers: [backend.port, other.port] } }))
  a.write(ask(`${TYPE_3}alice`))
  await a.until(() => a.ended, 'the client connection is closed')
  assert.is(a.peek(), '')
  assert.is(backend.requests.length, 2)
  assert.is(other.requests.length, 0)
})

test('a type 1 that a server read without a response is not sent to another', async () => {
  const dead = stopLater(await Backend.start((_request, connection) => void connection.socket.end()))
  const edge = await edgeOf({ app: { servers: [dead.port] } })
  const a = await edge.client()
  a.write(ask(TYPE_1))
  const answer = await a.takeMessage()
  assert.is(statusOf(answer), 502)
  assert.is(fieldOf(answer.head, 'connection'), 'close')
  assert.is(dead.requests.length, 1)
})

test('a response that closes the server connection closes that of the client', async () => {
  const state = { challenged: false, user: '' }
  const backend = stopLater(
    await Backend.start((request, connection) => {
      const answer = authenticate(request, state)
      if (!request.head.includes(TYPE_3)) connection.write(answer)
      else {
        connection.write(answer.replace('Content-Length', 'Connection: close\r\nContent-Length'))
        connection.socket.end()
      }
    }),
  )
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  a.write(ask(TYPE_1))
  await a.takeMessage()
  a.write(ask(`${TYPE_3}alice`))
  const answer = await a.takeMessage()
  assert.is(answer.body.toString(), 'alice')
  assert.is(fieldOf(answer.head, 'connection'), 'close')
  await a.until(() => a.ended, 'it ends')
})

test('a sticky cookie of another server does not override the private connection', async () => {
  const backends = [await backendOf(), await backendOf()]
  const sticky = { name: 'sticky', secure: false, httpOnly: false, sameSite: null } as const
  const edge = await edgeOf({ app: { servers: backends.map(({ port }) => port), sticky } })
  const cookies = new Set<string>()
  while (cookies.size < 2) {
    const answer = await edge.ask(ask())
    cookies.add(fieldOf(answer.head, 'set-cookie')!.split(';')[0]!)
  }
  const a = await edge.client()
  assert.is(await logIn(a, 'alice'), '200 alice')
  for (const cookie of cookies) assert.is(await statusAndBody(a, get('/', `Cookie: ${cookie}\r\n`)), '200 alice')
})

test('one client connection has a separate server connection for each service', async () => {
  const [one, two] = [await backendOf(), await backendOf()]
  const edge = await edgeOf({ one: { servers: [one.port] }, two: { servers: [two.port] } })
  const a = await edge.client()
  assert.is(await logIn(a, 'alice', 'NTLM', 'one.test'), '200 alice')
  assert.is(await logIn(a, 'al', 'NTLM', 'two.test'), '200 al')
  assert.is(await statusAndBody(a, ask('', 'NTLM', 'one.test')), '200 alice')
  assert.is(await statusAndBody(a, ask('', 'NTLM', 'two.test')), '200 al')
  a.destroy()
  await until('both close', () => loggedIn(one).length + loggedIn(two).length === 0)
})

test('a draining server completes its handshakes; their connections end with the response', async () => {
  const [one, two] = [await backendOf(), await backendOf()]
  const edge = await edgeOf({ app: { servers: [one.port] } })
  const a = await edge.client()
  await statusAndBody(a, ask())
  edge.apply(snapshotOf({ app: { servers: [{ port: one.port, state: 'draining' }, two.port] } }))
  a.write(ask(TYPE_1))
  const challenge = await a.takeMessage()
  assert.match(challenge.head, `NTLM ${TYPE_2}`)
  assert.is(fieldOf(challenge.head, 'connection'), undefined)
  a.write(ask(`${TYPE_3}alice`))
  const answer = await a.takeMessage()
  assert.is(answer.body.toString(), 'alice')
  assert.is(fieldOf(answer.head, 'connection'), 'close')
  assert.is(two.requests.length, 0)
})

test('a draining edge lets a handshake complete before it closes the connection', async () => {
  const backend = await backendOf()
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  await statusAndBody(a, ask())
  await edge.drain()
  a.write(ask(TYPE_1))
  assert.is(fieldOf((await a.takeMessage()).head, 'connection'), undefined)
  a.write(ask(`${TYPE_3}alice`))
  const answer = await a.takeMessage()
  assert.is(answer.body.toString(), 'alice')
  assert.is(fieldOf(answer.head, 'connection'), 'close')
})

test('requests with bodies on an authenticated connection arrive once, in order', async () => {
  const state = { challenged: false, user: '' }
  const backend = stopLater(
    await Backend.start((request, connection) => {
      const answer = authenticate(request, state)
      connection.write(answer.startsWith('HTTP/1.1 200') ? ok(`${state.user} ${request.body.length}`) : answer)
    }),
  )
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  const post = (token: string, size: number) =>
    `POST / HTTP/1.1\r\nHost: app.test\r\nAuthorization: NTLM ${token}\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`
  assert.is(await statusAndBody(a, post(TYPE_1, 0)), '401')
  assert.is(await statusAndBody(a, post(`${TYPE_3}alice`, 200_000)), '200 alice 200000')
  const chunked = 'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'
  assert.is(await statusAndBody(a, chunked), '200 alice 5')
  assert.is(backend.accepted, 1)
  assert.is(backend.requests.length, 3)
})

test('a session learned on an authenticated connection applies to other connections', async () => {
  const backends = [await backendOf(), await backendOf()]
  const learn = { from: 'header' as const, name: 'x-session', ttlMs: 3_600_000, size: 100, drain: 'keep' as const }
  const edge = await edgeOf({ app: { servers: backends.map(({ port }) => port), learn } })
  const a = await edge.client()
  const asSession = (token: string) => ask(token).replace('\r\n\r\n', '\r\nX-Session: s1\r\n\r\n')
  for (const token of [TYPE_1, `${TYPE_3}alice`]) await statusAndBody(a, asSession(token))
  const mine = backends.findIndex(backend => loggedIn(backend).includes('alice'))
  assert.is(await statusAndBody(a, asSession('')), '200 alice')
  const before = backends[mine]!.requests.length
  assert.is(await statusAndBody(await edge.client(), asSession('')), '401')
  assert.is(backends[mine]!.requests.length, before + 1)
})

test('an upgrade on an authenticated connection becomes its tunnel', async () => {
  const state = { challenged: false, user: '' }
  const backend = stopLater(
    await Backend.start((request, connection) => {
      if (fieldOf(request.head, 'upgrade') === undefined) connection.write(authenticate(request, state))
      else connection.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n${state.user}`)
    }),
  )
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  assert.is(await logIn(a, 'alice'), '200 alice')
  a.write(get('/', 'Connection: Upgrade\r\nUpgrade: chat\r\n'))
  await a.takeThrough('\r\n\r\nalice')
  assert.is(backend.accepted, 1)
  a.destroy()
  await until('it closes', () => backend.connections[0]!.closed || backend.connections[0]!.ended)
  backend.connections[0]!.destroy()
})

test('above the limit of private connections the longest idle one closes, with its client', async () => {
  const backend = await backendOf()
  const edge = await edgeOf({ app: { servers: [backend.port] } }, { limits: { privateConnections: 3 } })
  const clients: RawConnection[] = []
  for (let i = 0; i < 3; i++) {
    const client = await edge.client()
    assert.is(await logIn(client, `user-${i}`), `200 user-${i}`)
    clients.push(client)
  }
  assert.is(await statusAndBody(clients[0]!, ask()), '200 user-0')
  const next = await edge.client()
  assert.is(await logIn(next, 'user-3'), '200 user-3')
  await clients[1]!.until(() => clients[1]!.ended, 'the oldest client connection is closed')
  await until('its server connection closes', () => loggedIn(backend).length === 3)
  assert.equal(loggedIn(backend), ['user-0', 'user-2', 'user-3'])
  assert.is(await statusAndBody(clients[0]!, ask()), '200 user-0')
})

test('a request on an authenticated connection to a vanished server is not retried', async () => {
  const backend = await backendOf()
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const a = await edge.client()
  assert.is(await logIn(a, 'alice'), '200 alice')
  backend.stop()
  await a.until(() => a.ended || a.closed, 'the client connection is closed')
})

test('a server that closes also closes a client connection that sent only an empty line', async () => {
  const backend = await backendOf()
  const edge = await edgeOf({ app: { servers: [backend.port] } })
  const client = await edge.client()
  assert.is(await logIn(client, 'alice'), '200 alice')
  client.write('\r\n')
  const [connection] = edge.connections
  const { received } = connection as unknown as { received: { size: number } }
  await until('the empty line is read', () => received.size === 2)
  backend.connections[0]!.socket.end()
  await client.until(() => client.ended, 'the client connection is closed')
  assert.is(client.peek(), '')
})

test.run()
