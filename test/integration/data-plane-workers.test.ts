// Two data workers behind one port (WorkerPool): both serve, snapshots and ejections reach both, a dead worker is replaced while
// the other serves, and a shutdown finishes the requests in flight.

import { createServer } from 'node:net'
import type { Worker } from 'node:worker_threads'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCounters } from '../../src/proxy/counters.ts'
import { WorkerPool } from '../../src/workers/pool.ts'
import { until } from '../until.ts'
import { Backend, closedPort, get, ok, type ServiceSketch, sleep, snapshotOf, testOptions } from './harness.ts'
import { fieldOf, type Message, RawConnection, refuses, statusOf } from './raw-connection.ts'

interface Line {
  readonly level: number
  readonly msg: string
  readonly worker?: number
  readonly requestId?: string
  readonly status?: number
}

const stops: (() => Promise<void> | void)[] = []

async function poolOf(
  sketches: Readonly<Record<string, ServiceSketch>>,
): Promise<{ pool: WorkerPool; port: number; lines: Line[] }> {
  const lines: Line[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) })
  const pool = new WorkerPool(testOptions(), 2, log)
  stops.push(() => pool.stop(100))
  pool.apply(snapshotOf(sketches))
  const ports = await pool.start()
  return { pool, port: ports.web!, lines }
}

async function backendOf(...parameters: Parameters<typeof Backend.start>): Promise<Backend> {
  const backend = await Backend.start(...parameters)
  stops.push(() => backend.stop())
  return backend
}

async function ask(port: number, request = get()): Promise<Message> {
  const client = await RawConnection.open(port)
  client.write(request)
  try {
    return await client.takeMessage()
  } finally {
    client.destroy()
  }
}

/** Ends a worker abruptly, without a message to control. */
async function kill(pool: WorkerPool, index: number): Promise<void> {
  await (pool as unknown as { slots: { worker: Worker }[] }).slots[index]!.worker.terminate()
}

test.after.each(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

test('two workers on one port: counters add up, a snapshot reaches both', async () => {
  const one = await backendOf((_request, connection) => connection.write(ok('one')))
  const two = await backendOf((_request, connection) => connection.write(ok('two')))
  const { pool, port } = await poolOf({ app: { servers: [one.port] } })
  assert.is(pool.alive, 2)
  for (let i = 0; i < 60; i++) assert.is((await ask(port)).body.toString(), 'one')
  await until('sixty are counted', () => readCounters(pool.counters, pool.slotOf('app')).requests === 60)
  assert.is(one.accepted >= 2, true, 'each worker has connections of its own')
  const snapshot = snapshotOf({ app: { servers: [two.port] } })
  pool.apply(snapshot)
  await until('both have it', () => pool.hasApplied(snapshot.hash))
  for (let i = 0; i < 60; i++) assert.is((await ask(port)).body.toString(), 'two')
})

test('a local reply has a request id that control logs', async () => {
  const { port, lines } = await poolOf({ app: { servers: [await closedPort()] } })
  const answer = await ask(port)
  assert.is(statusOf(answer), 502)
  const id = fieldOf(answer.head, 'x-request-id')
  await until('the line is in the log', () => lines.some(line => line.requestId === id && line.status === 502))
})

test('an ejection seen by one worker reaches control and is withdrawn', async () => {
  const dead = await closedPort()
  const good = await backendOf((_request, connection) => connection.write(ok()))
  const { pool, port } = await poolOf({ app: { servers: [dead, good.port] } })
  for (let i = 0; i < 20; i++) assert.is(statusOf(await ask(port)), 200)
  await until('control knows', () => pool.ejected.get('app')?.has(`task-${dead}`) === true)
  const late = createServer(socket => socket.on('error', () => {}))
  await new Promise<void>(resolve => late.listen(dead, '127.0.0.1', resolve))
  stops.push(() => void late.close())
  await until('it is back', () => pool.ejected.get('app')?.has(`task-${dead}`) !== true)
})

test('a failed active check reaches both workers and one that starts later', async () => {
  const sick = await backendOf((_request, connection) => connection.write(ok('sick')))
  const well = await backendOf((_request, connection) => connection.write(ok('well')))
  const { pool, port } = await poolOf({ app: { servers: [sick.port, well.port] } })
  pool.setHealth('app', `task-${sick.port}`, false)
  // The kernel chooses the worker of a connection: many equal results in a row mean that both have the state.
  let inARow = 0
  for (const end = performance.now() + 30_000; inARow < 20; ) {
    inARow = (await ask(port)).body.toString() === 'well' ? inARow + 1 : 0
    assert.ok(performance.now() < end, 'the one that is not well gets requests')
  }
  assert.not(pool.isHealthy('app', `task-${sick.port}`))
  pool.setHealth('app', `task-${sick.port}`, true)
  await until('well again', () => pool.isHealthy('app', `task-${sick.port}`))
})

test('a worker dies: the other serves, and a new one gets the whole state', async () => {
  const backend = await backendOf((_request, connection) => connection.write(ok()))
  const sick = await backendOf((_request, connection) => connection.write(ok('sick')))
  const { pool, port, lines } = await poolOf({ app: { servers: [backend.port, sick.port] } })
  pool.setHealth('app', `task-${sick.port}`, false)
  await kill(pool, 0)
  assert.is(pool.alive, 1)
  for (let i = 0; i < 20; i++) assert.is(statusOf(await ask(port)), 200)
  await until('it is back', () => pool.alive === 2)
  for (let i = 0; i < 40; i++) assert.is((await ask(port)).body.toString(), 'ok')
  assert.ok(lines.some(line => line.msg.includes('a data worker exited')))
  const snapshot = snapshotOf({ app: { servers: [backend.port] } })
  pool.apply(snapshot)
  await until('the new one listens to control', () => pool.hasApplied(snapshot.hash))
})

test('a configuration that cannot be applied ends no worker', async () => {
  const backend = await backendOf((_request, connection) => connection.write(ok()))
  const { pool, port, lines } = await poolOf({ app: { servers: [backend.port] } })
  const bad = snapshotOf({ app: { servers: [backend.port], router: { matcher: null as never } } })
  pool.apply(bad)
  await until('both say so', () => lines.filter(line => line.msg.includes('cannot apply the configuration')).length === 2)
  assert.is(pool.alive, 2)
  for (let i = 0; i < 10; i++) assert.is(statusOf(await ask(port)), 200)
  const good = snapshotOf({ app: { servers: [backend.port] } })
  pool.apply(good)
  await until('the next one is applied', () => pool.hasApplied(good.hash))
})

test('shutdown: no new connection, requests in flight finish', async () => {
  const slow = await backendOf(async (_request, connection) => {
    await sleep(600)
    connection.write(ok('done'))
  })
  const { pool, port } = await poolOf({ app: { servers: [slow.port] } })
  const answers = Array.from({ length: 10 }, () => ask(port))
  await until('all are in flight', () => slow.requests.length === 10)
  const started = performance.now()
  const stopped = pool.stop(60_000)
  for (const end = performance.now() + 30_000; !(await refuses(port)); ) assert.ok(performance.now() < end, 'it still accepts')
  for (const answer of await Promise.all(answers)) assert.is(answer.body.toString(), 'done')
  await stopped
  assert.ok(performance.now() - started < 30_000, 'it does not wait for the grace to pass')
})

test('shutdown: a response beyond the grace period is cut', async () => {
  const mute = await backendOf(() => {})
  const { pool, port } = await poolOf({ app: { servers: [mute.port] } })
  const client = await RawConnection.open(port)
  client.write(get())
  await until('it is in flight', () => mute.requests.length === 1)
  const started = performance.now()
  await pool.stop(500)
  assert.ok(performance.now() - started < 30_000)
  assert.ok(await client.ends())
})

test('an address in use: the error names the entry point', async () => {
  const taken = await backendOf(() => {})
  const log = pino({ level: 'silent' })
  const options = testOptions({ entryPoint: { port: taken.port } })
  const pool = new WorkerPool(options, 1, log)
  stops.push(() => pool.stop(0))
  const error = await pool.start().then(
    () => null,
    (e: Error) => e,
  )
  assert.match(error!.message, new RegExp(`entry point web: cannot listen on 127.0.0.1:${taken.port}: the port is taken`))
})

/** An HTTP/1.0 client that has received half of a response which only the close delimits. */
async function halfAnswered(port: number): Promise<RawConnection> {
  const client = await RawConnection.open(port)
  client.write('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')
  await client.takeThrough('half')
  return client
}

for (const [how, end] of [
  ['a worker that fails', (pool: WorkerPool) => failBoth(pool)],
  ['a shutdown whose grace is over', (pool: WorkerPool) => pool.stop(200)],
] as const) {
  test(`${how} resets responses in flight: a FIN would end their bodies well`, async () => {
    const backend = await backendOf((_request, connection) => connection.write('HTTP/1.1 200 OK\r\n\r\nhalf'))
    const { pool, port, lines } = await poolOf({ app: { servers: [backend.port] } })
    const clients = await Promise.all(Array.from({ length: 8 }, () => halfAnswered(port)))
    await end(pool)
    for (const client of clients) {
      await client.until(() => client.closed || client.ended, 'the break')
      assert.not(client.ended, 'no FIN')
      assert.is(client.error, 'ECONNRESET')
    }
    if (how.includes('grace')) await until('the log says why', () => lines.some(line => line.msg.includes('(--grace)')))
  })
}

/** Ends both workers by an uncaught error. */
function failBoth(pool: WorkerPool): void {
  for (const slot of (pool as unknown as { slots: { worker: Worker }[] }).slots) slot.worker.postMessage({ kind: 'snapshot' })
}

test.run()
