// Replicas that differ: options that change while the edges are rolled, and a second stack of Skein in the same swarm.

import type { ClusterReport } from '../../../src/admin/admin-source.ts'
import { until } from '../../until.ts'
import { agree, clusterOf, LeaderWatch } from '../cluster.ts'
import { docker } from '../docker.ts'
import { askContainer, containersOf, STACK } from '../stack.ts'
import { createService, type ServiceSpec, updateService, waitForUpdate } from '../swarm.ts'
import { EDGES } from '../topology.ts'
import { edgesBut, MARK, observe, PromiseBroken, type Scenario } from './contract.ts'
import { inAHurry, replicaService, withEnv } from './edges.ts'

/** The spec of the replicas' service before the scenario. */
let asDeployed: ServiceSpec | null = null

async function restore(): Promise<void> {
  const before = asDeployed
  if (before === null) return
  asDeployed = null
  const { ID } = await replicaService()
  await updateService(ID, spec => ({ ...spec, TaskTemplate: before.TaskTemplate, ...inAHurry(spec) }))
  await waitForUpdate(ID, 180_000)
  await updateService(ID, spec => ({ ...spec, UpdateConfig: before.UpdateConfig }))
}

export const renameEntryPoint: Scenario = {
  name: 'rename-entry-point',
  promise:
    'the edges are rolled with another name for their entry point while the service under load names the old and the new one: ' +
    'every edge serves it under the name that it has; no request fails but for connections refused unsent',
  backend: { replicas: 4, labels: { 'traefik.frontend.entryPoints': 'web,http' } },
  posts: false,
  onlyInAll: true,
  leaving: () => EDGES,
  async setUp() {
    asDeployed = (await replicaService()).Spec
  },
  tearDown: restore,
  async harm(scene) {
    const { ID } = await replicaService()
    const started = performance.now()
    await updateService(ID, spec => {
      const pace = scene.short ? inAHurry(spec) : {}
      return { ...withEnv(spec, { SKEIN_ENTRY_POINT: 'http=:80,alt=:8080' }), ...pace }
    })
    await waitForUpdate(ID, 180_000)
    const rolledMs = Math.round(performance.now() - started)
    await observe(2000)
    return { rolledMs }
  },
}

const OTHER_STACK = 'internal'
const OTHER = `${OTHER_STACK}_edge`
const MEET_MS = 30_000
/** The interval of polls in ms. Each poll starts a process; a shorter interval would take CPU time from the load. */
const LOOK_MS = 2_000

/** The cluster as the replicas of the other stack report it. */
async function otherCluster(): Promise<ClusterReport[]> {
  const running = (await Promise.all(EDGES.map(edge => containersOf(edge, OTHER)))).flat()
  return Promise.all(running.map(({ pid }) => askContainer<ClusterReport>(pid, '/api/cluster')))
}

export const twoStacks: Scenario = {
  name: 'two-stacks',
  promise:
    'a second stack of Skein, for internal services only, with the same secret and the same DNS names, is deployed in the swarm; then ' +
    'the leader of the first is killed: they stay two clusters, each names the other in its log, and no request through the others fails',
  backend: { replicas: 4, labels: { 'traefik.tags': 'public' } },
  posts: true,
  onlyInAll: true,
  edges: leader => edgesBut(leader),
  async harm(scene) {
    const { Spec } = await replicaService()
    const { Mounts: _, ...container } = Spec.TaskTemplate.ContainerSpec
    const labels = { 'com.docker.stack.namespace': OTHER_STACK, 'traefik.enable': 'false' }
    const spec = withEnv(
      {
        ...Spec,
        Name: OTHER,
        Labels: { ...labels, [MARK]: 'true' },
        TaskTemplate: { ...Spec.TaskTemplate, ContainerSpec: { ...container, Labels: labels } },
        Mode: { Replicated: { Replicas: 2 } },
        EndpointSpec: { Mode: 'dnsrr' },
      },
      { SKEIN_CONSTRAINT: 'tag==internal' },
    )
    const env = (spec.TaskTemplate.ContainerSpec.Env ?? []).filter(line => !line.startsWith('SKEIN_DATA_DIR='))
    await createService({
      ...spec,
      TaskTemplate: { ...spec.TaskTemplate, ContainerSpec: { ...spec.TaskTemplate.ContainerSpec, Env: env } },
    })
    const others = await until(
      'the other stack to be a cluster of two',
      async () => {
        const reports = await otherCluster()
        const whole = reports.filter(({ members, leader }) => leader !== null && members.length === 2)
        return reports.length === 2 && whole.length === 2 ? reports : null
      },
      60_000,
      { everyMs: LOOK_MS },
    )
    await until(
      'the clusters to have met',
      async () => {
        for (const [edge, { id }] of scene.replicas) {
          const log = await docker(edge, ['logs', id], { both: true })
          if (log.includes(`belongs to cluster \\"${OTHER_STACK}\\"`)) return true
        }
        return false
      },
      MEET_MS,
      { everyMs: LOOK_MS },
    )
    const watch = await LeaderWatch.open(scene.replicas)
    try {
      process.kill(scene.replicas.get(scene.leader.node)?.pid ?? 0, 'SIGKILL')
      await watch.when('another leader', 20_000, () => agree(watch, edgesBut(scene.leader.node), scene.leader.id))
    } finally {
      watch.close()
    }
    await observe(scene.short ? 4000 : 15_000)
    const reports = await Promise.all(edgesBut(scene.leader.node).map(clusterOf))
    const names = [...new Set(reports.map(({ cluster }) => cluster))]
    const figures = { clusters: [...names, ...new Set(others.map(({ cluster }) => cluster))], refused: 0 }
    const refused = reports.reduce((sum, { counts }) => sum + counts.otherCluster, 0)
    if (names.join() !== STACK || others.some(({ cluster }) => cluster !== OTHER_STACK))
      throw new PromiseBroken(`the clusters are called ${figures.clusters.join(', ')}, not ${STACK} and ${OTHER_STACK}`, figures)
    const strangers = reports
      .flatMap(({ members }) => members)
      .filter(({ state, id }) => state === 'alive' && isOther(id, others))
    if (strangers.length > 0) throw new PromiseBroken(`${strangers.length} members are of the other stack`, figures)
    return { ...figures, refused }
  },
}

function isOther(id: string, others: readonly ClusterReport[]): boolean {
  return others.some(({ members }) => members.some(member => member.id === id))
}
