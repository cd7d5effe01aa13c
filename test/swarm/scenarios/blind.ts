// Every agent is gone, so the edges cannot read the swarm while it continues to change.

import { until } from '../../until.ts'
import { createNetwork, joinEdgesTo } from '../networks.ts'
import { fetchAdmin, STACK } from '../stack.ts'
import {
  anyManager,
  listServices,
  removeService,
  rollService,
  tasksOf,
  updateService,
  waitForTasks,
  waitForUpdate,
} from '../swarm.ts'
import { EDGES, MANAGERS } from '../topology.ts'
import {
  type BackendOptions,
  createBackend,
  type Figures,
  hostOf,
  ON_WORKERS,
  observe,
  PromiseBroken,
  routedThrough,
  type Scenario,
  type Scene,
} from './contract.ts'

const SETTLE_MS = 120_000
const TIGHT = 'chaos-tight'
/** The edges use most addresses of the subnet, so new tasks get the addresses of removed ones. */
const ON_TIGHT: Omit<BackendOptions, 'replicas'> = {
  constraints: ON_WORKERS,
  network: TIGHT,
  labels: { 'traefik.docker.network': TIGHT },
}
const REMOVED = 'chaos-removed'
const NEW = 'chaos-new'
const PROBE_EVERY_MS = 50
const CHANGED = 'chaos-changed'
const NOWHERE = 'node.labels.chaos.agents == never'

interface Placement {
  readonly Constraints?: readonly string[]
}

async function agentsService(): Promise<string> {
  const found = (await anyManager(listServices)).find(({ Spec }) => Spec.Name === `${STACK}_managers`)
  if (found === undefined) throw new Error('the agents are not deployed')
  return found.ID
}

/** Removes or restores all agents; resolves when done. */
async function setAgents(there: boolean): Promise<void> {
  const id = await agentsService()
  await updateService(id, spec => {
    const placement = (spec.TaskTemplate.Placement ?? {}) as Placement
    const constraints = (placement.Constraints ?? []).filter(text => text !== NOWHERE)
    if (there && constraints.length === (placement.Constraints ?? []).length) return spec
    const Constraints = there ? constraints : [...constraints, NOWHERE]
    return { ...spec, TaskTemplate: { ...spec.TaskTemplate, Placement: { ...placement, Constraints } } }
  })
  if (there) await waitForTasks(id, MANAGERS.length, SETTLE_MS)
  else
    await until(
      'the agents to be gone',
      async () => (await tasksOf(id)).every(({ Status }) => Status.State !== 'running' && Status.State !== 'starting'),
      SETTLE_MS,
      { everyMs: 100 },
    )
}

/** Waits until no replica is in contact with a manager. */
async function allBlind(): Promise<void> {
  await until(
    'no edge to reach a manager',
    async () => {
      for (const edge of EDGES) {
        const [status] = await fetchAdmin<{ managers: { state: string }[] }[]>(edge, '/api/managers')
        if (status?.managers.some(({ state }) => state === 'healthy')) return false
      }
      return true
    },
    30_000,
    { everyMs: 100 },
  )
}

interface Seen {
  answered: number
  unanswered: number
  wrong: number
}

/** Sends requests for services through every edge until it is stopped; records which service answered. */
function ask({ outside, edges }: Scene, services: readonly string[]): { stop(): Promise<Seen> } {
  const seen: Seen = { answered: 0, unanswered: 0, wrong: 0 }
  let stopped = false
  const loops = edges.flatMap(({ address }) =>
    services.map(async service => {
      while (!stopped) {
        const probe = { address, port: 80, host: hostOf(service), path: '/?nonce=0', timeoutMs: 15_000 }
        const { status, body } = await outside.probe(probe)
        if (status !== 200) seen.unanswered++
        else if (body.includes(`"service":"${service}"`)) seen.answered++
        else {
          seen.wrong++
          if (seen.wrong < 10) console.error(`wrong answer: asked for ${service}, got ${body.slice(0, 200)}`)
        }
        await observe(PROBE_EVERY_MS)
      }
    }),
  )
  return {
    async stop() {
      stopped = true
      await Promise.all(loops)
      return seen
    },
  }
}

export const blind: Scenario = {
  name: 'blind',
  promise:
    'all agents are gone while services are added, rolled, scaled and removed: no request to an unchanged service fails, none is ' +
    'answered by another service (seen.wrong), and changed services are served within seconds of the return of the agents (routeReadyMs)',
  onlyInAll: true,
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: true,
  async setUp() {
    await joinEdgesTo(await createNetwork(TIGHT, { subnet: '10.209.0.0/24', range: '10.209.0.32/28' }))
  },
  tearDown: () => setAgents(true),
  async harm(scene): Promise<Figures> {
    const changed = await createBackend(CHANGED, { ...ON_TIGHT, replicas: 3 })
    const removed = await createBackend(REMOVED, { ...ON_TIGHT, replicas: 2 })
    await routedThrough(scene.outside, CHANGED, scene.edges)
    await routedThrough(scene.outside, REMOVED, scene.edges)
    await setAgents(false)
    await allBlind()
    const asking = ask(scene, [CHANGED, REMOVED])
    await rollService(changed)
    await waitForUpdate(changed, SETTLE_MS)
    await removeService(removed)
    const created = await createBackend(NEW, { ...ON_TIGHT, replicas: 4 })
    await waitForTasks(created, 4, SETTLE_MS)
    await observe(scene.short ? 5000 : 20_000)
    const seen = await asking.stop()
    const backAt = Date.now()
    await setAgents(true)
    const times = await routedThrough(scene.outside, NEW, scene.edges)
    const after = await routedThrough(scene.outside, CHANGED, scene.edges)
    const figures = { seen, routeReadyMs: Math.max(...times, ...after) - backAt }
    if (seen.wrong > 0) throw new PromiseBroken(`${seen.wrong} requests were answered by another service`, figures)
    return figures
  },
}
