// The load on the managers must not grow with the cluster: compares the Docker API calls to all managers with three replicas and with
// six. The daemons log every call at debug level, and the log is counted.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { logCalls, logFile } from '../engine.ts'
import { type LabNode, MANAGERS } from '../topology.ts'
import { ON_WORKERS, observe, PromiseBroken, type Scenario } from './contract.ts'
import { joinEdges, leaveEdges, membersEverywhere } from './edges.ts'

/** Wait before a count, because a join causes calls, and new tasks are polled more often for some time. */
const SETTLE_MS = 6000
/** The highest count that is equal to another within the tolerance: a tenth and three calls more. */
function maxEqualCalls(calls: number): number {
  return calls * 1.1 + 3
}

interface Calls {
  /** Calls in the measured time, on all managers together, without `/events`, which stays open. */
  readonly calls: number
  readonly perMinute: number
  /** The calls by method and path. */
  readonly byPath: Readonly<Record<string, number>>
  /** Event streams opened in the measured time. */
  readonly streams: number
}

function read(file: string, from: number): string {
  const descriptor = openSync(file, 'r')
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - from))
    return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, bytes.length, from))
  } finally {
    closeSync(descriptor)
  }
}

function sizeOf(file: string): number {
  const descriptor = openSync(file, 'r')
  try {
    return fstatSync(descriptor).size
  } finally {
    closeSync(descriptor)
  }
}

/** Counts the calls in a daemon's log: `Calling GET /v1.41/tasks?filters=...`; version and query are left out. */
export function callsIn(log: string): string[] {
  return [...log.matchAll(/msg="Calling ([A-Z]+) (?:\/v[\d.]+)?(\/[\w/.-]*)/g)].map(([, method, path]) => `${method} ${path}`)
}

/** Counts calls during a period, in which the lab itself must not call the managers. */
async function countCalls(managers: readonly LabNode[], ms: number): Promise<Calls> {
  const from = managers.map(manager => sizeOf(logFile(manager)))
  await observe(ms)
  const calls = managers.flatMap((manager, index) => callsIn(read(logFile(manager), from[index] ?? 0)))
  const byPath: Record<string, number> = {}
  for (const one of calls) byPath[one] = (byPath[one] ?? 0) + 1
  const streams = byPath['GET /events'] ?? 0
  const counted = calls.length - streams
  return { calls: counted, perMinute: Math.round((counted * 60_000) / ms), byPath, streams }
}

export const managerLoad: Scenario = {
  name: 'manager-load',
  promise:
    'with three replicas and with six the Docker API calls per minute on all managers together are the same, within ' +
    'the event streams; no request fails',
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: false,
  async harm(scene) {
    const ms = scene.short ? 12_000 : 60_000
    for (const manager of MANAGERS) logCalls(manager, true)
    try {
      await observe(SETTLE_MS)
      const three = await countCalls(MANAGERS, ms)
      await joinEdges(scene, MANAGERS)
      await membersEverywhere(MANAGERS)
      await observe(SETTLE_MS)
      const six = await countCalls(MANAGERS, ms)
      const figures = { callsPerMinute: { three: three.perMinute, six: six.perMinute }, three, six }
      if (three.calls === 0) throw new PromiseBroken('no call was counted', figures)
      if (six.calls > maxEqualCalls(three.calls)) throw new PromiseBroken('six replicas cause more calls than three', figures)
      return figures
    } finally {
      for (const manager of MANAGERS) logCalls(manager, false)
      await leaveEdges(MANAGERS)
    }
  },
}
