// The schedule of dials.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type DialerState, dialer } from '../../../../cluster/gossip/dialer.ts'

const state = (change: Partial<DialerState> = {}): DialerState => ({
  wanted: new Map(),
  targets: [],
  connected: new Set(),
  large: false,
  isMember: () => false,
  ...change,
})
const half = (): number => 0.5

test('an address that fails is dialled again after 200 ms, then less often, at most every 5 s', () => {
  const dials = dialer(half)
  const of = state({ targets: ['a:1'] })
  const at: number[] = []
  for (let now = 0; now < 30_000; now += 10) {
    for (const address of dials.next(of, now)) {
      at.push(now)
      dials.finished(address, { kind: 'failed' }, now)
    }
  }
  const gaps = at.slice(1).map((time, i) => time - at[i]!)
  assert.equal(gaps.slice(0, 5), [150, 300, 600, 1200, 2400])
  assert.ok(
    gaps.slice(5).every(gap => gap === 3750),
    gaps.join(),
  )
})

test('an address that refuses the handshake is dialled less and less, down to once a minute', () => {
  const dials = dialer(half)
  const of = state({ targets: ['a:1'] })
  const at: number[] = []
  const run = (fromMs: number, toMs: number, kind: 'refused' | 'failed'): void => {
    for (let now = fromMs; now < toMs; now += 10) {
      for (const address of dials.next(of, now)) {
        at.push(now)
        dials.finished(address, { kind }, now)
      }
    }
  }
  run(0, 3_600_000, 'refused')
  assert.ok(at.length < 95, `${at.length} dials in an hour`)
  assert.ok(at.filter(ms => ms < 5000).length >= 5, 'dialled again soon at first')
  at.splice(0)
  run(3_600_000, 3_700_000, 'failed')
  assert.ok(at.length > 10, 'an address that no longer answers is dialled as any other')
})

test('an address is not dialled twice at once', () => {
  const dials = dialer(half)
  assert.equal(dials.next(state({ targets: ['a:1'] }), 0), ['a:1'])
  assert.equal(dials.next(state({ targets: ['a:1'] }), 10_000), [])
})

test('a connected member is not dialled under any of its known addresses', () => {
  const dials = dialer(half)
  dials.setOwner('b:1', 'B')
  dials.next(state({ targets: ['a:1'] }), 0)
  dials.finished('a:1', { kind: 'member', id: 'B' }, 0)
  const of = state({ targets: ['a:1', 'b:1', 'c:1'], wanted: new Map([['B', ['b:1']]]), connected: new Set(['B']) })
  assert.equal(dials.next(of, 5000), ['c:1'])
})

test('while an address of a member hangs the next is tried, least failures first', () => {
  const dials = dialer(half)
  const of = state({ wanted: new Map([['B', ['overlay:1', 'node:1']]]) })
  assert.equal(dials.next(of, 0), ['overlay:1'])
  assert.equal(dials.next(of, 200), [])
  assert.equal(dials.next(of, 260), ['node:1'])
  dials.finished('overlay:1', { kind: 'failed' }, 1000)
  dials.finished('node:1', { kind: 'member', id: 'B' }, 300)
  dials.connectionLost('B', 5000)
  assert.equal(dials.next(of, 5101), ['node:1'], 'the address that led to it is remembered')
})

test('its own address and those of other clusters are left alone for a while', () => {
  const dials = dialer(half)
  const of = state({ targets: ['me:1'] })
  dials.next(of, 0)
  dials.finished('me:1', { kind: 'notPeer' }, 0)
  assert.equal(dials.next(of, 20_000), [])
  assert.equal(dials.next(of, 31_000), ['me:1'])
})

test('a peer that refuses after a long absence is dialled again within two seconds', () => {
  const dials = dialer(half)
  const of = state({ targets: ['a:1'] })
  for (let i = 0; i < 10; i++) {
    dials.next(of, i * 10_000)
    dials.finished('a:1', { kind: 'failed' }, i * 10_000)
  }
  dials.next(of, 100_000)
  dials.finished('a:1', { kind: 'refused' }, 100_000)
  assert.equal(dials.next(of, 101_600), ['a:1'])
  for (let i = 0; i < 10; i++) {
    dials.finished('a:1', { kind: 'refused' }, 200_000 + i * 100_000)
    dials.next(of, 290_000 + i * 100_000)
  }
  dials.finished('a:1', { kind: 'refused' }, 2_000_000)
  assert.equal(dials.next(of, 2_040_000), [], 'dialled less and less')
})

test('after a lost connection the member is dialled again soon, despite earlier failures', () => {
  const dials = dialer(half)
  const of = state({ targets: ['a:1'] })
  for (let i = 0; i < 10; i++) {
    dials.next(of, i * 10_000)
    dials.finished('a:1', { kind: 'failed' }, i * 10_000)
  }
  dials.setOwner('a:1', 'A')
  dials.connectionLost('A', 90_001)
  assert.equal(dials.next(of, 90_110), ['a:1'])
})

test('in a large cluster with enough connections, unknown addresses are tried slowly', () => {
  const dials = dialer(half)
  const connected = new Set(Array.from({ length: 8 }, (_, i) => `p${i}`))
  const isMember = (id: string): boolean => id === 'A'
  dials.setOwner('a:1', 'A')
  dials.setOwner('gone:1', 'B')
  const of = state({ targets: ['a:1', 'gone:1'], large: true, connected, isMember })
  assert.equal(dials.next(of, 0), ['gone:1'], 'the other part of a partition is found again')
  dials.finished('gone:1', { kind: 'failed' }, 0)
  assert.equal(dials.next(of, 900), [])
  assert.equal(dials.next(of, 1001), ['gone:1'])
  assert.equal(dials.next(state({ targets: ['a:1'], large: true, connected, isMember }), 5000), [])
  assert.equal(
    dials.next(state({ targets: ['a:1'], large: true, isMember }), 9000),
    ['a:1'],
    'with few it is dialled all the same',
  )
})

test('at most sixteen dials at once', () => {
  const dials = dialer(half)
  const targets = Array.from({ length: 100 }, (_, i) => `a${i}:1`)
  assert.is(dials.next(state({ targets }), 0).length, 16)
  assert.is(dials.next(state({ targets }), 1).length, 0)
})

test.run()
