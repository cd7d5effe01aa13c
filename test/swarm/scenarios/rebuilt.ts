// The swarm itself is rebuilt while the edges serve: it loses its quorum permanently and is recreated from one manager, a node is
// removed by force while its containers keep running, every Docker daemon is restarted.

import { until } from '../../until.ts'
import { eachOf } from '../command.ts'
import { call } from '../docker.ts'
import { endEngine, killEngine, killNode, rebootNode, startEngine, waitForEngine } from '../engine.ts'
import { healStack } from '../heal.ts'
import { anyManager, leadingManager, listNodes, rejoin, removeNode, rollService, waitForSwarm, waitForUpdate } from '../swarm.ts'
import { EDGES, type LabNode, MANAGERS, NODES, nodeNamed } from '../topology.ts'
import { deployAndRoute, type Figures, LOADED, ON_WORKERS, observe, routedThrough, type Scenario } from './contract.ts'

const SETTLE_MS = 120_000
const [SURVIVOR, ...LOST] = MANAGERS as [LabNode, ...LabNode[]]

/** Lets nodes that the swarm no longer contains join it again in their roles. */
async function takeBack(nodes: readonly LabNode[]): Promise<void> {
  for (const node of nodes) {
    await rebootNode(node)
    await rejoin(node, SURVIVOR)
  }
  await waitForSwarm()
}

export const newQuorum: Scenario = {
  name: 'new-quorum',
  promise:
    'two of three managers are lost permanently, and the swarm is recreated from the third (--force-new-cluster): no request fails, ' +
    'and a service deployed then is routed (routeReadyMs)',
  onlyInAll: true,
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: true,
  async tearDown() {
    const nodes = await anyManager(listNodes, [SURVIVOR])
    const known = nodes.filter(node => node.Status.State === 'ready').map(node => node.Description.Hostname)
    await takeBack(LOST.filter(node => !known.includes(node.name)))
  },
  async harm(scene): Promise<Figures> {
    await eachOf(LOST, LOST.length, killNode)
    await observe(scene.short ? 4000 : 20_000)
    const started = performance.now()
    const address = { ListenAddr: '0.0.0.0:2377', AdvertiseAddr: SURVIVOR.address }
    await call(SURVIVOR, 'POST', '/swarm/init', { ...address, ForceNewCluster: true }, 60_000)
    await until('the new swarm to answer', async () => (await listNodes(SURVIVOR)).length > 0, 60_000, { everyMs: 250 })
    const remadeMs = Math.round(performance.now() - started)
    for (const node of LOST) await removeNode(node, [SURVIVOR])
    const routed = await deployAndRoute(scene, 'chaos-new', [SURVIVOR])
    await observe(3000)
    return { lost: LOST.map(node => node.name), remadeMs, ...routed }
  },
}

const REMOVED = nodeNamed('e2')

export const removeNodeByForce: Scenario = {
  name: 'remove-node',
  promise:
    "an edge's node loses its daemon and is removed from the swarm by force; its containers, including the replica, keep running and " +
    'get their share of the load; then the service is rolled; no GET fails',
  onlyInAll: true,
  backend: { replicas: 6, constraints: ON_WORKERS, order: 'start-first' },
  posts: false,
  tearDown: () => takeBack([REMOVED]),
  async harm(scene): Promise<Figures> {
    killEngine(REMOVED)
    await until(
      'the node to be down',
      async () =>
        (await anyManager(listNodes)).some(
          ({ Description, Status }) => Description.Hostname === REMOVED.name && Status.State === 'down',
        ),
      60_000,
      { everyMs: 100 },
    )
    const started = performance.now()
    await removeNode(REMOVED)
    await observe(2000)
    await rollService(scene.serviceId)
    await waitForUpdate(scene.serviceId, SETTLE_MS)
    const rolledMs = Math.round(performance.now() - started)
    await observe(scene.short ? 4000 : 15_000)
    return { removed: REMOVED.name, rolledMs }
  },
}

export const restartDaemons: Scenario = {
  name: 'restart-daemons',
  promise:
    'every Docker daemon is restarted, node by node, with all that runs on the node: no GET fails but for connections refused unsent',
  onlyInAll: true,
  backend: { replicas: 6, constraints: ON_WORKERS },
  posts: false,
  leaving: () => EDGES,
  async harm(scene): Promise<Figures> {
    const restartedMs: Record<string, number> = {}
    const leading = await leadingManager()
    // In the short form only a node with the service and a replica, and the leading manager.
    const nodes = scene.short ? [nodeNamed('e1'), leading] : [...EDGES, ...MANAGERS.filter(node => node !== leading), leading]
    for (const node of nodes) {
      const started = performance.now()
      await endEngine(node)
      startEngine(node)
      await waitForEngine(node)
      await waitForSwarm()
      await healStack()
      if (EDGES.includes(node)) await routedThrough(scene.outside, LOADED, [node])
      restartedMs[node.name] = Math.round(performance.now() - started)
    }
    return { restartedMs, of: NODES.length }
  },
}
