// Edges are cut off, lose their Docker daemon, are rolled one by one, and join.

import type { ClusterReport } from '../../../src/admin/admin-source.ts'
import { until } from '../../until.ts'
import { agree, clusterOf, LeaderWatch } from '../cluster.ts'
import { eachOf } from '../command.ts'
import { call } from '../docker.ts'
import { killEngine } from '../engine.ts'
import { HaProxy } from '../haproxy.ts'
import { cutOff, reconnect } from '../network.ts'
import { askContainer, containerOn, REPLICA, wipeData } from '../stack.ts'
import {
  anyManager,
  forced,
  labelEdges,
  listServices,
  rollService,
  type ServiceSpec,
  type SwarmService,
  updateService,
  waitForUpdate,
} from '../swarm.ts'
import { EDGES, type LabNode, nodeNamed } from '../topology.ts'
import {
  edgesBut,
  type Figures,
  hostOf,
  LOADED,
  ON_WORKERS,
  observe,
  PromiseBroken,
  routedThrough,
  type Scenario,
  type Scene,
} from './contract.ts'

/** Less than the 11 s after which Swarm declares a node down and replaces its tasks, including Skein's. */
const CUT_MS = 7500
const LEADS_MS = 6000
const NEW_LEADER_MS = 2000
const HEALED_MS = 30_000

/** One partition: each side has a leader, then there is one leader again. */
async function cutAndHeal(watch: LeaderWatch, edge: LabNode): Promise<Figures> {
  const others = edgesBut(edge)
  const self = watch.view(edge)?.self ?? ''
  const led = watch.view(edge)?.role === 'leader'
  const cutAt = Date.now()
  await cutOff(edge)
  const sides = (async (): Promise<{ newLeaderMs?: number; leadsAloneMs?: number }> => {
    const [aloneAt, othersAt] = await Promise.all([
      watch.when('the edge that is cut off to lead itself', LEADS_MS, () => watch.view(edge)?.role === 'leader'),
      watch.when('the others to have a leader of their own', LEADS_MS, () => agree(watch, others, self)),
    ])
    return led ? { newLeaderMs: othersAt - cutAt } : { leadsAloneMs: aloneAt - cutAt }
  })()
  // The cut must end in time even if no leader is elected.
  const [ended] = await Promise.allSettled([sides, observe(CUT_MS)])
  await reconnect(edge)
  const healedFrom = Date.now()
  if (ended.status === 'rejected') throw ended.reason
  const healedAt = await watch.when('one leader', HEALED_MS, () => agree(watch, EDGES))
  const figures = { cut: edge.name, ...ended.value, healedMs: healedAt - healedFrom }
  if (Number(figures.newLeaderMs ?? 0) > NEW_LEADER_MS)
    throw new PromiseBroken(
      `the other replicas had a leader after ${figures.newLeaderMs} ms; at most ${NEW_LEADER_MS} ms is promised`,
      figures,
    )
  return figures
}

export const partitionEdge: Scenario = {
  name: 'partition-edge',
  promise:
    'the leading edge is cut off from every other node, but not from clients, and then reconnected: it leads itself and ' +
    'serves from the tasks it still reaches, the others have a new leader, then there is one again (healedMs); no request ' +
    'fails',
  // Two tasks on each edge node, which an edge that is cut off still reaches.
  backend: { replicas: 6, constraints: ON_WORKERS },
  posts: false,
  async harm(scene) {
    const watch = await LeaderWatch.open(scene.replicas)
    try {
      const leading = await cutAndHeal(watch, scene.leader.node)
      await observe(3000)
      if (scene.short) return leading
      const follower = EDGES.find(edge => watch.view(edge)?.role === 'follower') ?? scene.leader.node
      const following = await cutAndHeal(watch, follower)
      await observe(3000)
      return { leader: leading, follower: following }
    } finally {
      watch.close()
    }
  },
}

const DAEMONLESS = nodeNamed('e2')

export const killEdgeDaemon: Scenario = {
  name: 'kill-edge-daemon',
  promise:
    "the dockerd of an edge's node dies, its containers keep running and get their third of the load; then the service is " +
    'rolled: the replica beside the dead daemon reaches none of the new tasks and relays through its peers ' +
    '(relayed); GET and POST, none fails',
  // On other nodes, because Swarm would need about 15 s to notice that it cannot replace tasks beside the dead daemon.
  backend: { replicas: 4, constraints: [...ON_WORKERS, `node.hostname != ${DAEMONLESS.name}`], order: 'start-first' },
  posts: true,
  async harm(scene) {
    const reportOf = (edge: LabNode): Promise<ClusterReport> =>
      askContainer<ClusterReport>(scene.replicas.get(edge)?.pid ?? 0, '/api/cluster')
    const before = await reportOf(DAEMONLESS)
    killEngine(DAEMONLESS)
    const started = performance.now()
    await rollService(scene.serviceId)
    await waitForUpdate(scene.serviceId, 120_000)
    const rolledMs = Math.round(performance.now() - started)
    await observe(scene.short ? 4000 : 15_000)
    const after = await reportOf(DAEMONLESS)
    const relayed = after.relayed.out - before.relayed.out
    const figures = {
      rolledMs,
      relayed,
      relaying: after.relaying.map(one => `${one.service} through ${one.through} (${one.cause})`),
    }
    if (relayed === 0) throw new PromiseBroken('nothing was relayed', figures)
    return figures
  },
}

export const rollEdges: Scenario = {
  name: 'roll-edges',
  promise:
    'Skein itself is rolled, one replica after the other (docker service update --force); GET and POST, none fails ' +
    'but for connections refused unsent',
  backend: { replicas: 4 },
  posts: true,
  leaving: () => EDGES,
  async harm(scene) {
    const service = await replicaService()
    const started = performance.now()
    const asDeployed = { UpdateConfig: service.Spec.UpdateConfig }
    // The deployed stack waits 10 s between two replicas.
    const pace = scene.short ? inAHurry(service.Spec) : asDeployed
    await updateService(service.ID, spec => ({ ...forced(spec), ...pace }))
    await waitForUpdate(service.ID, 180_000)
    const rolledMs = Math.round(performance.now() - started)
    if (scene.short) await updateService(service.ID, spec => ({ ...spec, ...asDeployed }))
    for (const [edge, { id }] of scene.replicas) {
      if ((await containerOn(edge, REPLICA)).id === id) throw new Error(`the replica on ${edge.name} was not replaced`)
    }
    return { rolledMs }
  },
}

const PING = '/ping'
const DRAIN_DELAY = '7s'

export const rollEdgesBehindHaproxy: Scenario = {
  name: 'roll-edges-behind-haproxy',
  promise:
    'Skein is rolled while HAProxy in front of it, with health checks every 2 s and without retries, sends to all edges: with ' +
    `--drain-delay ${DRAIN_DELAY} no request fails; GET and POST`,
  backend: { replicas: 4 },
  posts: true,
  needs: 'haproxy',
  leaving: () => EDGES,
  async front(outside) {
    const { ID, Spec } = await replicaService()
    // The values that the stack file would set for this delay.
    const env = { SKEIN_ENTRY_POINT: `web=:80,ping=${PING},alt=:8080`, SKEIN_DRAIN_DELAY: DRAIN_DELAY }
    await updateService(ID, spec => withEnv({ ...spec, ...inAHurry(spec) }, env))
    await waitForUpdate(ID, 180_000)
    const haproxy = await HaProxy.start(outside, PING, hostOf(LOADED))
    return {
      edge: haproxy.edge,
      async close() {
        await haproxy.stop()
        await updateService(ID, spec => ({ ...spec, TaskTemplate: Spec.TaskTemplate, ...inAHurry(spec) }))
        await waitForUpdate(ID, 180_000)
        await updateService(ID, spec => ({ ...spec, UpdateConfig: Spec.UpdateConfig }))
      },
    }
  },
  async harm(scene) {
    const { ID } = await replicaService()
    const started = performance.now()
    // HAProxy needs about 4 s until it sends to an edge again, longer than the replica needs to start.
    await updateService(ID, spec => ({
      ...forced(spec),
      UpdateConfig: { ...(spec.UpdateConfig as object), Delay: (scene.short ? 5 : 10) * 1e9 },
    }))
    await waitForUpdate(ID, 300_000)
    const rolledMs = Math.round(performance.now() - started)
    for (const [edge, { id }] of scene.replicas) {
      if ((await containerOn(edge, REPLICA)).id === id) throw new Error(`the replica on ${edge.name} was not replaced`)
    }
    return { rolledMs, drainDelay: DRAIN_DELAY }
  },
}

export async function replicaService(): Promise<SwarmService> {
  const service = (await anyManager(listServices)).find(({ Spec }) => Spec.Name === REPLICA)
  if (service === undefined) throw new Error(`${REPLICA} is not deployed`)
  return service
}

/** Sets the pause between two replicas of a roll; the deployed stack waits 10 s. */
export function inAHurry(spec: ServiceSpec): Pick<ServiceSpec, 'UpdateConfig'> {
  return { UpdateConfig: { ...(spec.UpdateConfig as object), Delay: 0 } }
}

export function withEnv(spec: ServiceSpec, env: Readonly<Record<string, string>>): ServiceSpec {
  const container = spec.TaskTemplate.ContainerSpec
  const kept = (container.Env ?? []).filter(line => !Object.hasOwn(env, line.slice(0, line.indexOf('='))))
  const Env = [...kept, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)]
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, ContainerSpec: { ...container, Env } } }
}

/** Target of the long form. The short form only measures: with the whole lab on two cores the start of a process takes as long. */
const SERVES_MS = 2000
const JOINING = nodeNamed('m3')

/** Starts replicas on further nodes; resolves with the times (ms since the epoch) of each container's start and first correct answer. */
export async function joinEdges(scene: Scene, nodes: readonly LabNode[]): Promise<{ startedAt: number; servedAt: number }[]> {
  // A joining replica has an empty disk.
  for (const node of nodes) wipeData(node)
  await labelEdges(nodes)
  const servedAt = await routedThrough(scene.outside, LOADED, nodes)
  const times: { startedAt: number; servedAt: number }[] = []
  for (const [index, node] of nodes.entries()) {
    const { id } = await containerOn(node, REPLICA)
    const { State } = await call<{ State: { StartedAt: string } }>(node, 'GET', `/containers/${id}/json`)
    times.push({ startedAt: Date.parse(State.StartedAt), servedAt: servedAt[index] ?? 0 })
  }
  return times
}

/** Waits until every replica, including these, reports all of them as alive. */
export async function membersEverywhere(nodes: readonly LabNode[]): Promise<void> {
  const all = [...EDGES, ...nodes]
  await until(
    `${all.length} members everywhere`,
    async () => {
      for (const edge of all) {
        const alive = (await clusterOf(edge)).members.filter(member => member.state === 'alive')
        if (alive.length !== all.length) throw new Error(`${edge.name} sees ${alive.length} of ${all.length} members alive`)
      }
      return true
    },
    30_000,
    { everyMs: 100 },
  )
}

/** Removes the replicas of joinEdges; resolves when they have ended. */
export async function leaveEdges(nodes: readonly LabNode[]): Promise<void> {
  await labelEdges()
  await eachOf(nodes, nodes.length, node =>
    until(
      `the replica on ${node.name} to leave`,
      () =>
        containerOn(node, REPLICA).then(
          () => false,
          () => true,
        ),
      60_000,
      { everyMs: 100 },
    ).then(() => {}),
  )
}

export const joinLate: Scenario = {
  name: 'join-late',
  promise:
    `a fourth edge joins the running cluster with an empty disk and serves within ${SERVES_MS} ms of its container's ` +
    'start (joinMs; the short form does not judge it); then it leaves; no request through the others fails',
  backend: { replicas: 4 },
  posts: false,
  async harm(scene) {
    const [times] = await joinEdges(scene, [JOINING])
    await membersEverywhere([JOINING])
    const joinMs = times === undefined ? Number.NaN : times.servedAt - times.startedAt
    await leaveEdges([JOINING])
    const figures = { joined: JOINING.name, joinMs }
    if (!scene.short && !(joinMs <= SERVES_MS))
      throw new PromiseBroken(`it served after ${joinMs} ms; at most ${SERVES_MS} ms is promised`, figures)
    return figures
  },
}
