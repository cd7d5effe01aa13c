// The cases that run against an emulated and a real swarm: the behaviour on which discovery relies. Each case creates services with
// names that begin with `c-`, and removes them. Times are the swarm's own.

import { harmCases } from './harm.ts'
import { lifeCases } from './life.ts'
import { shapeCases } from './shapes.ts'
import type { SwarmTarget } from './target.ts'

export interface SwarmCase {
  readonly name: string
  /** The case kills a manager; it is left out if the target cannot do that. */
  readonly harms?: boolean
  run(target: SwarmTarget): Promise<void>
}

export const swarmCases: readonly SwarmCase[] = [...shapeCases, ...lifeCases, ...harmCases]

export interface CaseResult {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'left out'
  readonly error?: unknown
}

/** Runs all cases one after another against a swarm. Its `c-` services must not be used otherwise. */
export async function runSwarmCases(
  target: SwarmTarget,
  report: (result: CaseResult) => void = () => {},
): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = []
  for (const one of swarmCases) {
    const result =
      one.harms === true && target.harm === undefined
        ? { name: one.name, outcome: 'left out' as const }
        : await attempt(one, target)
    results.push(result)
    report(result)
  }
  return results
}

async function attempt(one: SwarmCase, target: SwarmTarget): Promise<CaseResult> {
  try {
    await one.run(target)
    return { name: one.name, outcome: 'passed' }
  } catch (error) {
    return { name: one.name, outcome: 'failed', error }
  }
}
