// Authenticated connections by thousands and in several workers: their number is bounded, and they are never mixed up.

import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { WorkerPool } from '../../src/workers/pool.ts'
import { until } from '../until.ts'
import { ask, authBackend, logIn, TYPE_1, TYPE_2, TYPE_3 } from './connection-auth-backend.ts'
import { Edge, snapshotOf, testOptions } from './harness.ts'
import { RawConnection } from './raw-connection.ts'

const stops: (() => Promise<void> | void)[] = []

test.after.each(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

test('two workers, 30 authenticated clients and 60 others: each gets its own responses', async () => {
  const backend = await authBackend()
  stops.push(() => backend.stop())
  const pool = new WorkerPool({ ...testOptions(), accessLog: false }, 2, pino({ level: 'silent' }))
  stops.push(() => pool.stop(100))
  const snapshot = snapshotOf({ app: { servers: [backend.port] } })
  pool.apply(snapshot)
  const port = (await pool.start()).web!
  await until('all workers have the snapshot', () => pool.hasApplied(snapshot.hash))
  const all: RawConnection[] = []
  stops.push(() => {
    for (const client of all) client.destroy()
  })
  const clients = new Map<string, RawConnection>()
  for (let i = 0; i < 30; i++) {
    const client = await RawConnection.open(port)
    all.push(client)
    clients.set(`user-${i}`, client)
  }
  await Promise.all([...clients].map(async ([user, client]) => assert.is(await logIn(client, user), `200 ${user}`)))
  for (let i = 0; i < 60; i++) {
    const client = await RawConnection.open(port)
    all.push(client)
    client.write(ask())
    assert.match((await client.takeMessage()).startLine, '401')
  }
  for (const [user, client] of clients) {
    client.write(ask())
    assert.is((await client.takeMessage()).body.toString(), user)
  }
})

test('10,000 clients pause in their handshake: the oldest are closed, the newest can continue', async () => {
  const KEPT = 200
  const backend = await authBackend()
  const edge = await Edge.start({ app: { servers: [backend.port] } }, { limits: { privateConnections: KEPT } })
  stops.push(() => {
    edge.stop()
    backend.stop()
  })
  const live: RawConnection[] = []
  let closedClients = 0
  let challenged = 0
  const one = async () => {
    const client = await RawConnection.open(edge.port)
    client.socket.once('end', () => {
      closedClients++
      client.destroy()
    })
    live.push(client)
    client.write(ask(TYPE_1))
    if ((await client.takeMessage()).head.includes(TYPE_2)) challenged++
  }
  for (let batch = 0; batch < 400; batch++) {
    await Promise.all(Array.from({ length: 25 }, one))
    for (const connection of backend.connections.splice(0)) if (!connection.closed) watch.add(connection)
    for (const connection of watch) if (connection.closed || connection.ended) forget(connection)
    if (watch.size > KEPT + 50) await until('server connections are bounded', () => open() <= KEPT)
  }
  assert.is(challenged, 10_000)
  await until('the oldest client connections are closed', () => closedClients === 10_000 - KEPT)
  await until('server connections are bounded', () => open() === KEPT)
  const newest = live.at(-1)!
  newest.write(ask(`${TYPE_3}last`))
  assert.is((await newest.takeMessage()).body.toString(), 'last')
  for (const client of live) client.destroy()
  await until('server connections close with their clients', () => open() === 0 && edge.connections.size === 0)

  function open(): number {
    for (const connection of watch) if (connection.closed || connection.ended) forget(connection)
    return watch.size
  }

  function forget(connection: RawConnection): void {
    watch.delete(connection)
    connection.destroy()
    backend.states.delete(connection)
  }
})

/** Open connections of the backend. */
const watch = new Set<RawConnection>()

test.run()
