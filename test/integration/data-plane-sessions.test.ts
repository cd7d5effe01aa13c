// Learned sessions over edges that share them: the same server through every edge, no move when servers are added, one move when
// a server is removed, and a table that a client with invented ids cannot fill at the cost of others.

import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { WARM_UP_MS } from '../../src/proxy/runtime-service.ts'
import { until } from '../until.ts'
import { Backend, ok, type ServiceSketch, snapshotOf } from './harness.ts'
import { pairOf, stopAll as stopRelays } from './relay-edges.ts'
import {
  backendNamed,
  backends,
  type Learn,
  learnCookie,
  type SharingEdge,
  setCookieOf,
  sharingEdges,
  stopAll,
} from './session-edges.ts'

const ids = (count: number) => Array.from({ length: count }, (_, i) => `id-${i}`)
const cookie = (id: string) => `Cookie: sid=${id}\r\n`

function app(servers: ServiceSketch['servers'], learn: Partial<Learn> = {}): Record<string, ServiceSketch> {
  return { app: { servers, learn: { ...learnCookie, ...learn } } }
}

async function hasAll(edge: SharingEdge, count: number): Promise<void> {
  await until('it has heard of all', () => edge.edge.service().sessions!.table.count === count)
}

test.after.each(async () => {
  await stopAll()
  await stopRelays()
})

test('a session has one server through every edge, before and after sharing', async () => {
  const ports = (await backends(5)).map(one => one.port)
  const { edges } = await sharingEdges(3, app(ports), { delayMs: 60_000 })
  const where = new Map<string, string>()
  for (const id of ids(80)) where.set(id, await edges[0]!.who(cookie(id)))
  for (const edge of edges) for (const id of ids(80)) assert.is(await edge.who(cookie(id)), where.get(id))
  assert.is(new Set(where.values()).size, 5, 'all servers have some')
})

test('keys from headers, queries and addresses; without a key the balancer picks', async () => {
  const ports = (await backends(4)).map(one => one.port)
  for (const [learn, fields, path] of [
    [{ from: 'header', name: 'x-session' }, 'X-Session: abc\r\n', '/'],
    [{ from: 'query', name: 'sid' }, '', '/?sid=abc'],
    [{ from: 'ip', name: '' }, '', '/'],
  ] as const) {
    const { edges } = await sharingEdges(2, app(ports, learn))
    const seen = new Set<string>()
    for (let i = 0; i < 6; i++) seen.add(await edges[i % 2]!.who(fields, path))
    assert.is(seen.size, 1, learn.from)
    if (learn.from === 'ip') continue
    for (let i = 0; i < 4; i++) seen.add(await edges[0]!.who(''))
    assert.is(seen.size, 4, 'without a key in turn')
  }
})

test('an added server moves no session on any edge and gets new ones', async () => {
  const [a, b, c] = (await backends(3)).map(one => one.port)
  const { edges } = await sharingEdges(2, app([a!, b!]))
  const where = new Map<string, string>()
  for (const id of ids(60)) where.set(id, await edges[0]!.who(cookie(id)))
  await hasAll(edges[1]!, 60)
  const more = snapshotOf(app([a!, b!, c!]))
  for (const edge of edges) edge.apply(more)
  for (const edge of [...edges].reverse()) for (const id of ids(60)) assert.is(await edge.who(cookie(id)), where.get(id))
  for (let i = 0; i < 20; i++)
    assert.is.not(await edges[0]!.who(cookie(`early-${i}`)), 'c', 'not all edges may know it or reach it yet')
  await delay(WARM_UP_MS)
  const fresh: string[] = []
  for (let i = 0; i < 60; i++) fresh.push(await edges[1]!.who(cookie(`new-${i}`)))
  const share = fresh.filter(name => name === 'c').length
  assert.ok(share >= 5 && share <= 40, `a third of new sessions, ${share} of 60`)
})

test('a removed server moves only its sessions, once, to one server each', async () => {
  const [a, b, c] = (await backends(3)).map(one => one.port)
  const { edges } = await sharingEdges(2, app([a!, b!, c!]))
  const where = new Map<string, string>()
  for (const id of ids(60)) where.set(id, await edges[0]!.who(cookie(id)))
  await hasAll(edges[1]!, 60)
  const less = snapshotOf(app([a!, b!]))
  for (const edge of edges) edge.apply(less)
  const after = new Map<string, string>()
  for (const id of ids(60)) after.set(id, await edges[1]!.who(cookie(id)))
  for (const id of ids(60)) {
    if (where.get(id) !== 'c') assert.is(after.get(id), where.get(id))
    assert.is(await edges[0]!.who(cookie(id)), after.get(id))
  }
  const back = snapshotOf(app([a!, b!, c!]))
  for (const edge of edges) edge.apply(back)
  for (const edge of edges) for (const id of ids(60)) assert.is(await edge.who(cookie(id)), after.get(id), 'nobody moves back')
})

test('a draining server: its sessions move, or stay with drain: keep', async () => {
  const [a, b, c] = (await backends(3)).map(one => one.port)
  for (const drain of ['move', 'keep'] as const) {
    const { edges } = await sharingEdges(2, app([a!, b!, c!], { drain }))
    const where = new Map<string, string>()
    for (const id of ids(30)) where.set(id, await edges[0]!.who(cookie(id)))
    await hasAll(edges[1]!, 30)
    const draining = snapshotOf(app([{ port: a!, state: 'draining' }, b!, c!], { drain }))
    for (const edge of edges) edge.apply(draining)
    for (const id of ids(30)) {
      const name = await edges[1]!.who(cookie(id))
      if (where.get(id) !== 'a' || drain === 'keep') assert.is(name, where.get(id))
      else assert.is.not(name, 'a')
    }
    for (let i = 0; i < 20; i++) assert.is.not(await edges[0]!.who(cookie(`new-${i}`)), 'a', 'no new session')
    for (const server of edges[0]!.edge.service().servers) if (server.draining) server.healthy = false
    for (const id of ids(30)) assert.is.not(await edges[0]!.who(cookie(id)), 'a', 'one that fails its check is left all the same')
  }
})

test('an ejected server loses its sessions; all ejected: they stay', async () => {
  const ports = (await backends(3)).map(one => one.port)
  const { edges } = await sharingEdges(1, app(ports))
  const [edge] = edges as [(typeof edges)[0]]
  const where = new Map<string, string>()
  for (const id of ids(30)) where.set(id, await edge.who(cookie(id)))
  const { servers } = edge.edge.service()
  for (const server of servers) server.ejectedUntilMs = performance.now() + 60_000
  for (const id of ids(30)) assert.is(await edge.who(cookie(id)), where.get(id), 'all ejected: nobody moves')
  servers[1]!.ejectedUntilMs = 0
  servers[2]!.ejectedUntilMs = 0
  servers[0]!.ejectedFor = 'doubt'
  for (const id of ids(30)) if (where.get(id) === 'a') assert.is.not(await edge.who(cookie(id)), 'a')
  servers[0]!.ejectedUntilMs = 0
  for (const id of ids(30)) assert.is(await edge.who(cookie(id)), where.get(id), 'a doubt moves nobody for good')
  servers[0]!.ejectedFor = 'refused'
  servers[0]!.ejectedUntilMs = performance.now() + 60_000
  const moved = new Map<string, string>()
  for (const id of ids(30)) moved.set(id, await edge.who(cookie(id)))
  servers[0]!.ejectedUntilMs = 0
  for (const id of ids(30)) assert.is(await edge.who(cookie(id)), moved.get(id), 'who has moved stays')
})

test('a session made by the application is learned from Set-Cookie', async () => {
  let made = 0
  const ports = (await backends(4, name => `Set-Cookie: other=1\r\nSet-Cookie: sid=made-${name}-${made++}; Path=/\r\n`)).map(
    one => one.port,
  )
  const { edges } = await sharingEdges(2, app(ports))
  for (let i = 0; i < 12; i++) {
    const { table } = edges[1]!.edge.service().sessions!
    const before = table.count
    const answer = await edges[0]!.ask('')
    const id = /sid=([^;]*)/.exec(answer.head)![1]!
    await until('the other edge has heard of it', () => table.count > before)
    assert.is(await edges[1]!.who(cookie(id)), answer.body.toString())
  }
})

test('requests that start a session avoid a server that is warming up', async () => {
  const [a, b, c] = (await backends(3)).map(one => one.port)
  const { edges } = await sharingEdges(1, app([a!, b!]))
  edges[0]!.apply(snapshotOf(app([a!, b!, c!])))
  const seen = new Set<string>()
  for (let i = 0; i < 9; i++) seen.add(await edges[0]!.who(''))
  assert.equal([...seen].sort(), ['a', 'b'])
})

test('a request that stays after others were considered binds its session', async () => {
  const release: (() => void)[] = []
  const slow = await Promise.all(
    ['a', 'b'].map(name => Backend.start((_request, connection) => void release.push(() => connection.write(ok(name))))),
  )
  const { edges } = await sharingEdges(1, app(slow.map(one => one.port)))
  const { edge } = edges[0]!
  try {
    const answer = edges[0]!.who(cookie('abc'))
    await until('it is sent', () => release.length === 1)
    const server = edge.service().servers.find(one => one.active.length > 0)!
    const x = server.active[0]!.x!
    x.attempt.tried = [server]
    assert.ok(edge.forwarder.choose(x))
    x.attempt.tried = null
    release[0]!()
    await answer
    assert.is(edge.service().sessions!.table.count, 1)
  } finally {
    for (const one of slow) one.stop()
  }
})

test('a client with a new id per request moves no other session', async () => {
  const [a, b, c] = (await backends(3)).map(one => one.port)
  const { edges } = await sharingEdges(2, app([a!, b!], { size: 100 }))
  const where = new Map<string, string>()
  for (let round = 0; round < 2; round++) for (const id of ids(50)) where.set(id, await edges[0]!.who(cookie(id)))
  const more = snapshotOf(app([a!, b!, c!], { size: 100 }))
  for (const edge of edges) edge.apply(more)
  for (let i = 0; i < 400; i++) await edges[i % 2]!.who(cookie(`flood-${i}`))
  for (const edge of edges) {
    assert.ok(edge.edge.service().sessions!.table.count <= 100)
    for (const id of ids(50)) assert.is(await edge.who(cookie(id)), where.get(id))
  }
})

test('odd keys are answered like any other request', async () => {
  const ports = (await backends(2)).map(one => one.port)
  const { edges } = await sharingEdges(1, app(ports))
  for (const value of ['', '""', 'x'.repeat(8000), '\u0080\u00ff', `${'sid=a; '.repeat(900)}sid=b`]) {
    const first = await edges[0]!.who(`Cookie: sid=${value}\r\n`)
    assert.ok(['a', 'b'].includes(first))
    if (value.length > 2) assert.is(await edges[0]!.who(`Cookie: sid=${value}\r\n`), first)
  }
})

test('a failed attempt uses another server, and the session stays', async () => {
  const [a, b] = (await backends(2)).map(one => one.port)
  const fragile = await backendNamed('c')
  const { edges } = await sharingEdges(1, app([a!, b!, fragile.port]))
  const [edge] = edges as [(typeof edges)[0]]
  let mine = ''
  for (const id of ids(60)) if ((await edge.who(cookie(id))) === 'c') mine = id
  assert.ok(mine)
  for (const connection of fragile.connections) connection.destroy()
  const server = edge.edge.service().servers[2]!
  const sessions = edge.edge.service().sessions!
  const before = sessions.table.count
  assert.is(await edge.who(cookie(mine)), 'c', 'a kept connection that had gone stale says nothing')
  assert.is(server.ejectedUntilMs, 0)
  assert.is(sessions.table.count, before)
})

test('a relayed request is learned by the peer that chose the server', async () => {
  const ports = (await backends(3)).map(one => one.port)
  const { from, to } = await pairOf(ports, { learn: learnCookie })
  const seen = new Set<string>()
  for (let i = 0; i < 5; i++) {
    const answer = await from.ask(`GET / HTTP/1.1\r\nHost: app.test\r\n${cookie('abc')}\r\n`)
    seen.add(answer.body.toString())
  }
  assert.is(seen.size, 1)
  assert.is(to.service().sessions!.table.count, 1)
  assert.is(from.service().sessions!.table.count, 0)
})

test('with both, the sticky cookie wins over the session', async () => {
  const ports = (await backends(4)).map(one => one.port)
  const sticky = { name: 'goose', secure: false, httpOnly: false, sameSite: null }
  const { edges } = await sharingEdges(1, { app: { servers: ports, sticky, learn: learnCookie } })
  const [edge] = edges as [(typeof edges)[0]]
  const first = await edge.ask(cookie('abc'))
  const name = first.body.toString()
  assert.match(setCookieOf(first)!, /^goose=[\w-]{22}; Path=\/$/)
  assert.is(await edge.who(cookie('abc')), name, 'by the session')
  const others = edge.edge.service().servers.filter(server => !setCookieOf(first)!.includes(server.cookieMark))
  for (const other of others) {
    const answer = await edge.ask(`Cookie: sid=abc; goose=${other.cookieMark}tags\r\n`)
    assert.is(setCookieOf(answer), null)
    assert.is.not(answer.body.toString(), name)
  }
})

test('cookies of Traefik v1 lead to their server on every edge and are replaced', async () => {
  const ports = (await backends(4)).map(one => one.port)
  const sticky = { name: '_TRAEFIK_BACKEND', secure: false, httpOnly: false, sameSite: null }
  const { edges } = await sharingEdges(2, { app: { servers: ports, sticky } })
  for (const [i, port] of ports.entries()) {
    for (const edge of edges) {
      const answer = await edge.ask(`Cookie: _TRAEFIK_BACKEND=http://127.0.0.1:${port}\r\n`)
      assert.is(answer.body.toString(), String.fromCharCode(97 + i))
      assert.match(setCookieOf(answer)!, /^_TRAEFIK_BACKEND=[\w-]{22}; Path=\/$/)
    }
  }
  for (const gone of ['http://127.0.0.1:1', 'A'.repeat(22)]) {
    const answers = await Promise.all(edges.map(edge => edge.ask(`Cookie: _TRAEFIK_BACKEND=${gone}\r\n`)))
    assert.is(answers[0]!.body.toString(), answers[1]!.body.toString())
    assert.ok(answers.every(answer => setCookieOf(answer) !== null))
  }
})

test.run()
