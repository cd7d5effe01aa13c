// `npm run bench`: compares Skein with one data worker with nginx, HAProxy, Caddy and Traefik (those that are installed), which do the
// same job one after another, in rounds. It prints tables; with --json the last line is one object. All processes are ended, also on
// Ctrl-C.

import { mkdirSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePort } from '../free-port.ts'
import { CASES, type Case } from './cases.ts'
import { type Measurement, measure, median, type Plan } from './measure.ts'
import { startBackend } from './nginx.ts'
import { endAll, ownDirectory } from './processes.ts'
import { BUILT, buildSkein, type Contender, isInstalled, PROXIES, version } from './proxies.ts'
import { caseTable, type Results } from './table.ts'

const HELP = `npm run --silent bench -- [options]

  --json            the last line is one JSON object
  --case NAME       only this case; may be repeated: ${CASES.map(one => one.name).join(', ')}
  --only A,B        only these proxies: ${PROXIES.map(one => one.name).join(', ')}
  --rounds N        measurements of each, of which the median counts (3)
  --seconds N       length of one measurement (4)
  --warm-up N       seconds of load before it (2)
  --skein FILE      the entry of Skein: by default the result of \`npm run build\`, as in the image; src/main.ts runs from sources
  --profile DIR     write CPU profiles of Skein (.cpuprofile) to DIR; numbers are then too high
`

interface Options {
  readonly cases: readonly Case[]
  readonly proxies: readonly Contender[]
  readonly rounds: number
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly skein: string
  readonly profile: string | null
  readonly json: boolean
}

class UsageError extends Error {}

function readOptions(args: string[]): Options | null {
  const { values } = parse(args)
  if (values.help === true) return null
  const proxies = choose('--only', PROXIES, values.only?.split(','))
  const profile = values.profile === undefined ? null : resolve(values.profile)
  return {
    cases: choose('--case', CASES, values.case),
    proxies: proxies.filter(isInstalled),
    rounds: wholeNumber('--rounds', values.rounds ?? '3', 1),
    seconds: wholeNumber('--seconds', values.seconds ?? '4', 1),
    warmUpSeconds: wholeNumber('--warm-up', values['warm-up'] ?? '2', 0),
    skein: values.skein === undefined ? BUILT : resolve(values.skein),
    profile,
    json: values.json === true,
  }
}

function parse(args: string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      args,
      options: {
        json: flag,
        help: flag,
        case: { ...text, multiple: true },
        only: text,
        rounds: text,
        seconds: text,
        'warm-up': text,
        profile: text,
        skein: text,
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function choose<T extends { readonly name: string }>(
  option: string,
  all: readonly T[],
  names: readonly string[] | undefined,
): readonly T[] {
  if (names === undefined) return all
  for (const name of names) {
    if (!all.some(one => one.name === name))
      throw new UsageError(`${option} ${name}: expected one of ${all.map(one => one.name).join(', ')}`)
  }
  return all.filter(one => names.includes(one.name))
}

function wholeNumber(option: string, text: string, least: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < least || value > 3600)
    throw new UsageError(`${option} ${text}: expected a whole number from ${least} to 3600`)
  return value
}

async function bench(options: Options, directory: string): Promise<Results> {
  const { cases, proxies, rounds, seconds, warmUpSeconds, skein, profile } = options
  if (profile !== null) mkdirSync(profile, { recursive: true })
  if (skein === BUILT && proxies.some(proxy => proxy.name === 'skein')) buildSkein()
  const backendPort = await freePort()
  const backend = startBackend(directory, backendPort)
  await sleep(300)
  if (backend.child.exitCode !== null) throw new Error(`the backend (nginx) did not start; see ${backend.logFile}`)
  const plan: Plan = { directory, backendPort, seconds, warmUpSeconds, skein, profile }
  const all = new Map<string, Measurement[]>()
  const failed: string[] = []
  for (let round = 1; round <= rounds; round++) {
    for (const shape of cases) {
      for (const proxy of proxies) {
        const key = `${shape.name}\0${proxy.name}`
        process.stderr.write(`round ${round} of ${rounds}: ${shape.name}, ${proxy.name} ... `)
        try {
          const one = await measure(proxy, shape, plan)
          all.set(key, [...(all.get(key) ?? []), one])
          process.stderr.write(`${one.cpuUsPerRequest?.toFixed(1) ?? '-'} us/request, ${one.rssMB.toFixed(0)} MB\n`)
        } catch (error) {
          failed.push(`${shape.name}, ${proxy.name}: ${error instanceof Error ? error.message : String(error)}`)
          process.stderr.write('failed\n')
        }
      }
    }
  }
  for (const text of failed) process.stderr.write(`${text}\n`)
  if (failed.length > 0) process.exitCode = 1
  const results: Results = {}
  for (const { name } of cases) {
    const byProxy: Record<string, Measurement> = {}
    for (const proxy of proxies) {
      const list = all.get(`${name}\0${proxy.name}`)
      if (list !== undefined) byProxy[proxy.name] = median(list)
    }
    results[name] = byProxy
  }
  return results
}

function describeRun({ proxies, rounds, seconds, warmUpSeconds }: Options): string {
  const cores = cpus()
  return [
    `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), load before the run ${loadavg()[0]?.toFixed(1)}, Node ${process.version}`,
    `${rounds} round(s) of ${seconds} s after ${warmUpSeconds} s of warm-up, each proxy freshly started; median. No process is pinned to a core:`,
    'client (wrk, 1 thread), proxy and backend (nginx, 1 worker) share them. CPU is the proxy alone, user and system, all its processes.',
    ...proxies.map(proxy => `- ${proxy.name}: ${version(proxy)}`),
    '',
  ].join('\n')
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  if (options === null) {
    process.stdout.write(HELP)
    return
  }
  const directory = ownDirectory('skein-bench-')
  try {
    process.stdout.write(`${describeRun(options)}\n`)
    const results = await bench(options, directory)
    for (const shape of options.cases) process.stdout.write(`${caseTable(shape, results[shape.name] ?? {})}\n`)
    if (options.json) process.stdout.write(`${JSON.stringify({ cases: results })}\n`)
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
