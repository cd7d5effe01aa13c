// The cluster's time when members' wall clocks differ: tables of wall clocks and each member's resulting time.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClockReading } from '../../../../cluster/core/state.ts'
import { ClusterClock, clocksDiffer, spanOf } from '../../../../cluster/store/cluster-clock.ts'

const MINUTE = 60_000
const DAY = 86_400_000
const START = 1_767_225_600_000

class Member {
  readonly clock = new ClusterClock()
  readonly id: string
  offMs: number
  /** Its monotonic clock starts anywhere. */
  readonly sinceMs: number

  constructor(id: string, offMs: number, sinceMs: number) {
    this.id = id
    this.offMs = offMs
    this.sinceMs = sinceMs
  }

  at(ms: number): readonly [now: number, wall: number] {
    return [this.sinceMs + ms, START + this.offMs + ms]
  }
}

function members(...offs: readonly number[]): Member[] {
  return offs.map((off, n) => new Member(`m${n}`, off, n * 12_345))
}

/** All members send their readings to all others, in order, twice a second. */
function talk(all: readonly Member[], fromMs: number, forMs = 1000): void {
  for (let ms = fromMs; ms < fromMs + forMs; ms += 500) {
    for (const one of all) {
      const reading = one.clock.reading(...one.at(ms))
      for (const other of all) if (other !== one) other.clock.observe(one.id, reading, ...other.at(ms))
    }
  }
}

/** Error of each member's cluster time, ms. */
function errors(all: readonly Member[], ms: number): number[] {
  return all.map(one => one.clock.time(...one.at(ms)) - START - ms)
}

for (const [title, offs, expected] of [
  ['alone: its own clock', [5 * DAY], [5 * DAY]],
  ['apart by some seconds: each its own', [0, 20_000, -9_000], [0, 20_000, -9_000]],
  ['one ahead and one behind by 400 days: the third', [400 * DAY, 0, -400 * DAY], [0, 0, 0]],
  ['one of three a year ahead: the median of the others', [365 * DAY, 1000, 0], [1000, 1000, 0]],
  ['two of two: the earlier', [10 * DAY, 0], [0, 0]],
  ['two of four ahead: the earlier half', [10 * DAY, 10 * DAY, 0, 0], [0, 0, 0, 0]],
  ['most of them wrong together: they are not told apart', [9 * DAY, 9 * DAY, 0], [9 * DAY, 9 * DAY, 9 * DAY]],
  ['minutes apart: the median', [0, 6 * MINUTE, 12 * MINUTE], [6 * MINUTE, 6 * MINUTE, 6 * MINUTE]],
] as const) {
  test(`cluster time: ${title}`, () => {
    const all = members(...offs)
    talk(all, 0)
    assert.equal(errors(all, 2000), [...expected])
    for (const one of all) {
      const named = [...one.clock.offs(...one.at(2000))].map(([id, off]) => [id, off] as const)
      for (const [id, off] of named) {
        const other = all.find(member => member.id === id)!
        assert.ok(Math.abs(off - (other.offMs - errors([one], 2000)[0]!)) <= 1, `${one.id} of ${id}: ${off}`)
      }
    }
  })
}

test('the member with the right clock leaves: the others keep the agreed time', () => {
  const all = members(400 * DAY, 0, -400 * DAY)
  talk(all, 0)
  const rest = [all[0]!, all[2]!]
  talk(rest, 1000, 60_000)
  assert.equal(errors(rest, 62_000), [0, 0])
})

test('a clock is corrected, or another goes wrong: applied at once', () => {
  const all = members(400 * DAY, 0, 0)
  talk(all, 0)
  all[0]!.offMs = 0
  all[2]!.offMs = -3 * DAY
  talk(all, 1000)
  assert.equal(errors(all, 2000), [0, 0, 0])
  assert.is(all[0]!.clock.reading(...all[0]!.at(2000)).off, 0)
  assert.is(all[2]!.clock.reading(...all[2]!.at(2000)).off, -3 * DAY)
})

test('members without recent messages do not count', () => {
  const all = members(0, 9 * DAY, 9 * DAY)
  talk(all, 0)
  assert.equal(errors(all, 1000), [9 * DAY, 9 * DAY, 9 * DAY])
  for (let ms = 1000; ms < 32_000; ms += 1000) all[0]!.clock.tick(...all[0]!.at(ms))
  const fresh = new Member('m9', 0, 7)
  const rest = [all[0]!, fresh, new Member('m8', 0, 9)]
  talk(rest, 32_000)
  assert.equal(errors(rest, 34_000), [0, 0, 0])
})

for (const [title, offs] of [
  ['both right', [0, 0]],
  ['a year apart', [0, 365 * DAY]],
  ['the one that hangs is a year behind', [-365 * DAY, 0]],
  ['of three', [0, 1000, -1000]],
] as const) {
  test(`messages delayed by a stall do not move the time: ${title}`, () => {
    const all = members(...offs)
    const [hung, ...others] = all as [Member, ...Member[]]
    const before = Math.min(...offs)
    let ms = 0
    for (let hang = 0; hang < 8; hang++) {
      talk(all, ms, 30_000)
      const queue: (readonly [string, ClockReading])[] = []
      const until = ms + 80_000
      for (ms += 30_000; ms < until; ms += 500) {
        for (const one of others) queue.push([one.id, one.clock.reading(...one.at(ms))])
        for (const one of others) {
          one.clock.tick(...one.at(ms))
          for (const other of others)
            if (other !== one) other.clock.observe(one.id, one.clock.reading(...one.at(ms)), ...other.at(ms))
        }
      }
      // Some messages are read before the clock notices the pause.
      if (hang % 2 === 0) hung.clock.tick(...hung.at(ms))
      for (const [n, [id, reading]] of queue.entries()) {
        hung.clock.observe(id, reading, ...hung.at(ms + n))
        if (offs.length === 2) assert.is(errors([hung], ms + n)[0], before, `hang ${hang}, message ${n}`)
      }
      ms += 1000
      talk(all, ms, 30_000)
      ms += 30_000
      const expected = offs.length === 2 ? offs.map(() => before) : [...offs]
      assert.equal(errors(all, ms), expected, `hang ${hang}`)
    }
  })
}

test('delayed messages of a new member after a stall are ignored', () => {
  const [one, other] = members(0, 0) as [Member, Member]
  one.clock.tick(...one.at(0))
  const late = other.clock.reading(...other.at(1000))
  one.clock.tick(...one.at(50_000))
  one.clock.observe(other.id, late, ...one.at(50_010))
  assert.is(errors([one], 50_010)[0], 0)
  talk([one, other], 52_000, 10_000)
  assert.equal([...one.clock.offs(...one.at(62_000))], [[other.id, 0]])
})

test('two members, one clock set back and corrected: both follow within seconds', () => {
  const all = members(0, 0)
  talk(all, 0, 10_000)
  all[1]!.offMs = -2 * DAY
  talk(all, 10_000, 10_000)
  assert.equal(errors(all, 20_000), [-2 * DAY, -2 * DAY])
  all[1]!.offMs = 0
  talk(all, 20_000, 10_000)
  assert.equal(errors(all, 30_000), [0, 0])
})

test('the right clock leaves and another member restarts: the agreed time counts', () => {
  const all = members(400 * DAY, 0, -400 * DAY)
  talk(all, 0)
  const rest = [all[0]!, new Member('again', -400 * DAY, 77)]
  for (const one of all.slice(1)) all[0]!.clock.forget(one.id, ...all[0]!.at(1000))
  talk(rest, 1000, 60_000)
  assert.equal(errors(rest, 62_000), [0, 0])
})

test('a member with a wrong clock that restarts repeatedly counts once', () => {
  const all = members(0, 0)
  talk(all, 0)
  for (let start = 0; start < 4; start++) {
    const again = new Member(`again${start}`, 400 * DAY, start)
    talk([...all, again], 1000 + 1000 * start)
    assert.equal(errors(all, 2000 + 1000 * start), [0, 0])
    for (const one of all) one.clock.forget(again.id, ...one.at(2000 + 1000 * start))
  }
})

test('the number of compared members is bounded', () => {
  const one = new ClusterClock()
  for (let n = 0; n < 10_000; n++) one.observe(`x${n}`, { time: START, off: 0 }, 0, START)
  assert.is([...one.offs(0, START)].length, 256)
})

for (const [title, offs, expected] of [
  ['alone', [0], null],
  ['two that agree', [0, 4 * MINUTE], null],
  [
    'of two either may be right',
    [0, 400 * DAY],
    'the clocks of m0 and m1 differ by 400 days; two clocks do not show which is wrong: check both',
  ],
  [
    'of two, with the time that three agreed on',
    [-2 * DAY, 400 * DAY],
    'the clocks of m0 and m1 differ by 402 days; two clocks do not show which is wrong: check both',
  ],
  ['one of three is wrong', [0, 0, -400 * DAY], null],
  ['three that all differ', [0, 400 * DAY, -400 * DAY], null],
  [
    'two and two',
    [0, 3 * DAY, 1000, 3 * DAY],
    'the clocks of m0, m2 and those of m1, m3 differ by up to 3 days; they do not show which are wrong: check all',
  ],
  ['two of five are wrong', [0, 3 * DAY, 1000, 3 * DAY, 0], null],
] as const) {
  test(`clocks that do not show which are wrong: ${title}`, () => {
    assert.is(clocksDiffer(offs.map((offMs, n) => ({ name: `m${n}`, offMs }))), expected)
  })
}

test('an offset is shown in its largest fitting unit', () => {
  assert.is(spanOf(400 * DAY), '400 days ahead of')
  assert.is(spanOf(-3 * 60 * MINUTE), '3 hours behind')
  assert.is(spanOf(11 * MINUTE), '11 minutes ahead of')
})

test.run()
