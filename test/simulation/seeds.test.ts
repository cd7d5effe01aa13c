// A thousand seeds in every `npm test`, and two large clusters.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SOUND } from './planted.ts'
import { simulate } from './simulate.ts'

const SEEDS = 1000

test(`seeds 1 to ${SEEDS}`, () => {
  const failed: string[] = []
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violation } = simulate({ seed, nodes: null, ...SOUND, write: null })
    if (violation !== null)
      failed.push(`npm run simulate -- --seed ${seed} --trace: ${violation.invariant}: ${violation.details}`)
  }
  assert.equal(failed, [])
})

test('fifty members', () => {
  for (const seed of [1, 2]) assert.is(simulate({ seed, nodes: 50, ...SOUND, write: null }).violation, null)
})

test.run()
