// Learned sessions over real data workers and control: workers of one replica share their sessions, and a restarted worker
// receives the whole table.

import type { Worker } from 'node:worker_threads'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Snapshot } from '../../src/config/model.ts'
import { SharedState } from '../../src/shared-state/shared-state.ts'
import { WorkerPool } from '../../src/workers/pool.ts'
import { until } from '../until.ts'
import { type ServiceSketch, sleep, snapshotOf, testOptions } from './harness.ts'
import { RawConnection } from './raw-connection.ts'
import { backends, learnCookie, stopAll } from './session-edges.ts'

const stops: (() => Promise<void> | void)[] = []

interface Replica {
  readonly pool: WorkerPool
  readonly sharing: SharedState
  readonly port: number
  apply(snapshot: Snapshot): Promise<void>
}

async function replicaOf(sketches: Readonly<Record<string, ServiceSketch>>): Promise<Replica> {
  const log = pino({ level: 'silent' })
  const pool = new WorkerPool({ ...testOptions(), accessLog: false }, 2, log)
  const sharing = new SharedState({
    name: 'edge-1',
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
  const apply = async (snapshot: Snapshot) => {
    pool.apply(snapshot)
    sharing.apply(snapshot)
    await until('all workers have it', () => pool.alive === 0 || pool.hasApplied(snapshot.hash))
  }
  await apply(snapshotOf(sketches))
  const ports = await pool.start()
  return { pool, sharing, port: ports.web!, apply }
}

/** A new connection, so that either worker may get it. */
async function who(port: number, id: string): Promise<string> {
  const client = await RawConnection.open(port)
  client.write(`GET / HTTP/1.1\r\nHost: app.test\r\nCookie: sid=${id}\r\n\r\n`)
  try {
    return (await client.takeMessage()).body.toString()
  } finally {
    client.destroy()
  }
}

async function kill(pool: WorkerPool, index: number): Promise<void> {
  await (pool as unknown as { slots: { worker: Worker }[] }).slots[index]!.worker.terminate()
}

test.after.each(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
  await stopAll()
})

test('workers share sessions, and a restarted one receives all', async () => {
  const [a, b, c] = (await backends(3)).map(one => one.port)
  const { pool, sharing, port, apply } = await replicaOf({ app: { servers: [a!, b!], learn: learnCookie } })
  const where = new Map<string, string>()
  for (let i = 0; i < 40; i++) where.set(`id-${i}`, await who(port, `id-${i}`))
  await until('the store has all', () => sharing.sessionCounts().app === 40)
  // Rendezvous hashing alone would now send a third of them to the new server.
  await apply(snapshotOf({ app: { servers: [a!, b!, c!], learn: learnCookie } }))
  for (let round = 0; round < 4; round++) for (const [id, name] of where) assert.is(await who(port, id), name)
  for (const index of [0, 1]) {
    await kill(pool, index)
    await until('one is gone', () => pool.alive === 1)
    await until('it is back', () => pool.alive === 2)
    for (let round = 0; round < 2; round++) for (const [id, name] of where) assert.is(await who(port, id), name)
  }
  assert.is(sharing.sessionCounts().app, 40)
})

test('an unused session expires', async () => {
  const [a, b, c] = (await backends(3)).map(one => one.port)
  const learn = { ...learnCookie, ttlMs: 4000 }
  const { sharing, port, apply } = await replicaOf({ app: { servers: [a!], learn } })
  for (let i = 0; i < 40; i++) assert.is(await who(port, `id-${i}`), 'a')
  await apply(snapshotOf({ app: { servers: [a!, b!, c!], learn } }))
  for (let i = 0; i < 40; i++) assert.is(await who(port, `id-${i}`), 'a')
  const started = performance.now()
  while (performance.now() - started < 8400) {
    await sleep(400)
    assert.is(await who(port, 'id-0'), 'a', 'one that is used stays')
  }
  const now = new Set<string>()
  for (let i = 1; i < 40; i++) now.add(await who(port, `id-${i}`))
  assert.is(now.size, 3, 'the others begin anew')
  assert.ok(sharing.sessionCounts().app! <= 40)
})

test.run()
