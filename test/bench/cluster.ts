// `npm run bench:cluster`: the cost of clustering and the reaction times of a cluster, with real processes and an emulated swarm, all on
// this machine. It prints progress to standard error, then a table with the targets; with --json the last line is one object. All
// processes are ended, also on Ctrl-C.

import { cpus, loadavg } from 'node:os'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { changes, joins } from './cluster-config.ts'
import { crashes, hangs } from './cluster-failover.ts'
import { measureMembers } from './cluster-members.ts'
import { type Figures, median, PARTS, type Part, type Progress, percentile, range, summaryText } from './cluster-parts.ts'
import { BenchReplica, type Setting, startAll } from './cluster-replicas.ts'
import { requestCosts } from './cluster-requests.ts'
import { HOST, startSwarm } from './cluster-swarm.ts'
import { clusterTable, judge, type Remarks } from './cluster-table.ts'
import { cpuMicroseconds, endAll, ownDirectory } from './processes.ts'
import { BUILT, buildSkein } from './proxies.ts'

const HELP = `npm run --silent bench:cluster -- [options]

  --json            the last line is one JSON object
  --only A,B        only these parts: ${PARTS.join(', ')}
  --runs N          at most N runs of each part
  --seconds N       at most N seconds for each measurement of CPU
  --skein FILE      the entry of Skein: by default the result of \`npm run build\`, as in the image; src/main.ts runs from sources

Without root nothing is relayed (it takes a network namespace); wrk and nginx are needed for the requests.
`

const REPLICAS = 3
const RUNS = { crash: 100, hang: 30, config: 100, join: 20, snapshot: 10, requests: 7 } as const
const SECONDS = { idle: 30, requests: 4, warmUp: 3 } as const
/** Members in one process. */
const CROWDS = [30, 100]
const SNAPSHOT_MEMBERS = 100
const SETTLE_MS = 5000

interface Options {
  readonly parts: readonly Part[]
  readonly runs: number
  readonly seconds: number
  readonly skein: string
  readonly json: boolean
}

class UsageError extends Error {}

function readOptions(args: string[]): Options | null {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parsed(() =>
    parseArgs({ args, options: { json: flag, help: flag, only: text, runs: text, seconds: text, skein: text } }),
  )
  if (values.help === true) return null
  const wanted = values.only?.split(',') ?? PARTS
  for (const name of wanted) {
    if (!PARTS.some(part => part === name)) throw new UsageError(`--only ${name}: expected some of ${PARTS.join(', ')}`)
  }
  return {
    parts: PARTS.filter(part => wanted.includes(part)),
    runs: wholeNumber('--runs', values.runs),
    seconds: wholeNumber('--seconds', values.seconds),
    skein: values.skein === undefined ? BUILT : resolve(values.skein),
    json: values.json === true,
  }
}

function parsed<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function wholeNumber(option: string, text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 10_000)
    throw new UsageError(`${option} ${text}: expected a whole number from 1 to 10000`)
  return value
}

const progress: Progress = (what, run, runs, values) => {
  process.stderr.write(`${what}: run ${run} of ${runs}: ${values.at(-1)?.toFixed(1)}\n`)
}

class Bench {
  readonly figures: Figures = {
    leaderCrashMsP99: null,
    leaderHangMsP99: null,
    configToAllMsP99: null,
    joinMs: null,
    idleCpuPercent: null,
    snapshotToAllMs: null,
    cpuUsPerRequestOff: null,
    cpuUsPerRequestOn: null,
    cpuUsPerRelayedRequest: null,
  }
  readonly remarks: Remarks = {}
  /** Relative difference between rounds of the same CPU measurement. */
  noise = 0
  private readonly options: Options
  private readonly directory: string

  constructor(options: Options, directory: string) {
    this.options = options
    this.directory = directory
  }

  /** Parts that use three replicas and one emulated swarm. */
  async withReplicas(): Promise<void> {
    const { parts } = this.options
    if (!(['crash', 'hang', 'config', 'join'] as const).some(part => parts.includes(part))) return
    const { swarm, managers } = await startSwarm()
    const setting: Setting = { directory: this.directory, skein: this.options.skein, managers }
    const replicas: BenchReplica[] = []
    try {
      while (replicas.length < REPLICAS) replicas.push(await BenchReplica.create(`r${replicas.length + 1}`, setting))
      await startAll(replicas, true, HOST)
      await this.part('config', async () => {
        const taken = await changes(replicas, swarm, this.runsOf('config'), progress)
        this.figures.configToAllMsP99 = rounded(percentile(taken, 99))
        this.remarks.configToAllMsP99 = summaryText(taken)
      })
      await this.part('join', async () => {
        let number = REPLICAS
        const create = (): Promise<BenchReplica> => BenchReplica.create(`r${++number}`, setting)
        const taken = await joins(replicas, create, this.runsOf('join'), progress)
        this.figures.joinMs = rounded(Math.max(...taken))
        this.remarks.joinMs = summaryText(taken)
      })
      await this.part('crash', async () => {
        const taken = await crashes(replicas, this.runsOf('crash'), progress)
        this.figures.leaderCrashMsP99 = rounded(percentile(taken, 99))
        this.remarks.leaderCrashMsP99 = summaryText(taken)
      })
      await this.part('hang', async () => {
        const { newLeaderMs, stepDownMs } = await hangs(replicas, this.runsOf('hang'), progress)
        this.figures.leaderHangMsP99 = rounded(percentile(newLeaderMs, 99))
        this.remarks.leaderHangMsP99 = `${summaryText(newLeaderMs)}; stepped down after SIGCONT: ${summaryText(stepDownMs)}`
      })
    } finally {
      await Promise.all(replicas.map(replica => replica.stop()))
      await swarm.close()
    }
  }

  /** Three processes with clustering and three without, at rest; and many members in one process each. */
  async idle(): Promise<void> {
    const seconds = Math.min(SECONDS.idle, this.options.seconds)
    const { swarm, managers } = await startSwarm()
    // The leader polls for all; without polls, the difference is the cost of clustering itself.
    const setting = { directory: this.directory, skein: this.options.skein, managers, more: ['--poll-rest', '1h'] }
    const replicas: BenchReplica[] = []
    const byMembers: Record<string, number> = {}
    try {
      while (replicas.length < 2 * REPLICAS) replicas.push(await BenchReplica.create(`i${replicas.length + 1}`, setting))
      const [on, off] = [replicas.slice(0, REPLICAS), replicas.slice(REPLICAS)]
      await startAll(on, true, HOST)
      await startAll(off, false, HOST)
      // Replicas that have just started have work to finish, and poll at the fast rate for some time.
      await sleep(SETTLE_MS * 3)
      const cpu = (all: readonly BenchReplica[]): number => all.reduce((sum, { pid }) => sum + cpuMicroseconds(pid), 0)
      const [onBefore, offBefore, since] = [cpu(on), cpu(off), performance.now()]
      await sleep(seconds * 1000)
      const percent = (us: number): number => us / ((performance.now() - since) * 1000) / REPLICAS
      const [withIt, without] = [percent(cpu(on) - onBefore) * 100, percent(cpu(off) - offBefore) * 100]
      byMembers[REPLICAS] = rounded(Math.max(0, withIt - without), 2)
      this.remarks.idleCpuPercent =
        `${REPLICAS}: processes, ${withIt.toFixed(2)} % with and ${without.toFixed(2)} % without, over ${seconds} s; ` +
        `${CROWDS.join(' and ')}: members in one process`
    } finally {
      await Promise.all(replicas.map(replica => replica.stop()))
      await swarm.close()
    }
    for (const members of CROWDS) {
      const [percent = 0] = await measureMembers('idle', members, seconds, this.directory)
      byMembers[members] = rounded(percent, 2)
      process.stderr.write(`idle: ${members} members: ${percent.toFixed(2)} % of a core each\n`)
    }
    this.figures.idleCpuPercent = byMembers
  }

  async snapshot(): Promise<void> {
    const taken = await measureMembers('snapshot', SNAPSHOT_MEMBERS, this.runsOf('snapshot'), this.directory)
    this.figures.snapshotToAllMs = rounded(Math.max(...taken))
    this.remarks.snapshotToAllMs = `${summaryText(taken)}; all in one process`
  }

  async requests(): Promise<void> {
    const costs = await requestCosts({
      directory: this.directory,
      skein: this.options.skein,
      rounds: this.runsOf('requests'),
      seconds: Math.min(SECONDS.requests, this.options.seconds),
      warmUpSeconds: Math.min(SECONDS.warmUp, this.options.seconds),
      progress,
    })
    const { off, on, relayed, notRelayed, errors } = costs
    if (errors > 0) throw new Error(`${errors} requests failed while their cost was measured`)
    this.figures.cpuUsPerRequestOff = rounded(median(off), 2)
    this.figures.cpuUsPerRequestOn = rounded(median(on), 2)
    this.noise = Math.max(range(off), range(on)) / median(off)
    const spread = (values: readonly number[]): string =>
      `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)} in ${values.length} rounds`
    this.remarks.cpuUsPerRequestOn = `off ${spread(off)}, on ${spread(on)}`
    if (relayed.length > 0) this.figures.cpuUsPerRelayedRequest = rounded(median(relayed), 2)
    this.remarks.cpuUsPerRelayedRequest = notRelayed === null ? spread(relayed) : `no network namespace: ${notRelayed}`
  }

  /** Runs a part if it is selected; its failure does not stop the others. */
  async part(name: Part, run: () => Promise<void>): Promise<void> {
    if (!this.options.parts.includes(name)) return
    process.stderr.write(`${name} ...\n`)
    await run().catch((error: unknown) => this.failed(name, error))
  }

  failed(name: string, error: unknown): void {
    process.stderr.write(`${name} failed: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }

  private runsOf(part: keyof typeof RUNS): number {
    return Math.min(RUNS[part], this.options.runs)
  }
}

function rounded(value: number, digits = 1): number {
  return Number(value.toFixed(digits))
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  if (options === null) {
    process.stdout.write(HELP)
    return
  }
  const directory = ownDirectory('skein-bench-cluster-')
  try {
    if (options.skein === BUILT) buildSkein()
    const cores = cpus()
    process.stdout.write(
      `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), load before the run ${loadavg()[0]?.toFixed(1)}, ` +
        `Node ${process.version}; replicas, swarm, client and servers share them\n\n`,
    )
    const bench = new Bench(options, directory)
    await bench.withReplicas().catch((error: unknown) => bench.failed('three replicas', error))
    await bench.part('idle', () => bench.idle())
    await bench.part('snapshot', () => bench.snapshot())
    await bench.part('requests', () => bench.requests())
    process.stdout.write(`${clusterTable(judge(bench.figures, bench.remarks, bench.noise))}\n`)
    if (options.json) process.stdout.write(`${JSON.stringify(bench.figures)}\n`)
  } finally {
    await endAll()
  }
}

try {
  await main()
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
