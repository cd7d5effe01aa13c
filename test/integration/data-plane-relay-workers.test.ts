// Two replicas of two data workers each (WorkerPool): findings of one worker apply to all, control logs them once, a restarted worker
// receives them, counters add up, and a replica that shuts down loses no relayed request.

import type { Worker } from 'node:worker_threads'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { DataPlaneOptions } from '../../src/options/options.ts'
import { RELAY_PORT, type RelayPeer } from '../../src/workers/messages.ts'
import { WorkerPool } from '../../src/workers/pool.ts'
import { until } from '../until.ts'
import { Backend, get, ok, type ServiceSketch, sleep, snapshotOf, testOptions } from './harness.ts'
import { RawConnection, statusOf } from './raw-connection.ts'
import { cutOff, KEY } from './relay-edges.ts'

interface Replica {
  readonly pool: WorkerPool
  readonly port: number
  readonly lines: string[]
  readonly peer: RelayPeer
}

const stops: (() => Promise<void> | void)[] = []

async function replicaOf(
  name: string,
  sketches: Readonly<Record<string, ServiceSketch>>,
  relay: DataPlaneOptions['relay'] = { listen: { host: '127.0.0.1', port: 0 }, keys: [KEY] },
): Promise<Replica> {
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const pool = new WorkerPool({ ...testOptions({ name }), accessLog: false, relay }, 2, log)
  stops.push(() => pool.stop(100))
  pool.apply(snapshotOf(sketches))
  const ports = await pool.start()
  const addresses = [{ host: '127.0.0.1', port: ports[RELAY_PORT] ?? 0 }]
  return { pool, port: ports.web!, lines, peer: { id: name, name, addresses, unreachable: [] } }
}

async function ask(port: number): Promise<number> {
  const client = await RawConnection.open(port)
  client.write(get())
  try {
    return statusOf(await client.takeMessage())
  } finally {
    client.destroy()
  }
}

test.after.each(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

test('all workers start and stop relaying a service, and control reports it once', async () => {
  const backend = await Backend.start((_request, connection) => connection.write(ok()))
  stops.push(() => backend.stop())
  const from = await replicaOf('edge-1', cutOff([backend.port]))
  const to = await replicaOf('edge-2', { app: { servers: [backend.port] } })
  let changes = 0
  from.pool.onUnreachableChange = () => changes++
  from.pool.setRelays([to.peer])
  for (let i = 0; i < 40; i++) assert.is(await ask(from.port), 200)
  await until('control knows', () => from.pool.relaying.size === 1)
  const report = from.pool.relaying.get('app')!
  assert.is(report.through, 'edge-2')
  assert.is(report.cause, 'unreachable')
  assert.ok(report.sinceMs >= 0 && report.sinceMs < 60_000)
  const told = from.lines.filter(line => line.includes('is relayed through'))
  assert.is(told.length, 1)
  assert.match(told[0]!, /service app is relayed through edge-2: none of its 1 servers can be reached from here \(unreachable\)/)
  await until('all are counted', () => from.pool.relayCounts().out === 40 && to.pool.relayCounts().in === 40)
  assert.is(from.pool.relayCounts().failed, 0)
  from.pool.apply(snapshotOf({ app: { servers: [backend.port] } }))
  await until('it is back', () => from.pool.relaying.size === 0)
  await until('told', () => from.lines.some(line => /can be reached again: 40 requests were relayed/.test(line)))
  assert.is(changes, 2)
  for (let i = 0; i < 20; i++) assert.is(await ask(from.port), 200)
  assert.is(from.pool.relayCounts().out, 40)
})

test('a restarted worker receives the peers and the unreachable services', async () => {
  const backend = await Backend.start((_request, connection) => connection.write(ok()))
  stops.push(() => backend.stop())
  const from = await replicaOf('edge-1', cutOff([backend.port]))
  const to = await replicaOf('edge-2', { app: { servers: [backend.port] } })
  from.pool.setRelays([to.peer])
  for (let i = 0; i < 10; i++) assert.is(await ask(from.port), 200)
  for (const index of [0, 1]) {
    await (from.pool as unknown as { slots: { worker: Worker }[] }).slots[index]!.worker.terminate()
    await until('it is back', () => from.pool.alive === 2)
    for (let i = 0; i < 20; i++) assert.is(await ask(from.port), 200)
    await until('still relayed', () => from.pool.relaying.size === 1)
  }
})

test('a report about a service that was removed is discarded', async () => {
  const { pool } = await replicaOf('edge-1', { app: { servers: [] } })
  const { worker } = (pool as unknown as { slots: { worker: Worker }[] }).slots[0]!
  for (const service of ['gone', 'app'])
    worker.emit('message', { kind: 'serviceReach', service, reachable: false, cause: 'timeout', through: '' })
  assert.equal([...pool.relaying.keys()], ['app'])
})

test('a replica that relays for others shuts down without a failed request', async () => {
  const backend = await Backend.start(async (_request, connection) => {
    await sleep(20)
    connection.write(ok())
  })
  stops.push(() => backend.stop())
  const from = await replicaOf('edge-1', cutOff([backend.port]))
  const one = await replicaOf('edge-2', { app: { servers: [backend.port] } })
  const two = await replicaOf('edge-3', { app: { servers: [backend.port] } })
  from.pool.setRelays([one.peer, two.peer])
  const statuses: number[] = []
  let stop = false
  const load = Array.from({ length: 8 }, async (_, n) => {
    const client = await RawConnection.open(from.port)
    const request = n % 2 === 0 ? get() : 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello'
    while (!stop) {
      client.write(request)
      statuses.push(statusOf(await client.takeMessage()))
    }
    client.destroy()
  })
  await until('the first relays', () => one.pool.relayCounts().in > 0)
  const started = performance.now()
  await one.pool.stop(60_000)
  const took = performance.now() - started
  await until('the second relays', () => two.pool.relayCounts().in > 0)
  stop = true
  await Promise.all(load)
  assert.equal([...new Set(statuses)], [200])
  assert.ok(took < 30_000, `it does not wait for the grace to pass: ${took}`)
})

test('unauthenticated connections are counted; a relay port in use is named', async () => {
  const to = await replicaOf('edge-2', { app: { servers: [] } })
  const stranger = await RawConnection.open(to.peer.addresses[0]!.port)
  stranger.write(get())
  assert.ok(await stranger.ends())
  await until('counted', () => to.pool.relayCounts().strangers === 1)
  const taken = await Backend.start(() => {})
  stops.push(() => taken.stop())
  const error = await replicaOf('edge-3', {}, { listen: { host: '127.0.0.1', port: taken.port }, keys: [KEY] }).then(
    () => null,
    (e: Error) => e,
  )
  assert.match(error?.message ?? '', new RegExp(`relay: cannot listen on 127.0.0.1:${taken.port}`))
})

test.run()
