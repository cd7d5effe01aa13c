// Managers die: the leading one, a follower, only a daemon, all of them. New configuration must be served as soon as Swarm itself
// answers, and no request may fail.

import { clusterOf } from '../cluster.ts'
import { eachOf } from '../command.ts'
import { call } from '../docker.ts'
import { killEngine, killNode, rebootNode } from '../engine.ts'
import { containerOn, REPLICA, wipeData } from '../stack.ts'
import { leadingManager, rollService, waitForUpdate } from '../swarm.ts'
import { type LabNode, MANAGERS, nodeNamed } from '../topology.ts'
import {
  deployAndRoute,
  type Figures,
  LOADED,
  ON_WORKERS,
  observe,
  routedThrough,
  type Scenario,
  type Scene,
} from './contract.ts'
import { managerOf } from './leaders.ts'

async function killAndDeploy(scene: Scene, victim: LabNode): Promise<Figures> {
  const survivors = MANAGERS.filter(manager => manager !== victim)
  await killNode(victim)
  return { killed: victim.name, ...(await deployAndRoute(scene, 'chaos-new', survivors)) }
}

export const killManagerLeader: Scenario = {
  name: 'kill-manager-leader',
  promise:
    'the node of the leading manager dies; a service deployed through a survivor is routed (routeReadyMs); no request fails',
  backend: { replicas: 4 },
  posts: false,
  harm: async scene => killAndDeploy(scene, await leadingManager()),
}

export const killManagerFollower: Scenario = {
  name: 'kill-manager-follower',
  promise: 'the node of a manager that does not lead dies; a service deployed through a survivor is routed; no request fails',
  backend: { replicas: 4 },
  posts: false,
  async harm(scene) {
    const leader = await leadingManager()
    const follower = MANAGERS.find(manager => manager !== leader)
    if (follower === undefined) throw new Error('there is only one manager')
    return killAndDeploy(scene, follower)
  },
}

export const killManagerDaemon: Scenario = {
  name: 'kill-manager-daemon',
  promise:
    "only the leading manager's dockerd dies, its containers keep running; then a service is rolled through another " +
    'manager; no request fails',
  backend: { replicas: 4, constraints: ON_WORKERS, order: 'start-first', delayMs: 1000 },
  posts: false,
  async harm(scene) {
    const leader = await leadingManager()
    const survivors = MANAGERS.filter(manager => manager !== leader)
    killEngine(leader)
    const started = performance.now()
    await rollService(scene.serviceId, survivors)
    const acceptedMs = Math.round(performance.now() - started)
    await waitForUpdate(scene.serviceId, 120_000, survivors)
    // A replica with stale configuration would fail now, when the old tasks are gone.
    await observe(3000)
    return { killed: leader.name, acceptedMs, rolledMs: Math.round(performance.now() - started) }
  },
}

export const killAllManagers: Scenario = {
  name: 'kill-all-managers',
  promise: 'every manager node dies; traffic continues with the last known configuration',
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: false,
  partOf: 'cold-start-without-managers',
  async harm(scene) {
    await eachOf(MANAGERS, MANAGERS.length, killNode)
    await observe(scene.short ? 8000 : 25_000)
    return { killed: MANAGERS.map(manager => manager.name) }
  },
}

/** Restarts a replica's container, with an empty disk if `wiped`; resolves with the time until it serves, in ms. */
async function restart(scene: Scene, edge: LabNode, wiped: boolean): Promise<number> {
  const { id } = await containerOn(edge, REPLICA)
  const started = performance.now()
  await call(edge, 'POST', `/containers/${id}/stop?t=40`, undefined, 60_000)
  if (wiped) wipeData(edge)
  await call(edge, 'POST', `/containers/${id}/start`, undefined, 30_000)
  await routedThrough(scene.outside, LOADED, [edge])
  return Math.round(performance.now() - started)
}

export const coldStart: Scenario = {
  name: 'cold-start',
  promise: 'every manager node dies, then a replica is restarted: it serves the last configuration, from its disk or a peer',
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: false,
  partOf: 'cold-start-without-managers',
  leaving: () => [nodeNamed('e1')],
  async harm(scene) {
    await eachOf(MANAGERS, MANAGERS.length, killNode)
    const restartedMs = await restart(scene, nodeNamed('e1'), false)
    await observe(2000)
    return { restartedMs }
  },
}

export const coldStartWithoutManagers: Scenario = {
  name: 'cold-start-without-managers',
  promise:
    'every manager node dies, then a replica is restarted, and again with an empty disk: only a peer can supply the ' +
    'configuration; no request fails',
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: false,
  leaving: () => [nodeNamed('e1')],
  async harm(scene) {
    await eachOf(MANAGERS, MANAGERS.length, killNode)
    const edge = nodeNamed('e1')
    const restartedMs = await restart(scene, edge, false)
    const restartedEmptyMs = await restart(scene, edge, true)
    await observe(2000)
    return { restartedMs, restartedEmptyMs }
  },
}

const FLAPS = 5

export const flap: Scenario = {
  name: 'flap',
  promise:
    'the node of the manager that the leading replica reads from dies and starts again, five times; services ' +
    'deployed after its first and its last death are routed (routeReadyMs); no request fails',
  backend: { replicas: 4 },
  posts: false,
  async harm(scene) {
    const victim = await managerOf(scene.leader.node)
    const survivors = MANAGERS.filter(manager => manager !== victim)
    const before = await clusterOf(scene.leader.node)
    const routeReadyMs: unknown[] = []
    for (let round = 1; round <= FLAPS; round++) {
      await killNode(victim)
      if (round === 1 || round === FLAPS) {
        const routed = await deployAndRoute(scene, `chaos-new-${round}`, survivors)
        routeReadyMs.push(routed.routeReadyMs)
      } else {
        await observe(scene.short ? 500 : 3000)
      }
      await rebootNode(victim)
      await observe(scene.short ? 500 : 3000)
    }
    const after = await clusterOf(scene.leader.node)
    return { killed: victim.name, routeReadyMs, leaderChanges: after.counts.leaderChanges - before.counts.leaderChanges }
  },
}
