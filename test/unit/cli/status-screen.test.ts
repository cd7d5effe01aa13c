import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { StatusReport } from '../../../src/cli/status-screen.ts'
import { clusterSchema, healthSchema, managersSchema, statusScreen } from '../../../src/cli/status-screen.ts'
import { breakersSchema, ejectedSchema, stateSchema } from '../../../src/cli/status-shared-state.ts'

/** A long name with everything that could control a terminal. */
const HOSTILE = `\u001b[2J\u001b]0;owned\u0007\r\n\u202e\u2066\u0085${'x'.repeat(5000)}`
const STEERS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/
/** Columns of the widest table with full cells. */
const WIDEST = 200

const COUNTS = {
  ...{ written: 1, taken: 2, outdated: 0, refused: 0, evicted: 0, expired: 0, repaired: 0 },
  ...{ batchesSent: 1, batchesReceived: 1, pulls: 0, served: 0 },
}
const FIGURES = { requests: 120, networkErrorRatio: 0.625, errorRatio: 0.7, latencyP50Ms: 11.6, latencyP99Ms: 900 }
const REVISION = { term: 7, leader: 'id-0', sequence: 3 }

function member(i: number, name = `edge-${i}`, more: object = {}): object {
  return {
    ...{
      id: `id-${i}`,
      name,
      state: 'alive',
      role: i === 0 ? 'leader' : 'follower',
      sinceMs: 61_000,
      version: '1',
      self: i === 1,
    },
    ...{
      manager: `tcp://10.0.0.${i % 250}:2375`,
      managerHealthy: true,
      revision: REVISION,
      addresses: [`10.0.0.${i % 250}:7998`],
    },
    ...more,
  }
}

const redisAt = (state: string, reason: string, waiting = 0): object => ({
  ...{ mode: 'sentinel', state, reason, sinceMs: 300_000, waiting, dropped: 0, reseeded: 0 },
})

test('of two differing clocks both are named; of three the wrong one', () => {
  const day = 86_400_000
  const two = [member(0, 'left', { clockOffMs: 0 }), member(1, 'right', { clockOffMs: 400 * day })]
  const text = statusScreen(reportOf({ members: two }))
  assert.match(text, /the clocks of left and right differ by 400 days; two clocks do not show which is wrong: check both/)
  assert.not.match(text, /set it/)
  const three = statusScreen(reportOf({ members: [...two, member(2, 'third', { clockOffMs: 0 })] }))
  assert.match(three, /the clock of right is 400 days ahead of the cluster's: set it/)
  assert.not.match(three, /differ by/)
})

function breaker(service: string, state: string, more: object = {}): object {
  return {
    ...{ service, expression: 'NetworkErrorRatio() > 0.5', state, sinceMs: 12_000, at: 1, by: 'edge-2', because: FIGURES },
    ...{ prober: '', now: FIGURES, members: 3, opened: 1, refusedRequests: 5, ...more },
  }
}

interface ReportParts {
  readonly members?: readonly object[]
  readonly name?: string
  readonly redis?: object | null
  readonly breakers?: readonly object[]
  readonly servers?: Readonly<Record<string, readonly object[]>>
  readonly managers?: readonly object[]
  readonly strangers?: readonly object[]
}

/** A report as the command reads it from the admin API. */
function reportOf({
  members,
  name = 'edge-1',
  redis = null,
  breakers = [],
  servers = {},
  managers = [],
  strangers = [],
}: ReportParts = {}): StatusReport {
  const leader = { id: 'id-0', name: members === undefined ? name : 'edge-0' }
  const term = { number: 7, leader: 'id-0' }
  const cluster = { cluster: name, self: 'id-1', name, role: 'follower', term, leader, revision: REVISION, target: REVISION }
  const counts = { routers: 1, services: 1, servers: 1, errors: 0 }
  const store = { kind: redis === null ? 'gossip' : 'redis', entries: 42, tables: {}, counts: COUNTS, redis }
  const services = Object.fromEntries(Object.entries(servers).map(([service, list]) => [service, { servers: list }]))
  return {
    cluster: members === undefined ? null : clusterSchema.parse({ ...cluster, members, strangers, relaying: [] }),
    health: healthSchema.parse({ status: 'serving', name, version: '1', uptimeMs: 5000, revision: REVISION, counts }),
    managers: managersSchema.parse([{ provider: 'swarm', managers }]),
    state: stateSchema.parse({ store, consistency: 'fast', sessions: { shop: 30, cart: 9 } }),
    breakers: breakersSchema.parse(breakers),
    ejected: ejectedSchema.parse({ services }),
  }
}

const storeLine = (text: string): string => /^store {5}.*$/m.exec(text)?.[0] ?? ''

test('256 members: the leader, this replica and failed members first, and a count of the rest', () => {
  const members = Array.from({ length: 256 }, (_, i) =>
    member(i, `edge-${i}`, i === 200 ? { state: 'suspect' } : i === 255 ? { state: 'gone' } : {}),
  )
  const text = statusScreen(reportOf({ members: [...members].reverse() }))
  const lines = text.split('\n')
  assert.ok(lines.length <= 50, `${lines.length} lines`)
  assert.match(text, /^cluster {3}edge-1, 255 members, seen from edge-1$/m)
  const table = lines.slice(lines.findIndex(line => /MEMBER +STATE/.test(line)))
  assert.match(table[1] ?? '', /edge-0 +leader/)
  assert.match(table[2] ?? '', /^\* +edge-1 /)
  assert.match(`${table[3]}${table[4]}`, /edge-255 +gone.*edge-200 +suspect/)
  assert.match(text, /^\.\.\. and 224 more members: --json lists all$/m)
})

test('of many managers, breakers and ejected servers the first are shown', () => {
  const managers = Array.from({ length: 100 }, (_, i) => ({
    ...{ endpoint: `tcp://m${i}:2375`, hostname: null, current: false, state: 'down', lastError: 'x'.repeat(5000) },
  }))
  const servers = {
    shop: Array.from({ length: 300 }, (_, i) => ({ id: `t${i}`, host: '10.0.0.1', port: i, node: '', state: 'ejected' })),
  }
  const breakers = Array.from({ length: 1000 }, (_, i) => breaker(`s${i}`, i === 999 ? 'open' : 'recovering'))
  const text = statusScreen(reportOf({ members: [member(0)], managers, servers, breakers }))
  assert.ok(text.split('\n').length < 100)
  for (const what of ['68 more managers', '284 more ejected servers', '984 more breakers']) assert.match(text, what)
  // Open breakers come first.
  assert.match(text, /CAUSE\ns999 +open/)
})

test('peers outside of this cluster: the first few, and the remedy for another secret', () => {
  const reason = 'it holds no secret of this cluster, or is not a Skein member'
  const strangers = Array.from({ length: 20 }, (_, i) => ({
    address: `10.0.0.${i}:7998`,
    sinceMs: 61_000,
    kind: 'secret',
    reason,
  }))
  const text = statusScreen(reportOf({ members: [member(0)], strangers }))
  assert.match(text, `\nthe peer at 10.0.0.7:7998 does not belong to this cluster (1m): ${reason}\n`)
  assert.match(text, /^\.\.\. and 12 more peers: --json lists all$/m)
  assert.match(text, /^members without a common secret form separate clusters: set the same secret on all/m)
  const other = { address: '10.0.0.1:7998', sinceMs: 0, kind: 'cluster', reason: 'it belongs to cluster "internal"' }
  const named = statusScreen(reportOf({ members: [member(0)], strangers: [other] }))
  assert.match(named, 'the peer at 10.0.0.1:7998 does not belong to this cluster (0s): it belongs to cluster "internal"')
  assert.not.match(named, 'common secret')
})

test('names, causes and reasons are made printable and cut', () => {
  const bad = HOSTILE
  const names = { manager: bad, version: bad, addresses: [bad], state: bad, role: bad }
  const text = statusScreen(
    reportOf({
      name: bad,
      members: [member(0, bad, names), member(1, bad, { ...names, state: 'alive' })],
      redis: { ...redisAt('away', bad, 3), mode: bad },
      breakers: [breaker(bad, 'open', { by: bad, expression: bad }), breaker('b', 'half-open', { prober: bad })],
      servers: {
        [bad]: [
          { id: bad, host: bad, port: 80, node: bad, state: 'ejected', ejection: { cause: bad, by: bad, sinceMs: 1, times: 2 } },
        ],
      },
      managers: [{ endpoint: bad, hostname: bad, current: true, state: bad, lastError: bad }],
      strangers: [{ address: bad, sinceMs: 1, kind: 'secret', reason: bad }],
    }),
  )
  assert.not.match(text, STEERS)
  for (const line of text.split('\n')) assert.ok(line.length <= WIDEST, `${line.length} columns: ${line}`)
  assert.ok(text.split('\n').length < 30)
})

test('the store: gossip, own memory, Redis up, or Redis away with duration and reason', () => {
  const members = [member(0), member(1)]
  assert.is(storeLine(statusScreen(reportOf({ members }))), 'store     gossip; 42 entries, 39 learned sessions')
  assert.match(storeLine(statusScreen(reportOf())), /^store {5}its own memory; 42 entries/)
  assert.match(
    storeLine(statusScreen(reportOf({ members, redis: redisAt('up', '') }))),
    /Redis \(sentinel\) up for 5m; 42 entries/,
  )
  assert.match(
    storeLine(statusScreen(reportOf({ members, redis: redisAt('away', 'connection refused', 7) }))),
    /Redis \(sentinel\) away for 5m \(connection refused\), 7 writes queued; using gossip; 42 entries/,
  )
  assert.match(
    storeLine(statusScreen(reportOf({ members, redis: redisAt('connecting', '') }))),
    /not connected yet for 5m; using gossip/,
  )
})

test('breakers that are not closed, with cause; ejected servers, with the reporting replica', () => {
  const breakers = [
    breaker('calm', 'closed', { because: null, by: '', at: 0 }),
    breaker('shop', 'half-open', { prober: 'edge-3' }),
    breaker('cart', 'open'),
    breaker('odd', 'recovering', { because: null, by: '' }),
  ]
  const ejection = { cause: 'refused', by: 'edge-3', sinceMs: 4000, times: 3 }
  const servers = {
    shop: [
      { id: 'a', host: '10.0.0.5', port: 80, node: 'w1', state: 'active' },
      { id: 'b', host: '10.0.0.6', port: 80, node: 'w2', state: 'ejected', ejection },
      { id: 'c', host: '10.0.0.7', port: 80, node: '', state: 'ejected' },
    ],
  }
  const text = statusScreen(reportOf({ members: [member(0)], breakers, servers }))
  assert.not.match(text, /calm/)
  assert.match(text, /^cart +open +12s +edge-2 +120 requests: 63% network errors, 70% 5xx, p50 12 ms, p99 900 ms$/m)
  assert.match(text, /^shop +half-open, edge-3 probes +12s/m)
  assert.match(text, /^odd +recovering +12s +- +-$/m)
  assert.match(text, /^shop +10\.0\.0\.6:80 on w2 +4s +edge-3 +refused, 3 times in a row$/m)
  assert.match(text, /^shop +10\.0\.0\.7:80 +- +- +-$/m)
  assert.not.match(text, /10\.0\.0\.5/)
})

test('closed breakers and healthy servers are not shown', () => {
  const text = statusScreen(reportOf({ members: [member(0)], breakers: [breaker('shop', 'closed')] }))
  assert.not.match(text, /BREAKER|EJECTED/)
})

test.run()
