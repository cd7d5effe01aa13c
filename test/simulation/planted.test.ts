// The simulation detects faults: each planted fault (planted.ts) violates its invariant, and the same seed passes without it.
// The first seed, from 1 on, that detects each:
//
//   vote-twice              3  a member votes once in a term
//   take-older              4  a revision never goes backwards
//   no-pre-vote             4  no member replaces a leader whose heartbeats reach the cluster
//   two-leaders             2  a quiet cluster has one leader, and all follow it at one term
//   never-suspect-leader    2  when the leader is cut off, all follow another within 2000 ms
//   anybody-publishes       5  a publish of a member that does not lead has no effect
//   keeps-the-lead          5  who leads has a healthy manager, if any member has one
//   no-repair               1  in a quiet cluster all hold one revision
//   store-tie-by-arrival    3  nothing older ever replaces something newer
//   store-blind-digest      3  in a quiet cluster all stores hold the same
//   store-no-tombstone      3  nothing older ever replaces something newer
//   store-last-arrival      1  nothing older ever replaces something newer
//   store-no-comparison     1  in a quiet cluster all stores hold the same
//   store-own-clocks        2  in a quiet cluster all stores hold the same
//
// A seed's history depends on every number that a core draws, so a change of the core may change the first seed. The test then
// prints the new one; `npm run simulate -- --plant no-pre-vote --seed 4 --trace` shows one.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FAULTS, type Makers, planted, SOUND, STORE_FAULTS } from './planted.ts'
import { type SeedResult, simulate } from './simulate.ts'

const CAUGHT: Readonly<Record<string, readonly [seed: number, invariant: string]>> = {
  'vote-twice': [3, 'a member votes once in a term'],
  'take-older': [4, 'a revision never goes backwards'],
  'no-pre-vote': [4, 'no member replaces a leader whose heartbeats reach the cluster'],
  'two-leaders': [2, 'a quiet cluster has one leader, and all follow it at one term'],
  'never-suspect-leader': [2, 'when the leader is cut off, all follow another within 2000 ms'],
  'anybody-publishes': [5, 'a publish of a member that does not lead has no effect'],
  'keeps-the-lead': [5, 'who leads has a healthy manager, if any member has one'],
  'no-repair': [1, 'in a quiet cluster all hold one revision'],
  'store-tie-by-arrival': [3, 'nothing older ever replaces something newer'],
  'store-blind-digest': [3, 'in a quiet cluster all stores hold the same'],
  'store-no-tombstone': [3, 'nothing older ever replaces something newer'],
  'store-last-arrival': [1, 'nothing older ever replaces something newer'],
  'store-no-comparison': [1, 'in a quiet cluster all stores hold the same'],
  'store-own-clocks': [2, 'in a quiet cluster all stores hold the same'],
}
/** A fault that this number of seeds does not detect is undetected. */
const MOST_SEEDS = 100

function run(seed: number, makers: Makers): SeedResult['violation'] {
  return simulate({ seed, nodes: null, ...makers, write: null }).violation
}

function firstThatNotices(makers: Makers): string {
  for (let seed = 1; seed <= MOST_SEEDS; seed++) {
    const violation = run(seed, makers)
    if (violation !== null) return `seed ${seed}: ${violation.invariant}`
  }
  return `none of ${MOST_SEEDS} seeds`
}

for (const fault of [...Object.keys(FAULTS), ...Object.keys(STORE_FAULTS)]) {
  test(`a planted fault is noticed: ${fault}`, () => {
    const [seed, invariant] = CAUGHT[fault] ?? [1, 'an invariant of its own']
    const found = run(seed, planted(fault))
    const makers = planted(fault)
    if (found?.invariant !== invariant) {
      assert.unreachable(
        `seed ${seed} says ${found?.invariant ?? 'nothing'}, expected: ${invariant}; the first is ${firstThatNotices(makers)}`,
      )
    }
    assert.is(run(seed, SOUND), null, `seed ${seed} must pass without the fault`)
  })
}

test('an unknown fault is refused by name', () => {
  assert.throws(() => planted('none-such'), /--plant none-such: expected one of vote-twice, /)
})

test.run()
