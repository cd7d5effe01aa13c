// A member that holds the secret and sends hostile shared state: garbage, writes of the far future, sessions of unknown
// services, ejections of every server, invalid breaker states, and large amounts of each. Invalid data is refused and reported,
// held data stays bounded, no server is lost, and requests continue.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../cluster/core/state.ts'
import { BatchWriter, encodeStore } from '../../cluster/store/codec.ts'
import { type Entry, STORE_LIMITS } from '../../cluster/store/model.ts'
import { hashOf } from '../../src/shared-state/breakers/record.ts'
import { until } from '../until.ts'
import { allServe, startCluster, stopAll } from './clustered-replica.ts'
import { CLUSTER, HostileMember } from './hostile-member.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll } from './skein-process.ts'

const HOUR_MS = 3_600_000
// A full table reserves 1/32 for new entries.
const SIZE = 1000
const backends = await LoopbackTasks.start(3)
const port = { 'traefik.port': String(backends.port) }
const manager = await ScriptedManager.start(
  { name: 'app', labels: port, tasks: backends.tasks },
  {
    name: 'learn',
    labels: { ...port, 'skein.sticky.learn': 'cookie:SID', 'skein.sticky.size': String(SIZE) },
    tasks: backends.tasks,
  },
  {
    name: 'broken',
    labels: { ...port, 'traefik.backend.circuitbreaker.expression': 'NetworkErrorRatio() > 0.5', 'skein.breaker.open': '2s' },
    tasks: backends.tasks,
  },
)
const members = await startCluster(['a', 'b'], { manager: manager.endpoint })
const [a, b] = members.map(({ replica }) => replica)
if (a === undefined || b === undefined) throw new Error('two were started')
let hostile: HostileMember
let said = 0

test.before(async () => {
  for (const host of ['app.test', 'learn.test', 'broken.test']) await allServe(members, host)
  hostile = await HostileMember.start(
    members.map(({ gossip }) => gossip),
    members.length,
  )
})

test.after(async () => {
  await hostile.stop()
  await stopAll(members)
  for (const { replica } of members) assert.not.match(replica.out, /"level":"(?:error|fatal)"/)
  endAll()
  closeManagers()
  stopTasks()
})

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

function say(data: Uint8Array | string): void {
  const text = typeof data === 'string' ? data : Buffer.from(data).toString('base64')
  hostile.send(JSON.stringify({ v: 1, cluster: CLUSTER, n: ++said, message: { kind: 'store', data: text } }))
}

let writes = 0

/** Writes of the hostile member; possibly more than one message. */
function batches(entries: readonly Partial<Entry>[]): Uint8Array[] {
  const out: Uint8Array[] = []
  let batch = new BatchWriter(false)
  for (const sketch of entries) {
    const entry: Entry = {
      ...{ table: 'none', key: `k${++writes}`, value: 'v', wall: Date.now(), count: writes, origin: 'hostile', rank: 1 as const },
      ttlMs: 60_000,
      ...sketch,
    }
    if (batch.add(entry)) continue
    out.push(batch.done())
    batch = new BatchWriter(false)
    batch.add(entry)
  }
  return [...out, batch.done()]
}

async function tell(...entries: readonly Partial<Entry>[]): Promise<void> {
  for (const data of batches(entries)) {
    say(data)
    // Within the rate limit of one member.
    await sleep(30)
  }
}

async function taken(count: number, before: readonly number[]): Promise<void> {
  const counts = (): Promise<readonly number[]> =>
    Promise.all([a!, b!].map(async one => (await one.api('state')).store.counts.taken))
  await until(`${count} writes are taken`, async () => (await counts()).every((now, i) => now - before[i]! >= count), 60_000, {
    everyMs: 50,
  })
}

const takenNow = (): Promise<number[]> => Promise.all([a!, b!].map(async one => (await one.api('state')).store.counts.taken))

/** Sends requests through both; none may fail. */
async function allAnswered(requests: number, host = 'app.test'): Promise<void> {
  for (let i = 0; i < requests; i++) {
    const { status } = await ask((i % 2 === 0 ? a! : b!).web, host)
    assert.is(status, 200, `${host}, request ${i}`)
  }
}

/** A session learned on one replica is known on the other. */
async function sessionsSpread(): Promise<void> {
  backends.answer = (address, asked, response) => {
    const id = /^\/login\?(.+)$/.exec(asked.url ?? '')?.[1]
    if (id !== undefined) response.setHeader('Set-Cookie', `SID=${id}; Path=/`)
    response.end(address)
  }
  const ids = Array.from({ length: 12 }, () => randomBytes(12).toString('hex'))
  const takenBy = async (): Promise<number> => (await b!.api('state')).store.counts.taken
  const before = await takenBy()
  const at: string[] = []
  for (const id of ids) at.push((await ask(a!.web, 'learn.test', {}, `/login?${id}`)).body)
  await until('the other replica has heard of all', async () => (await takenBy()) - before >= ids.length, 60_000, { everyMs: 50 })
  // The worker receives it a moment after control.
  await sleep(200)
  for (const [i, id] of ids.entries()) assert.is((await ask(b!.web, 'learn.test', { cookie: `SID=${id}` })).body, at[i])
}

test("garbage is refused, counted, and logged once with the sender's name", async () => {
  const whole = batches(Array.from({ length: 50 }, () => ({})))[0]!
  const garbage: (Uint8Array | string)[] = [
    '',
    'AAAA',
    Buffer.from([1]),
    Buffer.from([1, 99]),
    Buffer.from([2, 0, 0]),
    Buffer.alloc(LIMITS.store, 0xff),
    Buffer.alloc(40_000),
    whole.subarray(0, whole.length - 1),
    whole.subarray(0, 20),
    Buffer.concat([whole, Buffer.from([0])]),
    ...Array.from({ length: 30 }, (_, i) => randomBytes(1 + i * i)),
    ...Array.from({ length: 40 }, () => {
      const bent = Buffer.from(whole)
      bent[2 + Math.floor(Math.random() * (bent.length - 2))]! ^= 1 << Math.floor(Math.random() * 8)
      return bent
    }),
  ]
  for (const data of garbage) {
    say(data)
    await sleep(10)
  }
  // Invalid base64 and oversized messages do not reach the store.
  say('not base64!')
  say('A'.repeat(62_000))
  for (const replica of [a, b]) {
    await until('much is refused', async () => (await replica.api('state')).store.counts.refused >= 20, 60_000, { everyMs: 50 })
    const lines = replica.lines.filter(({ msg }) => /dropped a message of the shared state/.test(msg))
    assert.is(lines.length, 1, JSON.stringify(lines))
    assert.is(lines[0]?.level, 'warn')
  }
  await allAnswered(20)
  await sessionsSpread()
})

test('far-future stamps are refused and logged; accepted ones do not block other writes', async () => {
  const far = [STORE_LIMITS.uncomparedAheadMs + HOUR_MS, 365 * 24 * HOUR_MS, 8e12].map(ahead => ({ wall: Date.now() + ahead }))
  await tell(...far)
  for (const replica of [a, b])
    await replica.logs(/refused its writes: their stamps are \d+ (?:minutes|hours|days) ahead of the cluster's time/)
  const before = await takenNow()
  await tell({ wall: Date.now() + STORE_LIMITS.uncomparedAheadMs - 60_000, count: 2 ** 31 })
  await taken(1, before)
  await sessionsSpread()
  await allAnswered(10)
})

test('unknown tables and services are bounded', async () => {
  const before = await takenNow()
  const entries = Array.from({ length: 12_000 }, (_, i) => ({
    table: i % 3 === 0 ? `sessions/ghost-${i}` : i % 3 === 1 ? 'session' : randomBytes(300).toString('hex'),
    key: i % 5 === 0 ? '__proto__' : randomBytes(20).toString('hex'),
    value: 'x'.repeat(i % 200),
  }))
  await tell(...entries)
  await taken(1000, before)
  await sleep(500)
  for (const replica of [a, b]) {
    const { store } = await replica.api('state')
    assert.ok(store.entries < STORE_LIMITS.unownedEntries + 10_000, `${store.entries} entries`)
    assert.ok((store.tables[''] ?? 0) <= STORE_LIMITS.unownedEntries, JSON.stringify(store.tables).slice(0, 500))
    assert.ok(Object.keys(store.tables).length < 20, 'tables that nobody owns are summed')
  }
  await sessionsSpread()
})

test('invalid and too many sessions of a known service are bounded', async () => {
  const { service, ids } = await serversOf('learn')
  const table = `session/${service}`
  const key = (): string => randomBytes(8).toString('base64url')
  const before = await takenNow()
  await tell(
    ...['', 'x', '!'.repeat(11), '__proto__', 'A'.repeat(11), 'A'.repeat(600), '\0'.repeat(11)]
      .filter(bad => bad !== '')
      .map(bad => ({ table, key: bad, value: ids[0]! })),
    ...['', 'nowhere', '__proto__', '\u001b[2J', 'x'.repeat(8000), ids.join(',')].map(value => ({ table, key: key(), value })),
    ...Array.from({ length: 20_000 }, (_, i) => ({
      table,
      key: key(),
      value: i % 2 === 0 ? `ghost-${i}` : ids[i % ids.length]!,
    })),
  )
  await taken(5000, before)
  await sleep(500)
  for (const replica of [a, b]) {
    const { sessions } = await replica.api('state')
    assert.ok((sessions[service] ?? 0) <= SIZE, JSON.stringify(sessions))
  }
  await allAnswered(20, 'learn.test')
  for (let i = 0; i < 20; i++) assert.is((await ask(a.web, 'learn.test', { cookie: `SID=${key()}` })).status, 200)
  await sessionsSpread()
})

/** Names of a service and its servers, as in keys. */
async function serversOf(source: string): Promise<{ readonly service: string; readonly ids: readonly string[] }> {
  const { services } = await a!.api('snapshot')
  const [service, { servers }] = Object.entries(services).find(([, one]) => one.source === source)!
  return { service, ids: servers.map(({ id }) => id) }
}

test('ejections of all servers: at most half are out, no request fails, all expire', async () => {
  const { service, ids } = await serversOf('app')
  for (const cause of ['errors', 'reset', 'refused', 'timeout', 'unreachable', 'silence', 'doubt']) {
    const value = JSON.stringify({ cause, times: 16, by: 'a', at: Date.now() })
    await tell(...ids.map(id => ({ table: 'ejection', key: `${service}\0${id}`, value, ttlMs: 30 * 24 * HOUR_MS })))
    await allAnswered(20)
    for (const replica of [a, b]) {
      const { services } = await replica.api('snapshot')
      const out = services[service]?.servers.filter(({ state }) => state === 'ejected').length ?? 0
      assert.ok(out * 2 <= ids.length, `${out} of ${ids.length} are out for ${cause}`)
    }
  }
  const values = [
    'null',
    '{}',
    '[]',
    'x',
    JSON.stringify({ cause: 'malice', times: 1, by: 'a', at: 1 }),
    JSON.stringify({ cause: 'errors', times: 1e9, by: 'a', at: 1 }),
    JSON.stringify({ cause: 'errors', times: 1, by: '\u001b[2J\n', at: 1 }),
    '{"cause":'.repeat(800),
  ]
  for (const value of values) await tell(...ids.map(id => ({ table: 'ejection', key: `${service}\0${id}`, value })))
  await tell({ table: 'ejection', key: '' }, { table: 'ejection', key: '\0' }, { table: 'ejection', key: `${service}\0ghost` })
  await allAnswered(40)
  for (const replica of [a, b]) await replica.logs(/ignored a malformed ejection/)
})

test('invalid breaker states and counts open nothing, or the breaker recovers by itself', async () => {
  const { service } = await serversOf('broken')
  const { services } = await a.api('snapshot')
  const of = hashOf(services[service]!.breaker!)
  const because = { requests: 1e12, networkErrorRatio: 1, errorRatio: 1, latencyP50Ms: 1, latencyP99Ms: 1 }
  const record = { of, state: 'open', epoch: 2 ** 40 - 1, by: '\u001b[2J', id: 'nobody', at: 2 ** 53, because }
  const values = [
    { ...record, of: 'another' },
    { ...record, state: 'melted' },
    { ...record, epoch: -1 },
    { ...record, epoch: 2 ** 60 },
    { ...record, because: null },
    { ...record, because: { ...because, networkErrorRatio: 1e300 } },
    { ...record, at: 'x' },
    [2 ** 52, [[1e9, [200, 1e9], [1, 1e9]]]],
    [0, Array.from({ length: 10 }, () => [2e7, [502, 2e7], []])],
    [0, Array.from({ length: 1000 }, () => 0)],
    [0, [[5, [502, 4], []]]],
    [0, [[-5, [502, -4], []]]],
    [0, [[0, [502], []]]],
    null,
    '__proto__',
  ].map(value => JSON.stringify(value))
  for (const table of ['breaker', 'breaker-counts']) {
    for (const key of [service, 'ghost', '__proto__', `${service}\0hostile`, `ghost\0hostile`, '\0']) {
      await tell(...values.map(value => ({ table, key, value })))
    }
  }
  await sleep(500)
  for (const replica of [a, b]) {
    const [report] = await replica.api('breakers')
    // Twenty million requests a second, or more errors than requests, exceed what a member may report.
    assert.is(report?.state, 'closed', JSON.stringify(report))
  }
  await allAnswered(10, 'broken.test')
  // Valid states are accepted: open, then half-open with a probe that never ends.
  await tell({ table: 'breaker', key: service, value: JSON.stringify(record), ttlMs: 30 * 24 * HOUR_MS })
  await until('it is open', async () => (await ask(b!.web, 'broken.test')).status === 503, 60_000, { everyMs: 50 })
  await tell({ table: 'breaker', key: service, value: JSON.stringify({ ...record, state: 'half-open' }) })
  for (const replica of [a, b]) {
    const reports = await replica.api('breakers')
    assert.equal(
      reports.map(report => report.service),
      [service],
    )
    for (const { now } of reports) for (const figure of Object.values(now)) assert.ok(Number.isFinite(figure) && figure >= 0)
  }
  // Not for longer than the labels say; an unknown prober is not waited for.
  const end = performance.now() + 20_000
  for (let good = 0; good < 10; ) {
    good = (await ask(a!.web, 'broken.test')).status === 200 ? good + 1 : 0
    assert.ok(performance.now() < end, `it does not serve: ${JSON.stringify(await a!.api('breakers'))}`)
    await sleep(100)
  }
  await allAnswered(10)
})

test('unlimited requests are answered at a limited rate', async () => {
  const questions = [
    encodeStore({ kind: 'stateRequest' }),
    encodeStore({ kind: 'stateOffer' }),
    encodeStore({
      kind: 'roots',
      cut: { wall: 2 ** 47, count: 2 ** 31 },
      roots: Array.from({ length: 4000 }, (_, i) => ({ name: i, count: 1, digest: i })),
    }),
    encodeStore({
      kind: 'buckets',
      table: 'ejection',
      cut: { wall: 2 ** 47, count: 0 },
      count: 1e6,
      digests: new Uint32Array(4096).fill(7),
    }),
    encodeStore({
      kind: 'state',
      ready: true,
      ageMs: 0,
      bodies: Array.from({ length: 500 }, () => ({ hash: randomBytes(32).toString('hex'), size: 8e6 })),
    }),
  ]
  const before = process.cpuUsage()
  for (let i = 0; i < 300; i++) {
    say(questions[i % questions.length]!)
    await sleep(5)
  }
  assert.ok(process.cpuUsage(before).user < 60e6)
  await allAnswered(20)
  await sessionsSpread()
  for (const member of members) assert.is((await member.status()).leader === null, false)
})

/** Floods both, with requests meanwhile, none of which may fail. */
async function flood(forMs: number): Promise<void> {
  const script = fileURLToPath(new URL('hostile-member.ts', import.meta.url))
  const flooder = spawn(process.execPath, [script, 'flood-store', ...members.map(({ gossip }) => gossip)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let words = ''
  flooder.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    words += chunk
  })
  const ended = new Promise(resolve => flooder.once('close', resolve))
  try {
    await until('it floods', () => words.includes('flooding'), 60_000, { everyMs: 50 })
    const end = performance.now() + forMs
    let slowest = 0
    while (performance.now() < end) {
      const since = performance.now()
      await allAnswered(2)
      slowest = Math.max(slowest, performance.now() - since)
    }
    flooder.stdin.end()
    await ended
    console.log(`two requests meanwhile: at most ${slowest.toFixed(0)} ms; ${words.split('\n')[1]}`)
  } finally {
    flooder.kill('SIGKILL')
  }
}

test('a flood of writes: the excess is dropped, state is bounded, requests continue', async () => {
  const dropped = async (): Promise<number[]> =>
    (await Promise.all(members.map(member => member.status()))).map(({ counts }) => counts.dropped)
  const before = await dropped()
  const more = async (): Promise<boolean> => (await dropped()).every((count, i) => count > before[i]!)
  // The accepted amount depends on the machine: a slow one takes longer to send more than the limit.
  for (let forMs = 3000; forMs <= 24_000; forMs *= 2) {
    await flood(forMs)
    if (await more()) break
  }
  assert.ok(await more(), `dropped before: ${before}; after: ${await dropped()}`)
  for (const member of members) {
    const { store } = await member.replica.api('state')
    assert.ok((store.tables[''] ?? 0) <= STORE_LIMITS.unownedEntries, JSON.stringify(store.tables))
    // A member that continues is disconnected, logged once.
    const told = member.replica.lines.filter(({ msg }) => /floods the cluster/.test(msg))
    assert.is(new Set(told.map(({ peer }) => peer)).size, told.length, JSON.stringify(told))
  }
  for (const member of members) await member.agreesWith(members.length)
  await sessionsSpread()
})

test.run()
