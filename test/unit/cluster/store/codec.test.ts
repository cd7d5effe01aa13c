import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../../cluster/core/state.ts'
import {
  BatchWriter,
  decodeStore,
  encodeStore,
  FillWriter,
  MAX_ENTRIES,
  type StoreMessage,
} from '../../../../cluster/store/codec.ts'
import { type Entry, STORE_LIMITS } from '../../../../cluster/store/model.ts'
import { Random } from '../../../simulation/random.ts'

const MEMBER = '12D3KooWDpp8U23p7pNnQmQqWJwM3zLUrqMAhVxXm4eTyVDsE5hQ'

/** First byte of a confirmed entry without a counter, with table and origin of the previous one. */
const CONFIRMED_SAME = 1 + 1 + 8 + 16

function entry(more: Partial<Entry> = {}): Entry {
  return { table: 't', key: 'k', value: 'v', wall: 1_767_225_600_000, count: 0, origin: MEMBER, rank: 1, ttlMs: 60_000, ...more }
}

function batchOf(entries: readonly Entry[], repair = false): Uint8Array {
  const batch = new BatchWriter(repair)
  for (const one of entries) assert.ok(batch.add(one))
  return batch.done()
}

function decoded(bytes: Uint8Array): StoreMessage {
  const result = decodeStore(bytes)
  if (!result.ok) throw new Error(result.reason)
  return result.message
}

function drawEntry(random: Random): Entry {
  const text = (most: number): string =>
    Array.from({ length: 1 + random.below(most) }, () =>
      String.fromCodePoint(random.pick([65, 98, 0, 0xe4, 0x20ac, 0x1f600])),
    ).join('')
  return {
    table: random.pick(['t', 'u', text(20)]),
    key: text(40),
    value: random.chance(0.2) ? null : random.pick(['', 'server-1', text(200)]),
    wall: random.below(2 ** 41),
    count: random.chance(0.5) ? 0 : random.below(2 ** 32),
    origin: random.pick(['a', MEMBER]),
    rank: random.chance(0.5) ? 1 : 0,
    ttlMs: 1 + random.below(STORE_LIMITS.ttlMs),
  }
}

test('entries round-trip', () => {
  const random = new Random(1)
  for (let round = 0; round < 100; round++) {
    const entries = Array.from({ length: random.below(30) }, () => drawEntry(random))
    const repair = random.chance(0.5)
    assert.equal(decoded(batchOf(entries, repair)), { kind: 'batch', repair, entries })
  }
})

test('entries at the limits round-trip', () => {
  const largest = entry({
    table: 'ä'.repeat(STORE_LIMITS.table),
    key: '€'.repeat(STORE_LIMITS.key),
    value: '€'.repeat(STORE_LIMITS.value),
    origin: 'o'.repeat(256),
    wall: 2 ** 48,
    count: 2 ** 32,
    ttlMs: STORE_LIMITS.ttlMs,
  })
  const bytes = batchOf([largest])
  assert.ok(bytes.length <= LIMITS.store)
  assert.equal(decoded(bytes), { kind: 'batch', repair: false, entries: [largest] })
})

test('a session of an 11-character key costs at most 25 bytes', () => {
  const servers = Array.from({ length: 20 }, (_, i) => `10.0.1.${i}:8080`)
  const sessions = Array.from({ length: 500 }, (_, i) =>
    entry({
      table: 'sessions:shop_web',
      key: `s${i}`.padEnd(11, 'x'),
      value: servers[i % 20]!,
      wall: 1_767_225_600_000 + (i >> 3),
      count: i & 7,
      ttlMs: 3_600_000 - i,
    }),
  )
  const each = batchOf(sessions).length / sessions.length
  assert.ok(each <= 25, `${each} bytes`)
})

test('a batch stops at the size of a message', () => {
  const batch = new BatchWriter(false)
  let count = 0
  while (batch.add(entry({ key: `key-${count}`, value: `value-${count}` }))) count++
  assert.ok(count > 1000)
  const bytes = batch.done()
  assert.ok(bytes.length <= LIMITS.store && bytes.length > LIMITS.store - 1000)
  const message = decoded(bytes)
  assert.is(message.kind === 'batch' && message.entries.length, count)
})

test('a body stops at the entry limit; one with more is refused', () => {
  const batch = new BatchWriter(false, 1024 * 1024)
  let count = 0
  while (batch.add(entry({ key: `${count}` }))) count++
  assert.is(count, MAX_ENTRIES)
  const bytes = batch.done()
  assert.ok(decodeStore(bytes, bytes.length).ok)
  // One entry more, like the last one; its text is shorter than what the writer puts before it.
  const last = bytes.subarray(-(bytes.length - bytes.lastIndexOf(CONFIRMED_SAME)), -1)
  const more = Buffer.concat([bytes.subarray(0, -1), last, Buffer.of(0)])
  const result = decodeStore(more, more.length)
  assert.match(result.ok ? '' : result.reason, /more than 8192 entries/)
})

test('comparison messages round-trip', () => {
  const cut = { wall: 1_767_225_600_000, count: 12 }
  const messages: Parameters<typeof encodeStore>[0][] = [
    {
      kind: 'roots',
      cut,
      roots: [
        { name: 0xffffffff, count: 100_000, digest: 0 },
        { name: 1, count: 0, digest: 0xdeadbeef },
      ],
    },
    { kind: 'roots', cut: { wall: 0, count: 0 }, roots: [] },
    { kind: 'buckets', table: 't', cut, count: 7, digests: Uint32Array.from({ length: 4096 }, (_, i) => i * 1_000_003) },
    { kind: 'stateOffer' },
    { kind: 'stateRequest' },
    { kind: 'state', ready: true, ageMs: 12, bodies: [{ hash: 'ab'.repeat(32), size: 600_000 }] },
    { kind: 'state', ready: false, ageMs: 0, bodies: [] },
  ]
  for (const message of messages) assert.equal(decoded(encodeStore(message)), message)
})

test('buckets are sent whole, or are not named', () => {
  const fill = new FillWriter('t', { wall: 5, count: 6 }, 64)
  assert.ok(fill.add(3, [entry({ key: 'a' }), entry({ key: 'b' })]))
  assert.ok(fill.add(63, []))
  const large = Array.from({ length: 10 }, (_, i) => entry({ key: `large-${i}`, value: `${i}`.padEnd(8000, 'x') }))
  assert.not(fill.add(7, large))
  const message = decoded(fill.done())
  if (message.kind !== 'fill') throw new Error(message.kind)
  assert.equal([message.table, message.cut, message.size, message.buckets], ['t', { wall: 5, count: 6 }, 64, [3, 63]])
  assert.equal(
    message.entries.slice(0, 2).map(({ key }) => key),
    ['a', 'b'],
  )
  assert.ok(message.entries.length < 12)
})

test('invalid messages are refused with a reason; decoding never throws', () => {
  const cases: [number[] | Uint8Array, RegExp][] = [
    [[], /is truncated/],
    [[2, 0], /version 2 is unknown/],
    [[1, 99], /its kind is unknown/],
    [[1, 0, 2], /expected 0 or 1/],
    [[1, 0, 0], /is truncated/],
    [[1, 0, 0, 0, 9], /1 bytes of trailing data/],
    [[1, 0, 0, 200], /unknown flags/],
    // Same table and origin as the previous entry, but there is none.
    [[1, 0, 0, 25, 1, 65], /without a table or an origin/],
    // A reference to a text that was never written.
    [[1, 0, 0, 1, 7], /reference to an unknown text/],
    [new Uint8Array(LIMITS.store + 1).fill(1), /has \d+ bytes, the limit is/],
    [[1, 4, 0], /1 bytes of trailing data/],
    [[1, 2, 1, 65, 0, 0, 0, 15], /invalid number of buckets/],
    [[1, 2, 1, 65, 0, 0, 0, 0x80, 0x40], /a number of at most 4096/],
    [[1, 1, 0, 0, 0xff, 0x7f], /is truncated/],
  ]
  for (const [bytes, reason] of cases) {
    const result = decodeStore(Uint8Array.from(bytes))
    if (result.ok) throw new Error(`${bytes.slice(0, 8)} was taken`)
    assert.match(result.reason, reason)
  }
})

test('an entry beyond the limits is refused', () => {
  const beyond: Partial<Entry>[] = [
    { table: '' },
    { table: 'x'.repeat(STORE_LIMITS.table + 1) },
    { key: '' },
    { key: 'x'.repeat(STORE_LIMITS.key + 1) },
    { value: 'x'.repeat(STORE_LIMITS.value + 1) },
    { origin: '' },
    { origin: 'x'.repeat(257) },
    { wall: 2 ** 48 + 1 },
    { wall: -1 },
    { count: 2 ** 32 + 1 },
    { ttlMs: 0 },
    { ttlMs: STORE_LIMITS.ttlMs + 1 },
  ]
  for (const more of beyond) assert.not(decodeStore(batchOf([entry(more)])).ok, JSON.stringify(more).slice(0, 60))
})

test('changed or truncated bytes never throw', () => {
  const random = new Random(2)
  const fill = new FillWriter('t', { wall: 5, count: 6 }, 64)
  fill.add(1, [drawEntry(random), drawEntry(random)])
  const sound = [
    batchOf(Array.from({ length: 10 }, () => drawEntry(random))),
    fill.done(),
    encodeStore({ kind: 'roots', cut: { wall: 1, count: 2 }, roots: [{ name: 1, count: 2, digest: 3 }] }),
    encodeStore({ kind: 'buckets', table: 't', cut: { wall: 1, count: 2 }, count: 2, digests: new Uint32Array(16) }),
    encodeStore({ kind: 'state', ready: true, ageMs: 12, bodies: [{ hash: 'ab'.repeat(32), size: 600_000 }] }),
  ]
  let refused = 0
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from(random.pick(sound))
    for (let i = random.below(4); i >= 0; i--) bytes[random.below(bytes.length)] = random.below(256)
    if (!decodeStore(random.chance(0.3) ? bytes.subarray(0, random.below(bytes.length)) : bytes).ok) refused++
  }
  assert.ok(refused > 5000)
})

test.run()
