// Queries and answers about reachable servers: delivery, removal, and hostile input.

import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SharedReachability } from '../../../src/shared-state/reachability.ts'
import type { Ejection, ToWorker } from '../../../src/workers/messages.ts'
import { snapshotOf } from '../../integration/harness.ts'
import { Board } from './board.ts'

const SERVERS = snapshotOf({ app: { servers: [1, 2] } })
const NAMES = ['edge-1', 'edge-2', 'edge-3']

function replicaOf(board: Board, name: string, names: readonly string[] = NAMES) {
  const posted: ToWorker[] = []
  const part: SharedReachability = new SharedReachability({
    store: board.join(`id-${name}`, changes => part.changed(changes)),
    log: pino({ level: 'silent' }),
    post: message => void posted.push(message),
    postTo() {},
    now: () => board.nowMs,
    peers: () => names.map(one => ({ id: `id-${one}`, name: one, self: one === name })),
  })
  part.apply(SERVERS)
  const say = (kind: 'reachQuery' | 'reachAnswer', server = 'task-1') => part.fromWorker(0, { kind, service: 'app', server })
  const out = (cause: string, server = 'task-1') => {
    const ejection: Ejection = { kind: 'ejection', service: 'app', server, out: true, cause, times: 1, forMs: 1000, by: 'edge-1' }
    part.fromWorker(0, ejection)
  }
  return { part, say, out, told: () => posted.splice(0) }
}

const reached = (by: string, forMs: number) => ({ kind: 'peerReach', service: 'app', server: 'task-1', by, forMs })

test('a query makes all others probe; the answer reaches all but its writer', () => {
  const board = new Board()
  const [one, two, three] = NAMES.map(name => replicaOf(board, name))
  one!.say('reachQuery')
  board.flush()
  const look = { kind: 'remoteEjection', service: 'app', server: 'task-1', cause: 'asked', forMs: 0, times: 1, by: 'edge-1' }
  assert.equal([one!.told(), two!.told(), three!.told()], [[], [look], [look]])
  two!.say('reachAnswer')
  board.flush()
  assert.equal([one!.told(), two!.told(), three!.told()], [[reached('id-edge-2', 150_000)], [], [reached('id-edge-2', 150_000)]])
})

test("an answer is removed on its writer's connect failure, not on a response cause", () => {
  const board = new Board()
  const [one, two] = NAMES.map(name => replicaOf(board, name))
  two!.say('reachAnswer')
  board.flush()
  one!.told()
  two!.out('errors')
  two!.out('reset')
  board.flush()
  assert.equal(one!.told(), [])
  two!.out('timeout')
  board.flush()
  assert.equal(one!.told(), [reached('id-edge-2', 0)])
  two!.out('timeout')
  assert.is(board.writes.length, 2, 'once')
})

test("a removal or a query leaves other members' answers in place", () => {
  const board = new Board()
  const [one, two, three] = NAMES.map(name => replicaOf(board, name))
  two!.say('reachAnswer')
  board.flush()
  three!.say('reachAnswer')
  board.flush()
  assert.equal(one!.told(), [reached('id-edge-2', 150_000), reached('id-edge-3', 150_000)])
  two!.out('timeout')
  board.flush()
  assert.equal(one!.told(), [reached('id-edge-2', 0)])
  one!.say('reachQuery')
  board.flush()
  const seeded: ToWorker[] = []
  one!.part.seed(message => void seeded.push(message))
  assert.equal(seeded, [reached('id-edge-3', 150_000)])
})

test('queries are limited; none is sent alone or for unknown servers', () => {
  const board = new Board()
  const one = replicaOf(board, 'edge-1')
  one.say('reachAnswer')
  one.say('reachAnswer')
  assert.is(board.writes.length, 1)
  board.nowMs = 1000
  one.say('reachAnswer')
  assert.is(board.writes.length, 2)
  one.say('reachQuery', 'task-9')
  assert.is(board.writes.length, 2)
  const alone = new Board()
  replicaOf(alone, 'edge-1', ['edge-1']).say('reachQuery')
  assert.equal(alone.writes, [])
})

test("a starting worker receives others' answers with their remaining time", () => {
  const board = new Board()
  const [one, two] = NAMES.map(name => replicaOf(board, name))
  two!.say('reachAnswer')
  board.flush()
  board.nowMs = 50_000
  for (const [replica, messages] of [
    [one!, [reached('id-edge-2', 100_000)]],
    [two!, []],
  ] as const) {
    const seeded: ToWorker[] = []
    replica.part.seed(message => void seeded.push(message))
    assert.equal(seeded, messages)
  }
})

test('hostile member: messages are rate-limited, malformed entries ignored', () => {
  const board = new Board()
  const one = replicaOf(board, 'edge-1')
  const store = board.join('id-x', () => {})
  for (const [key, value] of [
    ['app\0task-1', 'perhaps'],
    ['app\0task-1', 'here'],
    ['app\0task-1\0id-edge-2', 'here'],
    ['app\0task-1\0id-x', 'asked'],
    ['app\0task-9\0id-x', 'here'],
    ['app\0id-x', 'here'],
    ['\0id-x', 'here'],
    ['', 'asked'],
  ]) {
    store.put('reach', key!, value!, { ttlMs: 1000 })
  }
  board.flush()
  assert.equal(one.told(), [])
  for (let i = 0; i < 5000; i++) {
    if (i % 2 === 0) store.put('reach', 'app\0task-1', 'asked', { ttlMs: 1000 })
    else store.put('reach', 'app\0task-1\0id-x', 'here', { ttlMs: 1000 })
    board.flush()
  }
  assert.ok(one.told().length <= 512)
  for (let i = 0; i < 5000; i++) one.say('reachQuery')
  assert.ok(board.writes.filter(line => line.startsWith('id-edge-1')).length <= 32)
})

test.run()
