// A network of the edges is removed and recreated under the same name, with another id and another subnet.

import { messageOf } from '../command.ts'
import { createNetwork, joinEdgesTo, leaveEdgesFrom, removeNetwork } from '../networks.ts'
import { removeService, waitForTasks } from '../swarm.ts'
import { EDGES } from '../topology.ts'
import { type BackendOptions, createBackend, networkId, ON_WORKERS, routedThrough, type Scenario } from './contract.ts'

const RENEWED = 'chaos-renewed'
const SERVICE = 'chaos-on-renewed'
const BACKEND: BackendOptions = {
  replicas: 2,
  constraints: ON_WORKERS,
  network: RENEWED,
  labels: { 'traefik.docker.network': RENEWED },
}

export const renewNetwork: Scenario = {
  name: 'renew-network',
  promise:
    "one of the edges' networks is removed, with the service on it, and recreated under the same name: the service is served " +
    'again (servedMs, from the first edge that joined), also while only some edges have joined; no request to another service fails',
  onlyInAll: true,
  backend: { replicas: 4 },
  posts: true,
  leaving: () => EDGES,
  async setUp() {
    await joinEdgesTo(await createNetwork(RENEWED, { subnet: '10.211.0.0/24' }))
  },
  async harm(scene) {
    const first = await createBackend(SERVICE, BACKEND)
    await routedThrough(scene.outside, SERVICE, scene.edges)
    await removeService(first)
    const old = await networkId(RENEWED)
    await leaveEdgesFrom(old)
    await removeNetwork(old)
    const id = await createNetwork(RENEWED, { subnet: '10.212.0.0/24' })
    await waitForTasks(await createBackend(SERVICE, BACKEND), 2, 60_000)
    const started = performance.now()
    const [joined, served] = await Promise.allSettled([
      joinEdgesTo(id),
      routedThrough(scene.outside, SERVICE, scene.edges, 120_000),
    ])
    if (joined.status === 'rejected') throw new Error(messageOf(joined.reason))
    if (served.status === 'rejected') throw new Error(messageOf(served.reason))
    return { servedMs: Math.round(Math.max(...served.value) - (Date.now() - (performance.now() - started))), another: id !== old }
  },
}
