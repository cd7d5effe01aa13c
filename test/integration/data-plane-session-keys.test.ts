// Edges that make sessions under different keys, as during a rotation of the secret without a leader: sessions made under an
// accepted key keep their server.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import type { ServiceSketch } from './harness.ts'
import { backends, learnCookie, type SharingEdge, setCookieOf, sharingEdges, stopAll } from './session-edges.ts'

const SESSIONS = 20
const ids = Array.from({ length: SESSIONS }, (_, n) => `id-${n}`)
const cookie = (id: string) => `Cookie: sid=${id}\r\n`
const KEYS = [
  ['old', 'new'],
  ['new', 'old'],
] as const

async function hasAll({ edge }: SharingEdge): Promise<void> {
  await until('it has been told of all', () => edge.service().sessions!.table.count >= SESSIONS)
}

async function app(more: Partial<ServiceSketch>): Promise<Record<string, ServiceSketch>> {
  return { app: { servers: (await backends(4)).map(({ port }) => port), ...more } }
}

test.after.each(stopAll)

test("a session learned under another edge's key finds the same server", async () => {
  const { edges } = await sharingEdges(2, await app({ learn: learnCookie }), { keys: KEYS })
  const [one, two] = edges as [SharingEdge, SharingEdge]
  const where = new Map<string, string>()
  for (const id of ids) where.set(id, await one.who(cookie(id)))
  await hasAll(two)
  for (let round = 0; round < 3; round++) {
    for (const edge of [two, one]) for (const id of ids) assert.is(await edge.who(cookie(id)), where.get(id))
  }
  assert.is(new Set(where.values()).size, 4, 'all servers have some')
})

test("a cookie of another edge's key finds its server and is renewed", async () => {
  const sticky = { name: 'shop', secure: false, httpOnly: false, sameSite: null }
  const { edges } = await sharingEdges(2, await app({ sticky }), { keys: KEYS })
  const [one, two] = edges as [SharingEdge, SharingEdge]
  for (let n = 0; n < SESSIONS; n++) {
    const first = await one.ask('')
    const old = setCookieOf(first)!.split(';')[0]!
    const second = await two.ask(`Cookie: ${old}\r\n`)
    assert.is(second.body.toString(), first.body.toString())
    const renewed = setCookieOf(second)!.split(';')[0]!
    assert.is.not(renewed, old)
    for (const edge of [one, two]) assert.is(await edge.who(`Cookie: ${renewed}\r\n`), first.body.toString())
  }
})

test('the key changes while sessions are in use: none moves', async () => {
  const sticky = { name: 'shop', secure: false, httpOnly: false, sameSite: null }
  const keys = [['old'], ['new', 'old']] as const
  const { edges } = await sharingEdges(2, await app({ learn: learnCookie, sticky }), { keys })
  const [one, two] = edges as [SharingEdge, SharingEdge]
  const where = new Map<string, string>()
  for (const id of ids) where.set(id, await one.who(cookie(id)))
  const sent = await one.ask('')
  await hasAll(two)
  // The leader's key is in use now, and control sends all sessions known under it.
  two.edge.runtime.setSessionKey('old')
  assert.is(two.edge.service().sessions!.table.count, 0)
  two.sharing.seed(message => {
    if (message.kind === 'sessions') two.edge.forwarder.sessions.applyRemote(two.edge.service(), message, performance.now())
  })
  for (const edge of [two, one]) for (const id of ids) assert.is(await edge.who(cookie(id)), where.get(id))
  const again = await two.ask(`Cookie: ${setCookieOf(sent)!.split(';')[0]}\r\n`)
  assert.is(again.body.toString(), sent.body.toString())
  assert.is(setCookieOf(again), null)
})

test.run()
