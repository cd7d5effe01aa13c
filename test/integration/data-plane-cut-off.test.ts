// An incomplete response always ends with a reset, whatever cut it off. Never with a FIN, which is the regular end of a body without
// a length, and never with a last chunk. The same applies to both sides of a tunnel.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, sleep } from './harness.ts'
import type { RawConnection } from './raw-connection.ts'
import { backendOf, pairOf, stopAll, stopLater } from './relay-edges.ts'

test.after.each(stopAll)

type Overrides = NonNullable<Parameters<typeof Edge.start>[1]>

interface Way {
  readonly name: string
  /** The edge of the client, and the one that reaches the server. */
  to(port: number, overrides?: Overrides): Promise<{ from: Edge; to: Edge }>
}

const WAYS: readonly Way[] = [
  {
    name: 'directly',
    to: async (port, overrides) => {
      const edge = stopLater(await Edge.start({ app: { servers: [port] } }, overrides))
      return { from: edge, to: edge }
    },
  },
  { name: 'through a peer', to: (port, overrides) => pairOf([port], {}, overrides) },
]

const FRAMINGS = [
  ['until the close', '', 'half'],
  ['in chunks', 'Transfer-Encoding: chunked\r\n', '4\r\nhalf\r\n'],
  ['by length', 'Content-Length: 100\r\n', 'half'],
] as const

/** The client has half of a response when the event occurs. */
interface Cut {
  readonly what: string
  readonly overrides?: Overrides
  readonly not?: 'until the close'
  readonly only?: 'through a peer' | 'in chunks'
  readonly request?: string
  act(around: { from: Edge; to: Edge; client: RawConnection; server: RawConnection }): void | Promise<void>
}

const UPLOAD = 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'
const CUTS: readonly Cut[] = [
  { what: 'the server resets', act: ({ server }) => void server.socket.resetAndDestroy() },
  { what: 'the server ends too early', not: 'until the close', act: ({ server }) => void server.socket.end() },
  { what: 'the server writes a bad chunk', only: 'in chunks', act: ({ server }) => server.write('zz\r\n') },
  { what: 'the grace period of this edge ends', act: ({ from }) => destroyAll(from.connections) },
  { what: 'the grace period of the peer ends', only: 'through a peer', act: ({ to }) => destroyAll(to.peerConnections) },
  { what: 'the peer dies', only: 'through a peer', act: ({ to }) => to.stop() },
  { what: 'the body of the request is malformed', request: UPLOAD, act: ({ client }) => client.write('zz\r\n') },
  {
    what: 'the body of the request is too large',
    request: UPLOAD,
    overrides: { limits: { bodyBytes: 10 } },
    act: ({ client }) => client.write('20\r\n'.padEnd(40, 'x')),
  },
]

function destroyAll(connections: Iterable<{ destroy(why: string): void }>): void {
  for (const connection of [...connections]) connection.destroy('cut off by the test')
}

/** Checks that the client gets a reset, without a FIN or a last chunk before it. */
async function assertCutOff(client: RawConnection): Promise<void> {
  await client.until(() => client.closed || client.ended, 'the break')
  assert.not(client.ended, 'no FIN')
  assert.is(client.error, 'ECONNRESET')
  assert.not.match(client.peek(), /0\r\n\r\n$/)
}

for (const way of WAYS) {
  for (const cut of CUTS) {
    if (cut.only === 'through a peer' && way.name !== cut.only) continue
    test(`${way.name}: ${cut.what} within a response: the client gets a reset`, async () => {
      for (const version of ['1.0', '1.1']) {
        if (version === '1.0' && cut.request !== undefined) continue
        for (const [framing, fields, body] of FRAMINGS) {
          if (framing === cut.not || (cut.only === 'in chunks' && framing !== cut.only)) continue
          let server: RawConnection | null = null
          const backend = stopLater(
            await Backend.raw(async connection => {
              server = connection
              await connection.takeThrough('\r\n\r\n')
              connection.write(`HTTP/1.1 200 OK\r\n${fields}\r\n${body}`)
            }),
          )
          const edges = await way.to(backend.port, cut.overrides)
          const client = await edges.from.client()
          const method = cut.request === undefined ? 'GET' : 'POST'
          client.write(`${method} / HTTP/${version}\r\nHost: app.test\r\n${cut.request ?? '\r\n'}`)
          await client.takeThrough('half')
          await cut.act({ ...edges, client, server: server! })
          await assertCutOff(client)
        }
      }
    })
  }

  test(`${way.name}: a client that does not read for the stall time gets a reset`, async () => {
    for (const version of ['1.0', '1.1']) {
      const size = 16 * 1024 * 1024
      const backend = stopLater(
        await Backend.raw(async connection => {
          await connection.takeThrough('\r\n\r\n')
          connection.write('HTTP/1.1 200 OK\r\n\r\n')
          connection.write(Buffer.alloc(size, 'x'))
          connection.socket.end()
        }),
      )
      const edges = await way.to(backend.port, { timeouts: { stallMs: 500 } })
      const client = await edges.from.client()
      client.socket.pause()
      client.write(`GET / HTTP/${version}\r\nHost: app.test\r\n\r\n`)
      await until('the connection is closed', () => edges.from.connections.size === 0)
      client.socket.resume()
      await assertCutOff(client)
      assert.ok(client.received < size)
    }
  })

  test(`${way.name}: complete responses that are not read end with a reset: stall time, grace`, async () => {
    for (const how of ['stall', 'grace']) {
      const body = 'x'.repeat(50_000)
      const backend = await backendOf((_request, connection) => connection.write(ok(body)))
      const edges = await way.to(backend.port, { timeouts: { stallMs: how === 'stall' ? 500 : 60_000 } })
      const client = await edges.from.client()
      client.socket.pause()
      client.write(get().repeat(1000))
      if (how === 'grace') {
        let answered = -1
        while (answered !== backend.requests.length) {
          answered = backend.requests.length
          await sleep(300)
        }
        destroyAll(edges.from.connections)
      }
      await until('the connection is closed', () => edges.from.connections.size === 0)
      client.socket.resume()
      await assertCutOff(client)
      assert.ok(client.received < 1000 * body.length)
    }
  })

  test(`${way.name}: a tunnel that is closed before its sides ended is reset on both`, async () => {
    for (const how of ['client', 'server', 'grace', 'idle']) {
      let server: RawConnection | null = null
      const backend = stopLater(
        await Backend.raw(async connection => {
          server = connection
          await connection.takeThrough('\r\n\r\n')
          connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nhalf')
        }),
      )
      const { from } = await way.to(backend.port, { timeouts: { tunnelIdleMs: how === 'idle' ? 300 : 60_000 } })
      const client = await from.client()
      client.write(get('/', 'Connection: Upgrade\r\nUpgrade: raw\r\n'))
      await client.takeThrough('half')
      if (how === 'client') client.socket.resetAndDestroy()
      else if (how === 'server') server!.socket.resetAndDestroy()
      else if (how === 'grace') destroyAll(from.connections)
      if (how !== 'client') await assertCutOff(client)
      if (how !== 'server') await assertCutOff(server!)
    }
  })
}

test('a response that was received completely is never reset, also at the end of the grace', async () => {
  const backend = stopLater(
    await Backend.raw(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write('HTTP/1.1 200 OK\r\n\r\nwhole')
      connection.socket.end()
    }),
  )
  const edge = stopLater(await Edge.start({ app: { servers: [backend.port] } }))
  const client = await edge.client()
  client.write('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')
  await until('the response is sent', () => edge.counters(1).requests === 1)
  destroyAll(edge.connections)
  await sleep(20)
  assert.match((await client.takeAll()).toString(), /whole$/)
  assert.is(client.error, '')
  assert.equal(
    edge.logs.filter(entry => entry.message.includes('cut off')),
    [],
  )
})

test.run()
