// The master of Redis with Sentinels dies under load.

import { until } from '../../until.ts'
import { changeReplicas } from '../networks.ts'
import { stateOf } from '../redis.ts'
import { SENTINEL_URL, Sentinels } from '../sentinels.ts'
import type { ServiceSpec } from '../swarm.ts'
import { EDGES } from '../topology.ts'
import { type Figures, LOADED, observe, PromiseBroken, type Scenario } from './contract.ts'
import { allUnderWay, BY_HEADER, clients, LEARN_APP } from './sticky.ts'

const STORE = ['SKEIN_STORE=redis', `SKEIN_REDIS_URL=${SENTINEL_URL}`]
const FAILED_OVER_MS = 30_000
const BACK_MS = 60_000
const AFTER_MS = 4000

let sentinels: Sentinels | null = null

function withStore(spec: ServiceSpec, wanted: boolean): ServiceSpec {
  const { ContainerSpec } = spec.TaskTemplate
  const others = (ContainerSpec.Env ?? []).filter(text => !STORE.includes(text))
  const Env = wanted ? [...others, ...STORE] : others
  if (Env.length === ContainerSpec.Env?.length) return spec
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, ContainerSpec: { ...ContainerSpec, Env } } }
}

/** Waits until every replica reports Redis as up. */
async function upEverywhere(): Promise<void> {
  await until(
    'Redis to be up for all replicas',
    async () => {
      const states = await Promise.all(EDGES.map(stateOf))
      return states.every(({ store }) => store.redis?.state === 'up')
    },
    BACK_MS,
    { everyMs: 100 },
  )
}

export const stickySentinel: Scenario = {
  name: 'sticky-sentinel',
  promise:
    'the master of Redis with Sentinels gets SIGKILL, and they promote its replica (failedOverMs): sessions stay where they are, new ' +
    'ones are kept by the new master (backMs, kept); no request fails',
  onlyInAll: true,
  backend: { replicas: 4, labels: LEARN_APP },
  services: { [BY_HEADER]: { replicas: 3, labels: { 'skein.sticky.learn': 'header:X-Session-Id' } } },
  posts: false,
  sessions: [
    clients(LOADED, 'app', 250),
    clients(BY_HEADER, 'header', 150),
    clients(LOADED, 'app', 60, { later: true }),
    clients(BY_HEADER, 'header', 40, { later: true }),
  ],
  rps: 250,
  store: 'gossip',
  async setUp() {
    sentinels = await Sentinels.start()
    await changeReplicas(spec => withStore(spec, true))
    await upEverywhere()
  },
  async tearDown() {
    await changeReplicas(spec => withStore(spec, false))
    sentinels?.end()
    sentinels = null
  },
  async harm(scene): Promise<Figures> {
    const redis = sentinels
    if (redis === null) throw new Error('there are no Sentinels')
    await allUnderWay(scene)
    const old = await redis.master()
    const started = performance.now()
    const since = (): number => Math.round(performance.now() - started)
    redis.kill(old)
    await scene.outside.begin()
    const master = await until(
      'another master',
      async () => {
        const now = await redis.master()
        return now === old ? null : now
      },
      FAILED_OVER_MS,
      { everyMs: 100 },
    )
    const failedOverMs = since()
    await upEverywhere()
    const backMs = since()
    await allUnderWay(scene)
    await observe(AFTER_MS)
    const kept = await redis.size(master)
    const figures = { failedOverMs, backMs, kept }
    if (kept === 0) throw new PromiseBroken('the new master has no keys', figures)
    return figures
  },
}
