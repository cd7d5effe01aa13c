// Whose clock counts when members' wall clocks differ: tables of wall clocks, and what each member takes the time to be.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClusterClock, spanOf } from '../../../../cluster/store/cluster-clock.ts'

const MINUTE = 60_000
const DAY = 86_400_000
const START = 1_767_225_600_000

class Member {
  readonly clock = new ClusterClock()
  readonly id: string
  offMs: number
  /** Its monotonic clock is anywhere. */
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

/** Everybody says everything to everybody, in order, twice a second. */
function talk(all: readonly Member[], fromMs: number, forMs = 1000): void {
  for (let ms = fromMs; ms < fromMs + forMs; ms += 500) {
    for (const one of all) {
      const reading = one.clock.reading(...one.at(ms))
      for (const other of all) if (other !== one) other.clock.heard(one.id, reading, ...other.at(ms))
    }
  }
}

/** How far from the true time each takes it to be, ms. */
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
  test(`whose time counts: ${title}`, () => {
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

test('the one with the right clock leaves: the other two keep the time they had in common', () => {
  const all = members(400 * DAY, 0, -400 * DAY)
  talk(all, 0)
  const rest = [all[0]!, all[2]!]
  talk(rest, 1000, 60_000)
  assert.equal(errors(rest, 62_000), [0, 0])
})

test('a wrong clock is put right, or another goes wrong: it is noticed at once', () => {
  const all = members(400 * DAY, 0, 0)
  talk(all, 0)
  all[0]!.offMs = 0
  all[2]!.offMs = -3 * DAY
  talk(all, 1000)
  assert.equal(errors(all, 2000), [0, 0, 0])
  assert.is(all[0]!.clock.reading(...all[0]!.at(2000)).off, 0)
  assert.is(all[2]!.clock.reading(...all[2]!.at(2000)).off, -3 * DAY)
})

test('members that fall silent do not count any more', () => {
  const all = members(0, 9 * DAY, 9 * DAY)
  talk(all, 0)
  assert.equal(errors(all, 1000), [9 * DAY, 9 * DAY, 9 * DAY])
  const fresh = new Member('m9', 0, 7)
  const rest = [all[0]!, fresh, new Member('m8', 0, 9)]
  talk(rest, 32_000)
  assert.equal(errors(rest, 34_000), [0, 0, 0])
})

test('the number of members compared is bounded', () => {
  const one = new ClusterClock()
  for (let n = 0; n < 10_000; n++) one.heard(`x${n}`, { time: START, off: 0 }, 0, START)
  assert.is([...one.offs(0, START)].length, 256)
})

test('a span of time is shown in its largest fitting unit', () => {
  assert.is(spanOf(400 * DAY), '400 days ahead of')
  assert.is(spanOf(-3 * 60 * MINUTE), '3 hours behind')
  assert.is(spanOf(11 * MINUTE), '11 minutes ahead of')
})

test.run()
