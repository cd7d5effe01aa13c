// Which ejections a replica shares, how it applies those of others, and that neither a broken nor a hostile member can do harm
// with them.

import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Entry } from '../../../cluster/store/model.ts'
import { SharedEjections } from '../../../src/shared-state/ejections.ts'
import type { Ejection, ToWorker } from '../../../src/workers/messages.ts'
import { snapshotOf } from '../../integration/harness.ts'
import { Board } from './board.ts'

type Told = Extract<ToWorker, { kind: 'remoteEjection' }>

const SERVERS = snapshotOf({ app: { servers: [1, 2, 3, 4] }, solo: { servers: [9] } })

interface Replica {
  readonly part: SharedEjections
  /** Messages to workers since the last call. */
  told(): Told[]
  readonly lines: string[]
}

function replicaOf(board: Board, name: string, snapshot = SERVERS): Replica {
  const posted: Told[] = []
  const lines: string[] = []
  const peers = ['edge-1', 'edge-2', 'edge-3'].map(one => ({ id: `id-${one}`, name: one, self: one === name }))
  const part: SharedEjections = new SharedEjections({
    store: board.join(`id-${name}`, changes => part.changed(changes)),
    log: pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) }),
    post: message => void posted.push(message as Told),
    postTo() {},
    now: () => board.nowMs,
    peers: () => peers,
  })
  part.apply(snapshot)
  return { part, told: () => posted.splice(0), lines }
}

function pair(): { board: Board; one: Replica; two: Replica } {
  const board = new Board()
  return { board, one: replicaOf(board, 'edge-1'), two: replicaOf(board, 'edge-2') }
}

function out(server: string, cause: string, more: Partial<Ejection> = {}): Ejection {
  return { kind: 'ejection', service: 'app', server, out: true, cause, times: 1, forMs: 1000, by: '', ...more }
}
const back = (server: string): Ejection => out(server, 'probe', { out: false, times: 1, forMs: 0 })
const word = (server: string, cause: string, times = 1, forMs = 1000) =>
  ({ kind: 'healthReport', service: 'app', server, cause, times, forMs }) as const

test('connect failures only make workers probe; response causes count for their time', () => {
  const { board, one, two } = pair()
  one.part.fromWorker(0, out('task-1', 'timeout'))
  one.part.fromWorker(0, out('task-2', 'errors', { times: 3, forMs: 20_000 }))
  board.flush()
  assert.equal(two.told(), [
    { kind: 'remoteEjection', service: 'app', server: 'task-1', cause: 'timeout', forMs: 0, times: 1, by: 'edge-1' },
    { kind: 'remoteEjection', service: 'app', server: 'task-2', cause: 'errors', forMs: 20_000, times: 3, by: 'edge-1' },
  ])
  assert.equal(one.told(), [], 'its own workers know')
})

test('the report names the finder, the time and the count', () => {
  const { board, one, two } = pair()
  one.part.fromWorker(0, out('task-2', 'errors', { times: 3, forMs: 20_000 }))
  board.nowMs = 500
  board.flush()
  board.nowMs = 1500
  assert.equal(one.part.report('app', 'task-2'), { cause: 'errors', by: 'edge-1', sinceMs: 1500, times: 3 })
  assert.equal(two.part.report('app', 'task-2'), { cause: 'errors', by: 'edge-1', sinceMs: 1000, times: 3 })
  assert.is(two.part.report('app', 'task-1'), null)
  assert.is(two.part.report('no', 'task-2'), null)
  // A worker here has confirmed the remote ejection.
  two.part.fromWorker(0, out('task-3', 'timeout', { by: 'edge-1' }))
  assert.is(two.part.report('app', 'task-3')?.by, 'edge-1')
  one.part.fromWorker(0, back('task-2'))
  board.flush()
  assert.is(one.part.report('app', 'task-2'), null)
  assert.is(two.part.report('app', 'task-2'), null)
})

test('recovery: the finder removes its entry, the others probe at once', () => {
  const { board, one, two } = pair()
  one.part.fromWorker(0, out('task-1', 'silence', { forMs: 30_000 }))
  board.flush()
  two.told()
  one.part.fromWorker(1, back('task-1'))
  board.nowMs = 600
  board.flush()
  assert.equal(
    two.told().map(({ server, cause }) => [server, cause]),
    [['task-1', 'back']],
  )
  one.part.fromWorker(1, back('task-1'))
  assert.is(board.writes.length, 2, 'what was not told is not taken back')
})

test('refused connects are shared from the second in a row', () => {
  const { board, one, two } = pair()
  one.part.fromWorker(0, out('task-1', 'refused', { forMs: 150 }))
  one.part.fromWorker(0, back('task-1'))
  board.flush()
  assert.equal(board.writes, [])
  one.part.fromWorker(0, out('task-1', 'refused', { forMs: 150 }))
  one.part.fromWorker(0, word('task-1', 'refused', 2, 300))
  board.flush()
  assert.equal(
    two.told().map(({ cause, forMs, times }) => [cause, forMs, times]),
    [['refused', 0, 2]],
  )
})

test('an entry of another replica is not repeated until it expires', () => {
  const { board, one, two } = pair()
  one.part.fromWorker(0, out('task-1', 'timeout'))
  board.flush()
  two.part.fromWorker(0, out('task-1', 'timeout', { by: 'edge-1' }))
  two.part.fromWorker(1, out('task-1', 'timeout'))
  two.part.fromWorker(1, word('task-1', 'timeout', 2, 2000))
  assert.is(board.writes.length, 1)
  board.nowMs = 5000
  two.part.fromWorker(1, word('task-1', 'timeout', 3, 4000))
  assert.is(board.writes.length, 2)
})

test('a suspicion goes to local workers and replicas; the verdict replaces it', () => {
  const { board, one, two } = pair()
  one.part.fromWorker(0, word('task-1', 'doubt', 0, 0))
  assert.equal(one.told().length, 1)
  board.flush()
  assert.equal(
    two.told().map(({ cause, forMs, times }) => [cause, forMs, times]),
    [['doubt', 0, 1]],
  )
  assert.is(two.part.report('app', 'task-1')?.cause, 'doubt')
  board.nowMs = 700
  two.part.fromWorker(0, out('task-1', 'timeout'))
  board.flush()
  assert.is(one.told().length, 1)
  // Another replica wrote the entry later, so this one must not remove it.
  one.part.fromWorker(0, back('task-1'))
  assert.is(board.writes.length, 2)
})

test('a replica that reaches no server of a service shares nothing', () => {
  const { board, one } = pair()
  one.part.fromWorker(0, { ...out('task-9', 'timeout'), service: 'solo' })
  assert.equal(board.writes, [])
  for (const server of ['task-1', 'task-2', 'task-3', 'task-4']) one.part.fromWorker(0, out(server, 'unreachable'))
  assert.is(board.writes.length, 3, 'the last one shows that it is rather the network here')
})

test('repeated entries reach workers at most twice a second', () => {
  const { board, one, two } = pair()
  for (let i = 0; i < 100; i++) {
    board.nowMs = i * 10
    one.part.fromWorker(0, out('task-1', 'timeout'))
    one.part.fromWorker(0, back('task-1'))
    board.flush()
  }
  assert.is(two.told().length, 2)
})

test('a flapping network: 64 writes at once, then 20 a second', () => {
  const ports = Array.from({ length: 300 }, (_, i) => i + 1)
  const board = new Board()
  const one = replicaOf(board, 'edge-1', snapshotOf({ app: { servers: ports } }))
  for (const port of ports.slice(1)) one.part.fromWorker(0, out(`task-${port}`, 'timeout'))
  assert.is(board.writes.length, 64)
  board.nowMs = 1000
  for (const port of ports.slice(1)) one.part.fromWorker(0, out(`task-${port}`, 'timeout'))
  assert.is(board.writes.length, 84)
})

function entry(key: string, value: string | null, more: Partial<Entry> = {}): Entry {
  return { table: 'ejection', key, value, rank: 1, ttlMs: 60_000, wall: 1, count: 0, origin: 'id-edge-3', ...more }
}
const value = (more: object = {}) => JSON.stringify({ cause: 'errors', times: 1, by: 'x', at: 1, ...more })

test('hostile member: malformed entries are logged once, foreign tables and servers ignored', () => {
  const { two } = pair()
  const bad = [
    '',
    '{',
    'null',
    '[]',
    '1',
    value({ cause: 'whim' }),
    value({ times: 0 }),
    value({ times: 1e9 }),
    value({ by: '' }),
    value({ by: 'x'.repeat(256) }),
    value({ more: 1 }),
    value({ at: -1 }),
    '['.repeat(8000),
  ]
  two.part.changed(bad.map(text => entry('app\0task-1', text)))
  two.part.changed([
    entry('app\0task-1', value(), { table: 'session' }),
    entry('app\0nobody', value()),
    entry('nothing\0task-1', value()),
    entry('__proto__\0task-1', value()),
    entry('app', value()),
    entry('', value()),
    entry('\0', value()),
    entry('\0task-1', value()),
    entry('app\0task-1\0', value()),
    entry('app\0nobody', null),
  ])
  assert.equal(two.told(), [])
  assert.is(two.lines.filter(line => line.includes('malformed ejection')).length, 1)
})

test('hostile member: removing an unknown entry does nothing', () => {
  const { two } = pair()
  for (let i = 0; i < 1000; i++) two.part.changed([entry('app\0task-1', null)])
  assert.equal(two.told(), [])
})

test('hostile member: names cannot forge log lines; known members use their own name', () => {
  const { two } = pair()
  two.part.changed([entry('app\0task-1', value({ by: 'edge\u001b[2J\nx' }), { origin: 'who' })])
  two.part.changed([entry('app\0task-2', value({ by: 'edge-1' }))])
  assert.equal(
    two.told().map(({ by }) => by),
    ['edge?[2J?x', 'edge-3'],
  )
})

test('hostile member: ejections reach workers at a bounded rate, for a minute at most', () => {
  const ports = Array.from({ length: 5000 }, (_, i) => i + 1)
  const board = new Board()
  const two = replicaOf(board, 'edge-2', snapshotOf({ app: { servers: ports } }))
  two.part.changed(ports.map(port => entry(`app\0task-${port}`, value(), { ttlMs: 1e9 })))
  const told = two.told()
  assert.is(told.length, 512)
  for (const { forMs } of told) assert.is(forMs, 60_000)
  board.nowMs = 1000
  two.part.changed(ports.map(port => entry(`app\0task-${port}`, value(), { ttlMs: 1e9 })))
  assert.is(two.told().length, 100)
})

test('an entry that expires on arrival is not applied', () => {
  const { two } = pair()
  two.part.changed([entry('app\0task-1', value(), { ttlMs: 1400 })])
  assert.equal(two.told(), [])
})

test('ejections received before the configuration are applied with it', () => {
  const board = new Board()
  const one = replicaOf(board, 'edge-1')
  const two = replicaOf(board, 'edge-2', snapshotOf({}))
  one.part.fromWorker(0, out('task-1', 'timeout', { forMs: 10_000 }))
  board.flush()
  assert.equal(two.told(), [])
  two.part.apply(SERVERS)
  assert.is(two.told().length, 1)
  two.part.apply(SERVERS)
  assert.equal(two.told(), [], 'once')
})

test('a restarted worker receives the current ejections', () => {
  const { board, one, two } = pair()
  one.part.fromWorker(0, out('task-1', 'timeout'))
  one.part.fromWorker(0, out('task-2', 'errors', { times: 2, forMs: 10_000 }))
  board.flush()
  board.nowMs = 1000
  for (const [replica, by] of [
    [one, ''],
    [two, 'edge-1'],
  ] as const) {
    const seeded: Told[] = []
    replica.part.seed(message => void seeded.push(message as Told))
    assert.equal(
      seeded.map(told => [told.server, told.cause, told.forMs > 0, told.times, told.by]),
      [
        ['task-1', 'timeout', false, 1, by],
        ['task-2', 'errors', true, 2, by],
      ],
    )
  }
  board.nowMs = 70_000
  const late: Told[] = []
  two.part.seed(message => void late.push(message as Told))
  assert.equal(late, [])
})

test('removed servers are dropped; the cap fits all servers', () => {
  const { board, one, two } = pair()
  one.part.fromWorker(0, out('task-1', 'timeout', { forMs: 10_000 }))
  board.flush()
  const less = snapshotOf({ app: { servers: [2, 3] } })
  for (const { part } of [one, two]) {
    part.apply(less)
    assert.is(part.report('app', 'task-1'), null)
  }
  two.told()
  one.part.fromWorker(0, out('task-1', 'timeout'))
  board.flush()
  assert.equal(two.told(), [])
  assert.equal([...one.part.tables(SERVERS)], [['ejection', 256 + 10]])
  const many = snapshotOf({ app: { servers: Array.from({ length: 20_000 }, (_, i) => i) } })
  assert.equal([...one.part.tables(many)], [['ejection', 10_000]])
})

test("a key beyond the store's limit is not shared", () => {
  const board = new Board()
  const id = 'x'.repeat(700)
  const one = replicaOf(board, 'edge-1', snapshotOf({ app: { servers: [{ port: 1, id }, 2] } }))
  one.part.fromWorker(0, out(id, 'timeout'))
  assert.equal(board.writes, [])
})

test.run()
