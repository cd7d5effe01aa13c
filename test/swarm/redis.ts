// Redis in the lab, and its state as the replicas report it.

import type { StateReport } from '../../src/admin/admin-source.ts'
import { until } from '../until.ts'
import { containersOf, fetchAdmin, REDIS } from './stack.ts'
import { anyManager, inspectService, listServices, updateService, waitForTasks } from './swarm.ts'
import { EDGES, type LabNode, NODES } from './topology.ts'

const UP_MS = 60_000

export function stateOf(edge: LabNode): Promise<StateReport> {
  return fetchAdmin<StateReport>(edge, '/api/state')
}

/** The id of the service. @throws if it is not deployed */
async function redisService(): Promise<string> {
  const found = (await anyManager(listServices)).find(({ Spec }) => Spec.Name === REDIS)
  if (found === undefined) throw new Error(`${REDIS} is not deployed: --store redis`)
  return found.ID
}

/** Sets the number of Redis tasks, 0 or 1; resolves once the API has answered. Sends nothing if the number is unchanged. */
export async function scaleRedis(replicas: 0 | 1): Promise<void> {
  const id = await redisService()
  const { Spec } = await inspectService(id)
  if (Spec.Mode.Replicated?.Replicas === replicas) return
  await updateService(id, spec => ({ ...spec, Mode: { Replicated: { Replicas: replicas } } }))
}

/** Kills Redis (SIGKILL) on its node; resolves with the time (ms since the epoch). */
export async function killRedis(): Promise<number> {
  const found = (await Promise.all(NODES.map(node => containersOf(node, REDIS)))).flat()
  if (found.length === 0) throw new Error('Redis does not run')
  for (const { pid } of found) process.kill(pid, 'SIGKILL')
  return Date.now()
}

/** Waits until Redis runs and every replica reports it as up. */
export async function waitForRedis(): Promise<void> {
  await waitForTasks(await redisService(), 1, UP_MS)
  await waitForState('up')
}

/** Waits until every replica reports this state of Redis. */
export async function waitForState(wanted: 'up' | 'away'): Promise<void> {
  await until(
    `Redis to be ${wanted} for all replicas`,
    async () => {
      for (const edge of EDGES) {
        const { redis } = (await stateOf(edge)).store
        if (redis === null) throw new Error(`${edge.name} has no Redis`)
        if (redis.state !== wanted) throw new Error(`${edge.name}: Redis is ${redis.state} (${redis.reason})`)
      }
      return true
    },
    UP_MS,
    { everyMs: 100 },
  )
}
