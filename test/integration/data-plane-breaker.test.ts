// Circuit breakers over real data workers and control's part of them, on two replicas whose stores exchange changes: causes,
// responses, the single probe, recovery.

import type { Worker } from 'node:worker_threads'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { memoryStore } from '../../cluster/store/memory.ts'
import type { InnerStore } from '../../cluster/store/model.ts'
import type { Breaker } from '../../src/config/model.ts'
import { parseBreakerExpression } from '../../src/rules/breaker-expression.ts'
import { SharedState } from '../../src/shared-state/shared-state.ts'
import { WorkerPool } from '../../src/workers/pool.ts'
import { until } from '../until.ts'
import { Backend, closedPort, Edge, get, ok, type ServiceSketch, sleep, snapshotOf, testOptions } from './harness.ts'
import { fieldOf, type Message, RawConnection, statusOf } from './raw-connection.ts'
import { KEY, NOWHERE } from './relay-edges.ts'

const OPEN_MS = 1_500
const RECOVERY_MS = 2_000
const stops: (() => Promise<void> | void)[] = []

function breakerOf(expression: string, more: Partial<Breaker> = {}): Breaker {
  const parsed = parseBreakerExpression(expression)
  if (!parsed.ok) throw new Error(parsed.message)
  return { expression, when: parsed.when, minRequests: 10, openMs: OPEN_MS, recoveryMs: RECOVERY_MS, ...more }
}

interface Replica {
  readonly name: string
  readonly pool: WorkerPool
  readonly sharing: SharedState
  readonly store: InnerStore
  readonly port: number
  readonly lines: { readonly level: number; readonly msg: string }[]
}

async function replicaOf(sketches: Readonly<Record<string, ServiceSketch>>, name = 'edge-1', workers = 2): Promise<Replica> {
  const lines: Replica['lines'] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line) as Replica['lines'][0]) })
  const pool = new WorkerPool({ ...testOptions({ name }), accessLog: false }, workers, log)
  const sharing = new SharedState({
    name,
    store: { kind: 'gossip', redis: null },
    log,
    post: (message, except) => pool.broadcast(message, except),
    postTo: (index, message) => pool.postTo(index, message),
  })
  pool.sharing = sharing
  stops.push(async () => {
    await pool.stop(100)
    await sharing.stop()
  })
  const store = memoryStore(`id-${name}`)
  sharing.join(store)
  const snapshot = snapshotOf(sketches)
  pool.apply(snapshot)
  sharing.apply(snapshot)
  const ports = await pool.start()
  return { name, pool, sharing, store, port: ports.web!, lines }
}

/** Exchanges the changes of the stores, as gossip does every 50 ms. */
function link(replicas: readonly Replica[]): void {
  const peers = replicas.map(({ name }) => ({ id: `id-${name}`, name }))
  for (const one of replicas) {
    one.sharing.setPeers(peers.map(peer => ({ ...peer, self: peer.name === one.name })))
    const others = replicas.filter(other => other !== one)
    one.store.onWrite = entry => {
      setTimeout(() => {
        for (const other of others) other.sharing.changed(other.store.merge([entry]))
      }, 50)
    }
  }
}

async function ask(port: number, host = 'shop.test'): Promise<Message> {
  const client = await RawConnection.open(port)
  client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  try {
    return await client.takeMessage()
  } finally {
    client.destroy()
  }
}

async function askMany(port: number, count: number, host = 'shop.test'): Promise<number[]> {
  const statuses: number[] = []
  for (let i = 0; i < count; i++) statuses.push(statusOf(await ask(port, host)))
  return statuses
}

async function backendOf(answer: () => string): Promise<Backend> {
  const backend = await Backend.start((_request, connection) => connection.write(answer()))
  stops.push(() => backend.stop())
  return backend
}

/** Sends requests until both workers give this status: the kernel chooses the worker of a connection. */
async function untilStatus(edge: Replica, status: number): Promise<void> {
  const end = performance.now() + 30_000
  for (let inARow = 0; inARow < 20; ) {
    const now = statusOf(await ask(edge.port))
    inARow = now === status ? inARow + 1 : 0
    assert.ok(performance.now() < end, `it answers ${now}, not ${status}`)
  }
}

/** Sends requests, two at a time, until a probe has a result. */
async function untilProbed(edge: Replica): Promise<void> {
  for (const end = performance.now() + 30_000; stateOf(edge) === 'half-open'; ) {
    assert.ok(performance.now() < end, 'a verdict')
    await Promise.all([ask(edge.port), ask(edge.port)])
  }
}

const bad = () => 'HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n'
const stateOf = ({ sharing }: Replica) => sharing.breakerReports().find(report => report.service === 'shop')!.state
const said = ({ lines }: Replica, text: RegExp) => lines.filter(line => text.test(line.msg)).length

test.after.each(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

test('unparsable responses open a breaker like 502', async () => {
  const shop = await backendOf(() => 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab')
  const edge = await replicaOf({ shop: { servers: [shop.port], breaker: breakerOf('NetworkErrorRatio() > 0.5') } })
  assert.equal(await askMany(edge.port, 9), Array(9).fill(502), 'too few to judge')
  await askMany(edge.port, 3)
  await untilStatus(edge, 503)
  assert.is(stateOf(edge), 'open')
})

test('opens, refuses, sends one probe, recovers; another service is unaffected', async () => {
  // Much longer than the checks in between take.
  const slowly = { openMs: 5_000, recoveryMs: 5_000 }
  let answer = bad
  const shop = await backendOf(() => answer())
  const other = await backendOf(bad)
  const edge = await replicaOf({
    shop: { servers: [shop.port], breaker: breakerOf('ResponseCodeRatio(500, 600, 0, 600) > 0.5', slowly) },
    other: { servers: [other.port] },
  })
  assert.equal(new Set(await askMany(edge.port, 10)), new Set([500]))
  await until('it opens', () => stateOf(edge) === 'open')
  await untilStatus(edge, 503)
  const reached = shop.requests.length
  await until('the refused are counted', () => edge.sharing.breakerReports()[0]!.refusedRequests >= 20)
  const { refusedRequests } = edge.sharing.breakerReports()[0]!
  const refused = await ask(edge.port)
  assert.is(statusOf(refused), 503)
  assert.match(fieldOf(refused.head, 'retry-after') ?? '', /^[345]$/)
  assert.match(refused.body.toString(), /^503 Service Unavailable\nrequest id: edge-1-/)
  assert.equal(new Set(await askMany(edge.port, 20)), new Set([503]))
  assert.is(shop.requests.length, reached, 'none of them has reached a server')
  assert.equal(new Set(await askMany(edge.port, 20, 'other.test')), new Set([500]))
  await until('these too', () => edge.sharing.breakerReports()[0]!.refusedRequests === refusedRequests + 21)
  // One warning when it opened, none for refused requests.
  assert.is(said(edge, /circuit breaker of service shop is open/), 1)
  assert.is(edge.lines.filter(line => line.level >= 40).length, 1, JSON.stringify(edge.lines))

  await until('it lets a probe through', () => stateOf(edge) === 'half-open')
  await untilProbed(edge)
  await until('a bad probe', () => stateOf(edge) === 'open')
  assert.is(shop.requests.length, reached + 1)

  answer = () => ok('fine')
  await until('again', () => stateOf(edge) === 'half-open')
  await untilProbed(edge)
  await until('a good probe', () => stateOf(edge) === 'recovering')
  const ramp = await askMany(edge.port, 60)
  assert.ok(ramp.filter(status => status === 503).length > 10, 'few at first')
  await until('all pass', () => stateOf(edge) === 'closed')
  await untilStatus(edge, 200)
})

test('failures on one replica open the breaker on the other', async () => {
  const shop = await backendOf(bad)
  const sketches = { shop: { servers: [shop.port], breaker: breakerOf('ResponseCodeRatio(500, 600, 0, 600) > 0.5') } }
  const one = await replicaOf(sketches, 'edge-1', 1)
  const two = await replicaOf(sketches, 'edge-2', 1)
  link([one, two])
  await askMany(one.port, 20)
  await until('it opens', () => stateOf(one) === 'open')
  await until('there too', () => stateOf(two) === 'open')
  await untilStatus(two, 503)
  const { by, because } = two.sharing.breakerReports()[0]!
  assert.is(by, 'edge-1')
  assert.is(because?.errorRatio, 1)
})

test('failures below the minimum per replica open it by their sum', async () => {
  const shop = await backendOf(bad)
  const sketches = { shop: { servers: [shop.port], breaker: breakerOf('ResponseCodeRatio(500, 600, 0, 600) > 0.5') } }
  const one = await replicaOf(sketches, 'edge-1', 1)
  const two = await replicaOf(sketches, 'edge-2', 1)
  link([one, two])
  await Promise.all([askMany(one.port, 6), askMany(two.port, 6)])
  await until('both are open', () => stateOf(one) === 'open' && stateOf(two) === 'open')
  assert.ok((one.sharing.breakerReports()[0]!.because?.requests ?? 0) >= 10)
})

test('unreachable servers are network errors; a restarted worker refuses too', async () => {
  const breaker = breakerOf('NetworkErrorRatio() > 0.5', { openMs: 60_000 })
  const edge = await replicaOf({ shop: { servers: [await closedPort()], breaker } })
  for (const status of await askMany(edge.port, 20)) assert.ok(status === 502 || status === 503, `${status}`)
  await until('it opens', () => stateOf(edge) === 'open')
  const { slots } = edge.pool as unknown as { slots: { worker: Worker }[] }
  await slots[0]!.worker.terminate()
  await until('it is started anew', () => edge.pool.alive === 2)
  for (let i = 0; i < 20; i++) {
    const answer = await ask(edge.port)
    assert.is(statusOf(answer), 503)
    assert.ok(Number(fieldOf(answer.head, 'retry-after')) > 5)
  }
})

test('WebSocket service: tunnels count when they begin, one is the probe', async () => {
  let answer = 'HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n'
  const shop = await backendOf(() => answer)
  const breaker = breakerOf('NetworkErrorRatio() > 0.5')
  const edge = await replicaOf({ shop: { servers: [shop.port], breaker } })
  const clients: RawConnection[] = []
  stops.push(() => clients.forEach(client => void client.destroy()))
  const upgrade = async (): Promise<string> => {
    const client = await RawConnection.open(edge.port)
    clients.push(client)
    client.write('GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    return (await client.takeThrough('\r\n\r\n')).toString().slice(9, 12)
  }
  const good = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  const bad = answer
  answer = good
  for (let i = 0; i < 15; i++) assert.is(await upgrade(), '101')
  await until('they are counted', () => edge.sharing.breakerReports()[0]!.now.requests === 15)
  answer = bad
  for (let i = 0; i < 12; i++) assert.is(await upgrade(), '502')
  await sleep(400)
  assert.is(stateOf(edge), 'closed', 'tunnels that last are good answers')
  for (let i = 0; i < 10; i++) await upgrade()
  await until('it opens', () => stateOf(edge) === 'open')
  assert.is(await upgrade(), '503')
  answer = good
  await until('the open time is over', () => stateOf(edge) === 'half-open')
  for (const end = performance.now() + 30_000; stateOf(edge) === 'half-open' && performance.now() < end; ) await upgrade()
  assert.is(stateOf(edge), 'recovering')
})

test('a refused request keeps its connection; a relayed one is admitted', async () => {
  const shop = await backendOf(() => ok('fine'))
  const sketches = { app: { servers: [shop.port], breaker: breakerOf('NetworkErrorRatio() > 0.5') } }
  const relay = { listen: { host: '127.0.0.1', port: 0 }, keys: [KEY] }
  const to = await Edge.start(sketches, { name: 'edge-2', relay })
  const from = await Edge.start({ app: { servers: [{ port: 1, host: NOWHERE }] } }, { relay })
  stops.push(
    () => to.stop(),
    () => from.stop(),
  )
  to.service().breaker!.setGate({ state: 'open', retryMs: 60_000 }, performance.now())
  const client = await to.client()
  for (let i = 0; i < 3; i++) {
    client.write(get())
    const answer = await client.takeMessage()
    assert.is(statusOf(answer), 503)
    assert.is(fieldOf(answer.head, 'retry-after'), '60')
  }
  from.relayTo(to.target())
  assert.is(statusOf(await from.ask(get())), 200)
  assert.ok(to.isIdle && from.isIdle)
  // Relayed requests are not counted there.
  assert.is(to.service().breaker!.report(performance.now(), to.context.breakerEvents)?.statuses.length, 0)
})

test.run()
