// The secret state in simulated clusters: seeds hold all invariants, and each planted fault violates one. A seed is replayed by
// calling simulateSecrets({ seed }).

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Violation } from './invariants.ts'
import { SECRETS_PLANTS, simulateSecrets } from './secrets.ts'

const SEEDS = Number(process.env.SECRET_SEEDS ?? 20)

/** The first violation among these seeds. */
function firstViolation(plant: string): { seed: number; invariant: string } | null {
  for (let seed = 1; seed <= 20; seed++) {
    try {
      simulateSecrets({ seed, plant: SECRETS_PLANTS[plant]! })
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      return { seed, invariant: error.invariant }
    }
  }
  return null
}

test(`seeds 1 to ${SEEDS} hold all invariants and merge entries`, () => {
  let entries = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      entries += simulateSecrets({ seed }).entries
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Violation ? error.invariant : ''} ${(error as Error).stack}`)
    }
  }
  assert.ok(entries > 20 * SEEDS, `${entries} entries`)
})

for (const [plant, invariant] of [
  ['secrets-no-merge', 'after a partition no entry is lost'],
  ['secrets-unsaved-merge', 'a full restart from any one disk loses nothing'],
  ['secrets-no-reseal', 'every entry can be opened'],
] as const) {
  test(`planted fault ${plant} is detected`, () => {
    assert.is(firstViolation(plant)?.invariant, invariant)
  })
}

test.run()
