// The message codec: a round trip preserves messages; any other input is refused with the right reason, without an exception.

import { createHash } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Heartbeat, LIMITS, type Message } from '../../../cluster/core/state.ts'
import { decode, encode } from '../../../cluster/protocol.ts'
import { HEARTBEAT, LOCAL } from './member.ts'

const HERE = { cluster: 'edge' }
const hashOf = (body: string): string => createHash('sha256').update(body).digest('hex')
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const TERM = { number: 3, leader: 'a' }
const REVISION = { term: 3, leader: 'a', sequence: 7 }
const ANNOUNCE = { kind: 'announce', term: TERM, revision: REVISION, hash: hashOf('{}'), size: 2, body: '{}' } as const

const MESSAGES: readonly Message[] = [
  HEARTBEAT,
  { ...HEARTBEAT, role: 'leader', term: TERM, revision: REVISION, hash: hashOf('x'), suspects: ['b'] },
  { ...HEARTBEAT, local: { ...LOCAL, addresses: ['10.0.0.1:7946', '[fe80::1]:7946', 'node-1.lan:7946'] } },
  { ...HEARTBEAT, local: { ...LOCAL, options: { domain: 'a.test', constraint: 'tag==x, tag!=y' } } },
  ANNOUNCE,
  { ...ANNOUNCE, size: 1_000_000, body: null },
  { kind: 'vote?', term: 4, pre: true, consent: false, revision: null },
  { kind: 'vote?', term: 4, pre: false, consent: true, revision: REVISION },
  { kind: 'vote!', term: 4, pre: false, granted: true, known: TERM },
  { kind: 'handover', term: TERM },
  { kind: 'hint', keys: ['service:x'] },
  { kind: 'leave' },
]

const wrap = (message: unknown): Uint8Array => bytes(JSON.stringify({ v: 1, cluster: 'edge', n: 5, message }))

function reasonFor(data: Uint8Array): string {
  const decoded = decode(data, HERE)
  return decoded.ok ? 'accepted' : decoded.reason
}

for (const [index, message] of MESSAGES.entries()) {
  test(`${message.kind} (${index}) comes back as it was`, () => {
    const envelope = { v: 1, cluster: 'edge', n: 5, message } as const
    assert.equal(decode(encode(envelope), HERE), { ok: true, envelope })
  })

  test(`${message.kind} (${index}) without any of its fields, or with another type in it, is malformed`, () => {
    for (const key of Object.keys(message)) {
      const { [key as 'kind']: _, ...without } = message
      assert.is(reasonFor(wrap(without)), 'malformed', key)
      for (const value of [{}, [[]], -1, 1.5, 'x\u0007', 2 ** 60]) {
        assert.is(reasonFor(wrap({ ...message, [key]: value })), 'malformed', `${key} ${JSON.stringify(value)}`)
      }
    }
  })
}

test('networks are bounded addresses with prefix lengths; older versions send none', () => {
  const beat = (networks: unknown): Uint8Array => wrap({ ...HEARTBEAT, local: { ...LOCAL, networks } })
  const good = ['10.0.1.7/24', 'fd00::7/64']
  const decoded = decode(beat(good), HERE)
  assert.equal(decoded.ok && decoded.envelope.message.kind === 'beat' && decoded.envelope.message.local.networks, good)
  const many = Array.from({ length: LIMITS.networks + 1 }, (_, i) => `10.0.${i}.1/24`)
  for (const networks of [many, ['10.0.1.7'], [7], ['x/24'], '10.0.1.7/24', [`${'1'.repeat(60)}/24`], null])
    assert.is(reasonFor(beat(networks)), 'malformed', JSON.stringify(networks))
})

test('the digest of the secret state is a SHA-256 in hex; older versions send none', () => {
  const heartbeat = (secretState: unknown): Uint8Array => wrap({ ...HEARTBEAT, local: { ...LOCAL, secretState } })
  const digest = 'a'.repeat(64)
  const decoded = decode(heartbeat(digest), HERE)
  assert.equal(decoded.ok && decoded.envelope.message.kind === 'beat' && decoded.envelope.message.local.secretState, digest)
  for (const invalid of ['', 'a'.repeat(63), 'A'.repeat(64), 7, null]) assert.is(reasonFor(heartbeat(invalid)), 'malformed')
})

test('options are bounded in number, name and length; older versions send none', () => {
  const beat = (options: unknown): Uint8Array => wrap({ ...HEARTBEAT, local: { ...LOCAL, options } })
  const many = Object.fromEntries(Array.from({ length: LIMITS.options + 1 }, (_, i) => [`o${i}`, 'x']))
  assert.is(reasonFor(wrap({ ...HEARTBEAT, local: LOCAL })), 'accepted')
  assert.is(reasonFor(beat({ domain: 'x'.repeat(LIMITS.text) })), 'accepted')
  for (const options of [
    many,
    { domain: 'x'.repeat(LIMITS.text + 1) },
    { domain: 'a\u0007' },
    { domain: 1 },
    { 'Not an option': 'x' },
    { ['x'.repeat(49)]: 'x' },
    ['x'],
    'x',
    null,
  ])
    assert.is(reasonFor(beat(options)), 'malformed', JSON.stringify(options))
  const prototype = decode(beat(JSON.parse('{"__proto__":"x"}')), HERE)
  assert.equal(prototype.ok && prototype.envelope.message.kind === 'beat' && prototype.envelope.message.local.options, {})
})

test('another protocol version is reported before anything else is checked', () => {
  for (const rest of ['', ',"cluster":"other"', ',"cluster":7,"n":"x","message":null']) {
    const decoded = decode(bytes(`{"v":2${rest}}`), HERE)
    assert.is(!decoded.ok && decoded.reason, 'version')
    assert.match(decoded.ok ? '' : decoded.message, 'version 2')
  }
})

test('another cluster is distinguished from malformed input; its name is made printable', () => {
  const decoded = decode(bytes('{"v":1,"cluster":"x\\u001b[2J","n":1,"message":{}}'), HERE)
  assert.is(!decoded.ok && decoded.reason, 'cluster')
  assert.is(!decoded.ok && decoded.message, 'it belongs to cluster "x?[2J", this one is "edge"')
})

test('a message beyond the size limit is refused unread; one at the limit is accepted', () => {
  assert.is(reasonFor(new Uint8Array(LIMITS.message + 1)), 'large')
  const padded = `{"v":1,"cluster":"edge","n":5,"message":{"kind":"leave"}${' '.repeat(LIMITS.message)}`.slice(
    0,
    LIMITS.message - 1,
  )
  assert.is(reasonFor(bytes(`${padded}}`)), 'accepted')
})

const HOSTILE: Readonly<Record<string, string>> = {
  empty: '',
  text: 'hello',
  'a number': '7',
  null: 'null',
  'an array': '[]',
  'half of it': '{"v":1,"cluster":"edge","n":5,"message":{"kind":"le',
  deep: '['.repeat(60_000),
  'deep and whole': `{"v":1,"cluster":"edge","n":5,"message":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
  'no version': '{"cluster":"edge","n":5,"message":{"kind":"leave"}}',
  'version as text': '{"v":"1","cluster":"edge","n":5,"message":{"kind":"leave"}}',
  'version and a half': '{"v":1.5,"cluster":"edge","n":5,"message":{"kind":"leave"}}',
  'infinite number': '{"v":1,"cluster":"edge","n":1e999,"message":{"kind":"leave"}}',
  'negative number': '{"v":1,"cluster":"edge","n":-1,"message":{"kind":"leave"}}',
  'number beyond exactness': '{"v":1,"cluster":"edge","n":9007199254740993,"message":{"kind":"leave"}}',
  NaN: '{"v":1,"cluster":"edge","n":NaN,"message":{"kind":"leave"}}',
  'unknown kind': '{"v":1,"cluster":"edge","n":5,"message":{"kind":"shutdown"}}',
  "a prototype's kind": '{"v":1,"cluster":"edge","n":5,"message":{"kind":"toString"}}',
  'everything in a prototype': '{"__proto__":{"v":1,"cluster":"edge","n":5,"message":{"kind":"leave"}}}',
  'message in a prototype': '{"v":1,"cluster":"edge","n":5,"__proto__":{"message":{"kind":"leave"}}}',
  'kind in a prototype': '{"v":1,"cluster":"edge","n":5,"message":{"__proto__":{"kind":"leave"}}}',
}

for (const [name, text] of Object.entries(HOSTILE)) {
  test(`malformed: ${name}`, () => assert.is(reasonFor(bytes(text)), 'malformed'))
}

test('bytes that are not UTF-8 are malformed', () => {
  assert.is(reasonFor(new Uint8Array([0xff, 0xfe, 0x00, 0x7b])), 'malformed')
  assert.is(reasonFor(new Uint8Array(64).fill(0x80)), 'malformed')
})

test('unknown fields are dropped, and input sets no prototype', () => {
  const text = '{"v":1,"cluster":"edge","n":5,"x":1,"message":{"kind":"leave","__proto__":{"polluted":1},"extra":[1]}}'
  const decoded = decode(bytes(text), HERE)
  assert.equal(decoded, { ok: true, envelope: { v: 1, cluster: 'edge', n: 5, message: { kind: 'leave' } } })
  assert.is(decoded.ok && 'polluted' in decoded.envelope.message, false)
})

test('every list and text is bounded', () => {
  const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `k${i}`)
  const beats: Partial<Heartbeat>[] = [
    { name: '' },
    { name: 'x'.repeat(LIMITS.text + 1) },
    { name: 'two\nlines' },
    { name: 'turned \u202e round' },
    { version: 'x'.repeat(LIMITS.text + 1) },
    { nextMs: 0 },
    { nextMs: 10_000_000 },
    { suspects: many(LIMITS.suspects + 1) },
    { local: { ...LOCAL, unreachable: many(LIMITS.unreachable + 1) } },
    { local: { ...LOCAL, seen: many(LIMITS.seen + 1) } },
    { local: { ...LOCAL, manager: 'm\u0000' } },
    { local: { ...LOCAL, addresses: Array.from({ length: LIMITS.addresses + 1 }, () => '10.0.0.1:1') } },
    { local: { ...LOCAL, addresses: ['10.0.0.1'] } },
    { local: { ...LOCAL, relay: ['http://10.0.0.1:80/x'] } },
    { revision: REVISION, hash: '' },
    { revision: null, hash: hashOf('x') },
    { term: { number: 0, leader: 'a' } },
  ]
  for (const beat of beats) assert.is(reasonFor(wrap({ ...HEARTBEAT, ...beat })), 'malformed', JSON.stringify(beat))
  assert.is(reasonFor(wrap({ kind: 'hint', keys: many(LIMITS.hint + 1) })), 'malformed')
  assert.is(reasonFor(wrap({ kind: 'hint', keys: [] })), 'malformed')
})

test('a body that does not match its announcement is malformed', () => {
  for (const change of [{ size: 3 }, { hash: hashOf('other') }, { body: '{]' }, { size: LIMITS.body + 1, body: null }]) {
    assert.is(reasonFor(wrap({ ...ANNOUNCE, ...change })), 'malformed', JSON.stringify(change))
  }
  const body = 'x'.repeat(LIMITS.inlineBody + 1)
  assert.is(reasonFor(wrap({ ...ANNOUNCE, size: body.length, hash: hashOf(body), body })), 'malformed')
})

test('a message that is too large to be decoded is not encoded', () => {
  const keys = ['x'.repeat(LIMITS.message)]
  assert.throws(
    () => encode({ v: 1, cluster: 'edge', n: 1, message: { kind: 'hint', keys } }),
    /hint message of \d+ bytes is too large/,
  )
})

test('decode does not throw for a valid message with flipped bytes', () => {
  const good = encode({ v: 1, cluster: 'edge', n: 5, message: MESSAGES[1]! })
  let seed = 7
  const next = (below: number): number => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return seed % below
  }
  for (let i = 0; i < 3000; i++) {
    const data = Uint8Array.from(good)
    for (let flips = 1 + next(4); flips > 0; flips--) data[next(data.length)] = next(256)
    const decoded = decode(next(5) === 0 ? data.subarray(0, next(data.length)) : data, HERE)
    if (!decoded.ok) assert.not.match(decoded.message, /[\u0000-\u001f]/)
  }
})

test.run()
