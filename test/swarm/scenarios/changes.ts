// Planned changes: services are updated, scaled, added, and get invalid labels. No request may fail.

import { until } from '../../until.ts'
import { createNetwork } from '../networks.ts'
import { EDGE_NETWORK, fetchAdmin } from '../stack.ts'
import { rollService, updateService, waitForTasks, waitForUpdate } from '../swarm.ts'
import {
  createBackend,
  deployAndRoute,
  type Figures,
  hostOf,
  networkId,
  ON_WORKERS,
  PromiseBroken,
  routedThrough,
  type Scenario,
  type Scene,
} from './contract.ts'

const SETTLE_MS = 90_000

async function scale(scene: Scene, replicas: number): Promise<Figures> {
  const started = performance.now()
  await updateService(scene.serviceId, spec => ({ ...spec, Mode: { Replicated: { Replicas: replicas } } }))
  await waitForTasks(scene.serviceId, replicas, SETTLE_MS)
  return { scaledMs: Math.round(performance.now() - started) }
}

export const rollingUpdate: Scenario = {
  name: 'rolling-update',
  promise: 'a service whose tasks exit at once on SIGTERM is replaced task by task; GET and POST, none fails',
  backend: { replicas: 4 },
  posts: true,
  async harm(scene) {
    const started = performance.now()
    await rollService(scene.serviceId)
    await waitForUpdate(scene.serviceId, SETTLE_MS)
    if (!scene.short) {
      await updateService(scene.serviceId, spec => ({ ...spec, UpdateConfig: { Parallelism: 1, Order: 'start-first' } }))
      await rollService(scene.serviceId)
      await waitForUpdate(scene.serviceId, SETTLE_MS)
    }
    return { rolledMs: Math.round(performance.now() - started) }
  },
}

export const scaleDown: Scenario = {
  name: 'scale-down',
  promise: 'a service goes from six tasks to two; GET and POST, none fails',
  backend: { replicas: 6 },
  posts: true,
  harm: scene => scale(scene, 2),
}

export const scaleUp: Scenario = {
  name: 'scale-up',
  promise: 'a service goes from two tasks to six, some of which do not listen yet when Swarm calls them running; none fails',
  backend: { replicas: 2 },
  posts: false,
  harm: scene => scale(scene, 6),
}

export const deployNew: Scenario = {
  name: 'deploy-new',
  promise: 'a new service is served through every edge soon after its task runs (routeReadyMs); all others are unaffected',
  backend: { replicas: 2 },
  posts: false,
  harm: scene => deployAndRoute(scene, 'chaos-new'),
}

/** Labels with different kinds of mistakes; each must be named in an error of its own service. */
const BAD_LABELS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'chaos-bad-port': { 'traefik.port': 'eighty' },
  'chaos-bad-rule': { 'traefik.frontend.rule': 'Host:;;Path' },
  'chaos-bad-regex': { 'traefik.frontend.rule': 'PathPrefix:/{x:(a+)+$' },
}

interface AdminSnapshot {
  readonly errors: readonly {
    readonly severity: string
    readonly source: string
    readonly key: string
    readonly message: string
  }[]
}

export const badLabel: Scenario = {
  name: 'bad-label',
  promise: "services with invalid labels show an error in every edge's admin API; all other services are unaffected",
  backend: { replicas: 2 },
  posts: false,
  async harm(scene) {
    for (const [name, labels] of Object.entries(BAD_LABELS))
      await createBackend(name, { replicas: 1, constraints: ON_WORKERS, labels })
    await createBackend('chaos-good', { replicas: 1, constraints: ON_WORKERS })
    const started = performance.now()
    await routedThrough(scene.outside, 'chaos-good', scene.edges)
    for (const edge of scene.edges) {
      await until(
        `the errors on ${edge.name}`,
        async () => {
          const { errors } = await fetchAdmin<AdminSnapshot>(edge, '/api/snapshot')
          const missing = Object.keys(BAD_LABELS).filter(name => !errors.some(error => error.source === name))
          if (missing.length > 0) throw new Error(`no error names ${missing.join(', ')}`)
          return true
        },
        30_000,
        { everyMs: 250 },
      )
    }
    return { errorsShownMs: Math.round(performance.now() - started) }
  },
}

const AWAY = 'chaos-away'
/** Far less than --server-wait (5 s), for which a request waits for a server. */
const REFUSED_MS = 1500

export const offNetwork: Scenario = {
  name: 'off-network',
  promise:
    "a service on a network that the edges are not on: an error in every edge's admin API names both, its requests get 503 at " +
    'once (refusedMs), and it is served once it joins theirs; all other services are unaffected',
  backend: { replicas: 2 },
  posts: false,
  async harm(scene) {
    const name = 'chaos-off'
    await createNetwork(AWAY, { subnet: '10.210.0.0/24' })
    const id = await createBackend(name, { replicas: 1, constraints: ON_WORKERS, network: AWAY })
    await waitForTasks(id, 1, SETTLE_MS)
    for (const edge of scene.edges) {
      await until(
        `the error on ${edge.name}`,
        async () => {
          const { errors } = await fetchAdmin<AdminSnapshot>(edge, '/api/snapshot')
          const message = errors.find(({ source, severity }) => source === name && severity === 'error')?.message ?? ''
          return message.includes(`'${AWAY}'`) && message.includes(EDGE_NETWORK)
        },
        30_000,
        { everyMs: 250 },
      )
    }
    let refusedMs = 0
    for (const { address } of scene.edges) {
      for (let nth = 0; nth < 5; nth++) {
        const started = performance.now()
        const probe = { address, port: 80, host: hostOf(name), path: '/', timeoutMs: 15_000 }
        const { status } = await scene.outside.probe(probe)
        if (status !== 503) throw new Error(`${name} is answered with ${status}`)
        refusedMs = Math.max(refusedMs, Math.round(performance.now() - started))
      }
    }
    const network = await networkId(EDGE_NETWORK)
    await updateService(id, spec => ({ ...spec, TaskTemplate: { ...spec.TaskTemplate, Networks: [{ Target: network }] } }))
    const started = performance.now()
    await routedThrough(scene.outside, name, scene.edges)
    const figures = { refusedMs, servedMs: Math.round(performance.now() - started) }
    if (refusedMs > REFUSED_MS)
      throw new PromiseBroken(`a request was refused after ${refusedMs} ms; ${REFUSED_MS} ms is promised`, figures)
    return figures
  },
}
