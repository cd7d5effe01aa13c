import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Entry, STORE_LIMITS } from '../../../../../cluster/store/model.ts'
import { encodeValue, keyNames, keyOf, readBatch, readEntry, readKey } from '../../../../../cluster/store/redis/codec.ts'

const NAMES = keyNames({ prefix: 'skein', cluster: 'west' })
const NOW = 1_700_000_000_000
const ENTRY: Entry = { table: 't', key: 'k', value: 'v', wall: NOW, count: 3, origin: 'a', rank: 1, ttlMs: 60_000 }

const through = (entry: Entry): Entry | null =>
  readEntry(NAMES, keyOf(NAMES, entry.table, entry.key), encodeValue(entry) ?? '', entry.ttlMs, NOW)

test('all names share one hash tag', () => {
  for (const name of [...Object.values(NAMES), keyOf(NAMES, 't', '{other}')]) assert.ok(name.startsWith('{skein:west}:'), name)
})

for (const [what, change] of [
  ['a plain one', {}],
  ['a removed one', { value: null }],
  ['an empty value', { value: '' }],
  ['a value of lines', { value: 'a\nb\n1 2 3' }],
  ['odd names', { table: '3:t', key: '\0\n:{}*€🦆' }],
  ['an empty key', { key: '' }],
  ['the longest', { table: 't'.repeat(600), key: 'k'.repeat(600), value: '€'.repeat(8192), origin: 'o'.repeat(256) }],
  [
    'provisional, as far ahead as is believed',
    { rank: 0, wall: NOW + STORE_LIMITS.uncomparedAheadMs, ttlMs: STORE_LIMITS.ttlMs },
  ],
] as readonly (readonly [string, Partial<Entry>])[])
  test(`an entry round-trips: ${what}`, () => {
    assert.equal(through({ ...ENTRY, ...change }), { ...ENTRY, ...change })
  })

test('an origin that would break the format is not encoded', () => {
  for (const origin of ['', 'a\nb', 'o'.repeat(257)]) assert.is(encodeValue({ ...ENTRY, origin }), null)
})

const KEY = keyOf(NAMES, 't', 'k')
const WRONG_KEYS = [
  '',
  'k',
  '{skein:east}:e:1:tk',
  `${NAMES.entries}`,
  `${NAMES.entries}tk`,
  `${NAMES.entries}0:k`,
  `${NAMES.entries}01:tk`,
  `${NAMES.entries}-1:tk`,
  `${NAMES.entries}9:tk`,
  `${NAMES.entries}1e3:tk`,
  `${NAMES.entries}601:${'t'.repeat(601)}k`,
  `${NAMES.entries}1:t${'k'.repeat(601)}`,
]
for (const key of WRONG_KEYS)
  test(`${JSON.stringify(key.slice(0, 40))} is not a key of an entry`, () => {
    assert.is(readKey(NAMES, key), null)
  })

const WRONG_VALUES: readonly (readonly [string, string, number?])[] = [
  ['nothing', ''],
  ['no line', '1 5 0 1 v a'],
  ['another version', '2 5 0 1 v a\nv'],
  ['no origin', '1 5 0 1 v \nv'],
  ['a long origin', `1 5 0 1 v ${'o'.repeat(257)}\nv`],
  ['no number', '1 x 0 1 v a\nv'],
  ['a negative stamp', '1 -5 0 1 v a\nv'],
  ['too far ahead', `1 ${NOW + STORE_LIMITS.uncomparedAheadMs + 1} 0 1 v a\nv`],
  ['a count without bounds', '1 5 99999999999 1 v a\nv'],
  ['a count that no clock gives', '1 5 2147483649 1 v a\nv'],
  ['another rank', '1 5 0 2 v a\nv'],
  ['another kind', '1 5 0 1 w a\nv'],
  ['removed with a value', '1 5 0 1 x a\nv'],
  ['a value beyond the limit', `1 5 0 1 v a\n${'v'.repeat(8193)}`],
  ['no end of its life', '1 5 0 1 v a\nv', -1],
  ['already over', '1 5 0 1 v a\nv', 0],
  ['a life beyond the limit', '1 5 0 1 v a\nv', STORE_LIMITS.ttlMs + 1],
  ['a life that is no number', '1 5 0 1 v a\nv', Number.NaN],
]
for (const [what, value, ttlMs = 1000] of WRONG_VALUES)
  test(`not an entry: ${what}`, () => {
    assert.is(readEntry(NAMES, KEY, value, ttlMs, NOW), null)
  })

function part(key: string, value: string, ttlMs: number | string = 1000): string {
  return `${Buffer.byteLength(key)} ${ttlMs} ${Buffer.byteLength(value)}\n${key}${value}`
}

test('a batch with an invalid part yields the other parts', () => {
  const key = keyOf(NAMES, 't', 'ä€🦆')
  const body = Buffer.from(`1 sender-1\n${part(key, '1 5 0 1 v a\n€')}${part(KEY, 'garbage')}${part(KEY, '1 6 0 0 x b\n', 7)}`)
  const batch = readBatch(NAMES, body, NOW)
  assert.is(batch?.sender, 'sender-1')
  assert.is(batch?.malformed, 1)
  assert.equal(
    batch?.entries.map(({ key, value, rank, ttlMs }) => [key, value, rank, ttlMs]),
    [
      ['ä€🦆', '€', 1, 1000],
      ['k', null, 0, 7],
    ],
  )
})

for (const [what, rest] of [
  ['a head that does not end', '1 1 1'],
  ['a head without numbers', 'a b c\nkv'],
  ['more announced than there is', '5 1000 500\nk'],
  ['lengths without bounds', '999999 1000 1\nkv'],
] as const)
  test(`a truncated batch is read up to there: ${what}`, () => {
    const batch = readBatch(NAMES, Buffer.from(`1 s\n${part(KEY, '1 5 0 1 v a\nv')}${rest}`), NOW)
    assert.is(batch?.entries.length, 1)
    assert.is(batch?.malformed, 1)
  })

for (const body of ['', '\n', '1 s', '2 s\n', '1 \n', `1 ${'s'.repeat(65)}\n`, `1 s\n${'x'.repeat(1024 * 1024)}`])
  test(`${JSON.stringify(body.slice(0, 20))} is not a batch`, () => {
    assert.is(readBatch(NAMES, Buffer.from(body), NOW), null)
  })

test.run()
