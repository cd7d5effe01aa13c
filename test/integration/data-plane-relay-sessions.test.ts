// A session whose server only this edge cannot reach stays on that server, through a peer. If the server is dead for all edges, the
// session moves once, and no request waits longer than without peers. Outages and times are printed.

import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Change } from '../../cluster/store/model.ts'
import type { UpstreamServer } from '../../src/proxy/upstream/upstream-server.ts'
import { SharedEjections } from '../../src/shared-state/ejections.ts'
import type { SharedStateHost, SharedStatePart } from '../../src/shared-state/part.ts'
import { SharedReachability } from '../../src/shared-state/reachability.ts'
import { SharedSessions } from '../../src/shared-state/sessions.ts'
import type { SharedFromWorker, ToWorker } from '../../src/workers/messages.ts'
import { Board } from '../unit/shared-state/board.ts'
import { type Edge, get, ok, type ServiceSketch, sleep, snapshotOf } from './harness.ts'
import { fieldOf, statusOf } from './raw-connection.ts'
import { backendOf, edgeOf, stopAll, stopLater } from './relay-edges.ts'
import { learnCookie } from './session-edges.ts'
import { type Stoppable, startStoppable } from './stoppable.ts'

const SESSIONS = 100
/** As the gossip store batches. */
const DELAY_MS = 50
const ROUNDS = 7

test.after.each(stopAll)

/** Joins an edge to the others as control does: sessions, ejections, and who reaches what. */
function share(edge: Edge, board: Board, names: readonly string[], snapshot: ReturnType<typeof snapshotOf>): void {
  const { name } = edge.context.options
  const parts: SharedStatePart[] = []
  const hear = (message: ToWorker) => {
    const { sessions, watch } = edge.forwarder
    const nowMs = performance.now()
    if (message.kind === 'sessions') sessions.applyRemote(edge.service(), message, nowMs)
    if (message.kind !== 'remoteEjection' && message.kind !== 'peerReach') return
    for (const server of edge.service().servers.filter(({ id }) => id === message.server)) {
      if (message.kind === 'remoteEjection') watch.applyHealthReport(server, message)
      else edge.forwarder.reachedBy(server, message.by, message.forMs)
    }
  }
  const host: SharedStateHost = {
    store: board.join(`id of ${name}`, (changes: readonly Change[]) => {
      for (const part of parts) part.changed(changes)
    }),
    log: pino({ level: 'silent' }),
    // As between threads: later, and in order.
    post: (message, except) => void (except !== 0 && setImmediate(hear, message)),
    postTo: (_index, message) => void setImmediate(hear, message),
    now: () => performance.now(),
    peers: () => names.map(one => ({ id: `id of ${one}`, name: one, self: one === name })),
  }
  parts.push(new SharedSessions(host), new SharedEjections(host), new SharedReachability(host))
  for (const part of parts) part.apply(snapshot)
  const tell = (message: SharedFromWorker) => {
    setImmediate(() => {
      for (const part of parts) part.fromWorker(0, message)
    })
  }
  const of = ({ service, id }: UpstreamServer) => ({ service, server: id })
  edge.onSessions = (service, rows) => tell({ kind: 'sessions', service, ...rows })
  edge.onReachabilityQuery = server => tell({ kind: 'reachQuery', ...of(server) })
  edge.onReachable = server => tell({ kind: 'reachAnswer', ...of(server) })
  edge.onEjection = (server, out, cause, by) =>
    tell({ kind: 'ejection', ...of(server), out, cause, times: server.ejections, forMs: out ? 1000 : 0, by })
  edge.onHealthReport = (server, cause) =>
    tell({ kind: 'healthReport', ...of(server), cause, times: server.ejections, forMs: 1000 })
}

interface Setting {
  readonly edges: readonly Edge[]
  /** The way of each edge to server `c`. */
  readonly ways: readonly Stoppable[]
}

/**
 * Two edges and three servers, `c` by a way of its own for each edge, or by one for both. `fresh`: servers keep no connection, so
 * that what is lost shows in a connect that hangs, and not in silence.
 */
async function setting(service: Partial<ServiceSketch>, relays: boolean, oneWay: boolean, fresh: boolean): Promise<Setting> {
  const [a, b, c] = await Promise.all(
    ['a', 'b', 'c'].map(name =>
      backendOf(async (_request, connection) => {
        await sleep(2)
        connection.write(ok(name, fresh ? 'Connection: close\r\n' : ''))
      }),
    ),
  )
  const names = ['edge-1', 'edge-2']
  const first = stopLater(await startStoppable(0, c!.port))
  const ways = [first, oneWay ? first : stopLater(await startStoppable(0, c!.port))]
  const sketch = (way: Stoppable): Record<string, ServiceSketch> => ({
    app: {
      ...service,
      servers: [
        { id: 'task-a', port: a!.port },
        { id: 'task-b', port: b!.port },
        { id: 'task-c', port: way.port },
      ],
    },
  })
  const board = new Board()
  board.nowMs = performance.now()
  const timer = setInterval(() => {
    board.nowMs = performance.now()
    board.flush()
  }, DELAY_MS)
  stopLater({ stop: () => clearInterval(timer) })
  const edges: Edge[] = []
  for (const [i, name] of names.entries()) {
    const edge = await edgeOf(name, sketch(ways[i]!), { timeouts: { connectMs: 1000 }, retry: { budgetMin: 100 } })
    share(edge, board, names, snapshotOf(sketch(ways[i]!)))
    edges.push(edge)
  }
  if (relays) for (const [i, edge] of edges.entries()) edge.relayTo(edges[1 - i]!.target())
  return { edges, ways }
}

interface Seen {
  at: string
  moves: number
}

class Sessions {
  readonly seen = new Map<number, Seen>()
  slowestMs = 0
  failed = 0
  private readonly jars = new Map<number, string>()
  private readonly kind: 'cookie' | 'learned'

  private readonly posts: boolean

  /** `posts`: every second one sends what must not be sent twice. */
  constructor(kind: 'cookie' | 'learned', posts: boolean) {
    this.kind = kind
    this.posts = posts
  }

  /** One request of each, in turn through both edges. */
  async round(edges: readonly Edge[], nth: number): Promise<void> {
    for (let from = 0; from < SESSIONS; from += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, i) => this.ask(edges[(nth + i) % edges.length]!, from + i)))
    }
  }

  private async ask(edge: Edge, id: number): Promise<void> {
    const field = this.kind === 'learned' ? `Cookie: sid=id-${id}\r\n` : (this.jars.get(id) ?? '')
    const startMs = performance.now()
    const post = `POST / HTTP/1.1\r\nHost: app.test\r\n${field}Content-Length: 5\r\n\r\nhello`
    const answer = await edge.ask(this.posts && id % 2 === 0 ? post : get('/', field), { ms: 10_000 })
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs)
    if (statusOf(answer) !== 200) {
      this.failed++
      return
    }
    const cookie = fieldOf(answer.head, 'set-cookie')
    if (cookie !== undefined) this.jars.set(id, `Cookie: ${cookie.split(';')[0]}\r\n`)
    const at = answer.body.toString()
    const known = this.seen.get(id)
    if (known === undefined) this.seen.set(id, { at, moves: 0 })
    else if (known.at !== at) {
      known.at = at
      known.moves++
    }
  }

  get breaks(): number {
    return [...this.seen.values()].reduce((sum, { moves }) => sum + moves, 0)
  }

  on(server: string): number {
    return [...this.seen.values()].filter(({ at }) => at === server).length
  }
}

const SERVICES: Record<'cookie' | 'learned', Partial<ServiceSketch>> = {
  cookie: { sticky: { name: 'goose', secure: false, httpOnly: false, sameSite: null } },
  learned: { learn: learnCookie },
}

/** Sessions begin, server `c` is lost to one edge or to both, and they go on through both edges. */
async function story(kind: 'cookie' | 'learned', fresh: boolean, relays: boolean, dead: boolean) {
  const { edges, ways } = await setting(SERVICES[kind], relays, dead, fresh)
  const sessions = new Sessions(kind, fresh)
  for (let nth = 0; nth < 2; nth++) {
    await sessions.round(edges, nth)
    await sleep(DELAY_MS * 3)
  }
  assert.is(sessions.breaks, 0)
  const before = sessions.on('c')
  ways[0]!.freeze()
  await ways[0]!.fill()
  sessions.slowestMs = 0
  for (let nth = 0; nth < ROUNDS; nth++) {
    await sessions.round(edges, nth)
    await sleep(100)
  }
  ways[0]!.thaw()
  const { breaks, failed, slowestMs } = sessions
  console.log(
    `${kind}, ${fresh ? 'fresh' : 'kept'} connections, ${relays ? 'with' : 'without'} peers, ` +
      `${dead ? 'dead for all' : 'cut off from one edge'}: ${before} of ${SESSIONS} ` +
      `sessions on it, ${breaks} breaks, ${failed} failed, slowest request ${slowestMs.toFixed(0)} ms`,
  )
  assert.is(failed, 0)
  return { sessions, before, edges }
}

for (const [kind, fresh] of [
  ['cookie', true],
  ['learned', false],
] as const) {
  const what = `${kind}, ${fresh ? 'fresh' : 'kept'} connections`

  test(`${what}: a server that one edge alone cannot reach keeps its sessions`, async () => {
    const without = await story(kind, fresh, false, false)
    assert.ok(without.sessions.breaks > without.before / 2, 'provoked')
    await stopAll()
    const { sessions, before, edges } = await story(kind, fresh, true, false)
    assert.is(sessions.breaks, 0)
    assert.is(sessions.on('c'), before)
    assert.ok(edges[0]!.counters(1).relayedOut > before)
    assert.is(edges[1]!.counters(1).relayedOut, 0)
  })

  test(`${what}: from a dead server each session moves once, and no request waits longer for a peer`, async () => {
    const without = await story(kind, fresh, false, true)
    await stopAll()
    const { sessions, edges } = await story(kind, fresh, true, true)
    assert.is(sessions.on('c'), 0)
    for (const { moves } of sessions.seen.values()) assert.ok(moves <= 1)
    assert.ok(sessions.slowestMs < without.sessions.slowestMs + 300)
    for (const edge of edges) assert.is(edge.counters(1).relayedOut, 0)
  })
}

test('an answer that arrives after the suspicion keeps the sessions: their requests wait for it', async () => {
  for (const kind of ['cookie', 'learned'] as const) {
    const { edges, ways } = await setting(SERVICES[kind], true, false, true)
    const [first, second] = edges
    const { onReachable } = second!
    const { onHealthReport } = first!
    const late = new Set<UpstreamServer>()
    let isSuspected = false
    second!.onReachable = server => void (isSuspected ? onReachable(server) : late.add(server))
    first!.onHealthReport = (server, cause) => {
      onHealthReport(server, cause)
      isSuspected = true
      for (const one of late) onReachable(one)
      late.clear()
    }
    const sessions = new Sessions(kind, true)
    for (let nth = 0; nth < 2; nth++) {
      await sessions.round(edges, nth)
      await sleep(DELAY_MS * 3)
    }
    const before = sessions.on('c')
    ways[0]!.freeze()
    await ways[0]!.fill()
    for (let nth = 0; nth < ROUNDS; nth++) {
      await sessions.round([first!], nth)
      await sleep(100)
    }
    ways[0]!.thaw()
    assert.is(sessions.failed, 0)
    assert.ok(isSuspected)
    assert.is(sessions.breaks, 0)
    assert.is(sessions.on('c'), before)
    assert.ok(before > 0)
    await stopAll()
  }
})

test('a health check that cannot connect moves no session', async () => {
  for (const kind of ['cookie', 'learned'] as const) {
    const { edges, ways } = await setting(SERVICES[kind], true, false, true)
    const sessions = new Sessions(kind, true)
    for (let nth = 0; nth < 2; nth++) {
      await sessions.round(edges, nth)
      await sleep(DELAY_MS * 3)
    }
    const before = sessions.on('c')
    ways[0]!.freeze()
    await ways[0]!.fill()
    for (let nth = 0; nth < ROUNDS; nth++) {
      await sessions.round(edges, nth)
      await sleep(100)
    }
    edges[0]!.runtime.setHealth('app', 'task-c', false, true)
    for (let nth = 0; nth < 2; nth++) await sessions.round(edges, nth)
    assert.is(sessions.breaks, 0)
    assert.is(sessions.on('c'), before)
    edges[0]!.runtime.setHealth('app', 'task-c', false, false)
    await sessions.round(edges, 0)
    assert.ok(sessions.breaks > 0, 'what answers and is not well is left')
    ways[0]!.thaw()
    await stopAll()
  }
})

test('a member that reaches the server but is unreachable itself delays no request', async () => {
  const { edges, ways } = await setting(SERVICES.cookie, true, false, true)
  const [first, second] = edges
  const hole = stopLater(await startStoppable())
  hole.freeze()
  await hole.fill()
  const third = { ...second!.target(), id: 'id of edge-3', name: 'edge-3', addresses: [{ host: '127.0.0.1', port: hole.port }] }
  first!.relayTo(third, second!.target())
  const { onReachabilityQuery } = first!
  first!.onReachabilityQuery = server => {
    onReachabilityQuery(server)
    setTimeout(() => first!.forwarder.reachedBy(server, third.id, 60_000), DELAY_MS)
  }
  const sessions = new Sessions('cookie', true)
  for (let nth = 0; nth < 2; nth++) await sessions.round(edges, nth)
  const before = sessions.on('c')
  ways[0]!.freeze()
  await ways[0]!.fill()
  sessions.slowestMs = 0
  for (let nth = 0; nth < ROUNDS; nth++) await sessions.round([first!], nth)
  ways[0]!.thaw()
  assert.is(sessions.failed, 0)
  assert.ok(sessions.slowestMs < 800, `${sessions.slowestMs} ms`)
  assert.ok(before > 0)
})

test('a reachability report from before the server died is not used', async () => {
  const { edges, ways } = await setting(SERVICES.cookie, true, true, true)
  const [first] = edges
  const sessions = new Sessions('cookie', true)
  await sessions.round([first!], 0)
  first!.forwarder.reachedBy(first!.service().servers[2]!, 'id of edge-2', 60_000)
  await sleep(1200)
  ways[0]!.freeze()
  await ways[0]!.fill()
  sessions.slowestMs = 0
  for (let nth = 0; nth < ROUNDS; nth++) await sessions.round([first!], nth)
  ways[0]!.thaw()
  assert.is(sessions.failed, 0)
  assert.is(sessions.on('c'), 0)
  assert.ok(sessions.slowestMs < 800, `${sessions.slowestMs} ms`)
  assert.is(first!.counters(1).relayedOut, 0)
})

test.run()
