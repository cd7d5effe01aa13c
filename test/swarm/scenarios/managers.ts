// Managers die: the leading one, another, its daemon alone, all of them. Configuration must flow again as soon as Swarm itself
// answers, and requests must not notice.

import { eachOf } from '../command.ts'
import { call } from '../docker.ts'
import { killEngine, killNode } from '../engine.ts'
import { containerOn, REPLICA } from '../stack.ts'
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
    "only the leading manager's dockerd dies, its containers live on; then a service is rolled through another manager; no request fails",
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
    // a stale replica would show itself now, when the old tasks are gone
    await observe(3000)
    return { killed: leader.name, acceptedMs, rolledMs: Math.round(performance.now() - started) }
  },
}

export const killAllManagers: Scenario = {
  name: 'kill-all-managers',
  promise: 'every manager node dies; traffic goes on with the last known configuration',
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: false,
  async harm(scene) {
    await eachOf(MANAGERS, MANAGERS.length, killNode)
    await observe(scene.short ? 8000 : 25_000)
    return { killed: MANAGERS.map(manager => manager.name) }
  },
}

export const coldStart: Scenario = {
  name: 'cold-start',
  promise: 'every manager node dies, then a replica is restarted: it serves the last configuration from its disk',
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: false,
  leaving: ['e1'],
  async harm(scene) {
    await eachOf(MANAGERS, MANAGERS.length, killNode)
    const edge = nodeNamed('e1')
    const { id } = await containerOn(edge, REPLICA)
    const started = performance.now()
    await call(edge, 'POST', `/containers/${id}/restart?t=40`, undefined, 60_000)
    await routedThrough(scene.outside, LOADED, [edge])
    const restartedMs = Math.round(performance.now() - started)
    await observe(2000)
    return { restartedMs }
  },
}
