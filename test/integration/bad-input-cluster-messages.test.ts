// A member that holds the secret and sends malformed, oversized, future and replayed messages, and one that floods. Both are
// counted and logged; the cluster continues unchanged, and requests are not delayed.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../cluster/core/state.ts'
import { until } from '../until.ts'
import { allServe, type ClusteredReplica, startCluster, stopAll } from './clustered-replica.ts'
import { Backend, ok } from './harness.ts'
import { CLUSTER, HostileMember } from './hostile-member.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll } from './skein-process.ts'

const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const app = { name: 'app', labels: { 'traefik.port': String(backend.port) } }
const manager = await ScriptedManager.start(app)
const { endpoint } = manager
const CONNECTIONS = 8
const LOAD_MS = 3000
const SAY_AGAIN_MS = 2000
const hostiles: HostileMember[] = []

test.after(async () => {
  await Promise.all(hostiles.map(hostile => hostile.stop()))
  endAll()
  closeManagers()
  backend.stop()
})

type Counts = Awaited<ReturnType<ClusteredReplica['status']>>['counts']

async function counts(members: readonly ClusteredReplica[]): Promise<readonly Counts[]> {
  return (await Promise.all(members.map(member => member.status()))).map(status => status.counts)
}

/** Repeats it until every member has counted this number more: a message may be lost while duplicate connections are closed. */
async function counted(
  members: readonly ClusteredReplica[],
  say: () => void,
  more: number,
  of: (counts: Counts) => number,
  what: string,
): Promise<void> {
  const before = await counts(members)
  let saidAt = Number.NEGATIVE_INFINITY
  const holds = async (): Promise<boolean> => {
    if (performance.now() - saidAt > SAY_AGAIN_MS) {
      say()
      saidAt = performance.now()
    }
    return (await counts(members)).every((now, i) => of(now) - of(before[i]!) >= more)
  }
  await until(`every member has counted ${more} ${what}`, holds, 60_000, { everyMs: 50 })
}

test('malformed, oversized, future and replayed messages are counted and dropped', async () => {
  const members = await startCluster(['a', 'b'], { manager: endpoint })
  const [first] = members
  if (first === undefined) throw new Error('two were started')
  const hostile = await HostileMember.start(
    members.map(({ gossip }) => gossip),
    members.length,
  )
  hostiles.push(hostile)
  const { leader, term } = await first.status()

  const garbage = [Buffer.alloc(0), Buffer.from('{'), Buffer.from('null'), Buffer.from('[]'), Buffer.alloc(2000, 0xff)]
  for (let size = 1; size <= 32; size++) garbage.push(randomBytes(size * size))
  const deep = `${'{"v":'.repeat(5000)}1${'}'.repeat(5000)}`
  const envelope = (n: number, message: unknown, more: object = {}): string =>
    JSON.stringify({ v: 1, cluster: CLUSTER, n, message, ...more })
  const shapes = [
    deep,
    envelope(1, null),
    envelope(2, { kind: 'nonsense' }),
    envelope(3, { kind: 'vote!', term: 'x', pre: 1, granted: {}, known: [] }),
    envelope(4, { kind: 'vote?', term: 1e300, pre: false, consent: true, revision: null }),
    envelope(5, { kind: 'hint', keys: Array.from({ length: 10_000 }, () => 'k') }),
    envelope(-1, { kind: 'leave' }),
    envelope(6, { kind: 'leave' }, { __proto__: null, constructor: 1 }).replace('"leave"', '"__proto__"'),
  ]
  const malformed = [...garbage, ...shapes]
  const sayMalformed = (): void => malformed.forEach(data => void hostile.send(data))
  await counted(members, sayMalformed, malformed.length, now => now.malformed, 'malformed messages')

  const sayFuture = (): void => {
    for (let n = 10; n < 20; n++) hostile.send(envelope(n, { kind: 'leave' }, { v: 2 }))
    hostile.send(envelope(20, { kind: 'a kind of the future', more: [1] }, { v: 99 }))
  }
  await counted(members, sayFuture, 11, now => now.unknownVersion, 'messages of an unknown version')

  const sayAgain = (): void => {
    for (let i = 0; i < 5; i++) hostile.send(envelope(1000, { kind: 'hint', keys: ['service:x'] }))
  }
  await counted(members, sayAgain, 4, now => now.replayed, 'replayed messages')

  // A message replayed by another sender does not count as its author's. At most the replaying sender appears with the author's
  // name.
  // name.
  await until('members have sent messages', () => hostile.received.length > 4, 60_000, { everyMs: 50 })
  for (const { data } of hostile.received.slice()) hostile.send(data)

  hostile.send(Buffer.alloc(LIMITS.message + 1, 0x20))
  const logged = await Promise.all(members.map(({ replica }) => replica.logs(/a message of 65537 bytes/)))
  for (const { level } of logged) assert.is(level, 'warn')

  manager.set(app, { ...app, name: 'still' })
  await allServe(members, 'still.test')
  for (const member of members) {
    const now = await member.status()
    assert.equal([now.leader?.id, now.term], [leader?.id, term])
  }
  await stopAll(members)
  manager.set(app)
})

interface Latency {
  readonly requests: number
  readonly failed: number
  readonly p50: number
  readonly p99: number
}

/** Sends requests through every member, one after another on each connection. */
async function load(members: readonly ClusteredReplica[], forMs: number): Promise<Latency> {
  const end = performance.now() + forMs
  const taken: number[] = []
  let failed = 0
  await Promise.all(
    members.flatMap(({ replica }) =>
      Array.from({ length: CONNECTIONS }, async () => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 })
        while (performance.now() < end) {
          const since = performance.now()
          if (!(await get(replica.web, agent))) failed++
          taken.push(performance.now() - since)
          await new Promise(resolve => setTimeout(resolve, 10))
        }
        agent.destroy()
      }),
    ),
  )
  taken.sort((a, b) => a - b)
  const at = (share: number): number => taken[Math.floor(share * (taken.length - 1))] ?? Number.NaN
  return { requests: taken.length, failed, p50: at(0.5), p99: at(0.99) }
}

function get(port: number, agent: Agent): Promise<boolean> {
  return new Promise(resolve => {
    const asked = request({ host: '127.0.0.1', port, agent, headers: { host: 'app.test' }, timeout: 30_000 }, response => {
      response.resume().on('end', () => resolve(response.statusCode === 200))
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(false))
    asked.end()
  })
}

test('a flooding member is disconnected and named; requests and cluster continue', async () => {
  const members = await startCluster(['a', 'b'], { manager: endpoint })
  await load(members, LOAD_MS / 3)
  const calm = await load(members, LOAD_MS)
  const script = fileURLToPath(new URL('hostile-member.ts', import.meta.url))
  const flooder = spawn(process.execPath, [script, 'flood', ...members.map(({ gossip }) => gossip)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let words = ''
  flooder.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    words += chunk
  })
  const ended = new Promise(resolve => flooder.once('close', resolve))
  try {
    await until('it floods', () => words.includes('flooding'), 60_000, { everyMs: 50 })
    const flooded = await load(members, LOAD_MS)
    for (const { replica } of members) assert.is((await replica.logs(/floods the cluster/)).level, 'warn')
    manager.set(app, { ...app, name: 'meanwhile' })
    await allServe(members, 'meanwhile.test')
    flooder.stdin.end()
    await ended
    const shown = ({ requests, p50, p99 }: Latency): string => `p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} ms (${requests})`
    console.log(`requests: calm ${shown(calm)}, flooded ${shown(flooded)}; ${words.split('\n')[1]}`)
    assert.is(calm.failed + flooded.failed, 0)
  } finally {
    flooder.kill('SIGKILL')
  }
  for (const member of members) await member.agreesWith(members.length)
  await stopAll(members)
  manager.set(app)
})

test.run()
