// Conformance suite of shared stores: the same cases over gossip and over Redis in its three modes. With Redis the inner store
// is memory only, so that Redis alone replicates.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Change, SharedStore } from '../../cluster/store/model.ts'
import { until } from '../until.ts'
import { sleep } from './cluster-harness.ts'

export interface Replica {
  readonly store: SharedStore
  /** Changes that the hook received, call by call. */
  readonly calls: (readonly Change[])[]
}

export interface Shape {
  readonly name: string
  readonly kind: 'gossip' | 'redis'
  /** Age up to which a new replica's initial state may be stale, ms; newer writes follow later. */
  readonly stateAgeMs: number
  /**
   * Starts a replica of a cluster; clusters share nothing. `prepare` is called before the first connection. Resolves when the
   * store is ready.
   */
  open(cluster: string, name: string, prepare: (store: SharedStore) => void): Promise<Replica>
}

type More = (name: string, caps?: ReadonlyMap<string, number>) => Promise<Replica>

const LIFE = { ttlMs: 60_000 }
/** Time limit of a change to arrive everywhere on a busy machine; quiet time after which all changes count as received. */
const SPREAD_MS = 30_000
const QUIET_MS = 300

export function conformance(shape: Shape): void {
  let clusters = 0
  const opened: Replica[] = []

  const replicas = async (count: number): Promise<{ all: Replica[]; more: More }> => {
    const cluster = `case-${(clusters += 1)}`
    const more: More = async (name, caps) => {
      const replica = await shape.open(cluster, name, store => {
        if (caps !== undefined) store.setTables(caps)
      })
      opened.push(replica)
      return replica
    }
    const all: Replica[] = []
    for (let i = 0; i < count; i++) all.push(await more(`replica-${i + 1}`))
    return { all, more }
  }
  const heldBy = ({ store }: Replica, key: string, table = 't'): string | null => store.get(table, key)?.value ?? null
  const everywhere = (all: readonly Replica[], key: string, value: string | null): Promise<unknown> =>
    until(`${key} is ${value} everywhere`, () => all.every(one => heldBy(one, key) === value), SPREAD_MS)

  test.after.each(async () => {
    await Promise.all(opened.splice(0).map(({ store }) => store.stop()))
  })

  const check = (what: string, run: () => Promise<void>): void => void test(`${shape.name}: ${what}`, run)

  check('what one writes, all read; with its rank and what is left of its life', async () => {
    const { all } = await replicas(3)
    const [a, b] = all as [Replica, Replica, Replica]
    a.store.put('t', 'k', 'v', { ttlMs: 60_000, rank: 0 })
    assert.is(heldBy(a, 'k'), 'v', 'its own write at once')
    await everywhere(all, 'k', 'v')
    const entry = b.store.get('t', 'k')
    assert.is(entry?.rank, 0)
    assert.ok(entry !== null && entry.ttlMs > 60_000 - SPREAD_MS && entry.ttlMs <= 60_000, String(entry?.ttlMs))
    assert.equal(
      [...b.store.entries('t')].map(({ key, value }) => [key, value]),
      [['k', 'v']],
    )
    assert.is(b.store.get('u', 'k'), null)
    const { kind, entries, redis } = b.store.status()
    assert.is(kind, shape.kind)
    assert.is(entries, 1)
    assert.is(redis === null, shape.kind === 'gossip')
  })

  check('a later write takes the place of an earlier one, whoever wrote it', async () => {
    const { all } = await replicas(3)
    for (const [round, { store }] of [...all, ...all].entries()) {
      store.put('t', 'k', `v${round}`, LIFE)
      await everywhere(all, 'k', `v${round}`)
    }
  })

  check('of writes in the same instant all keep the same one', async () => {
    const { all } = await replicas(3)
    const keys = Array.from({ length: 50 }, (_, index) => `k${index}`)
    for (const key of keys) for (const [index, { store }] of all.entries()) store.put('t', key, `from ${index}`, LIFE)
    await until('all keep the same', () => keys.every(key => new Set(all.map(one => heldBy(one, key))).size === 1), SPREAD_MS)
    await sleep(QUIET_MS)
    for (const key of keys) assert.is(new Set(all.map(one => heldBy(one, key))).size, 1, key)
  })

  check('its time is over everywhere, and nobody is told', async () => {
    const { all } = await replicas(3)
    const [a, b, c] = all as [Replica, Replica, Replica]
    a.store.put('t', 'short', 'v', { ttlMs: 700 })
    a.store.put('t', 'long', 'v', LIFE)
    await everywhere([b, c], 'short', 'v')
    await everywhere([b, c], 'long', 'v')
    await until('it is gone', () => all.every(one => heldBy(one, 'short') === null), SPREAD_MS)
    for (const one of all)
      assert.equal(
        [...one.store.entries('t')].map(({ key }) => key),
        ['long'],
      )
    assert.is(changesOf(b).filter(({ value }) => value === null).length, 0)
  })

  check('what is removed is gone everywhere, does not come back by itself, and can be written anew', async () => {
    const { all, more } = await replicas(3)
    const [a, b, c] = all as [Replica, Replica, Replica]
    a.store.put('t', 'k', 'v', LIFE)
    await everywhere(all, 'k', 'v')
    b.store.remove('t', 'k')
    assert.is(heldBy(b, 'k'), null)
    await everywhere(all, 'k', null)
    assert.is(changesOf(c).at(-1)?.value, null, 'the others are told')
    const newcomer = await more('newcomer')
    await sleep(QUIET_MS)
    for (const one of [...all, newcomer]) assert.is(heldBy(one, 'k'), null)
    c.store.put('t', 'k', 'again', LIFE)
    await everywhere([...all, newcomer], 'k', 'again')
  })

  check('claim: the value that is held already, by whomever', async () => {
    const { all } = await replicas(3)
    const [a, b, c] = all as [Replica, Replica, Replica]
    a.store.put('t', 'held', 'first', LIFE)
    await everywhere(all, 'held', 'first')
    assert.is(await b.store.claim('t', 'held', 'second', { ...LIFE, waitMs: 500 }), 'first')
    assert.is(await b.store.claim('t', 'new', 'mine', { ...LIFE, rank: 0, waitMs: 500 }), 'mine')
    await everywhere(all, 'new', 'mine')
    assert.is(b.store.get('t', 'new')?.rank, 0)
    assert.is(await c.store.claim('t', 'new', 'other', { ...LIFE, waitMs: 500 }), 'mine')
    b.store.remove('t', 'new')
    await everywhere(all, 'new', null)
    assert.is(await a.store.claim('t', 'new', 'after', { ...LIFE, waitMs: 500 }), 'after', 'what was removed is free')
    await everywhere(all, 'new', 'after')
  })

  check('claim by three at the same moment: one value in the end, and with Redis one answer', async () => {
    const { all } = await replicas(3)
    const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)
    const answers = await Promise.all(
      keys.map(key =>
        Promise.all(all.map(({ store }, index) => store.claim('t', key, `from ${index}`, { ...LIFE, waitMs: 2_000 }))),
      ),
    )
    if (shape.kind === 'redis') for (const [index, given] of answers.entries()) assert.is(new Set(given).size, 1, keys[index])
    await until('all hold the same', () => keys.every(key => new Set(all.map(one => heldBy(one, key))).size === 1), SPREAD_MS)
    await sleep(QUIET_MS)
    for (const [index, key] of keys.entries()) {
      const held = new Set(all.map(one => heldBy(one, key)))
      assert.is(held.size, 1, key)
      assert.ok(answers[index]?.includes([...held][0] ?? ''), key)
      if (shape.kind === 'redis') assert.equal([...held], [answers[index]?.[0]], key)
    }
  })

  check('a full table throws out the oldest, provisional ones first, and counts them', async () => {
    const { all } = await replicas(2)
    const [a, b] = all as [Replica, Replica]
    for (const { store } of all) store.setTables(new Map([['t', 10]]))
    a.store.put('t', 'confirmed', 'v', LIFE)
    await sleep(5)
    for (let i = 0; i < 14; i++) {
      a.store.put('t', `provisional-${i}`, 'v', { ...LIFE, rank: 0 })
      if (i === 4) await sleep(5)
    }
    for (const one of [a, b]) {
      await until('the last one is here', () => heldBy(one, 'provisional-13') === 'v', SPREAD_MS)
      assert.is([...one.store.entries('t')].length, 10)
      assert.is(heldBy(one, 'confirmed'), 'v')
      assert.is(heldBy(one, 'provisional-0'), null)
      assert.is(one.store.status().tables.t, 10)
    }
    assert.is(a.store.status().counts.evicted, 5)
    assert.ok(b.store.status().counts.evicted <= 5)
  })

  check('what is beyond the limits is the caller’s mistake', async () => {
    const { all } = await replicas(1)
    const [{ store }] = all as [Replica]
    assert.throws(
      () => store.put('t', 'k'.repeat(601), 'v', LIFE),
      (error: unknown) => error instanceof RangeError,
    )
    assert.throws(
      () => store.put('t', 'k', 'v'.repeat(8 * 1024 + 1), LIFE),
      (error: unknown) => error instanceof RangeError,
    )
    assert.throws(
      () => store.put('t', 'k', 'v', { ttlMs: 0 }),
      (error: unknown) => error instanceof RangeError,
    )
    assert.is(store.status().entries, 0)
  })

  check('any text is a key or a value', async () => {
    const { all } = await replicas(2)
    const [a, b] = all as [Replica, Replica]
    const odd = ['\0', 'a\nb', ' ', ':', '1:t', '{x}', '*', '[a-z]?', 'ä€🦆', '"\\', 'k'.repeat(600), '\u00ff\u0080', '-1']
    for (const text of odd) a.store.put(text, text, text, LIFE)
    a.store.put('t', 'long', '€'.repeat(8 * 1024), LIFE)
    a.store.put('t', 'empty', '', LIFE)
    await until('all are there', () => b.store.get('t', 'empty') !== null, SPREAD_MS)
    for (const text of odd) assert.is(b.store.get(text, text)?.value, text, JSON.stringify(text.slice(0, 20)))
    assert.is(heldBy(b, 'long'), '€'.repeat(8 * 1024))
    assert.is(heldBy(b, 'empty'), '')
    assert.is(b.store.status().counts.refused, 0)
  })

  check('a newcomer has everything once it is ready', async () => {
    const { all, more } = await replicas(2)
    const [a, b] = all as [Replica, Replica]
    const caps = new Map([['t', 10_000]])
    for (const { store } of all) store.setTables(caps)
    for (let i = 0; i < 6_000; i++) a.store.put('t', `k${i}`, `v${i}`, LIFE)
    await until('the other has all', () => [...b.store.entries('t')].length === 6_000, SPREAD_MS)
    await sleep(shape.stateAgeMs)
    const newcomer = await more('newcomer', caps)
    assert.is([...newcomer.store.entries('t')].length, 6_000)
    for (const i of [0, 3_000, 5_999]) assert.is(heldBy(newcomer, `k${i}`), `v${i}`)
    assert.is(changesOf(newcomer).length, 6_000, 'its hook is given each once')
    assert.ok(newcomer.calls.length <= 600, `${newcomer.calls.length} calls`)
    assert.is(newcomer.store.status().counts.evicted, 0)
  })

  check('a newcomer that learns later which tables it owns has everything then', async () => {
    const { all, more } = await replicas(2)
    const [a, b] = all as [Replica, Replica]
    const caps = new Map([['t', 10_000]])
    for (const { store } of all) store.setTables(caps)
    for (let i = 0; i < 6_000; i++) a.store.put('t', `k${i}`, `v${i}`, LIFE)
    await until('the other has all', () => [...b.store.entries('t')].length === 6_000, SPREAD_MS)
    await sleep(shape.stateAgeMs)
    const newcomer = await more('newcomer')
    newcomer.store.setTables(caps)
    await until('the newcomer has all', () => [...newcomer.store.entries('t')].length === 6_000, SPREAD_MS)
  })

  check('the hook: never for own writes, nor for what loses; together what comes together', async () => {
    const { all } = await replicas(2)
    const [a, b] = all as [Replica, Replica]
    for (let i = 0; i < 100; i++) a.store.put('t', `k${i}`, 'v', LIFE)
    await until('all are there', () => [...b.store.entries('t')].length === 100, SPREAD_MS)
    await sleep(QUIET_MS)
    assert.equal(a.calls, [], 'nothing for own writes')
    assert.is(changesOf(b).length, 100, 'each once')
    assert.ok(b.calls.length <= 10, `${b.calls.length} calls for what was written at once`)
    b.store.put('t', 'k0', 'newer', LIFE)
    await everywhere(all, 'k0', 'newer')
    assert.equal(
      changesOf(a).map(({ table, key, value }) => [table, key, value]),
      [['t', 'k0', 'newer']],
    )
    assert.is(await a.store.claim('t', 'claimed', 'mine', { ...LIFE, waitMs: 500 }), 'mine')
    await everywhere(all, 'claimed', 'mine')
    await sleep(QUIET_MS)
    assert.is(changesOf(a).length, 1, 'nothing for an own claim that was first')
  })

  check('many writes of one key cost no more than the last', async () => {
    const { all } = await replicas(2)
    const [a, b] = all as [Replica, Replica]
    for (let i = 0; i < 5_000; i++) a.store.put('t', 'k', `v${i}`, LIFE)
    await everywhere(all, 'k', 'v4999')
    assert.ok(changesOf(b).length <= 20, `${changesOf(b).length} changes`)
  })

  check('one that stops is told nothing more, and takes nothing with it', async () => {
    const { all } = await replicas(3)
    const [a, b, c] = all as [Replica, Replica, Replica]
    a.store.put('t', 'k', 'v', LIFE)
    await everywhere(all, 'k', 'v')
    await a.store.stop()
    const told = a.calls.length
    b.store.put('t', 'l', 'w', LIFE)
    await everywhere([b, c], 'l', 'w')
    await sleep(QUIET_MS)
    assert.is(a.calls.length, told)
    for (const one of [b, c]) assert.is(heldBy(one, 'k'), 'v')
    await a.store.stop()
  })
}

export function changesOf({ calls }: Replica): readonly Change[] {
  return calls.flat()
}
