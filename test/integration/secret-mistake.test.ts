// The cluster secret is replaced in one step by mistake: two replicas without a common secret both keep serving, log the
// mismatch, and form one cluster again when both have the new secret. Other connections without a secret are only counted.

import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClusterReport } from '../../src/admin/admin-source.ts'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { alive, ClusteredReplica, stopAll } from './clustered-replica.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { tomlOf } from './services-files.ts'
import { endAll, ownDirectory, skein } from './skein-process.ts'

const OLD = 'the old secret of a cluster in a test'
const NEW = 'the new secret of a cluster in a test'
/** Bounds a hanging test. */
const WITHIN_MS = 60_000
const SCANS = 40

const tasks = await LoopbackTasks.start(4)
const file = join(ownDirectory(), 'services.toml')
writeFileSync(file, `${tomlOf({ name: 'shop', tasks })}[backends.shop.loadBalancer.stickiness]\n  cookieName = "shop"\n`)
const ports = [await freePort(), await freePort()]
const gossip = ports.map(port => `127.0.0.1:${port}`)
const names = ['a', 'b'] as const

function start(n: number, secret: string): Promise<ClusteredReplica> {
  return ClusteredReplica.start({ name: names[n]!, port: ports[n]!, peers: gossip, secret, more: ['--services-file', file] })
}

async function stop({ replica }: ClusteredReplica): Promise<void> {
  assert.is((await replica.stop()).code, 0)
}

/** Resolves when a replica lists the address of the other as a foreign peer. */
async function showsStranger(one: ClusteredReplica, address: string): Promise<ClusterReport> {
  let report = await one.status()
  await until(
    `${one.name} lists a foreign peer`,
    async () => {
      report = await one.status()
      return report.strangers.length > 0
    },
    WITHIN_MS,
    { everyMs: 50 },
  )
  assert.equal(
    report.strangers.map(({ sinceMs: _, ...peer }) => peer),
    [{ address, kind: 'secret', reason: 'it holds no secret of this cluster, or is not a Skein member' }],
  )
  return report
}

async function screenOf({ replica }: ClusteredReplica): Promise<string> {
  const { code, out, err } = await skein(['status'], { SKEIN_ADMIN: `127.0.0.1:${replica.admin}` })
  assert.is(code, 0, err)
  return out
}

/** Full minutes; a line that is repeated once a minute may occur this many times more. */
function minutesSince(began: number): number {
  return Math.floor((performance.now() - began) / 60_000)
}

test.after(() => {
  endAll()
  stopTasks()
})

test('one replica gets another secret: both serve and report it until both have it', async () => {
  const began = performance.now()
  let a = await start(0, OLD)
  const first = await start(1, OLD)
  for (const one of [a, first]) {
    await one.agreesWith(2)
    await one.replica.answers('shop.test', 200)
    assert.equal((await one.status()).strangers, [])
  }
  const sessions = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const { status, body, cookies } = await ask(a.replica.web, 'shop.test')
      assert.is(status, 200)
      return { server: body, cookie: cookies[0]! }
    }),
  )

  await stop(first)
  const b = await start(1, NEW)
  await b.replica.answers('shop.test', 200)
  for (const [one, address] of [
    [a, gossip[1]!],
    [b, gossip[0]!],
  ] as const) {
    const report = await showsStranger(one, address)
    assert.equal([report.role, alive(report)], ['leader', 1], one.name)
    assert.ok(report.counts.handshakesRefused > 0, one.name)
    const screen = await screenOf(one)
    assert.match(screen, `the peer at ${address} does not belong to this cluster (`)
    assert.match(screen, 'set the same secret on all (docs/operating.md, Changing the secret)')
    const { out } = await skein(['status', '--json'], { SKEIN_ADMIN: `127.0.0.1:${one.replica.admin}` })
    assert.is(JSON.parse(out).cluster.strangers[0].address, address)
    assert.is((await ask(one.replica.web, 'shop.test')).status, 200)
    const lines = one.replica.out.split('\n').filter(line => line.includes('refused the handshake: it may hold another secret'))
    assert.ok(lines.length > 0 && lines.length <= 1 + minutesSince(began), `${one.name}: ${lines.length}`)
    assert.match(lines[0]!, 'change a secret in three rolls')
  }
  for (const { server, cookie } of sessions) {
    assert.is((await ask(a.replica.web, 'shop.test', { cookie })).body, server, 'it comes by the replica that has the old secret')
    assert.is((await ask(b.replica.web, 'shop.test', { cookie })).status, 200)
  }

  await stop(a)
  a = await start(0, NEW)
  for (const one of [a, b]) {
    await one.agreesWith(2)
    await until(`${one.name} lists no foreign peer`, async () => (await one.status()).strangers.length === 0, WITHIN_MS, {
      everyMs: 50,
    })
    assert.not.match(await screenOf(one), 'does not belong to this cluster')
    assert.is((await ask(one.replica.web, 'shop.test')).status, 200)
  }

  await stopAll([a, b])
})

test('connections without a secret from many addresses are counted, not listed or logged singly', async () => {
  const began = performance.now()
  const port = await freePort()
  const a = await ClusteredReplica.start({ name: 'a', port, secret: OLD, more: ['--services-file', file] })
  await a.replica.answers('shop.test', 200)
  const sockets = Array.from({ length: SCANS }, (_, n) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${n + 1}` })
    socket.on('error', () => undefined)
    socket.write(Buffer.alloc(200, n))
    return socket
  })
  await until('all are refused', async () => (await a.status()).counts.handshakesRefused === SCANS, WITHIN_MS, { everyMs: 50 })
  for (const socket of sockets) socket.destroy()
  assert.equal((await a.status()).strangers, [])
  const lines = a.replica.out.split('does not hold the cluster secret').length - 1
  assert.ok(lines > 0 && lines <= 1 + minutesSince(began), `${lines} lines`)
  await stopAll([a])
})

test.run()
