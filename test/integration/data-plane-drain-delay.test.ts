// A replica behind a load balancer: its health check is 503 at once after SIGTERM, while it continues to serve for --drain-delay.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { snapshotOf as sealed } from '../../src/config/merge.ts'
import { WorkerPool } from '../../src/workers/pool.ts'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, snapshotOf, testOptions } from './harness.ts'
import { fieldOf, RawConnection, refuses, statusOf } from './raw-connection.ts'
import { endAll, ownDirectory, Replica } from './skein-process.ts'

const stops: (() => void)[] = []
test.after(endAll)
test.after.each(() => {
  for (const stop of stops.splice(0).reverse()) stop()
})

async function backendOf(): Promise<Backend> {
  const backend = await Backend.start((request, connection) => connection.write(ok(request.startLine.split(' ')[1])))
  stops.push(() => backend.stop())
  return backend
}

async function edgeOf(port: number, ping?: string): Promise<Edge> {
  const edge = await Edge.start({ app: { servers: [port] } }, { entryPoint: ping === undefined ? {} : { ping } })
  stops.push(() => edge.stop())
  return edge
}

test('health check: 200, and 503 with Connection: close as soon as the replica drains', async () => {
  const edge = await edgeOf((await backendOf()).port, '/ping')
  const client = await edge.client()
  for (let i = 0; i < 2; i++) {
    client.write(get('/ping'))
    const answer = await client.takeMessage()
    assert.is(`${statusOf(answer)} ${answer.body}`, '200 OK\n')
    assert.is(fieldOf(answer.head, 'connection'), undefined)
  }
  edge.announceDrain()
  client.write(get('/ping'))
  const answer = await client.takeMessage()
  assert.is(`${statusOf(answer)} ${answer.body}`, '503 draining\n')
  assert.is(fieldOf(answer.head, 'connection'), 'close')
  assert.ok(await client.ends())
})

test('health check: HTTP/1.0 without Host, HEAD, any host, a query, pipelined, with a body', async () => {
  const edge = await edgeOf((await backendOf()).port, '/ping')
  assert.is(statusOf(await edge.ask('GET /ping HTTP/1.0\r\n\r\n')), 200)
  const head = await edge.ask('HEAD /ping HTTP/1.1\r\nHost: x\r\n\r\n', { noBody: true })
  assert.is(`${statusOf(head)} ${head.body}`, '200 ')
  assert.is(statusOf(await edge.ask(get('/ping?x=1'))), 200)
  assert.is(statusOf(await edge.ask('GET http://other.test/ping HTTP/1.1\r\nHost: a\r\n\r\n')), 200)
  const client = await edge.client()
  client.write(get('/ping') + get('/a') + get('/ping'))
  assert.is((await client.takeMessage()).body.toString(), 'OK\n')
  assert.is((await client.takeMessage()).body.toString(), '/a')
  assert.is((await client.takeMessage()).body.toString(), 'OK\n')
  const withBody = await edge.ask('GET /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello')
  assert.is(statusOf(withBody), 200)
  assert.is(fieldOf(withBody.head, 'connection'), 'close')
})

test('health check: other methods and paths are requests, and all are without the option', async () => {
  const backend = await backendOf()
  const edge = await edgeOf(backend.port, '/ping')
  assert.is((await edge.ask('POST /ping HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n')).body.toString(), '/ping')
  for (const path of ['/ping/', '/ping/x', '/pingx', '/PING', '/']) {
    assert.is((await edge.ask(get(path))).body.toString(), path)
  }
  const without = await edgeOf(backend.port)
  assert.is((await without.ask(get('/ping'))).body.toString(), '/ping')
})

test('health checks are not counted and not in the access log', async () => {
  const edge = await edgeOf((await backendOf()).port, '/ping')
  for (let i = 0; i < 3; i++) await edge.ask(get('/ping'))
  await edge.ask(get('/a'))
  assert.equal(edge.accessLog, ['GET app.test /a 200'])
  assert.is(edge.counters(0).requests, 0)
  assert.is(edge.counters(0).inFlight, 0)
  assert.ok(edge.isIdle)
})

async function fromDisk(port: number, args: readonly string[]): Promise<Replica> {
  const dataDir = ownDirectory()
  const snapshot = snapshotOf({ app: { servers: [port] } })
  writeFileSync(join(dataDir, 'snapshot.json'), JSON.stringify(sealed(snapshot, { term: 0, leader: '', sequence: 1 })))
  return Replica.start(['--manager', `tcp://127.0.0.1:${await freePort()}`, '--data-dir', dataDir, ...args])
}

test('--drain-delay: health checks are 503 at once, requests are served with Connection: close', async () => {
  const checks = await freePort()
  const replica = await fromDisk((await backendOf()).port, [
    '--entry-point',
    `checks=127.0.0.1:${checks},ping=/ping`,
    '--drain-delay',
    '1h',
  ])
  await replica.says(/entry point checks listens/)
  assert.is((await ask(checks, '/ping')).status, 200)
  const kept = await RawConnection.open(replica.web)
  kept.write(get('/before'))
  assert.is(fieldOf((await kept.takeMessage()).head, 'connection'), undefined)
  const ended = replica.stop()
  // The message travels from the process to a thread: it does not arrive at once.
  for (const end = performance.now() + 60_000; (await ask(checks, '/ping')).status !== 503; )
    assert.ok(performance.now() < end, 'ping says 503')
  assert.is((await replica.api('health')).status, 'draining')
  kept.write(get('/kept'))
  const answer = await kept.takeMessage()
  assert.is(answer.body.toString(), '/kept')
  assert.is(fieldOf(answer.head, 'connection'), 'close')
  const fresh = await ask(replica.web, '/fresh')
  assert.is(`${fresh.status} ${fresh.body} ${fresh.connection}`, '200 /fresh close')
  replica.child.kill('SIGKILL')
  await ended
})

test('--drain-delay: the ports close after the delay, not before, and the exit code is 0', async () => {
  const replica = await fromDisk((await backendOf()).port, ['--drain-delay', '1500ms', '--grace', '2m'])
  await replica.serves()
  const started = performance.now()
  const ended = replica.stop()
  for (const end = started + 60_000; !(await refuses(replica.web)); ) assert.ok(performance.now() < end, 'it still accepts')
  assert.ok(performance.now() - started >= 1500)
  assert.is((await ended).code, 0)
})

test('--drain-delay: configuration changes are applied during the delay', async () => {
  const [old, next] = [await backendOf(), await backendOf()]
  const file = join(ownDirectory(), 'rules.json')
  const rules = (port: number) =>
    JSON.stringify({
      backends: { app: { servers: { one: { url: `http://127.0.0.1:${port}` } } } },
      frontends: { app: { backend: 'app', routes: { all: { rule: 'PathPrefix:/' } } } },
    })
  writeFileSync(file, rules(old.port))
  const replica = await Replica.start(['--services-file', file, '--drain-delay', '1m', '--grace', '0'])
  await replica.serves()
  assert.is((await ask(replica.web, '/a')).status, 200)
  const ended = replica.stop()
  await until('it stops', () => replica.out.includes('stopping'))
  writeFileSync(file, rules(next.port))
  for (const end = performance.now() + 45_000; next.requests.length === 0; ) {
    assert.is((await ask(replica.web, '/b')).status, 200)
    assert.ok(performance.now() < end, 'the new server is used')
  }
  replica.child.kill('SIGKILL')
  await ended
})

test('--drain-delay: no delay before the entry points have opened', async () => {
  const replica = await Replica.start([
    '--manager',
    `tcp://127.0.0.1:${await freePort()}`,
    '--drain-delay',
    '1h',
    '--grace',
    '1h',
  ])
  await replica.says(/admin API on/)
  assert.is((await replica.stop()).code, 0)
})

test('a worker that dies in the drain delay is restarted, and its health check is 503', async () => {
  const pool = new WorkerPool({ ...testOptions(), accessLog: false }, 1, pino({ level: 'silent' }))
  const inside = pool as unknown as { slots: { worker: Worker }[]; draining: boolean }
  stops.push(() => {
    inside.draining = true
    for (const slot of inside.slots) void slot?.worker.terminate()
  })
  pool.apply(snapshotOf({ app: { servers: [(await backendOf()).port] } }))
  const port = (await pool.start()).web!
  void pool.stop(1000, 3_600_000)
  await inside.slots[0]!.worker.terminate()
  await until('the worker is gone', () => pool.alive === 0)
  await until('the worker is back', () => pool.alive === 1)
  const answer = await ask(port, '/a')
  assert.is(`${answer.status} ${answer.body} ${answer.connection}`, '200 /a close')
})

async function ask(port: number, path: string): Promise<{ status: number; body: string; connection: string | undefined }> {
  const client = await RawConnection.open(port)
  try {
    client.write(get(path))
    const answer = await client.takeMessage()
    return { status: statusOf(answer), body: answer.body.toString(), connection: fieldOf(answer.head, 'connection') }
  } finally {
    client.destroy()
  }
}

test.run()
