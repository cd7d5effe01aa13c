// Hundreds of services are deployed at once.

import { until } from '../../until.ts'
import { eachOf } from '../command.ts'
import { fetchAdmin } from '../stack.ts'
import { createBackend, type Figures, hostOf, ON_WORKERS, PromiseBroken, routedThrough, type Scenario } from './contract.ts'

const SERVICES = 300
/** The number of services that have a task, which is a process on this machine; the others are scaled to 0. */
const RUNS_EVERY = 20
const RUNS_EVERY_SHORT = 50
const SHOWN_MS = 60_000
const AT_ONCE = 8

export const deployMany: Scenario = {
  name: 'deploy-many',
  promise:
    `${SERVICES} services are deployed at once: every edge has all of them within ${SHOWN_MS / 1000} s of the last one's creation ` +
    '(shownMs), those with tasks are served, one without is answered with 503; no request to another service fails',
  onlyInAll: true,
  backend: { replicas: 4 },
  posts: true,
  async harm(scene): Promise<Figures> {
    const every = scene.short ? RUNS_EVERY_SHORT : RUNS_EVERY
    const all = Array.from({ length: SERVICES }, (_, nth) => ({ name: `chaos-many-${nth}`, runs: nth % every === 0 }))
    const started = performance.now()
    await eachOf(all, AT_ONCE, async ({ name, runs }) => {
      await createBackend(name, { replicas: runs ? 1 : 0, constraints: ON_WORKERS })
    })
    const createdMs = Math.round(performance.now() - started)
    const created = performance.now()
    await until(
      'every edge to have them all',
      async () => {
        for (const edge of scene.edges) {
          const { routers } = await fetchAdmin<{ routers: Readonly<Record<string, unknown>> }>(edge, '/api/snapshot')
          if (all.some(({ name }) => routers[name] === undefined)) throw new Error(`${edge.name} does not have them all`)
        }
        return true
      },
      2 * SHOWN_MS,
      { everyMs: 250 },
    )
    const shownMs = Math.round(performance.now() - created)
    for (const { name, runs } of all) if (runs) await routedThrough(scene.outside, name, scene.edges)
    const figures = { createdMs, shownMs, servedMs: Math.round(performance.now() - created) }
    const [idle] = all.filter(({ runs }) => !runs)
    for (const { address } of scene.edges) {
      const probe = { address, port: 80, host: hostOf(idle?.name ?? ''), path: '/', timeoutMs: 15_000 }
      const { status } = await scene.outside.probe(probe)
      if (status !== 503) throw new PromiseBroken(`a service without tasks is answered with ${status}`, figures)
    }
    if (shownMs > SHOWN_MS)
      throw new PromiseBroken(`every edge had them all after ${shownMs} ms; ${SHOWN_MS} ms is promised`, figures)
    return figures
  },
}
