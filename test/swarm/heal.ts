// Restores the lab after any fault: links are up, engines run, nodes are active, services of scenarios are removed, and the stack
// runs everywhere.

import { until } from '../until.ts'
import { waitForCluster } from './cluster.ts'
import { eachOf } from './command.ts'
import { answers } from './docker.ts'
import { rebootNode } from './engine.ts'
import { processesOf } from './groups.ts'
import { linkUp, reconnect } from './network.ts'
import { removeMarkedNetworks } from './networks.ts'
import { scaleRedis, waitForRedis } from './redis.ts'
import { MARK } from './scenarios/contract.ts'
import { deployedStore, stackTrouble } from './stack.ts'
import { anyManager, labelEdges, listServices, nudgeNodes, removeService, setAvailability, waitForSwarm } from './swarm.ts'
import { type LabNode, NODES } from './topology.ts'
import { step } from './up.ts'

const STACK_MS = 150_000
const NUDGE_AFTER_MS = 4000

/** Idempotent; takes one to two seconds if nothing is wrong. @throws with the part that cannot be restored */
export async function heal(): Promise<void> {
  for (const node of NODES) {
    await linkUp(node)
    await reconnect(node)
    wake(node)
  }
  const dead: LabNode[] = []
  for (const node of NODES) if (!(await answers(node, 3000))) dead.push(node)
  if (dead.length > 0)
    await step(`started again: ${dead.map(node => node.name).join(', ')}`, () => eachOf(dead, dead.length, rebootNode))
  await step('swarm whole', waitForSwarm)
  for (const node of NODES) await setAvailability(node.name, 'active')
  await labelEdges()
  if (deployedStore() === 'redis') await scaleRedis(1)
  await removeLeftovers()
  await removeMarkedNetworks()
  await step('stack whole', healStack)
  await step('cluster whole', waitForCluster)
  if (deployedStore() === 'redis') await step('Redis up', waitForRedis)
}

/** Sends SIGCONT to all processes that a scenario stopped. */
function wake(node: LabNode): void {
  for (const pid of processesOf(node.name)) {
    try {
      process.kill(pid, 'SIGCONT')
    } catch {
      // The process has ended meanwhile.
    }
  }
}

/**
 * Swarm sometimes does not start a global service's task on a node that came back while its managers changed. Any change of a node
 * makes it check again (swarmkit, orchestrator/global).
 */
export async function healStack(): Promise<void> {
  let missingSince: number | null = null
  await until(
    'the stack to be whole',
    async () => {
      const trouble = await stackTrouble()
      if (trouble === null) return true
      missingSince = trouble.missing ? (missingSince ?? performance.now()) : null
      if (missingSince !== null && performance.now() - missingSince > NUDGE_AFTER_MS) {
        missingSince = null
        console.error(`lab: ${trouble.what}; nodes nudged`)
        await nudgeNodes()
      }
      throw new Error(trouble.what)
    },
    STACK_MS,
    { everyMs: 250 },
  )
}

/** Removes services that scenarios created. */
async function removeLeftovers(): Promise<void> {
  await until(
    'leftover services to be removed',
    async () => {
      const left = (await anyManager(listServices)).filter(service => service.Spec.Labels?.[MARK] !== undefined)
      for (const service of left) await removeService(service.ID)
      return left.length === 0
    },
    30_000,
    { everyMs: 100 },
  )
}
