// One measurement: starts a proxy for a case, warms it up, loads it, measures it, and ends it. The figures are the proxy's CPU and memory
// (all its processes and threads), without the client and the backend.

import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../free-port.ts'
import { type Case, hostOf, IDLE_CONNECTIONS } from './cases.ts'
import { startFakeSwarm } from './fake-swarm.ts'
import { openIdle, wrk } from './load.ts'
import { cpuMicroseconds, end, rssMegabytes, type Started, tail } from './processes.ts'
import type { Contender } from './proxies.ts'

export interface Measurement {
  /** Null if there is no load (idle connections). */
  readonly cpuUsPerRequest: number | null
  readonly rps: number | null
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  /** Memory after the load, or with the idle connections open. */
  readonly rssMB: number
  /** Memory before the load, after the request that showed that the proxy was ready. */
  readonly idleRssMB: number
  readonly errors: number
}

export interface Plan {
  readonly directory: string
  readonly backendPort: number
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly skein: string
  readonly profile: string | null
}

const READY_WITHIN_MS = 30_000
const SETTLE_MS = 1500

export async function measure(proxy: Contender, shape: Case, plan: Plan): Promise<Measurement> {
  const { directory, backendPort, skein, profile } = plan
  const port = await freePort()
  const docker = await startFakeSwarm(shape, backendPort)
  const started = proxy.start({ directory, port, backendPort, shape, dockerPort: docker.port, skein, profile })
  try {
    await ready(started, port, shape)
    await sleep(SETTLE_MS / 3)
    const idleRssMB = rssMegabytes(started.pid)
    return { idleRssMB, ...(shape.load === null ? await idle(started, port) : await loaded(started, port, shape, plan)) }
  } finally {
    await end(started)
    docker.stop()
  }
}

async function loaded(started: Started, port: number, shape: Case, plan: Plan): Promise<Omit<Measurement, 'idleRssMB'>> {
  const load = shape.load!
  if (plan.warmUpSeconds > 0) await wrk(port, shape, load, plan.warmUpSeconds, plan.directory)
  const before = cpuMicroseconds(started.pid)
  const { requests, rps, p50Ms, p99Ms, errors } = await wrk(port, shape, load, plan.seconds, plan.directory)
  const used = cpuMicroseconds(started.pid) - before
  return { cpuUsPerRequest: requests === 0 ? null : used / requests, rps, p50Ms, p99Ms, errors, rssMB: rssMegabytes(started.pid) }
}

async function idle(started: Started, port: number): Promise<Omit<Measurement, 'idleRssMB'>> {
  const sockets = await openIdle(port, IDLE_CONNECTIONS)
  try {
    await sleep(SETTLE_MS)
    const errors = sockets.filter(socket => socket.destroyed || socket.readableEnded).length
    return { cpuUsPerRequest: null, rps: null, p50Ms: null, p99Ms: null, errors, rssMB: rssMegabytes(started.pid) }
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

/** Waits until the last router answers 200, since then all routers exist. */
async function ready(started: Started, port: number, shape: Case): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS
  let last = ''
  while (performance.now() < deadline) {
    if (started.child.exitCode !== null)
      throw new Error(`${started.what} ended at once (exit code ${started.child.exitCode}):\n${tail(started.logFile)}`)
    last = await status(port, hostOf(shape.services - 1))
    if (last === '200') return
    await sleep(50)
  }
  throw new Error(
    `${started.what} was not ready within ${READY_WITHIN_MS / 1000} s (last answer: ${last}):\n${tail(started.logFile)}`,
  )
}

function status(port: number, host: string): Promise<string> {
  return new Promise(resolve => {
    const outgoing = request(
      { host: '127.0.0.1', port, path: '/1k', headers: { host }, agent: false, timeout: 2000 },
      response => {
        response.resume()
        response.on('end', () => resolve(String(response.statusCode)))
        response.on('error', error => resolve(error.message))
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')))
    outgoing.on('error', error => resolve(error.message))
    outgoing.end()
  })
}

/** The median of the rounds for each field; the sum for errors. */
export function median(rounds: readonly Measurement[]): Measurement {
  return {
    cpuUsPerRequest: middle(rounds.map(one => one.cpuUsPerRequest)),
    rps: middle(rounds.map(one => one.rps)),
    p50Ms: middle(rounds.map(one => one.p50Ms)),
    p99Ms: middle(rounds.map(one => one.p99Ms)),
    rssMB: middle(rounds.map(one => one.rssMB)) ?? 0,
    idleRssMB: middle(rounds.map(one => one.idleRssMB)) ?? 0,
    errors: rounds.reduce((sum, one) => sum + one.errors, 0),
  }
}

function middle(values: readonly (number | null)[]): number | null {
  const known = values.filter(value => value !== null).sort((a, b) => a - b)
  if (known.length === 0) return null
  const half = known.length >> 1
  const value = known.length % 2 === 1 ? known[half]! : (known[half - 1]! + known[half]!) / 2
  return Math.round(value * 1000) / 1000
}
