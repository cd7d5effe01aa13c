import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { memoryStore } from '../../../cluster/store/memory.ts'
import { type AdminApi, isKnownHost, startAdminApi } from '../../../src/admin/admin-api.ts'
import type {
  AdminSource,
  BreakerReport,
  ClusterReport,
  HealthReport,
  ServerReport,
  SnapshotReport,
  StateReport,
} from '../../../src/admin/admin-source.ts'
import { createLog } from '../../../src/util/log.ts'

const STATE: StateReport = {
  store: memoryStore('a').status(),
  consistency: 'fast',
  sessions: {},
}

const HEALTH: HealthReport = {
  status: 'serving',
  name: 'edge-1',
  role: null,
  version: '0.1.0',
  uptimeMs: 5,
  revision: { term: 0, leader: '', sequence: 3 },
  hash: 'abc',
  workers: { wanted: 2, ready: 2 },
  synced: true,
  counts: { routers: 0, services: 0, servers: 0, errors: 0 },
}
const EMPTY: SnapshotReport = { revision: null, hash: null, routers: {}, services: {}, middlewares: {}, errors: [] }
const log = createLog({ level: 'silent', format: 'json' })

interface Context {
  cluster: ClusterReport | null
  api: AdminApi
  health: HealthReport
  snapshot: SnapshotReport
  breakers: readonly BreakerReport[]
  state: StateReport
  broken: boolean
}

const context = { health: HEALTH, cluster: null, broken: false } as Context

test.before.each(async () => {
  context.health = HEALTH
  context.cluster = null
  context.snapshot = EMPTY
  context.breakers = []
  context.state = STATE
  context.broken = false
  const source: AdminSource = {
    health: () => context.health,
    snapshot: () => {
      if (context.broken) throw new Error('defect')
      return context.snapshot
    },
    managers: () => [],
    breakers: () => context.breakers,
    state: () => context.state,
    cluster: () => context.cluster,
  }
  context.api = await startAdminApi({ host: '127.0.0.1', port: 0, names: ['Edge-1.internal'] }, source, log)
})
test.after.each(() => context.api.stop())

interface Reply {
  status: number
  headers: Record<string, unknown>
  text: string
}

function ask(path: string, { method = 'GET', host = '127.0.0.1', body = '' } = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port: context.api.port, path, method, headers: { Host: host }, agent: false },
      response => {
        let text = ''
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

test('health is 200 only while serving', async () => {
  const serving = await ask('/api/health')
  assert.is(serving.status, 200)
  assert.equal(JSON.parse(serving.text), HEALTH)
  for (const status of ['starting', 'draining'] as const) {
    context.health = { ...HEALTH, status }
    assert.is((await ask('/api/health')).status, 503)
  }
})

test('snapshot and managers are JSON with Cache-Control: no-store', async () => {
  const snapshot = await ask('/api/snapshot')
  assert.is(snapshot.status, 200)
  assert.equal(JSON.parse(snapshot.text), EMPTY)
  assert.is(snapshot.headers['content-type'], 'application/json; charset=utf-8')
  assert.is(snapshot.headers['cache-control'], 'no-store')
  assert.is(snapshot.headers['access-control-allow-origin'], undefined)
  assert.equal(JSON.parse((await ask('/api/managers')).text), [])
})

test('?pretty indents the JSON', async () => {
  assert.match((await ask('/api/health?pretty')).text, /\n {2}"status"/)
  assert.not.match((await ask('/api/health?prettyish=1')).text, /\n {2}/)
})

test('any other path is 404, in JSON too', async () => {
  for (const path of ['/', '/api', '/api/health/', '/api/../api/health', '/metrics/', '/API/HEALTH']) {
    const reply = await ask(path)
    assert.is(reply.status, 404, path)
    assert.match(JSON.parse(reply.text).error, /not found; expected one of/)
  }
})

test('only GET and HEAD are allowed', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const reply = await ask('/api/health', { method, body: 'x'.repeat(10_000) })
    assert.is(reply.status, 405, method)
    assert.is(reply.headers.allow, 'GET, HEAD')
  }
  assert.equal([(await ask('/api/health', { method: 'HEAD' })).text], [''])
})

test('an unknown Host is refused (DNS rebinding)', async () => {
  assert.is((await ask('/api/snapshot', { host: 'evil.example' })).status, 421)
  assert.is((await ask('/api/snapshot', { host: 'edge-1.INTERNAL:9000' })).status, 200)
  assert.is((await ask('/api/snapshot', { host: 'localhost:9000' })).status, 200)
})

test('isKnownHost: addresses, known names and others', () => {
  const names = new Set(['localhost'])
  for (const host of ['127.0.0.1', '127.0.0.1:9000', '[::1]', '[::1]:80', 'LocalHost:1'])
    assert.ok(isKnownHost(host, names), host)
  for (const host of [undefined, '', 'evil', '127.0.0.1.evil', '::1', 'localhost:x', '[evil]', 'localhost@evil', '127.1']) {
    assert.not.ok(isKnownHost(host, names), String(host))
  }
})

test('an exception is a 500, and the next request is served', async () => {
  context.broken = true
  assert.is((await ask('/api/snapshot')).status, 500)
  context.broken = false
  assert.is((await ask('/api/snapshot')).status, 200)
})

test('a malformed or too large head closes its connection only', async () => {
  for (const bytes of [
    `GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    '\u0016\u0003\u0001 TLS?\r\n\r\n',
  ]) {
    await new Promise<void>(resolve => {
      const socket = connect(context.api.port, '127.0.0.1', () => socket.write(bytes))
      socket.on('error', () => undefined)
      socket.on('data', () => undefined)
      socket.on('close', () => resolve())
    })
  }
  assert.is((await ask('/api/health')).status, 200)
})

const CLUSTER: ClusterReport = {
  cluster: 'skein',
  self: 'a',
  name: 'edge-1',
  role: 'follower',
  term: { number: 7, leader: 'b' },
  leader: { id: 'b', name: 'edge-2' },
  revision: { term: 7, leader: 'b', sequence: 3 },
  hash: 'abc',
  target: { term: 7, leader: 'b', sequence: 5 },
  members: [],
  connections: [],
  strangers: [{ address: '10.0.0.9:7998', sinceMs: 5, kind: 'secret', reason: 'it holds none of our secrets' }],
  counts: {
    ...{ sent: 10, received: 20, bytesSent: 1000, bytesReceived: 2000, dropped: 1, pulls: 2, pullsFailed: 1, dials: 4 },
    ...{ dialsFailed: 3, unknownVersion: 5, otherCluster: 6, malformed: 7, replayed: 8, elections: 9, leaderChanges: 2 },
    handshakesRefused: 14,
  },
  differences: [],
  relaying: [{ service: 'shop', through: 'edge-2', sinceMs: 5, cause: 'timeout' }],
  relayed: { out: 11, in: 12, failed: 13 },
}

test('/api/cluster: the cluster, or 404 without one', async () => {
  const alone = await ask('/api/cluster')
  assert.is(alone.status, 404)
  assert.match(alone.text, /not a member of a cluster/)
  context.cluster = CLUSTER
  const member = await ask('/api/cluster')
  assert.is(member.status, 200)
  assert.equal(JSON.parse(member.text), CLUSTER)
})

const FIGURES = { requests: 120, networkErrorRatio: 0.75, errorRatio: 0.9, latencyP50Ms: 12, latencyP99Ms: 900 }

function breaker(service: string, state: BreakerReport['state']): BreakerReport {
  return {
    ...{ service, expression: 'NetworkErrorRatio() > 0.5', state, sinceMs: 1500, at: 1_700_000_000_000, by: 'edge-2' },
    ...{ because: FIGURES, prober: '', now: FIGURES, members: 3, opened: 2, refusedRequests: 40 },
  }
}

const COUNTS = {
  ...{ written: 1, taken: 2, outdated: 3, refused: 4, evicted: 5, expired: 6, repaired: 7 },
  ...{ batchesSent: 8, batchesReceived: 9, pulls: 10, served: 11 },
}
const REDIS = { mode: 'single', state: 'away', reason: 'x', sinceMs: 5, waiting: 12, dropped: 13, reseeded: 14 } as const

function shared(redis: typeof REDIS | null): StateReport {
  const kind = redis === null ? 'gossip' : 'redis'
  return { store: { kind, entries: 42, tables: {}, counts: COUNTS, redis }, consistency: 'fast', sessions: { shop: 17 } }
}

/** A service with one server for each of these states. */
function withServers(name: string, ...states: readonly ServerReport['state'][]): SnapshotReport['services'] {
  const server = { scheme: 'http', host: '10.0.0.1', port: 80, weight: 1, node: 'n1' } as const
  const settings = {
    sticky: null,
    learn: null,
    breaker: null,
    outliers: { errors: 5 },
    healthCheck: null,
    maxConn: null,
    timeouts: { responseHeaderMs: null, stallMs: null },
  }
  const servers = states.map((state, i) => ({ ...server, id: `t${i}`, state }))
  return { [name]: { name, balancer: 'wrr', ...settings, provider: 'swarm', source: name, servers } }
}

test('/api/breakers and /api/state report the shared state', async () => {
  assert.equal(JSON.parse((await ask('/api/breakers')).text), [])
  context.breakers = [breaker('shop', 'open')]
  context.state = shared(REDIS)
  const breakers = await ask('/api/breakers')
  assert.is(breakers.status, 200)
  assert.equal(JSON.parse(breakers.text), context.breakers)
  assert.equal(JSON.parse((await ask('/api/state')).text), context.state)
})

test('/metrics of the store, sessions, breakers and ejected servers', async () => {
  context.state = shared(null)
  context.breakers = [
    breaker('shop', 'open'),
    breaker('cart', 'closed'),
    breaker('mail', 'half-open'),
    breaker('a"b\n', 'recovering'),
  ]
  context.snapshot = {
    ...EMPTY,
    services: { ...withServers('shop', 'ejected', 'active', 'ejected'), ...withServers('cart', 'active', 'unhealthy') },
  }
  const { text } = await ask('/metrics')
  const lines = text.split('\n')
  for (const line of [
    'skein_store_entries 42',
    'skein_store_written_total 1',
    'skein_store_received_total{result="taken"} 2',
    'skein_store_received_total{result="outdated"} 3',
    'skein_store_received_total{result="refused"} 4',
    'skein_store_gone_total{reason="evicted"} 5',
    'skein_store_gone_total{reason="expired"} 6',
    'skein_store_repaired_total 7',
    'skein_store_batches_total{direction="out"} 8',
    'skein_store_batches_total{direction="in"} 9',
    'skein_store_pulls_total{direction="in"} 10',
    'skein_store_pulls_total{direction="out"} 11',
    'skein_sessions{service="shop"} 17',
    'skein_breaker_state{service="shop"} 1',
    'skein_breaker_state{service="cart"} 0',
    'skein_breaker_state{service="mail"} 2',
    'skein_breaker_state{service="a\\"b\\n"} 3',
    'skein_breaker_opened_total{service="shop"} 2',
    'skein_breaker_refused_requests_total{service="shop"} 40',
    'skein_ejected_servers{service="shop"} 2',
  ]) {
    assert.ok(lines.includes(line), line)
  }
  assert.not.match(text, /skein_ejected_servers\{service="cart"/)
  assert.not.match(text, /skein_redis/)
  context.state = shared(REDIS)
  const away = (await ask('/metrics')).text.split('\n')
  for (const line of [
    'skein_redis_up 0',
    'skein_redis_waiting 12',
    'skein_redis_dropped_total 13',
    'skein_redis_reseeded_total 14',
  ]) {
    assert.ok(away.includes(line), line)
  }
})

test("/metrics match the cluster's status, and docs/metrics.md lists each of them", async () => {
  const alone = (await ask('/metrics')).text
  assert.match(alone, /^skein_config_revision_sequence 3$/m)
  assert.not.match(alone, /skein_cluster/)
  context.cluster = CLUSTER
  context.state = shared(REDIS)
  const answer = await ask('/metrics')
  assert.match(String(answer.headers['content-type']), /^text\/plain/)
  const { text } = answer
  for (const line of [
    'skein_build_info{version="0.1.0"} 1',
    'skein_cluster_term 7',
    'skein_cluster_is_leader 0',
    'skein_cluster_revision_lag 2',
    'skein_cluster_messages_total{direction="in"} 20',
    'skein_cluster_dropped_messages_total{reason="replayed"} 8',
    'skein_cluster_strangers 1',
    'skein_cluster_refused_handshakes_total 14',
    'skein_relaying_services 1',
    'skein_relayed_requests_total{direction="out"} 11',
    'skein_relay_failed_total 13',
  ]) {
    assert.ok(text.split('\n').includes(line), line)
  }
  // A second request does not count anything twice.
  assert.is((await ask('/metrics')).text, text)
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string)
  const documented = [...readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `(skein_\w+)/gm)].map(([, name]) => name as string)
  assert.equal(documented.sort(), names.sort())
})

test('an address in use is an error that names it', async () => {
  try {
    const other = await startAdminApi(
      { host: '127.0.0.1', port: context.api.port },
      {
        health: () => HEALTH,
        snapshot: () => EMPTY,
        managers: () => [],
        cluster: () => null,
        breakers: () => [],
        state: () => STATE,
      },
      log,
    )
    await other.stop()
    assert.unreachable()
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'EADDRINUSE')
    assert.match((error as Error).message, /^admin API: cannot listen on 127\.0\.0\.1:\d+: the port is taken$/)
  }
})

test('stop ends idle connections too', async () => {
  const idle = connect(context.api.port, '127.0.0.1')
  await new Promise(resolve => idle.once('connect', resolve))
  const closed = new Promise(resolve => idle.once('close', resolve))
  idle.on('error', () => undefined)
  idle.resume()
  await context.api.stop()
  await closed
})

test.run()
