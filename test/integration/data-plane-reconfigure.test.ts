// A new snapshot never drops a connection or a request in flight; draining and removed servers finish what they have.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, sleep, snapshotOf } from './harness.ts'
import { statusOf } from './raw-connection.ts'

const open: { stop(): void }[] = []

async function edgeOf(port: number, overrides: Parameters<typeof Edge.start>[1] = {}): Promise<Edge> {
  const edge = await Edge.start({ app: { servers: [port] } }, overrides)
  open.push(edge)
  return edge
}

test.after.each(async () => {
  for (const one of open) if (one instanceof Edge) await until('no request is in flight', () => one.isIdle)
  for (const one of open.splice(0)) one.stop()
})

test('hundreds of snapshots under load: no request fails, no connection is lost', async () => {
  const backends = await Promise.all(
    [1, 2, 3].map(() =>
      Backend.start(async (request, connection) => {
        if (request.startLine.includes('/slow')) await sleep(20)
        connection.write(ok(request.body.toString() || 'ok'))
      }),
    ),
  )
  open.push(...backends)
  const edge = await edgeOf(backends[0]!.port)
  let running = true
  let requests = 0
  const clients = Array.from({ length: 8 }, async (_, n) => {
    const client = await edge.client()
    for (let i = 0; running; i++) {
      client.write(
        n % 2 === 0
          ? get(i % 5 === 0 ? '/slow' : '/')
          : 'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      )
      const message = await client.takeMessage()
      assert.is(statusOf(message), 200)
      assert.is(message.body.toString(), n % 2 === 0 ? 'ok' : 'abc')
      requests++
    }
  })
  for (let i = 0; i < 300; i++) {
    // Servers are added, removed, drained and reweighted.
    const servers = backends.flatMap((one, n) => {
      if ((i + n) % 3 === 0 && i % 7 !== 0) return []
      return [{ port: one.port, weight: 1 + (i % 3), state: (i + n) % 4 === 0 ? ('draining' as const) : ('active' as const) }]
    })
    edge.apply(snapshotOf({ app: { servers: servers.some(s => s.state === 'active') ? servers : [backends[i % 3]!.port] } }))
    await sleep(3)
  }
  running = false
  await Promise.all(clients)
  assert.ok(requests > 300, `${requests} requests`)
})

test('a draining server gets no new request and finishes those it has', async () => {
  let release: () => void = () => {}
  const old = await Backend.start(async (_request, connection) => {
    await new Promise<void>(resolve => {
      release = resolve
    })
    connection.write(ok('old'))
  })
  const fresh = await Backend.start((_request, connection) => connection.write(ok('new')))
  open.push(old, fresh)
  const edge = await edgeOf(old.port)
  const slow = edge.ask(get())
  await until('the old one has it', () => old.requests.length === 1)
  for (const state of ['draining', 'gone'] as const) {
    edge.apply(snapshotOf({ app: { servers: state === 'gone' ? [fresh.port] : [{ port: old.port, state }, fresh.port] } }))
    for (let i = 0; i < 4; i++) assert.is((await edge.ask(get())).body.toString(), 'new')
  }
  release()
  assert.is((await slow).body.toString(), 'old')
  assert.is(old.requests.length, 1)
  assert.ok(await old.connections[0]!.ends(), 'its connection is closed, not kept')
})

test.run()
