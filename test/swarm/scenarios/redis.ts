// Redis is the store and is lost: the replicas continue from their own memory and gossip, and fill Redis again when it is back.

import { killRedis, scaleRedis, stateOf, waitForRedis, waitForState } from '../redis.ts'
import { EDGES } from '../topology.ts'
import { type Figures, LOADED, observe, PromiseBroken, type Scenario, type Scene } from './contract.ts'
import { allUnderWay, BY_HEADER, clients, LEARN_APP } from './sticky.ts'

const AFTER_MS = 4000

/** Two kinds of learned sessions; some begin while Redis is away. */
const WITH_SESSIONS = {
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
  store: 'redis',
} as const satisfies Partial<Scenario>

/** Kills Redis and keeps it away; new sessions begin meanwhile. `awayMs`: the time until every replica has noticed. */
async function losesRedis(scene: Scene): Promise<Figures> {
  await allUnderWay(scene)
  // Otherwise Swarm would start another task within one or two seconds.
  const [killedAt] = await Promise.all([killRedis(), scaleRedis(0)])
  await scene.outside.begin()
  await waitForState('away')
  const awayMs = Date.now() - killedAt
  await allUnderWay(scene)
  await observe(AFTER_MS)
  return { awayMs }
}

export const stickyKillRedis: Scenario = {
  ...WITH_SESSIONS,
  name: 'sticky-kill-redis',
  promise:
    'Redis gets SIGKILL and stays away: learned sessions stay where they are, new ones are shared by gossip; no request fails',
  partOf: 'sticky-restart-redis',
  harm: losesRedis,
}

export const stickyRestartRedis: Scenario = {
  ...WITH_SESSIONS,
  name: 'sticky-restart-redis',
  promise:
    'Redis gets SIGKILL, stays away while sessions begin, and comes back empty: sessions stay where they are throughout, and ' +
    'the replicas fill it again (reseeded); no request fails',
  async harm(scene) {
    const away = await losesRedis(scene)
    const started = performance.now()
    await scaleRedis(1)
    await waitForRedis()
    const backMs = Math.round(performance.now() - started)
    await observe(AFTER_MS)
    const states = await Promise.all(EDGES.map(stateOf))
    const reseeded = states.reduce((sum, { store }) => sum + (store.redis?.reseeded ?? 0), 0)
    const figures = { ...away, backMs, reseeded }
    if (reseeded === 0) throw new PromiseBroken('Redis came back empty, and no replica filled it again', figures)
    return figures
  },
}
