// The lab as good as new, whatever was done to it: links up, dead engines started again, what scenarios created removed, everything running.

import { eachOf, until } from './command.ts'
import { answers } from './docker.ts'
import { rebootNode } from './engine.ts'
import { linkUp } from './network.ts'
import { MARK } from './scenarios/contract.ts'
import { waitForStack } from './stack.ts'
import { anyManager, listServices, removeService, waitForSwarm } from './swarm.ts'
import { NODES } from './topology.ts'

const STACK_MS = 120_000

/** Idempotent; takes a second or two when nothing is wrong. @throws naming what would not come back */
export async function heal(): Promise<void> {
  for (const node of NODES) await linkUp(node)
  await eachOf(NODES, NODES.length, async node => {
    if (!(await answers(node, 3000))) await rebootNode(node)
  })
  await waitForSwarm()
  await removeLeftovers()
  await waitForStack(STACK_MS)
}

/** Removes the services that scenarios created. */
async function removeLeftovers(): Promise<void> {
  await until('leftover services to be removed', 30_000, async () => {
    const left = (await anyManager(listServices)).filter(service => service.Spec.Labels?.[MARK] !== undefined)
    for (const service of left) await removeService(service.ID)
    return left.length === 0
  })
}
