// The parts of the core together: small clusters over an in-memory network, the cost of an idle step, determinism.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createCore, PARTS } from '../../../../cluster/core/core.ts'
import { type Core, type CoreEffect, type CoreEvent, LIMITS, TIMING } from '../../../../cluster/core/state.ts'
import { decode, encode } from '../../../../cluster/protocol.ts'
import { effectsOf, LOCAL, leader, member, messages } from '../member.ts'

/** Members with a one-way delay of 2 ms; every message passes the codec. */
function cluster(count: number) {
  let seed = 1
  const random = (): number => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return seed / 0x80000000
  }
  let now = 0
  const cores = new Map<string, Core>(
    Array.from({ length: count }, (_, i) => {
      const options = { id: `id-${i}`, name: `node-${i}`, startedAt: i, version: '1', local: LOCAL, held: null, timing: TIMING }
      return [`id-${i}`, createCore({ ...options, random, now })] as const
    }),
  )
  const due: { readonly at: number; readonly to: string; readonly event: CoreEvent }[] = []
  const held = new Map<string, number>()
  const post = (from: string, to: string, message: Extract<CoreEffect, { kind: 'send' }>['message']): void => {
    const decoded = decode(encode({ v: 1, cluster: 'c', n: 0, message }), { cluster: 'c' })
    if (!decoded.ok) throw new Error(`${message.kind}: ${decoded.message}`)
    due.push({ at: now + 2, to, event: { kind: 'message', from, message: decoded.envelope.message } })
  }
  const give = (to: string, event: CoreEvent): void => {
    const core = cores.get(to)
    for (const effect of core?.step(event, now) ?? []) {
      if (effect.kind === 'broadcast') for (const id of cores.keys()) if (id !== to) post(to, id, effect.message)
      if (effect.kind === 'send') post(to, effect.to, effect.message)
      if (effect.kind === 'hold') held.set(to, now)
      if (effect.kind !== 'pull') continue
      const theirs = cores.get(effect.from)?.held
      const answer: CoreEvent =
        theirs?.hash === effect.hash
          ? { kind: 'pulled', from: effect.from, held: theirs }
          : { kind: 'pullFailed', from: effect.from, revision: effect.revision }
      due.push({ at: now + 40, to, event: answer })
    }
  }
  const leaders = () => [...cores.values()].filter(core => core.role === 'leader')
  for (const id of cores.keys()) for (const peer of cores.keys()) if (peer !== id) give(id, { kind: 'connected', peer })
  return {
    cores,
    held,
    give,
    leaders,
    get now(): number {
      return now
    },
    agreed: (): boolean => new Set([...cores.values()].map(core => core.leader)).size === 1 && leaders().length === 1,
    run(ms: number): void {
      for (const until = now + ms; now < until; now++) {
        const ready = due.filter(({ at }) => at <= now)
        for (const message of ready) due.splice(due.indexOf(message), 1)
        for (const { to, event } of ready) give(to, event)
        if (now % 50 === 0) for (const id of cores.keys()) give(id, { kind: 'tick' })
      }
    },
    /** Kills its process: its connections close. */
    kill(id: string): void {
      cores.delete(id)
      for (const other of cores.keys()) give(other, { kind: 'disconnected', peer: id })
    },
  }
}

const HASH = 'a'.repeat(64)

for (const count of [1, 2, 3, 7]) {
  test(`${count} members: one leader within two seconds, and what it publishes is everywhere`, () => {
    const all = cluster(count)
    all.run(2000)
    assert.ok(all.agreed())
    all.give(all.leaders()[0]!.leader!, { kind: 'publish', hash: HASH, body: 'x'.repeat(100_000) })
    all.run(300)
    assert.equal(
      [...all.cores.values()].map(core => core.held?.hash),
      Array(count).fill(HASH),
    )
  })
}

test('three members, the leader is killed: another one is followed within a second', () => {
  const all = cluster(3)
  all.run(2000)
  all.kill(all.leaders()[0]!.leader!)
  all.run(600)
  assert.ok(all.agreed())
})

test('the leader hangs: another is followed within 2 s, also by the old one once it resumes', () => {
  const all = cluster(3)
  all.run(2000)
  const hung = all.leaders()[0]!.leader!
  const core = all.cores.get(hung)!
  all.cores.delete(hung)
  all.run(2000)
  assert.ok(all.agreed())
  all.cores.set(hung, core)
  all.run(1000)
  assert.ok(all.agreed())
  assert.is.not(all.leaders()[0], core)
})

test('a draining leader transfers leadership within half a second', () => {
  const all = cluster(3)
  all.run(2000)
  const [old] = all.leaders()
  all.give(old!.leader!, { kind: 'drain' })
  all.run(500)
  assert.ok(all.agreed())
  assert.is.not(all.leaders()[0], old)
})

test('a large configuration reaches 60 members while few of them ask the leader', () => {
  const all = cluster(60)
  all.run(4000)
  assert.ok(all.agreed())
  const since = all.now
  all.give(all.leaders()[0]!.leader!, { kind: 'publish', hash: HASH, body: 'x'.repeat(1_000_000) })
  all.run(1000)
  assert.is(all.held.size, 60)
  assert.ok(Math.max(...all.held.values()) - since < 1000)
})

test('the same events produce the same effects', () => {
  const history = (): string => {
    const under = leader()
    under.heartbeat('a')
    under.dispatch({ kind: 'publish', hash: 'h', body: 'b' })
    under.dispatch({ kind: 'eventsSeen', keys: ['x'] })
    under.dispatch({ kind: 'disconnected', peer: 'a' })
    under.pass(5000)
    return JSON.stringify(under.takeEffects())
  }
  assert.is(history(), history())
})

test('an idle step produces no effect and no object', () => {
  const under = member()
  under.leads('a', 1)
  under.pass(500)
  under.leads('a', 1)
  assert.equal(under.dispatch({ kind: 'tick' }), [])
  assert.equal(under.dispatch({ kind: 'local', local: LOCAL }), [])
})

test('several reasons for a heartbeat or a member update in one step produce one of each', () => {
  const under = leader()
  under.heartbeat('a')
  under.heartbeat('b', { suspects: ['a'] })
  const effects = under.dispatch({ kind: 'disconnected', peer: 'a' })
  assert.is(messages(effects, 'beat').length, 1)
  assert.is(effectsOf(effects, 'members').length, 1)
})

test('parts can be wrapped', () => {
  let ticks = 0
  const under = member({
    parts: {
      hints: (world, event) => {
        if (event.kind === 'tick') ticks++
        return PARTS.hints(world, event)
      },
    },
  })
  under.pass(500)
  assert.is(ticks, 10)
})

test('names are clamped, and the largest possible heartbeat can be decoded', () => {
  const long = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}\u0001${'\u4e2d'.repeat(400)}`)
  for (let services = 1; services < 70; services += 4) spoil(long(services), long(99))
})

function spoil(unreachable: readonly string[], seen: readonly string[]): void {
  const under = member({ name: '\u0000'.repeat(999), local: { manager: '\ud800', unreachable } })
  under.dispatch({ kind: 'eventsSeen', keys: seen })
  for (let i = 0; i < 60; i++) under.heartbeat(`${i}`.padStart(200, 'p'))
  for (let i = 0; i < 60; i++) under.dispatch({ kind: 'disconnected', peer: `${i}`.padStart(200, 'p') })
  const beat = messages(under.takeEffects(), 'beat').at(-1)!.message
  assert.is(beat.suspects.length, LIMITS.suspects)
  const decoded = decode(encode({ v: 1, cluster: 'c'.repeat(64), n: 2 ** 48, message: beat }), { cluster: 'c'.repeat(64) })
  assert.is(decoded.ok ? '' : decoded.message, '')
}

test.run()
