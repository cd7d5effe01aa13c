// Circuit breakers of the whole cluster: a breaker opens on all edges when a backend fails through one, exactly one member probes,
// and requests come back gradually. Two kinds of answers are expected and do not count as failures in their place: the backend's 500s
// while it fails on purpose, through the edges for which it fails, and 503s with Retry-After from the first failure until all
// breakers are closed.

import { until } from '../../until.ts'
import type { Arrival } from '../backend/app.ts'
import { arrivals, failFor } from '../backend-tasks.ts'
import { BreakerWatch } from '../breaker-watch.ts'
import type { EdgeBreakerAnswers } from '../load/breaker-answers.ts'
import type { LoadReport } from '../load/generator.ts'
import { EDGES, nodeNamed } from '../topology.ts'
import { type Figures, LOADED, observe, PromiseBroken, type Scenario } from './contract.ts'

const EXPRESSION = 'ResponseCodeRatio(500, 600, 0, 600) > 0.2'
const SPREAD_MS = 200
const OPENS_MS = 30_000
const CLOSES_MS = 60_000
/** Tolerance in ms between the arrival of an answer and the poll that shows the state. */
const SLACK_MS = 500
const UNSEEN_MS = 100
/** The edge for which the backend fails. Its requests are a third of all, more than the expression tolerates. */
const FAILING = nodeNamed('e2')

function labels(open: string, recovery: string): Record<string, string> {
  return {
    'traefik.backend.circuitbreaker.expression': EXPRESSION,
    'skein.breaker.open': open,
    'skein.breaker.recovery': recovery,
    // All tasks fail alike here; a random run of 500s on one of them must not eject it.
    'skein.outlier.errors': '0',
  }
}

function answersOf(report: LoadReport): [edge: string, answers: EdgeBreakerAnswers][] {
  return Object.entries(report.breaker ?? {})
}

function total(report: LoadReport, of: 'intended' | 'refused'): number {
  return answersOf(report).reduce((sum, [, answers]) => sum + answers[of], 0)
}

function outside(first: number | null, last: number | null, from: number, to: number): boolean {
  return (first !== null && first < from) || (last !== null && last > to)
}

/** If one answer of a kind of an edge was outside of its time, all of them count as failed. */
export function outOfPlace(
  report: LoadReport,
  failing: readonly string[],
  times: { readonly failingAt: number; readonly healedAt: number; readonly closedAt: number },
): Record<string, number> {
  let wrong500 = 0
  let wrong503 = 0
  for (const [edge, answers] of answersOf(report)) {
    const { intended, firstIntendedAt, lastIntendedAt, refused, firstRefusedAt, lastRefusedAt } = answers
    const late = times.healedAt + SLACK_MS
    if (!failing.includes(edge) || outside(firstIntendedAt, lastIntendedAt, times.failingAt, late)) wrong500 += intended
    if (outside(firstRefusedAt, lastRefusedAt, times.failingAt, times.closedAt + SLACK_MS)) wrong503 += refused
  }
  return { 'status-500-out-of-place': wrong500, 'status-503-out-of-place': wrong503 }
}

export const breakerShared: Scenario = {
  name: 'breaker-shared',
  promise:
    `a backend fails for the requests of one edge only: its breaker opens on every edge, the last within ${SPREAD_MS} ms of the ` +
    'first (spreadMs)',
  // Open for longer than the scenario lasts, because another edge's probe would succeed while the backend fails for one edge only.
  backend: { replicas: 4, labels: labels('10m', '10s') },
  posts: false,
  breaker: true,
  async harm(scene) {
    const watch = await BreakerWatch.open(scene.replicas, LOADED)
    try {
      const failingAt = await failFor(scene.serviceId, [FAILING.name])
      const times = await watch.everywhere('open', failingAt, OPENS_MS)
      const openAt = Math.min(...times)
      const allOpenAt = Math.max(...times)
      const first = EDGES.find(edge => watch.sightings(edge).some(({ atMs, state }) => state === 'open' && atMs === openAt))
      await observe(scene.short ? 2000 : 5000)
      const reached = await arrivals(scene.serviceId, openAt)
      const figures = {
        failingAt,
        failingFor: FAILING.name,
        openedBy: watch.sightings(first ?? FAILING).find(({ state }) => state === 'open')?.by ?? '',
        opensMs: openAt - failingAt,
        spreadMs: allOpenAt - openAt,
        reachedAfterFirstOpen: reached.length,
        reachedAfterAllOpen: reached.filter(([at]) => at > allOpenAt).length,
        lastReachedMs: Math.max(0, ...reached.map(([at]) => at - openAt)),
      }
      if (figures.spreadMs > SPREAD_MS)
        throw new PromiseBroken(
          `the breaker was open everywhere after ${figures.spreadMs} ms; ${SPREAD_MS} ms is promised`,
          figures,
        )
      return figures
    } finally {
      watch.close()
    }
  },
  judge(report, figures) {
    const firstRefused = answersOf(report).map(([, { firstRefusedAt }]) => firstRefusedAt)
    const times = firstRefused.filter(time => time !== null)
    const never = Number.POSITIVE_INFINITY
    const failingAt = typeof figures.failingAt === 'number' ? figures.failingAt : never
    return {
      failed: outOfPlace(report, [FAILING.name], { failingAt, healedAt: never, closedAt: never }),
      figures: {
        failedByBackend: total(report, 'intended'),
        refused: total(report, 'refused'),
        // The same time as seen by clients: the first 503 of each edge.
        refusedSpreadMs: times.length === firstRefused.length ? Math.max(...times) - Math.min(...times) : null,
      },
    }
  },
}

interface Period {
  readonly from: number
  readonly to: number
}

const THEN: Readonly<Record<'half-open' | 'recovering', readonly string[]>> = {
  'half-open': ['open', 'recovering'],
  recovering: ['open', 'closed'],
}

/** The periods of a state: from the first replica that showed it to the first that showed the following state. */
function periods(watch: BreakerWatch, state: 'half-open' | 'recovering', after: number): Period[] {
  const all = EDGES.flatMap(edge => watch.sightings(edge))
    .filter(({ atMs }) => atMs >= after)
    .sort((a, b) => a.atMs - b.atMs)
  const found: Period[] = []
  for (const { atMs: from, state: shown } of all) {
    // A replica that shows the state later than the others does not start another period.
    if (shown !== state || from - (found.at(-1)?.to ?? 0) < SLACK_MS) continue
    const to = all.find(({ atMs, state: next }) => atMs >= from && THEN[state].includes(next))?.atMs
    if (to !== undefined) found.push({ from, to })
  }
  return found
}

/** The number of requests that arrived in each quarter of a period. */
export function quarters(seen: readonly Arrival[], { from, to }: Period): number[] {
  const counts = [0, 0, 0, 0]
  for (const [at] of seen) {
    const quarter = Math.floor((4 * (at - from)) / (to - from))
    if (quarter >= 0 && quarter < 4) counts[quarter] = (counts[quarter] ?? 0) + 1
  }
  return counts
}

export const breakerRecovery: Scenario = {
  name: 'breaker-recovery',
  promise:
    'a backend fails, and recovers later: while the breaker is half-open exactly one member probes, then requests come back gradually ' +
    '(recovering), then the breaker is closed everywhere (closedMs)',
  backend: { replicas: 4, labels: labels('2s', '4s') },
  posts: false,
  breaker: true,
  async harm(scene) {
    const watch = await BreakerWatch.open(scene.replicas, LOADED)
    try {
      const failingAt = await failFor(scene.serviceId, ['*'])
      const opened = await watch.everywhere('open', failingAt, OPENS_MS)
      // A failed probe opens the breaker again.
      await until('a probe', () => watch.firstTimes('half-open', failingAt).some(time => time !== null), OPENS_MS, {
        everyMs: 20,
      })
      const probedAt = Math.min(...watch.firstTimes('half-open', failingAt).filter(time => time !== null))
      await watch.everywhere('open', probedAt, OPENS_MS)
      await failFor(scene.serviceId, [])
      const healedAt = Date.now()
      const closed = await watch.everywhere('closed', healedAt, CLOSES_MS)
      const closedAt = Math.max(...closed)
      await observe(1000)
      const seen = await arrivals(scene.serviceId, failingAt)
      const halfOpen = periods(watch, 'half-open', failingAt).map(period => {
        // No request arrives while the breaker is open: one that arrives shortly before a poll shows the change belongs to the next state.
        const within = seen.filter(([at]) => at > period.from - UNSEEN_MS && at <= period.to)
        return { ms: period.to - period.from, requests: within.length, by: [...new Set(within.map(([, edge]) => edge))] }
      })
      const ramp = periods(watch, 'recovering', healedAt).at(-1)
      const rampArrivals = ramp === undefined ? [] : quarters(seen, ramp)
      const figures = {
        failingAt,
        healedAt,
        closedAt,
        opensMs: Math.min(...opened) - failingAt,
        spreadMs: Math.max(...opened) - Math.min(...opened),
        halfOpen,
        halfOpenRequests: halfOpen.reduce((sum, { requests }) => sum + requests, 0),
        rampMs: ramp === undefined ? null : ramp.to - ramp.from,
        rampArrivals,
        closedMs: closedAt - healedAt,
        closedSpreadMs: closedAt - Math.min(...closed),
      }
      checkRecovery(figures)
      return figures
    } finally {
      watch.close()
    }
  },
  judge(report, figures) {
    const at = (name: string, otherwise: number): number => (typeof figures[name] === 'number' ? figures[name] : otherwise)
    const times = {
      failingAt: at('failingAt', Number.POSITIVE_INFINITY),
      healedAt: at('healedAt', Number.POSITIVE_INFINITY),
      closedAt: at('closedAt', Number.POSITIVE_INFINITY),
    }
    return {
      failed: outOfPlace(
        report,
        EDGES.map(({ name }) => name),
        times,
      ),
      figures: {
        failedByBackend: total(report, 'intended'),
        refused: total(report, 'refused'),
        // Relative to the last replica that showed the breaker closed; negative: before.
        lastRefusedMs: Math.max(...answersOf(report).map(([, { lastRefusedAt }]) => lastRefusedAt ?? 0)) - times.closedAt,
      },
    }
  },
}

/** @throws PromiseBroken if more than one member probed, or if requests did not come back gradually */
function checkRecovery(
  figures: Figures & {
    readonly halfOpen: readonly { readonly by: readonly string[] }[]
    readonly rampArrivals: readonly number[]
  },
): void {
  const crowd = figures.halfOpen.find(({ by }) => by.length > 1)
  if (crowd !== undefined) throw new PromiseBroken(`several members probed at once: ${crowd.by.join(', ')}`, figures)
  const [first = 0, , , last = 0] = figures.rampArrivals
  if (!(last > 2 * first)) throw new PromiseBroken(`requests did not come back gradually: ${figures.rampArrivals}`, figures)
}
