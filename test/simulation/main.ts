// `npm run simulate -- --seeds N [--seed S] [--nodes 3..50] [--trace]`: whole clusters on a virtual clock and network. `--seed`
// is the first seed; without `--seeds`, the only one. A failure prints how to replay it; --trace prints the history. The last
// line on stdout is a JSON object; exit code 1 if a seed failed, 2 for invalid flags. --plant puts a fault into every core
// (planted.ts), to show that it is detected.

import { parseArgs } from 'node:util'
import { type Makers, planted, SOUND } from './planted.ts'
import { FEWEST_NODES, MOST_NODES, type SeedResult, simulate } from './simulate.ts'

const MOST_SEED = 2 ** 48
const MOST_SHOWN = 20

interface Wanted {
  readonly seeds: number
  readonly first: number
  readonly nodes: number | null
  readonly trace: boolean
  /** Name of a planted fault; null: none. */
  readonly plant: string | null
  readonly makers: Makers
}

/** An integer within bounds; otherwise exits with a message. */
function whole(name: string, text: string, min: number, max: number): number {
  if (!/^\d+$/.test(text) || Number(text) < min || Number(text) > max) {
    throw new Error(`--${name} ${text}: expected a whole number from ${min} to ${max}`)
  }
  return Number(text)
}

function readFlags(): Wanted {
  const text = { type: 'string' } as const
  const trace = { type: 'boolean', default: false } as const
  const { values } = parseArgs({ options: { seeds: text, seed: text, nodes: text, plant: text, trace } })
  const { seeds, seed, nodes, plant } = values
  return {
    seeds: seeds === undefined ? (seed === undefined ? 1000 : 1) : whole('seeds', seeds, 1, 100_000_000),
    first: seed === undefined ? 1 : whole('seed', seed, 0, MOST_SEED),
    nodes: nodes === undefined ? null : whole('nodes', nodes, FEWEST_NODES, MOST_NODES),
    trace: values.trace,
    plant: plant ?? null,
    makers: plant === undefined ? SOUND : planted(plant),
  }
}

function show(result: SeedResult, wanted: Wanted): void {
  const { seed, nodes, violation } = result
  if (violation === null) return
  const also = (flag: string, value: string | number | null): string => (value === null ? '' : ` --${flag} ${value}`)
  const replay = `npm run simulate -- --seed ${seed}${also('nodes', wanted.nodes)}${also('plant', wanted.plant)} --trace`
  console.log(`seed ${seed} (${nodes} hosts) failed after ${(violation.atMs / 1000).toFixed(3)} s of virtual time`)
  console.log(`  ${violation.invariant}\n  ${violation.who}: ${violation.details}\n  ${replay}`)
}

/** `p50 12, p99 40, most 50 ms (n 100)` */
function distribution(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (part: number): string => String(Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!))
  return `p50 ${at(0.5)}, p99 ${at(0.99)}, most ${at(1)} ms (${sorted.length} times)`
}

function run(wanted: Wanted): boolean {
  const failingSeeds: number[] = []
  const took = new Map<string, number[]>()
  const note = (name: string, ms: number | null | undefined): void => {
    if (ms === null || ms === undefined) return
    const list = took.get(name)
    if (list === undefined) took.set(name, [ms])
    else list.push(ms)
  }
  let virtualMs = 0
  for (let i = 0; i < wanted.seeds; i++) {
    const write = wanted.trace ? (line: string) => console.log(line) : null
    const result = simulate({ seed: wanted.first + i, nodes: wanted.nodes, ...wanted.makers, write })
    virtualMs += result.virtualMs
    if (result.violation !== null) {
      failingSeeds.push(result.seed)
      if (failingSeeds.length <= MOST_SHOWN) show(result, wanted)
    }
    note('to rest after all faults', result.settledMs)
    note('stores agree after the finale', result.agreedMs)
    note(`finale: ${result.ending?.finale}`, result.ending?.tookMs)
  }
  for (const [name, values] of [...took].sort((a, b) => (a[0] < b[0] ? -1 : 1))) console.log(`${name}: ${distribution(values)}`)
  console.log(`virtual time: ${(virtualMs / 3_600_000).toFixed(1)} h; real time: ${(performance.now() / 1000).toFixed(1)} s`)
  const failed = failingSeeds.length
  console.log(JSON.stringify({ seeds: wanted.seeds, passed: wanted.seeds - failed, failed, failingSeeds }))
  return failed === 0
}

let wanted: Wanted | null = null
try {
  wanted = readFlags()
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 2
}
if (wanted !== null && !run(wanted)) process.exitCode = 1
