// Circuit breakers of the whole cluster: what fails behind one edge is protected on all, one member alone probes it, and requests
// come back by and by. Two kinds of answers are these scenarios' own and are no failures where they are in place: the backend's
// 500s while it fails on purpose, through the edges that it fails for, and 503s with Retry-After from when it fails until all is
// well.

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
/** Answers are noted when they have arrived, states when they are shown: so much may lie between. */
const SLACK_MS = 500
const UNSEEN_MS = 100
/** Its requests are a third of all, more than the expression allows to fail. */
const FAILING = nodeNamed('e2')

function labels(open: string, recovery: string): Record<string, string> {
  return {
    'traefik.backend.circuitbreaker.expression': EXPRESSION,
    'skein.breaker.open': open,
    'skein.breaker.recovery': recovery,
    // all tasks fail alike here, but a run of 500s on one of them by chance must not look like its own fault
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

/** All of an edge's answers of a kind count as failed when any of them was out of its time. */
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
    `a backend fails for the requests of one edge only: the breaker opens on every edge, the last within ${SPREAD_MS} ms of the ` +
    'first (spreadMs)',
  // open for longer than the scenario lasts: while it fails for one edge alone, another may well find it healthy
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
        throw new PromiseBroken(`it was open everywhere only after ${figures.spreadMs} ms; ${SPREAD_MS} ms is promised`, figures)
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
        // the same as clients saw it: the first 503 of each edge
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

/** Times from when some replica showed the state until one showed what comes after it. */
function periods(watch: BreakerWatch, state: 'half-open' | 'recovering', after: number): Period[] {
  const all = EDGES.flatMap(edge => watch.sightings(edge))
    .filter(({ atMs }) => atMs >= after)
    .sort((a, b) => a.atMs - b.atMs)
  const found: Period[] = []
  for (const { atMs: from, state: shown } of all) {
    // a replica that shows it a little later than the others is not another period
    if (shown !== state || from - (found.at(-1)?.to ?? 0) < SLACK_MS) continue
    const to = all.find(({ atMs, state: next }) => atMs >= from && THEN[state].includes(next))?.atMs
    if (to !== undefined) found.push({ from, to })
  }
  return found
}

/** How many requests arrived in each quarter of a period. */
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
    'a backend fails, and later heals: while the breaker is half-open one member alone probes, then requests come back by and by ' +
    '(recovering), then it is closed everywhere (closedMs)',
  backend: { replicas: 4, labels: labels('2s', '4s') },
  posts: false,
  breaker: true,
  async harm(scene) {
    const watch = await BreakerWatch.open(scene.replicas, LOADED)
    try {
      const failingAt = await failFor(scene.serviceId, ['*'])
      const opened = await watch.everywhere('open', failingAt, OPENS_MS)
      // a probe that fails: it opens again
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
        // nothing arrives while it is open: what came a moment before the state was seen to change came because it had
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
        // before (negative) or after the last replica showed that it is closed
        lastRefusedMs: Math.max(...answersOf(report).map(([, { lastRefusedAt }]) => lastRefusedAt ?? 0)) - times.closedAt,
      },
    }
  },
}

/** @throws PromiseBroken when more than one member probed, or requests did not come back by and by */
function checkRecovery(
  figures: Figures & {
    readonly halfOpen: readonly { readonly by: readonly string[] }[]
    readonly rampArrivals: readonly number[]
  },
): void {
  const crowd = figures.halfOpen.find(({ by }) => by.length > 1)
  if (crowd !== undefined) throw new PromiseBroken(`several members probed at once: ${crowd.by.join(', ')}`, figures)
  const [first = 0, , , last = 0] = figures.rampArrivals
  if (!(last > 2 * first)) throw new PromiseBroken(`requests did not come back by and by: ${figures.rampArrivals}`, figures)
}
