// A node loses its link silently, a node is drained, a replica is restarted in good order.

import { until } from '../../until.ts'
import { call } from '../docker.ts'
import { linkDown } from '../network.ts'
import { containerOn, REPLICA } from '../stack.ts'
import { anyManager, listNodes, setAvailability, tasksOf, waitForTasks } from '../swarm.ts'
import { type LabNode, nodeNamed } from '../topology.ts'
import { edgesBut, LOADED, ON_WORKERS, observe, routedThrough, type Scenario, type Scene } from './contract.ts'

const VANISHING = nodeNamed('e3')

export const vanishWorker: Scenario = {
  name: 'vanish-worker',
  promise:
    'a node with tasks loses its link (nothing is refused or reset, packets are lost); no GET through the other edges fails',
  backend: { replicas: 6, constraints: ON_WORKERS },
  posts: false,
  edges: () => edgesBut(VANISHING),
  async harm(scene) {
    const started = performance.now()
    await linkDown(VANISHING)
    // Swarm declares the node down after about 11 s, then starts replacements elsewhere. If the link came back shortly before, Swarm might
    // still replace the node's tasks, including the edge's, during the next scenario.
    await until(
      'tasks to be replaced',
      async () => {
        const tasks = await tasksOf(scene.serviceId)
        const running = tasks.filter(task => task.DesiredState === 'running' && task.Status.State === 'running')
        return tasks.some(task => task.DesiredState === 'shutdown') && running.length === 6
      },
      60_000,
      { everyMs: 100 },
    )
    const replacedMs = Math.round(performance.now() - started)
    await observe(5000)
    return { replacedMs }
  },
}

const DRAINED = 'm3'

export const drainNode: Scenario = {
  name: 'drain-node',
  promise: 'a node is drained: its tasks, including the agent, move or end; GET and POST, none fails',
  backend: { replicas: 6 },
  posts: true,
  async harm(scene) {
    const node = await anyManager(async manager =>
      (await listNodes(manager)).find(({ Description }) => Description.Hostname === DRAINED),
    )
    const tasksThere = async () =>
      (await tasksOf(scene.serviceId)).filter(task => task.NodeID === node?.ID && task.Status.State === 'running')
    const moved = (await tasksThere()).length
    if (moved === 0) throw new Error(`no task of the service runs on ${DRAINED}, so none can move`)
    const started = performance.now()
    await setAvailability(DRAINED, 'drain')
    await until(`${DRAINED} to be empty`, async () => (await tasksThere()).length === 0, 60_000, { everyMs: 100 })
    await waitForTasks(scene.serviceId, 6, 60_000)
    const movedMs = Math.round(performance.now() - started)
    await observe(2000)
    await setAvailability(DRAINED, 'active')
    return { moved, movedMs }
  },
}

/** Sends SIGTERM to a replica; resolves when Swarm has started another one and it serves. */
async function restartReplica(scene: Scene, edge: LabNode): Promise<number> {
  const started = performance.now()
  const before = await containerOn(edge, REPLICA)
  await call(edge, 'POST', `/containers/${before.id}/kill?signal=TERM`)
  await until(
    `the replica on ${edge.name} to be replaced`,
    async () => (await containerOn(edge, REPLICA)).id !== before.id,
    60_000,
    { everyMs: 100 },
  )
  await routedThrough(scene.outside, LOADED, [edge])
  return Math.round(performance.now() - started)
}

export const restartEdge: Scenario = {
  name: 'restart-edge',
  promise:
    'a replica gets SIGTERM: it finishes its requests and accepts no more; GET and POST, none fails but for ' +
    'connections refused unsent',
  backend: { replicas: 4 },
  posts: true,
  partOf: 'roll-edges',
  leaving: () => [nodeNamed('e1'), nodeNamed('e2')],
  async harm(scene) {
    const restartedMs = [await restartReplica(scene, nodeNamed('e1'))]
    if (!scene.short) restartedMs.push(await restartReplica(scene, nodeNamed('e2')))
    return { restartedMs }
  },
}
