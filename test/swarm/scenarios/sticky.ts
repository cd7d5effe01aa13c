// Sessions: a client stays on its task through every edge until that task ends. Every change of task is judged afterwards by the
// states that Swarm reported for the tasks (task-watch.ts): `sessionBreaks` must be 0 in all of these scenarios.

import type { ClusterReport } from '../../../src/admin/admin-source.ts'
import { until } from '../../until.ts'
import type { SessionGroup } from '../load/sessions.ts'
import { cutOverlay, reconnect } from '../network.ts'
import { askContainer, containerOn, REPLICA } from '../stack.ts'
import { rollService, updateService, waitForTasks, waitForUpdate } from '../swarm.ts'
import { CLIENT_ADDRESSES, EDGES, type LabNode } from '../topology.ts'
import { hostOf, LOADED, ON_WORKERS, observe, PromiseBroken, routedThrough, type Scenario, type Scene } from './contract.ts'

export const COOKIE = { 'traefik.backend.loadbalancer.stickiness': 'true' }
export const LEARN_APP = { 'skein.sticky.learn': 'cookie:JSESSIONID' }
const LEARN_HEADER = { 'skein.sticky.learn': 'header:X-Session-Id' }
const LEARN_ADDRESS = { 'skein.sticky.learn': 'ip' }
export const BY_APP = 'chaos-app'
export const BY_HEADER = 'chaos-header'
const BY_ADDRESS = 'chaos-ip'

const ROLLED_MS = 120_000
const BEGUN_MS = 60_000
/** Long enough for every client to send another request after the fault. */
const AFTER_MS = 4000

export function clients(
  service: string,
  by: SessionGroup['by'],
  count: number,
  more: Pick<SessionGroup, 'together' | 'later'> = {},
): SessionGroup {
  return { service, host: hostOf(service), by, count, ...more }
}

/** Waits until every started client has had as many answers as there are edges. */
export async function allUnderWay(scene: Scene): Promise<void> {
  await until('all sessions to be established', async () => (await scene.outside.load()).sessions?.unfinished === 0, BEGUN_MS, {
    everyMs: 250,
  })
}

export const stickyAcrossEdges: Scenario = {
  name: 'sticky-across-edges',
  promise: 'a thousand clients with a cookie send each request through another edge: each stays on its task',
  backend: { replicas: 4, labels: COOKIE },
  posts: false,
  sessions: [clients(LOADED, 'cookie', 1000)],
  rps: 400,
  async harm(scene) {
    const started = performance.now()
    await allUnderWay(scene)
    return { underWayMs: Math.round(performance.now() - started) }
  },
}

export const stickyRollingUpdate: Scenario = {
  name: 'sticky-rolling-update',
  promise:
    'two services with sessions (cookie, learned header) are rolled: only sessions of replaced tasks move, once for each ' +
    'replaced task, and to the same task on every edge',
  backend: { replicas: 3, labels: COOKIE },
  services: { [BY_HEADER]: { replicas: 3, labels: LEARN_HEADER } },
  posts: false,
  sessions: [
    clients(LOADED, 'cookie', 200),
    clients(LOADED, 'cookie', 100, { together: true }),
    clients(BY_HEADER, 'header', 200),
    clients(BY_HEADER, 'header', 100, { together: true }),
  ],
  rps: 200,
  async harm(scene) {
    await allUnderWay(scene)
    const started = performance.now()
    for (const id of scene.serviceIds.values()) await rollService(id)
    for (const id of scene.serviceIds.values()) await waitForUpdate(id, ROLLED_MS)
    const rolledMs = Math.round(performance.now() - started)
    await observe(AFTER_MS)
    const { changed = 0, spread = {} } = (await scene.outside.load()).sessions ?? {}
    if (changed === 0) throw new PromiseBroken('no session moved although every task was replaced', { rolledMs })
    // The sessions of one task must not all move to one other task.
    const crowded = Object.keys(spread).find(service => (spread[service]?.length ?? 0) < 2)
    if (crowded !== undefined) throw new PromiseBroken(`all sessions of ${crowded} ended on one task`, { rolledMs })
    return { rolledMs }
  },
}

export const stickyKillEdge: Scenario = {
  name: 'sticky-kill-edge',
  promise:
    'the leading edge gets SIGKILL: sessions (cookie, learned from the application, learned header) continue at the others and new ' +
    'ones begin; after Swarm has restarted it, it knows them all',
  backend: { replicas: 3, labels: COOKIE },
  services: { [BY_APP]: { replicas: 3, labels: LEARN_APP }, [BY_HEADER]: { replicas: 2, labels: LEARN_HEADER } },
  posts: false,
  sessions: [
    clients(LOADED, 'cookie', 200),
    clients(BY_APP, 'app', 200),
    clients(BY_HEADER, 'header', 100),
    clients(BY_APP, 'app', 60, { later: true }),
    clients(BY_HEADER, 'header', 40, { later: true }),
  ],
  rps: 250,
  leaving: leader => [leader],
  async harm(scene) {
    const victim = scene.leader.node
    const replica = scene.replicas.get(victim)
    if (replica === undefined) throw new Error(`no replica on ${victim.name}`)
    await allUnderWay(scene)
    // Its requests in flight die with it in any case, so its clients leave it shortly before.
    await scene.outside.leave([victim.name])
    process.kill(replica.pid, 'SIGKILL')
    const started = performance.now()
    await scene.outside.begin()
    await until(`a new replica on ${victim.name}`, async () => (await containerOn(victim, REPLICA)).id !== replica.id, 60_000, {
      everyMs: 100,
    })
    await routedThrough(scene.outside, LOADED, [victim])
    const backMs = Math.round(performance.now() - started)
    await scene.outside.leave([])
    await allUnderWay(scene)
    await observe(AFTER_MS)
    return { killed: victim.name, backMs }
  },
}

const [, CUT_EDGE, CUT_NODE] = EDGES as readonly [LabNode, LabNode, LabNode]
const CUT_MS = 8000

export const stickyCutOverlay: Scenario = {
  name: 'sticky-cut-overlay',
  promise:
    'the overlay network between two nodes breaks, each with an edge and tasks: sessions (cookie, learned header) stay on the tasks ' +
    'that one edge does not reach; its requests for them go through a peer (relayed) until the network is repaired',
  notYetKept: true,
  // Two tasks on each edge node: some that an edge still reaches, and some that it does not.
  backend: { replicas: 6, constraints: ON_WORKERS, labels: COOKIE },
  services: { [BY_HEADER]: { replicas: 3, constraints: ON_WORKERS, labels: LEARN_HEADER } },
  posts: false,
  sessions: [clients(LOADED, 'cookie', 300), clients(BY_HEADER, 'header', 200)],
  rps: 250,
  async harm(scene) {
    const relayedOut = async (): Promise<number> => {
      const { pid = 0 } = scene.replicas.get(CUT_EDGE) ?? {}
      return (await askContainer<ClusterReport>(pid, '/api/cluster')).relayed.out
    }
    await allUnderWay(scene)
    const before = await relayedOut()
    await cutOverlay(CUT_EDGE, CUT_NODE)
    await observe(scene.short ? CUT_MS : 3 * CUT_MS)
    const relayed = (await relayedOut()) - before
    await reconnect(CUT_EDGE)
    await observe(AFTER_MS)
    const figures = { cut: `${CUT_EDGE.name}-${CUT_NODE.name}`, relayed }
    if (relayed === 0) throw new PromiseBroken('nothing was relayed', figures)
    return figures
  },
}

export const stickyLearn: Scenario = {
  name: 'sticky-learn',
  promise:
    'sessions that an application keeps by a cookie of its own, and some by header and by address, stay on their tasks across ' +
    'edges while all services are scaled up: the application never receives a session that it does not know',
  backend: { replicas: 4, labels: LEARN_APP },
  services: { [BY_HEADER]: { replicas: 2, labels: LEARN_HEADER }, [BY_ADDRESS]: { replicas: 2, labels: LEARN_ADDRESS } },
  posts: false,
  sessions: [
    clients(LOADED, 'app', 400),
    clients(BY_HEADER, 'header', 60),
    clients(BY_ADDRESS, 'address', CLIENT_ADDRESSES.length),
    clients(LOADED, 'app', 100, { later: true }),
  ],
  rps: 250,
  async harm(scene) {
    await allUnderWay(scene)
    const started = performance.now()
    const grown = new Map([...scene.serviceIds].map(([name, id]) => [id, name === LOADED ? 6 : 3]))
    for (const [id, replicas] of grown)
      await updateService(id, spec => ({ ...spec, Mode: { Replicated: { Replicas: replicas } } }))
    for (const [id, replicas] of grown) await waitForTasks(id, replicas, 60_000)
    const scaledMs = Math.round(performance.now() - started)
    await scene.outside.begin()
    await allUnderWay(scene)
    await observe(AFTER_MS)
    const unknown = (await scene.outside.load()).sessions?.unknown ?? 0
    if (unknown > 0) throw new PromiseBroken(`the application received ${unknown} sessions that it does not know`, { scaledMs })
    return { scaledMs }
  },
}
