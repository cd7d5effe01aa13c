// The sessions of one service: which rows are shared and when, precedence of remote rows, changing servers, and bounds.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LearnedSessions } from '../../../../src/config/model.ts'
import { BOUND_BY_HASH, CONFIRMED, KEPT_ALIVE, ROW, ServiceSessions } from '../../../../src/proxy/sessions/service-sessions.ts'
import { servers } from '../balancing/servers.ts'

const learn: LearnedSessions = { from: 'cookie', name: 'sid', ttlMs: 100_000, size: 1000, drain: 'move' }
const LIFE = 101

function sessionsOf(more: Partial<LearnedSessions> = {}, list = servers('a', 'b')) {
  const sessions = new ServiceSessions({ ...learn, ...more }, { current: 'key', others: [] }, 'shop', 1)
  sessions.setServers(list)
  return { sessions, list }
}

/** The pending rows: low half of the key, server, seconds, flags. */
function sharedExpiry(sessions: ServiceSessions): string[] {
  const pending = sessions.takePending()
  if (pending === null) return []
  const { rows, servers: ids } = pending
  return Array.from({ length: rows.length / ROW }, (_, i) => {
    const [, low, server, seconds, flags] = rows.slice(i * ROW, (i + 1) * ROW)
    return `${low} ${ids[server!]} ${seconds} ${flags}`
  })
}

function row(low: number, server: number, seconds: number, flags = 0): number[] {
  return [9, low, server, seconds, flags]
}

function take(sessions: ServiceSessions, ids: string[], rows: number[][], nowS = 0): void {
  sessions.applyRemote({ servers: ids, rows: Uint32Array.from(rows.flat()) }, nowS, nowS * 1000)
}

function ownerOf(sessions: ServiceSessions, low: number, nowS = 0): string | null {
  const entry = sessions.table.find(9, low, nowS)
  return entry < 0 ? null : (sessions.serverOf(entry)?.id ?? '')
}

test('rows are queued for new, confirmed, moved and expiring sessions', () => {
  const { sessions, list } = sessionsOf()
  sessions.bind(-1, 9, 2, list[1]!, 0, true)
  assert.equal(sharedExpiry(sessions), [`2 b ${LIFE} 0`])
  assert.ok(sessions.bindUnlessBound(9, 1, list[0]!, 0))
  assert.equal(sharedExpiry(sessions), [`1 a ${LIFE} ${BOUND_BY_HASH}`])
  const use = (nowS: number) => sessions.use(sessions.table.find(9, 1, nowS), nowS)
  use(1)
  assert.equal(sharedExpiry(sessions), [`1 a ${LIFE} ${CONFIRMED | KEPT_ALIVE}`])
  for (let s = 2; s <= 26; s++) use(s)
  assert.equal(sharedExpiry(sessions), [])
  use(27)
  assert.equal(sharedExpiry(sessions), [`1 a ${LIFE} ${CONFIRMED | KEPT_ALIVE}`])
  list[0]!.healthy = false
  assert.ok(sessions.bindUnlessBound(9, 1, list[1]!, 30_000))
  assert.equal(sharedExpiry(sessions), [`1 b ${LIFE} ${CONFIRMED}`])
  assert.is(ownerOf(sessions, 1, 30 + LIFE), null, 'it is over')
})

test('a session that another request has bound is not rebound', () => {
  const { sessions, list } = sessionsOf()
  sessions.bindUnlessBound(9, 1, list[0]!, 0)
  assert.not.ok(sessions.bindUnlessBound(9, 1, list[1]!, 0))
  assert.is(ownerOf(sessions, 1), 'a')
  list[0]!.draining = true
  assert.ok(sessions.bindUnlessBound(9, 1, list[1]!, 0))
  const keeping = sessionsOf({ drain: 'keep' })
  keeping.sessions.bindUnlessBound(9, 1, keeping.list[0]!, 0)
  keeping.list[0]!.draining = true
  assert.not.ok(keeping.sessions.bindUnlessBound(9, 1, keeping.list[1]!, 0))
})

test('remote rows win; longer or expired lives are not taken', () => {
  const { sessions, list } = sessionsOf()
  sessions.bindUnlessBound(9, 1, list[0]!, 0)
  sharedExpiry(sessions)
  take(sessions, ['b', 'a'], [row(1, 0, 50), row(2, 1, 4_000_000_000, CONFIRMED), row(3, 0, 0), row(4, 7, 50)])
  assert.equal(
    [1, 2, 3, 4].map(low => ownerOf(sessions, low)),
    ['b', 'a', null, null],
  )
  assert.is(sessions.table.expiry(sessions.table.find(9, 1, 0)), LIFE, 'never shorter')
  assert.is(sessions.table.expiry(sessions.table.find(9, 2, 0)), LIFE)
  assert.is(sessions.table.rank(sessions.table.find(9, 2, 0)), 1)
  assert.equal(sharedExpiry(sessions), [], 'and is not told again')
  take(sessions, ['b'], [[9, 1]])
})

test('servers known to other replicas only, and removed servers', () => {
  const { sessions } = sessionsOf()
  take(sessions, ['c'], [row(1, 0, 50)])
  const entry = sessions.table.find(9, 1, 0)
  assert.is(sessions.serverOf(entry), null)
  assert.ok(sessions.mayAppear(entry, 1999))
  assert.not.ok(sessions.mayAppear(entry, 2000))
  sessions.setServers(servers('a', 'b', 'c'))
  assert.is(ownerOf(sessions, 1), 'c')
  sessions.setServers(servers('a', 'b'))
  assert.is(sessions.serverOf(entry), null)
  assert.not.ok(sessions.mayAppear(entry, 0), 'it was here, and is gone')
})

test('server numbers are reused, never while a session or row uses them', () => {
  const { sessions } = sessionsOf()
  for (let i = 0; i < 3000; i++) {
    const [server] = servers(`task-${i}`)
    sessions.setServers([server!])
    sessions.bindUnlessBound(9, i, server!, i * 1000)
    assert.ok(server!.sessionNumber < 1200, `${server!.sessionNumber}`)
    assert.is(ownerOf(sessions, i, i), `task-${i}`)
    sessions.expire(i * 1000)
    if (i % 100 === 99) assert.ok(sharedExpiry(sessions).every((line, k) => line.startsWith(`${i - 99 + k} task-${i - 99 + k} `)))
  }
})

test('a member with invented servers cannot fill the memory', () => {
  const { sessions } = sessionsOf({ size: 100_000 })
  for (let i = 0; i < 40; i++) {
    const ids = Array.from({ length: 1000 }, (_, k) => `made-up-${i}-${k}`)
    take(
      sessions,
      ids,
      ids.map((_, k) => row(i * 1000 + k, k, 50)),
    )
  }
  assert.ok(sessions.table.count <= 16_384)
  take(sessions, ['', 'x'.repeat(600), 'a'], [row(1_000_001, 0, 50), row(1_000_002, 1, 50), row(1_000_003, 2, 50)])
  assert.equal(
    [1_000_001, 1_000_002, 1_000_003].map(low => ownerOf(sessions, low)),
    [null, null, 'a'],
  )
})

test('settings may change; another key source needs a new object', () => {
  const { sessions, list } = sessionsOf()
  for (let i = 0; i < 50; i++) sessions.bindUnlessBound(9, i, list[0]!, 0)
  assert.ok(sessions.update({ ...learn, size: 10, ttlMs: 5000, drain: 'keep' }))
  assert.is(sessions.table.count, 10)
  assert.not.ok(sessions.update({ ...learn, name: 'other' }))
  assert.not.ok(sessions.update({ ...learn, from: 'header' }))
})

test.run()
