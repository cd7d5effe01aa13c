// Weight 0 beside other weights: no new clients, while sessions on the server stay. Blue-green deployment by weight, over real
// sockets.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Edge, type ServiceSketch, snapshotOf } from './harness.ts'
import { statusOf } from './raw-connection.ts'
import { backends, learnCookie, setCookieOf, sharingEdges, stopAll } from './session-edges.ts'

const METHODS = ['wrr', 'drr', 'p2c', 'rendezvous'] as const
const sticky = { name: 'stick', secure: false, httpOnly: false, sameSite: null }

test.after.each(stopAll)

/** Servers `a` and `b` with these weights. */
async function pair(): Promise<(a: number, b: number, more?: Partial<ServiceSketch>) => Record<string, ServiceSketch>> {
  const [a, b] = await backends(2)
  return (weightA, weightB, more = {}) => ({
    app: {
      ...more,
      servers: [
        { port: a!.port, weight: weightA },
        { port: b!.port, weight: weightB },
      ],
    },
  })
}

for (const balancer of METHODS) {
  test(`${balancer}: weight 0 keeps its cookie sessions, new clients go elsewhere`, async () => {
    const app = await pair()
    const edge = await Edge.start(app(1, 1, { sticky, balancer }))
    const ask = async (fields = '') => edge.ask(`GET / HTTP/1.1\r\nHost: app.test\r\n${fields}\r\n`)
    const cookies = new Map<string, string>()
    // Rendezvous maps one client address to one server: the other cookie comes from another weighting.
    for (const weight of [1, 0]) {
      edge.apply(snapshotOf(app(weight, 1 - weight, { sticky, balancer })))
      const first = await ask()
      cookies.set(first.body.toString(), setCookieOf(first)!.split(';')[0]!)
    }
    assert.equal([...cookies.keys()].sort(), ['a', 'b'])
    edge.apply(snapshotOf(app(1, 0, { sticky, balancer })))
    for (let i = 0; i < 5; i++) {
      const stays = await ask(`Cookie: ${cookies.get('b')}\r\n`)
      assert.is(stays.body.toString(), 'b')
      assert.is(setCookieOf(stays), null)
      assert.is((await ask()).body.toString(), 'a')
    }
    await edge.stop()
  })
}

test('weight 0 keeps learned sessions on every edge and gets no new ones', async () => {
  const app = await pair()
  const learn = { learn: learnCookie }
  const { edges } = await sharingEdges(2, app(1, 1, learn))
  const where = new Map<string, string>()
  for (let i = 0; i < 30; i++) where.set(`id-${i}`, await edges[0]!.who(`Cookie: sid=id-${i}\r\n`))
  assert.equal([...new Set(where.values())].sort(), ['a', 'b'])
  await until('the other edge has heard of all', () => edges[1]!.edge.service().sessions!.table.count === 30)
  for (const edge of edges) edge.apply(snapshotOf(app(1, 0, learn)))
  for (const [id, name] of where) for (const edge of edges) assert.is(await edge.who(`Cookie: sid=${id}\r\n`), name)
  for (let i = 0; i < 20; i++) assert.is(await edges[1]!.who(`Cookie: sid=new-${i}\r\n`), 'a')
})

test('weight 0 takes no new client even if all others refuse', async () => {
  const [a, b] = await backends(2)
  const servers = [
    { port: a!.port, weight: 1 },
    { port: b!.port, weight: 0 },
  ]
  const edge = await Edge.start({ app: { servers, sticky } })
  a!.stop()
  const refused = await edge.ask('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  assert.ok([502, 503].includes(statusOf(refused)), String(statusOf(refused)))
  assert.is(b!.requests.length, 0)
  await edge.stop()
})

test.run()
