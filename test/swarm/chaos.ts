// `npm run chaos -- SCENARIO [--rps N] [--seconds N] [--short] [--store gossip|redis]`, `-- --all`, `-- --list`: faults under load in
// the lab. The last line is one JSON object; the exit code is 0 only if the promise held. If the lab is not up, the run starts it
// and stops it at the end.

import { parseArgs } from 'node:util'
import { type ChaosOptions, runScenario } from './chaos-run.ts'
import { messageOf } from './command.ts'
import { withLock } from './lock.ts'
import { SCENARIOS } from './scenarios/all.ts'
import type { Scenario } from './scenarios/contract.ts'
import { asStore, deployedStore, deployStack, type Store } from './stack.ts'
import { down, isUp, step, up } from './up.ts'

const USAGE = 'usage: npm run chaos -- SCENARIO | --all | --list [--rps N] [--seconds N] [--short] [--store gossip|redis]'

function wholeNumber(name: string, text: string, smallest: number, largest: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < smallest || value > largest) {
    throw new Error(`--${name} is "${text}", expected a whole number from ${smallest} to ${largest}`)
  }
  return value
}

function chosen(names: readonly string[], all: boolean): readonly Scenario[] {
  if (all) return SCENARIOS
  return names.map(name => {
    const scenario = SCENARIOS.find(candidate => candidate.name === name)
    if (scenario === undefined) throw new Error(`no scenario "${name}"; --list shows them`)
    return scenario
  })
}

/**
 * The store of each scenario: the one that it needs, otherwise `wanted`, otherwise gossip. Scenarios with Redis come last, because a
 * change of the store is a deployment. With `wanted`, scenarios that need the other store are left out.
 */
function compareRouters(
  scenarios: readonly Scenario[],
  wanted: Store | null,
): readonly { readonly scenario: Scenario; readonly store: Store }[] {
  const all = scenarios.map(scenario => ({ scenario, store: scenario.store ?? wanted ?? 'gossip' }))
  const fitting = wanted === null ? all : all.filter(({ store }) => store === wanted)
  return [...fitting.filter(({ store }) => store === 'gossip'), ...fitting.filter(({ store }) => store === 'redis')]
}

/** A lab that this run started is stopped when the run ends, also at Ctrl-C. */
async function withLab(store: Store, work: () => Promise<boolean>): Promise<boolean> {
  if (isUp()) return work()
  const interrupted = (): void => {
    down().then(
      () => process.exit(130),
      () => process.exit(130),
    )
  }
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  try {
    await up()
    await step('stack', () => deployStack(store))
    return await work()
  } finally {
    await step('down', down)
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      list: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      short: { type: 'boolean', default: false },
      rps: { type: 'string' },
      seconds: { type: 'string' },
      store: { type: 'string' },
    },
  })
  if (values.list) {
    const width = 2 + Math.max(...SCENARIOS.map(({ name }) => name.length))
    for (const { name, promise } of SCENARIOS) console.log(`${name.padEnd(width)}${promise}`)
    return 0
  }
  const options: ChaosOptions = {
    rps: values.rps === undefined ? null : wholeNumber('rps', values.rps, 1, 5000),
    seconds: wholeNumber('seconds', values.seconds ?? (values.short ? '10' : '30'), 1, 3600),
    short: values.short,
  }
  const scenarios = chosen(positionals, values.all)
  if (scenarios.length === 0) {
    console.error(USAGE)
    return 2
  }
  const wanted = values.store === undefined ? null : asStore(values.store)
  const barred = scenarios.find(({ store }) => store !== undefined && wanted !== null && store !== wanted)
  if (barred !== undefined && !values.all) throw new Error(`${barred.name} needs --store ${barred.store}`)
  const byStore = compareRouters(scenarios, wanted)
  const runAll = async (): Promise<boolean> => {
    let all = true
    for (const { scenario, store } of byStore) {
      if (store !== deployedStore()) await step(`stack with ${store}`, () => deployStack(store))
      const result = await runScenario(scenario, options)
      all &&= result.held
      console.log(JSON.stringify(result.line))
    }
    return all
  }
  return (await withLock(() => withLab(byStore[0]?.store ?? 'gossip', runAll))) ? 0 : 1
}

main().then(
  code => {
    process.exitCode = code
  },
  (error: unknown) => {
    console.error(`chaos: ${messageOf(error)}`)
    process.exitCode = 2
  },
)
