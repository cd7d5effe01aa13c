// Nodes and replicas go: one loses its link without a word, one replica is restarted in good order.

import { until } from '../command.ts'
import { call } from '../docker.ts'
import { linkDown } from '../network.ts'
import { containerOn, REPLICA } from '../stack.ts'
import { tasksOf } from '../swarm.ts'
import { type LabNode, nodeNamed } from '../topology.ts'
import { edgesBut, LOADED, ON_WORKERS, observe, routedThrough, type Scenario, type Scene } from './contract.ts'

const VANISHING = 'e3'

export const vanishWorker: Scenario = {
  name: 'vanish-worker',
  promise:
    'a node with tasks loses its link (nothing is refused or reset, packets are lost); no GET through the other edges fails',
  backend: { replicas: 6, constraints: ON_WORKERS },
  posts: false,
  edges: edgesBut(VANISHING),
  async harm(scene) {
    const started = performance.now()
    await linkDown(nodeNamed(VANISHING))
    if (scene.short) {
      await observe(8000)
      return {}
    }
    // Swarm takes some 11 s to believe it, then starts replacements elsewhere
    await until('tasks to be replaced', 60_000, async () => {
      const tasks = await tasksOf(scene.serviceId)
      const running = tasks.filter(task => task.DesiredState === 'running' && task.Status.State === 'running')
      return tasks.some(task => task.DesiredState === 'shutdown') && running.length === 6
    })
    const replacedMs = Math.round(performance.now() - started)
    await observe(5000)
    return { replacedMs }
  },
}

/** SIGTERM to a replica; resolves when Swarm has started another and it serves. */
async function restartReplica(scene: Scene, edge: LabNode): Promise<number> {
  const started = performance.now()
  const before = await containerOn(edge, REPLICA)
  await call(edge, 'POST', `/containers/${before.id}/kill?signal=TERM`)
  await until(
    `the replica on ${edge.name} to be replaced`,
    60_000,
    async () => (await containerOn(edge, REPLICA)).id !== before.id,
  )
  await routedThrough(scene.outside, LOADED, [edge])
  return Math.round(performance.now() - started)
}

export const restartEdge: Scenario = {
  name: 'restart-edge',
  promise:
    'a replica gets SIGTERM: it answers what it was sent and takes no more; GET and POST, none fails but for connections refused unsent',
  backend: { replicas: 4 },
  posts: true,
  leaving: ['e1', 'e2'],
  async harm(scene) {
    const restartedMs = [await restartReplica(scene, nodeNamed('e1'))]
    if (!scene.short) restartedMs.push(await restartReplica(scene, nodeNamed('e2')))
    return { restartedMs }
  },
}
