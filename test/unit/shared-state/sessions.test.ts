// Sessions between workers and stores: a learned session reaches all workers of all replicas, a moved one moves for all,
// malformed entries are ignored.

import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LearnedSessions } from '../../../src/config/model.ts'
import { BOUND_BY_HASH, CONFIRMED, KEPT_ALIVE } from '../../../src/proxy/sessions/service-sessions.ts'
import { SessionBatch } from '../../../src/shared-state/session-batch.ts'
import { keyOf, SharedSessions } from '../../../src/shared-state/sessions.ts'
import { SESSION_ROW, type ToWorker } from '../../../src/workers/messages.ts'
import { snapshotOf } from '../../integration/harness.ts'
import { Board } from './board.ts'

const learn: LearnedSessions = { from: 'ip', name: '', ttlMs: 60_000, size: 1000, drain: 'move' }
const WORKERS = [0, 1]

/** The control part of one replica. Its two workers only record messages: key, server, seconds, flags. */
class Replica {
  readonly told: string[][] = WORKERS.map(() => [])
  readonly sharing: SharedSessions
  readonly store

  constructor(board: Board, name: string) {
    this.store = board.join(name, changes => this.sharing.changed(changes))
    this.sharing = new SharedSessions({
      store: this.store,
      log: pino({ level: 'silent' }),
      post: (message, except) => {
        for (const index of WORKERS) if (index !== except) this.hear(index, message)
      },
      postTo: (index, message) => this.hear(index, message),
      now: () => board.nowMs,
      peers: () => [{ id: name, name, self: true }],
    })
    this.sharing.apply(snapshotOf({ app: { servers: [1], learn }, plain: { servers: [1] } }))
  }

  hear(index: number, message: ToWorker): void {
    if (message.kind === 'claimed') this.told[index]!.push(`claimed ${message.ticket} ${message.server}`)
    if (message.kind !== 'sessions') return
    const { rows, servers } = message
    for (let at = 0; at < rows.length; at += SESSION_ROW) {
      this.told[index]!.push(`${rows[at + 1]} ${servers[rows[at + 2]!]} ${rows[at + 3]} ${rows[at + 4]}`)
    }
  }

  /** Worker `index` reports that session `low` belongs to `server`. */
  learn(index: number, low: number, server: string, flags = 0, service = 'app'): void {
    const rows = new SessionBatch(service)
    rows.add(7, low, server, 60, flags)
    this.sharing.fromWorker(index, rows.take())
  }

  heard(): string[][] {
    return this.told.map(told => told.splice(0))
  }
}

test('a learned session reaches the other workers and replicas once', () => {
  const board = new Board()
  const [one, two] = [new Replica(board, 'one'), new Replica(board, 'two')]
  one.learn(0, 5, 'a')
  assert.equal(one.heard(), [[], ['5 a 60 0']])
  assert.equal(one.store.get('session/app', keyOf(7, 5))?.value, 'a')
  board.flush()
  assert.equal(two.heard(), [['5 a 60 0'], ['5 a 60 0']])
  assert.equal(one.heard(), [[], []])
  one.learn(1, 5, 'a', CONFIRMED | KEPT_ALIVE)
  board.flush()
  assert.equal(two.heard(), [[`5 a 60 ${CONFIRMED}`], [`5 a 60 ${CONFIRMED}`]])
})

test('a moved session moves for all workers, the mover included', () => {
  const board = new Board()
  const [one, two] = [new Replica(board, 'one'), new Replica(board, 'two')]
  one.learn(0, 5, 'a')
  one.learn(1, 5, 'b')
  const [first, second] = one.heard()
  assert.is(first!.at(-1), '5 b 60 0')
  assert.is(second!.at(-1), '5 b 60 0')
  board.flush()
  two.learn(0, 5, 'c')
  board.flush()
  assert.is(one.heard()[0]!.at(-1), '5 c 60 0')
  assert.equal(
    [one.store, two.store].map(store => store.get('session/app', keyOf(7, 5))?.value),
    ['c', 'c'],
  )
})

test('a keep-alive does not move a session back; its worker gets the new server', () => {
  const board = new Board()
  const one = new Replica(board, 'one')
  one.learn(0, 5, 'b')
  one.heard()
  one.learn(1, 5, 'a', KEPT_ALIVE | CONFIRMED)
  assert.is(one.store.get('session/app', keyOf(7, 5))?.value, 'b')
  const [first, second] = one.heard()
  assert.equal(second, ['5 b 60 0'])
  assert.equal(first, [`5 a 0 ${KEPT_ALIVE | CONFIRMED}`], 'a row without a life: it is ignored')
})

test('a session bound by hash elsewhere does not move the learned one', () => {
  const board = new Board()
  const one = new Replica(board, 'one')
  one.learn(0, 5, 'b')
  one.heard()
  one.learn(1, 5, 'a', BOUND_BY_HASH)
  assert.is(one.store.get('session/app', keyOf(7, 5))?.value, 'b')
  assert.equal(one.heard(), [[`5 a 0 ${BOUND_BY_HASH}`], ['5 b 60 0']])
  one.learn(1, 6, 'a', BOUND_BY_HASH)
  one.learn(0, 6, 'b')
  assert.is(one.store.get('session/app', keyOf(7, 6))?.value, 'b', 'where the application has made it, it is')
  const [first, second] = one.heard()
  assert.is(first!.at(-1), '6 b 60 0')
  assert.is(second!.at(-1), '6 b 60 0')
})

test('a starting worker gets all sessions; a new service those received before', () => {
  const board = new Board()
  const [one, two] = [new Replica(board, 'one'), new Replica(board, 'two')]
  for (let i = 0; i < 5000; i++) one.learn(0, i, i % 2 === 0 ? 'a' : 'b')
  one.learn(0, 1, 'x', 0, 'later')
  const messages: ToWorker[] = []
  one.sharing.seed(message => messages.push(message))
  assert.is(messages.length, 2)
  const rows = messages.reduce((sum, m) => sum + (m.kind === 'sessions' ? m.rows.length / SESSION_ROW : 0), 0)
  assert.is(rows, 5000)
  two.sharing.apply(snapshotOf({ plain: { servers: [1] } }))
  board.flush()
  assert.equal(two.heard(), [[], []])
  two.sharing.apply(snapshotOf({ app: { servers: [1], learn } }))
  assert.is(two.heard()[1]!.length, 5000)
})

test('with another key source tables start empty; reverting restores the sessions', () => {
  const one = new Replica(new Board(), 'one')
  one.learn(0, 5, 'a')
  one.heard()
  const apply = (more: Partial<LearnedSessions>) =>
    one.sharing.apply(snapshotOf({ app: { servers: [1], learn: { ...learn, ...more } } }))
  apply({ ttlMs: 5000, size: 10, drain: 'keep' })
  assert.equal(one.heard(), [[], []], 'workers have them')
  apply({ from: 'header', name: 'x-session' })
  one.heard()
  apply({})
  assert.equal(one.heard(), [['5 a 60 0'], ['5 a 60 0']])
})

test('services without sessions, malformed keys and removals are ignored', () => {
  const board = new Board()
  const one = new Replica(board, 'one')
  const other = board.join('other', () => {})
  for (const [table, key] of [
    ['session/nope', keyOf(1, 1)],
    ['session/plain', keyOf(1, 1)],
    ['session/__proto__', keyOf(1, 1)],
    ['session/app', ''],
    ['session/app', 'AAAAAAAAAA'],
    ['session/app', '!!!!!!!!!!!'],
    ['session/app', keyOf(1, 1).repeat(2)],
    ['breaker/app', keyOf(1, 1)],
  ] as const) {
    other.put(table, key, 'a', { ttlMs: 1000 })
  }
  other.remove('session/app', keyOf(1, 2))
  board.flush()
  assert.equal(one.heard(), [[], []])
  one.learn(0, 5, 'a', 0, 'plain')
  assert.equal(
    board.writes.filter(write => write.startsWith('one ')),
    [],
  )
})

test('the first claim wins; the claimant is answered after all have the session', async () => {
  const board = new Board()
  const one = new Replica(board, 'one')
  const claim = { kind: 'claim', service: 'app', high: 7, low: 5 } as const
  one.sharing.fromWorker(0, { ...claim, ticket: 1, server: 'a' })
  await Promise.resolve().then(() => {})
  one.sharing.fromWorker(1, { ...claim, ticket: 2, server: 'b' })
  await new Promise(resolve => setImmediate(resolve))
  const [first, second] = one.heard()
  assert.equal(first, ['5 a 60 0', 'claimed 1 a', '5 a 60 0'])
  assert.equal(second, ['5 a 60 0', '5 a 60 0', 'claimed 2 a'])
  one.sharing.fromWorker(1, { ...claim, ticket: 3, service: 'plain', server: 'b' })
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(one.heard(), [[], ['claimed 3 b']])
})

test.run()
