// Servers with the https protocol: requests use TLS on reused connections. Certificates are verified by default; a failed verification
// is a 502 whose reason is in the log, never in the response.

import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeIdentity } from '../unit/providers/swarm/certificates.ts'
import { until } from '../until.ts'
import { Backend, Edge, get } from './harness.ts'
import { statusOf } from './raw-connection.ts'

const authority = makeIdentity('authority.test')
const identity = makeIdentity('app.test', authority)
let server: Server
let port = 0
let connections = 0
/** What each connection was opened for: the name of TLS's server_name extension, false without one. */
let asked: (string | false | null)[] = []

test.before(async () => {
  server = createServer({ cert: identity.cert, key: identity.key }, (request, response) => {
    request.resume()
    request.on('end', () =>
      response.end(`${request.method} ${request.url} over ${'encrypted' in request.socket ? 'TLS' : 'TCP'}`),
    )
  })
  server.on('secureConnection', socket => {
    connections++
    asked.push(socket.servername)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
})

test.after(() => {
  server.closeAllConnections()
  server.close()
})

async function withEdge(verifyTls: boolean, to: number, work: (edge: Edge) => Promise<void>, host = '127.0.0.1'): Promise<void> {
  const edge = await Edge.start({ app: { servers: [{ port: to, scheme: 'https', host }] } }, { verifyTls })
  try {
    await work(edge)
    await until('nothing is under way', () => edge.isIdle)
  } finally {
    edge.stop()
  }
}

test('unchecked: requests go over TLS, several on one connection', () =>
  withEdge(false, port, async edge => {
    connections = 0
    const first = await edge.ask(get('/one'))
    assert.is(first.body.toString(), 'GET /one over TLS')
    const second = await edge.ask('POST /two HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\n\r\nabc')
    assert.is(second.body.toString(), 'POST /two over TLS')
    assert.is(connections, 1)
  }))

test('checked: an untrusted certificate is a 502; only the log gives the reason', () =>
  withEdge(true, port, async edge => {
    const answer = await edge.ask(get('/'))
    assert.is(statusOf(answer), 502)
    const reason = /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/
    assert.not.match(answer.head + answer.body.toString(), /UNABLE|certificate/i)
    assert.ok(
      edge.logs.some(({ message }) => reason.test(message)),
      JSON.stringify(edge.logs),
    )
  }))

test('checked: a certificate of a trusted authority is accepted', async () => {
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, authority.cert])
  try {
    await withEdge(true, port, async edge => assert.is(statusOf(await edge.ask(get('/'))), 200))
  } finally {
    setDefaultCACertificates(before)
  }
})

test('a server name is sent as SNI, an address is not', async () => {
  asked = []
  const ask = async (edge: Edge) => assert.is(statusOf(await edge.ask(get('/'))), 200)
  await withEdge(false, port, ask, 'localhost')
  await withEdge(false, port, ask)
  assert.equal(asked, ['localhost', false])
})

test('a server without TLS is a 502 at once', async () => {
  const plain = await Backend.raw(connection => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
  try {
    await withEdge(false, plain.port, async edge => assert.is(statusOf(await edge.ask(get('/'))), 502))
  } finally {
    plain.stop()
  }
})

test.run()
