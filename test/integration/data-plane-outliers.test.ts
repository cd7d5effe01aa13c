// Two replicas with two data workers each that share outlier reports: runs of 5xx, servers that vanish, and reports that are
// wrong or malicious. The store between them is a board that forwards within 20 ms; vanished servers are frozen processes.

import { createServer } from 'node:net'
import type { Worker } from 'node:worker_threads'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Entry } from '../../cluster/store/model.ts'
import { readCounters } from '../../src/proxy/counters.ts'
import { SharedEjections } from '../../src/shared-state/ejections.ts'
import { WorkerPool } from '../../src/workers/pool.ts'
import { Board } from '../unit/shared-state/board.ts'
import { until } from '../until.ts'
import { Backend, closedPort, Edge, get, ok, type ServiceSketch, sleep, snapshotOf, testOptions } from './harness.ts'
import { type Message, RawConnection, statusOf } from './raw-connection.ts'
import { NOWHERE } from './relay-edges.ts'
import { startStoppable } from './stoppable.ts'

interface Replica {
  readonly pool: WorkerPool
  readonly part: SharedEjections
  readonly port: number
  readonly lines: string[]
}

/** Much longer than a suspicion takes on a busy machine: a test that waits for one of these limits fails. */
const TIMEOUTS = { connectMs: 5000, noResponseMs: 5000, responseHeaderMs: 10_000 }
const stops: (() => Promise<void> | void)[] = []

function boardOf(): Board {
  const board = new Board()
  const timer = setInterval(() => {
    board.nowMs = performance.now()
    board.flush()
  }, 20)
  stops.push(() => clearInterval(timer))
  return board
}

async function replicaOf(board: Board, name: string, sketch: ServiceSketch): Promise<Replica> {
  const lines: string[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) })
  const pool = new WorkerPool({ ...testOptions({ name, timeouts: TIMEOUTS }), accessLog: false }, 2, log)
  stops.push(() => pool.stop(100))
  const part: SharedEjections = new SharedEjections({
    store: board.join(`id-${name}`, changes => part.changed(changes)),
    log,
    post: (message, except) => pool.broadcast(message, except),
    postTo() {},
    now: () => performance.now(),
    peers: () => ['edge-1', 'edge-2'].map(one => ({ id: `id-${one}`, name: one, self: one === name })),
  })
  pool.sharing = part
  const snapshot = snapshotOf({ app: { outliers: { errors: 5 }, ...sketch } })
  pool.apply(snapshot)
  part.apply(snapshot)
  const ports = await pool.start()
  await until('the workers know the servers', () => pool.hasApplied(snapshot.hash))
  return { pool, part, port: ports.web!, lines }
}

async function backendOf(...parameters: Parameters<typeof Backend.start>): Promise<Backend> {
  const backend = await Backend.start(...parameters)
  stops.push(() => backend.stop())
  return backend
}

const good = () => backendOf((_request, connection) => connection.write(ok('good')))
const failing = () => backendOf((_request, connection) => connection.write('HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad'))

async function ask(port: number): Promise<Message & { readonly ms: number }> {
  const started = performance.now()
  const client = await RawConnection.open(port)
  client.write(get())
  try {
    return { ...(await client.takeMessage()), ms: performance.now() - started }
  } finally {
    client.destroy()
  }
}

const isOut = ({ pool }: Replica, port: number): boolean => pool.ejected.get('app')?.has(`task-${port}`) === true

test.after.each(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

test('5xx on one replica eject the server on both; it returns by time', async () => {
  const board = boardOf()
  const bad = await failing()
  const other = await good()
  const sketch = { servers: [bad.port, other.port] }
  const one = await replicaOf(board, 'edge-1', sketch)
  const two = await replicaOf(board, 'edge-2', sketch)
  const started = performance.now()
  const statuses: number[] = []
  for (let i = 0; i < 100 && !isOut(one, bad.port); i++) statuses.push(statusOf(await ask(one.port)))
  const errors = statuses.filter(status => status === 500).length
  assert.ok(errors >= 5 && errors <= 12, `${errors} errors reached clients of two workers`)
  await until('the other replica knows', () => isOut(two, bad.port))
  const before = bad.requests.length
  for (let i = 0; i < 20; i++) {
    assert.is((await ask(one.port)).body.toString(), 'good')
    assert.is((await ask(two.port)).body.toString(), 'good')
  }
  assert.is(bad.requests.length, before)
  assert.ok(two.lines.some(line => line.includes('"server ejected, reported by edge-1"')))
  assert.is(two.part.report('app', `task-${bad.port}`)?.by, 'edge-1')
  await until('it is back on both', () => !isOut(one, bad.port) && !isOut(two, bad.port))
  assert.ok(performance.now() - started > 4500, 'after five seconds')
  for (let i = 0; i < 10; i++) await ask(two.port)
  assert.ok(bad.requests.length > before, 'it gets requests again')
})

test('all servers answer 5xx: none is ejected', async () => {
  const board = boardOf()
  const bad = [await failing(), await failing()]
  const one = await replicaOf(board, 'edge-1', { servers: bad.map(({ port }) => port) })
  for (let i = 0; i < 60; i++) assert.is(statusOf(await ask(one.port)), 500)
  assert.equal([...one.pool.ejected], [])
  assert.equal(board.writes, [])
})

test('a server vanishes: no request waits for timeouts, the idle replica learns of it', async () => {
  const board = boardOf()
  const child = await startStoppable()
  stops.push(() => child.stop())
  const others = [await good(), await good()]
  const sketch = { servers: [child.port, ...others.map(({ port }) => port)] }
  const one = await replicaOf(board, 'edge-1', sketch)
  const two = await replicaOf(board, 'edge-2', sketch)
  for (let i = 0; i < 24; i++) for (const { port } of [one, two]) assert.is(statusOf(await ask(port)), 200)
  child.freeze()
  await child.fill()
  const first = await Promise.all(Array.from({ length: 24 }, () => ask(one.port)))
  for (const { body, ms } of first) {
    assert.is(body.toString(), 'good')
    assert.ok(ms < 4000, `took ${Math.round(ms)} ms`)
  }
  // The report of the suspicion makes the other replica check the server and send no request there.
  await until('it is told', () => board.writes.some(line => line.includes('doubt')))
  await sleep(1000)
  const second = await Promise.all(Array.from({ length: 24 }, () => ask(two.port)))
  for (const { body } of second) assert.is(body.toString(), 'good')
  const { counters } = two.pool
  await until('all are booked', () => readCounters(counters, two.pool.slotOf('app')).requests === 48)
  assert.is(readCounters(counters, two.pool.slotOf('app')).retries, 0, 'none of them has tried the one that is gone')
  await until('both have found it gone', () => isOut(one, child.port) && isOut(two, child.port))
  child.thaw()
  await until('both have it back', () => !isOut(one, child.port) && !isOut(two, child.port))
})

test('a wrong report costs nothing: no request moves or waits', async () => {
  const board = boardOf()
  const a = await good()
  const b = await good()
  const c = await good()
  const two = await replicaOf(board, 'edge-2', { servers: [a.port, b.port, c.port] })
  for (let i = 0; i < 12; i++) await ask(two.port)
  // The network of edge-1 is broken: it reaches the first server only.
  const servers = [a.port, { port: b.port, host: NOWHERE }, { port: c.port, host: NOWHERE }]
  const one = await replicaOf(board, 'edge-1', { servers })
  const before = [a, b, c].map(({ requests }) => requests.length)
  for (let i = 0; i < 30; i++) {
    assert.is(statusOf(await ask(one.port)), 200)
    const { ms } = await ask(two.port)
    assert.ok(ms < 4000, `took ${Math.round(ms)} ms`)
  }
  assert.ok(isOut(one, b.port) && isOut(one, c.port))
  assert.ok(board.writes.length >= 2, 'it was told')
  assert.equal([...two.pool.ejected], [])
  const [, gotB, gotC] = [a, b, c].map(({ requests }, i) => requests.length - before[i]!)
  for (const got of [gotB!, gotC!]) assert.ok(got >= 9 && got <= 11, `a third of thirty, in two workers: ${got}`)
})

test('a restarted worker checks what its predecessor had ejected', async () => {
  const board = boardOf()
  const dead = await closedPort()
  const other = await good()
  const one = await replicaOf(board, 'edge-1', { servers: [dead, other.port] })
  await Promise.all(Array.from({ length: 10 }, () => ask(one.port)))
  await until('it is out', () => isOut(one, dead))
  const { slots } = one.pool as unknown as { slots: ({ worker: Worker } | null)[] }
  for (const slot of [...slots]) await slot?.worker.terminate()
  const back = createServer(socket => void socket.on('error', () => {}).on('data', () => socket.write(ok('back'))))
  await new Promise<void>(resolve => back.listen(dead, '127.0.0.1', resolve))
  stops.push(() => void back.close())
  await until('nobody is left who would have said so', () => one.pool.alive === 2 && !isOut(one, dead))
  assert.is(statusOf(await ask(one.port)), 200)
})

test('a member that reports all servers ejects at most half, no request fails', async () => {
  const board = boardOf()
  const backends = await Promise.all([good(), good(), good(), good(), good()])
  const two = await replicaOf(board, 'edge-2', { servers: backends.map(({ port }) => port) })
  const value = JSON.stringify({ cause: 'errors', times: 16, by: 'edge-1', at: 1 })
  const told = { table: 'ejection', value, rank: 1, ttlMs: 1e9, wall: 1, count: 0, origin: 'id-edge-1' } as const
  two.part.changed(backends.map(({ port }): Entry => ({ ...told, key: `app\0task-${port}` })))
  await until('two are out', () => two.pool.ejected.get('app')?.size === 2)
  await sleep(100)
  for (let i = 0; i < 30; i++) assert.is(statusOf(await ask(two.port)), 200)
  assert.is(two.pool.ejected.get('app')?.size, 2)
  const used = backends.filter(({ requests }) => requests.length > 0)
  assert.is(used.length, 3)
})

test('a server that refuses on both replicas is logged once by each', async () => {
  const board = boardOf()
  const dead = await closedPort()
  const other = await good()
  const sketch = { servers: [dead, other.port] }
  const one = await replicaOf(board, 'edge-1', sketch)
  const two = await replicaOf(board, 'edge-2', sketch)
  for (let i = 0; i < 10; i++) assert.is(statusOf(await ask(one.port)), 200)
  await until('also where no request went there', () => isOut(one, dead) && isOut(two, dead))
  await sleep(1000)
  for (const { lines } of [one, two]) assert.is(lines.filter(line => line.includes('server ejected')).length, 1)
  assert.ok(board.writes.length < 20, `${board.writes.length} writes in a good second`)
})

// ---- one worker, in this process ----

async function edgeOf(servers: ServiceSketch['servers'], rest: Partial<ServiceSketch> = {}): Promise<Edge> {
  const edge = await Edge.start({ app: { ...rest, servers } }, { timeouts: TIMEOUTS })
  stops.push(async () => {
    await until('no request is in flight', () => edge.isIdle)
    edge.stop()
  })
  return edge
}

const timed = async (edge: Edge, request = get()) => {
  const started = performance.now()
  const message = await edge.ask(request)
  return { status: statusOf(message), body: message.body.toString().trim(), ms: performance.now() - started }
}

test('requests on a kept-alive connection move on suspicion; a POST stays', async () => {
  const child = await startStoppable()
  stops.push(() => child.stop())
  const other = await good()
  const edge = await edgeOf([child.port, other.port])
  // One idle connection to each server, so that the next request to the frozen one gets no response.
  for (let i = 0; i < 4; i++) await timed(edge)
  child.freeze()
  await child.fill()
  const posted = edge.ask('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nhi')
  const gets = await Promise.all(Array.from({ length: 8 }, () => timed(edge)))
  for (const { body, ms } of gets) {
    assert.is(body, 'good')
    assert.ok(ms < 4000, `took ${Math.round(ms)} ms`)
  }
  const status = statusOf(await posted)
  const posts = other.requests.filter(({ head }) => head.startsWith('POST')).length
  assert.ok((status === 200 && posts === 1) || (status === 504 && posts === 0), `${status}, sent ${posts} times to the other`)
})

test('a single server, or one without proven siblings, is waited for', async () => {
  const child = await startStoppable()
  stops.push(() => child.stop())
  const edge = await edgeOf([child.port])
  await timed(edge)
  child.freeze()
  await child.fill()
  const answer = timed(edge)
  await sleep(700)
  assert.is(edge.healthReports.length, 0)
  assert.is(edge.service().servers[0]!.ejectedUntilMs, 0)
  child.thaw()
  assert.is((await answer).body, 'child')
})

test('a bound session stays while only others report its server as lost', async () => {
  const a = await backendOf((_request, connection) => connection.write(ok('a')))
  const b = await backendOf((_request, connection) => connection.write(ok('b')))
  const edge = await edgeOf([a.port, b.port])
  const [server] = edge.service().servers
  for (let i = 0; i < 6; i++) {
    edge.forwarder.watch.applyHealthReport(server!, { cause: 'timeout', forMs: 0, times: 1, by: 'edge-2' })
    assert.is(server!.ejectedUntilMs, 0)
    await timed(edge)
    assert.is(server!.ejectedUntilMs, 0)
  }
  assert.equal(edge.ejections, [])
  const accepted = a.accepted
  for (let i = 0; i < 50; i++)
    edge.forwarder.watch.applyHealthReport(server!, { cause: 'timeout', forMs: 0, times: 1, by: 'edge-2' })
  await sleep(100)
  assert.is(a.accepted, accepted, 'it was looked at a moment ago')
})

test.run()
