// Measures how fast the cluster follows the swarm, and how fast a replica joins it. A change is a task that begins to run, or one that
// is retired. Its time counts from its appearance in the swarm's API until requests through every replica show that the replica routes
// by it.

import { setTimeout as sleep } from 'node:timers/promises'
import type { EmulatedSwarm } from '../../src/emulator/swarm.ts'
import { until } from '../until.ts'
import type { Progress } from './cluster-parts.ts'
import { type BenchReplica, settled } from './cluster-replicas.ts'
import { HOST, SERVICE } from './cluster-swarm.ts'

const WITHIN_MS = 15_000
/** Time in ms between an answer and the next request through the same replica. */
const PAUSE_MS = 4
/** Maximum random delay in ms, so that changes are spread over the interval between two polls. */
const SPREAD_MS = 500
const SETTLE_MS = 3500

/** Milliseconds from a change in the API until every replica routes by it, one value for each run. */
export async function changes(
  replicas: readonly BenchReplica[],
  swarm: EmulatedSwarm,
  runs: number,
  progress: Progress,
): Promise<number[]> {
  const taken: number[] = []
  for (let run = 0; run < runs; run++) {
    await sleep(Math.random() * SPREAD_MS)
    taken.push(run % 2 === 0 ? await grow(replicas, swarm) : await shrink(replicas, swarm))
    progress('configuration to all', run + 1, runs, taken)
  }
  // Waits until the last retired task has ended, before other measurements.
  if (runs > 0) await sleep(SETTLE_MS)
  return taken
}

/** Adds a task; measures from `running` in the API to its first answer through each replica. */
async function grow(replicas: readonly BenchReplica[], swarm: EmulatedSwarm): Promise<number> {
  const before = new Set(swarm.tasks(SERVICE).map(task => task.ID))
  swarm.scale(SERVICE, before.size + 1)
  const isNew = (id: string): boolean => id !== '' && !before.has(id)
  const since = shown(swarm, tasks => tasks.some(task => isNew(task.ID) && task.Status.State === 'running'))
  const seen = await Promise.all(replicas.map(replica => firstAnswer(replica, isNew)))
  return Math.max(...seen) - (await since)
}

/**
 * Removes a task; measures from its desired state leaving `running` until each replica has removed it: none of three consecutive
 * answers is from this task.
 */
async function shrink(replicas: readonly BenchReplica[], swarm: EmulatedSwarm): Promise<number> {
  const before = swarm.tasks(SERVICE).map(task => task.ID)
  swarm.scale(SERVICE, before.length - 1)
  const since = await shown(swarm, tasks => tasks.length < before.length)
  const left = new Set(swarm.tasks(SERVICE).map(task => task.ID))
  const seen = await Promise.all(replicas.map(replica => lastAnswer(replica, id => !left.has(id))))
  return Math.max(...seen) - since
}

/** Resolves with the time (performance.now()) at which the swarm's state shows the change; polls every millisecond. */
function shown(swarm: EmulatedSwarm, holds: (tasks: ReturnType<EmulatedSwarm['tasks']>) => boolean): Promise<number> {
  const deadline = performance.now() + WITHIN_MS
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const now = performance.now()
      if (holds(swarm.tasks(SERVICE))) resolve(now)
      else if (now > deadline) reject(new Error(`the emulated swarm did not change within ${WITHIN_MS / 1000} s`))
      else setTimeout(look, 1)
    }
    look()
  })
}

async function firstAnswer(replica: BenchReplica, fits: (task: string) => boolean): Promise<number> {
  const deadline = performance.now() + WITHIN_MS
  while (performance.now() < deadline) {
    const { task } = await replica.get(HOST)
    if (fits(task)) return performance.now()
    await sleep(PAUSE_MS)
  }
  throw new Error(`${replica.name} did not route to the new task within ${WITHIN_MS / 1000} s\n${replica.logTail()}`)
}

/** Tasks answer in turn, so two consecutive answers of other tasks show that the task is removed; a third confirms it. */
async function lastAnswer(replica: BenchReplica, fits: (task: string) => boolean): Promise<number> {
  const deadline = performance.now() + WITHIN_MS
  let others: number[] = []
  while (performance.now() < deadline) {
    const { status, task } = await replica.get(HOST)
    if (status !== 200 || fits(task)) others = []
    else others.push(performance.now())
    const [, second, third] = others
    if (second !== undefined && third !== undefined) return second
    await sleep(PAUSE_MS)
  }
  throw new Error(`${replica.name} still routes to the task that left after ${WITHIN_MS / 1000} s\n${replica.logTail()}`)
}

/** Milliseconds from the start of a process that joins `running` to its first 200, one value for each run. It leaves after each run. */
export async function joins(
  running: readonly BenchReplica[],
  create: () => Promise<BenchReplica>,
  runs: number,
  progress: Progress,
): Promise<number[]> {
  const taken: number[] = []
  for (let run = 0; run < runs; run++) {
    const replica = await create()
    replica.peers = running.map(({ place, gossip }) => `${place.reach}:${gossip}`)
    const since = performance.now()
    replica.start()
    await until(`${replica.name} serves`, async () => (await replica.get(HOST)).status === 200, WITHIN_MS, { everyMs: PAUSE_MS })
    taken.push(performance.now() - since)
    await settled([...running, replica])
    await replica.stop()
    await settled(running)
    progress('join', run + 1, runs, taken)
  }
  return taken
}
