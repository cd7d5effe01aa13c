// `npm run bench:state`: the cost of shared state (CPU per request, memory, gossip) and the time in which it spreads, with real processes
// on this machine. It prints progress to standard error, then a table with the targets; with --json the last line is one object. All
// processes are ended, also on Ctrl-C.

import { cpus, loadavg } from 'node:os'
import { median, summaryText } from './cluster-parts.ts'
import { clusterTable } from './cluster-table.ts'
import { knownAfter, type Sample } from './known-after.ts'
import { intervalText } from './paired.ts'
import { end, endAll, ownDirectory } from './processes.ts'
import { BUILT, buildSkein } from './proxies.ts'
import { hasRedis, startRedis } from './redis-server.ts'
import { startSessionCluster } from './state-cluster.ts'
import { gossipCost, SPREAD_RATE, spreadSamples } from './state-flow.ts'
import { measureMemory } from './state-memory.ts'
import { newcomers } from './state-newcomer.ts'
import { type Figures, HELP, NOTHING, type Part, readOptions, type StateOptions, UsageError } from './state-parts.ts'
import { pathCosts } from './state-path.ts'
import { FEATURES, type Feature, requestCosts } from './state-requests.ts'
import { judge, type Remarks } from './state-table.ts'
import type { Place } from './state-world.ts'

const FLOW_SECONDS = 10
const GOSSIP_SECONDS = 6
const LOAD_SECONDS = 1
const NEWCOMERS = 3
/** Maximum ages in ms at which sessions are requested; the next one is used if the previous one is too short. */
const HORIZONS_MS = { gossip: [250, 2000], redis: [100, 1000] } as const
const KNOWN_SHARE = 0.99

const FIGURE_OF = { cookie: 'stickyCookieUs', learn: 'stickyLearnUs', breaker: 'breakerUs' } as const satisfies Record<
  Feature,
  keyof Figures
>

class Bench {
  readonly figures: Figures = { ...NOTHING }
  readonly remarks: Remarks = {}
  private readonly options: StateOptions
  private readonly place: Place

  constructor(options: StateOptions, place: Place) {
    this.options = options
    this.place = place
  }

  async requests(): Promise<void> {
    const { options } = this
    const features = FEATURES.filter(feature => options.parts.includes(feature))
    const path = pathCosts()
    progress(`in the code alone, ns: ${features.map(feature => `${feature} ${path[feature].toFixed(0)}`).join(', ')}`)
    const { added, nothing, plain } = await requestCosts({
      ...this.place,
      features,
      rounds: options.rounds,
      seconds: options.seconds ?? LOAD_SECONDS,
      profile: options.profile,
      progress,
    })
    for (const feature of features) {
      const more = added[feature]
      if (more === undefined) continue
      this.figures[FIGURE_OF[feature]] = rounded(more.median, 2)
      this.remarks[FIGURE_OF[feature]] =
        `${intervalText(more)} in ${more.rounds} rounds, a request without it costs ${median(plain).toFixed(1)}; ` +
        `two services without it differ by: ${intervalText(nothing)}; in the code alone, without sockets: ` +
        (path[feature] / 1000).toFixed(2)
    }
  }

  async memory(): Promise<void> {
    const { perWorker, resident, control, sessions } = await measureMemory(this.place)
    this.figures.memoryBytesPerSession = rounded(perWorker)
    this.remarks.memoryBytesPerSession =
      `a data worker's heap and buffers, ${sessions.toLocaleString('en-US')} sessions; the process's resident memory grew by ` +
      `${resident.toFixed(0)} per session and worker; the control thread's store uses ${control.toFixed(0)}`
  }

  async gossip(): Promise<void> {
    const cluster = await startSessionCluster(this.place, 'gossip')
    try {
      const seconds = this.options.seconds ?? GOSSIP_SECONDS
      const { once, twice, sessions, perSecond, atRest } = await gossipCost(cluster.replicas, seconds)
      const each = (bytes: readonly number[]): number => sum(bytes) / bytes.length / sessions
      this.figures.gossipBytesPerSession = rounded(Math.max(each(once), each(twice)))
      this.remarks.gossipBytesPerSession =
        `${each(once).toFixed(0)} for sessions with one request, ${each(twice).toFixed(0)} for those with two; three times that by all ` +
        'replicas together; ' +
        `${sessions.toLocaleString('en-US')} of each at ${perSecond.toFixed(0)} a second; at rest ${median(atRest).toFixed(0)} bytes ` +
        'a second each, subtracted'
    } finally {
      await cluster.stop()
    }
  }

  async spread(store: 'gossip' | 'redis'): Promise<void> {
    const key = store === 'gossip' ? 'sessionToAllMsP99Gossip' : 'sessionToAllMsP99Redis'
    if (store === 'redis' && !hasRedis()) {
      this.remarks[key] = 'redis-server is not installed'
      return
    }
    const redis = store === 'redis' ? await startRedis(this.place.directory) : null
    const more = redis === null ? [] : ['--store', 'redis', '--redis-url', `redis://127.0.0.1:${redis.port}`]
    const cluster = await startSessionCluster(this.place, `${store}-spread`, more)
    try {
      let samples: Sample[] = []
      let after: number | null = null
      for (const horizon of HORIZONS_MS[store]) {
        samples = await spreadSamples(cluster.replicas, this.options.seconds ?? FLOW_SECONDS, horizon)
        after = knownAfter(samples, KNOWN_SHARE)
        progress(
          `spread, ${store}: known on all replicas ${after === null ? `not within ${horizon}` : `after ${after.toFixed(0)}`} ms`,
        )
        if (after !== null) break
      }
      if (after === null)
        throw new Error(`${samples.filter(({ known }) => !known).length} of ${samples.length} sessions were not known`)
      this.figures[key] = rounded(after)
      this.remarks[key] =
        `half of them known after ${knownAfter(samples, 0.5)?.toFixed(0)} ms; ${samples.length.toLocaleString('en-US')} sessions at ` +
        `${SPREAD_RATE} a second, each requested once`
    } finally {
      await cluster.stop()
      if (redis !== null) await end(redis.started)
    }
  }

  async newcomer(): Promise<void> {
    const cluster = await startSessionCluster(this.place, 'old')
    try {
      const joins = await newcomers(cluster, this.place.directory, NEWCOMERS, progress)
      this.figures.newcomerPullMs = rounded(Math.max(...joins.map(({ storeMs }) => storeMs)))
      const [sent, astray] = [sum(joins.map(one => one.sent)), sum(joins.map(one => one.astray))]
      this.remarks.newcomerPullMs =
        `${summaryText(joins.map(({ storeMs }) => storeMs))}; from the start of its process ${summaryText(joins.map(one => one.startToStoreMs))}; ` +
        `first answer to a client ${summaryText(joins.map(({ answersMs }) => answersMs))} after its join; of ${sent} requests of known ` +
        `sessions from then on ${astray} went to another server`
    } finally {
      await cluster.stop()
    }
  }

  /** Runs a part if one of `parts` is selected; its failure does not stop the others. */
  async part(parts: readonly Part[], run: () => Promise<void>): Promise<void> {
    const wanted = parts.filter(part => this.options.parts.includes(part))
    if (wanted.length === 0) return
    progress(`${wanted.join(', ')} ...`)
    try {
      await run()
    } catch (error) {
      progress(`${wanted.join(', ')} failed: ${error instanceof Error ? error.message : String(error)}`)
      process.exitCode = 1
    }
  }
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

function rounded(value: number, digits = 1): number {
  return Number(value.toFixed(digits))
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0)
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  if (options === null) {
    process.stdout.write(HELP)
    return
  }
  const directory = ownDirectory('skein-bench-state-')
  try {
    if (options.skein === null) buildSkein()
    const cores = cpus()
    process.stdout.write(
      `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), load before the run ${loadavg()[0]?.toFixed(1)}, ` +
        `Node ${process.version}; replicas, client and servers share them\n\n`,
    )
    const bench = new Bench(options, { directory, skein: options.skein ?? BUILT })
    await bench.part(FEATURES, () => bench.requests())
    await bench.part(['memory'], () => bench.memory())
    await bench.part(['gossip'], () => bench.gossip())
    await bench.part(['spread'], () => bench.spread('gossip'))
    await bench.part(['spread'], () => bench.spread('redis'))
    await bench.part(['newcomer'], () => bench.newcomer())
    process.stdout.write(`${clusterTable(judge(bench.figures, bench.remarks))}\n`)
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
