// Runs one scenario: repairs the lab, deploys the services under load, sends the load while the scenario injects its fault, judges
// the result, and repairs the lab again.

import { setTimeout as delay } from 'node:timers/promises'
import { describe, type Replicas, replicasOn, waitForCluster, whoLeads } from './cluster.ts'
import { messageOf } from './command.ts'
import { docker } from './docker.ts'
import { processesOf } from './groups.ts'
import { heal } from './heal.ts'
import type { LoadPlan, LoadReport, LoadTarget } from './load/generator.ts'
import { Outside } from './load/outside.ts'
import {
  allReached,
  type BackendOptions,
  createBackend,
  type Figures,
  type Front,
  hostOf,
  LOADED,
  PromiseBroken,
  routedThrough,
  type Scenario,
} from './scenarios/contract.ts'
import { deployedStore } from './stack.ts'
import { waitForTasks } from './swarm.ts'
import { judgeSessions, type TaskLives, TaskWatch } from './task-watch.ts'
import { CLIENT_ADDRESSES, EDGES, type LabNode } from './topology.ts'
import { step } from './up.ts'

export interface ChaosOptions {
  /** Requests per second; null: the scenario's default. */
  readonly rps: number | null
  /** Minimum duration of the load in seconds; it lasts longer if the fault does. */
  readonly seconds: number
  /** Skips parts that only lengthen a scenario. */
  readonly short: boolean
}

export interface ChaosResult {
  readonly held: boolean
  /** The fields of the last line. */
  readonly line: Readonly<Record<string, unknown>>
}

/** Duration of the load before the fault, so that connections exist. */
const LEAD_IN_MS = 1000
const LEAD_OUT_MS = 1000
/** Number of failures that are printed; the generator keeps more, and counts all by kind. */
const SHOWN = 12
const POST_SIZES = [512, 20_000]
const RPS = 200

function targets({ posts, loadsAll, services }: Scenario): LoadTarget[] {
  const names = loadsAll === true ? [LOADED, ...Object.keys(services ?? {})] : [LOADED]
  return names.flatMap(service => {
    const common = { service, host: hostOf(service) }
    const get: LoadTarget = { ...common, method: 'GET', bodyBytes: 0 }
    return posts ? [get, ...POST_SIZES.map((bodyBytes): LoadTarget => ({ ...common, method: 'POST', bodyBytes }))] : [get]
  })
}

/** Deploys the services under load and waits until every edge serves them; resolves with their ids by name. */
async function deployLoaded(outside: Outside, scenario: Scenario): Promise<ReadonlyMap<string, string>> {
  const all: Readonly<Record<string, BackendOptions>> = { [LOADED]: scenario.backend, ...scenario.services }
  const ids = new Map<string, string>()
  for (const [name, backend] of Object.entries(all)) ids.set(name, await createBackend(name, backend))
  for (const [name, id] of ids) {
    const replicas = all[name]?.replicas ?? 0
    await waitForTasks(id, replicas, 60_000)
    await routedThrough(outside, name, EDGES)
    // An overlay network may need some seconds until every node reaches a new address. A client that is recognized by its address always
    // gets the same task, so such a service cannot be checked; the tasks of the other services stand for it.
    const byAddress = all[name]?.labels?.['skein.sticky.learn'] === 'ip'
    if (scenario.sessions !== undefined && !byAddress) await allReached(outside, name, replicas)
  }
  return ids
}

/** Runs the scenario. A broken promise is part of the result; @throws if the lab itself cannot be made ready */
export async function runScenario(scenario: Scenario, options: ChaosOptions): Promise<ChaosResult> {
  const outside = new Outside()
  let watch: TaskWatch | null = null
  let front: Front | null = null
  try {
    await step('healed', heal)
    if (scenario.setUp !== undefined) await step('set up', () => scenario.setUp?.() ?? Promise.resolve())
    const serviceIds = await step('services under load', () => deployLoaded(outside, scenario))
    const serviceId = serviceIds.get(LOADED) ?? ''
    if (scenario.front !== undefined) front = await step('in front', () => scenario.front!(outside))
    const leader = await waitForCluster()
    const edges = scenario.edges?.(leader.node) ?? EDGES
    const leaving = scenario.leaving?.(leader.node) ?? []
    const plan: LoadPlan = {
      edges:
        front === null
          ? edges.map(edge => ({ name: edge.name, address: edge.address, port: 80, leaving: leaving.includes(edge) }))
          : [front.edge],
      targets: targets(scenario),
      rps: options.rps ?? scenario.rps ?? RPS,
      ...(scenario.sessions === undefined ? {} : { sessions: scenario.sessions, addresses: CLIENT_ADDRESSES }),
      ...(scenario.breaker === undefined ? {} : { breaker: scenario.breaker }),
    }
    const replicas = await replicasOn(EDGES)
    if (scenario.sessions !== undefined) watch = new TaskWatch([...serviceIds.values()])
    const started = performance.now()
    await outside.startLoad(plan)
    await delay(LEAD_IN_MS)
    let figures: Figures = {}
    let broken: string | null = null
    try {
      figures = await scenario.harm({ outside, serviceId, serviceIds, short: options.short, edges, leader, replicas })
    } catch (error) {
      broken = messageOf(error)
      if (error instanceof PromiseBroken) figures = error.figures
    }
    await delay(Math.max(LEAD_OUT_MS, options.seconds * 1000 - (performance.now() - started)))
    const report = await outside.stopLoad()
    const lives = (await watch?.close()) ?? new Map()
    watch = null
    const staying = edges.filter(edge => !leaving.includes(edge))
    const ended = await endedReplicas(replicas, staying)
    const led = { ledBefore: describe(leader.node, leader.term), ledAfter: await whoLeads(replicas) }
    return judge(
      scenario,
      report,
      lives,
      { ...figures, ...led },
      broken ?? (ended.length > 0 ? `the replica ended on ${ended.join(', ')}` : null),
    )
  } finally {
    await watch?.close().catch(() => {})
    await front?.close()
    await outside.close()
    await scenario.tearDown?.()
    await step('healed', heal)
  }
}

/** Names of the nodes whose replica ended unexpectedly; prints its last log lines. */
async function endedReplicas(before: Replicas, staying: readonly LabNode[]): Promise<string[]> {
  const ended: string[] = []
  for (const edge of staying) {
    const { id, pid } = before.get(edge) ?? { id: '', pid: 0 }
    // Checks the container's process instead of the daemon, because a scenario may have killed the daemon.
    if (processesOf(edge.name).includes(pid)) continue
    ended.push(edge.name)
    const log = await docker(edge, ['logs', '--tail', '20', id], { both: true }).catch(messageOf)
    console.error(`${edge.name} ended; the end of its log: ${log.slice(-4000)}`)
  }
  return ended
}

function countBy(kinds: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

function judge(scenario: Scenario, report: LoadReport, lives: TaskLives, figures: Figures, broken: string | null): ChaosResult {
  const { samples, sessions: seen, breaker: _apart, failed, failedBy, ...counts } = report
  for (const sample of samples.slice(0, SHOWN)) console.error(`failed: ${JSON.stringify(sample)}`)
  const more = scenario.judge?.(report, figures) ?? { failed: {}, figures: {} }
  const allFailed = Object.values(more.failed).reduce((sum, count) => sum + count, failed)
  const { breaks, splits, moves, movedSessions, mostMoves } = judgeSessions(seen?.changes ?? [], lives)
  for (const one of breaks.slice(0, SHOWN)) console.error(`session broken: ${JSON.stringify(one)}`)
  const trouble =
    broken ??
    (seen !== undefined && seen.unfinished > 0 ? `${seen.unfinished} sessions had too few answers for a verdict` : null) ??
    (seen !== undefined && seen.changed > seen.changes.length ? 'more changes of task than the limit of the list' : null)
  if (trouble !== null) console.error(`broken: ${trouble}`)
  const line = {
    scenario: scenario.name,
    store: deployedStore(),
    ...counts,
    failed: allFailed,
    failedBy: { ...failedBy, ...Object.fromEntries(Object.entries(more.failed).filter(([, count]) => count > 0)) },
    sessions: seen?.sessions ?? 0,
    sessionBreaks: breaks.length,
    ...(breaks.length === 0 ? {} : { sessionBreaksBy: countBy(breaks.map(({ service, by }) => `${service} by ${by}`)) }),
    sessionMoves: moves,
    ...(seen === undefined
      ? {}
      : { movedSessions, mostMoves, sessionSplits: splits, unknownToApp: seen.unknown, sessionsPerTask: seen.spread }),
    ...figures,
    ...more.figures,
    ...(trouble === null ? {} : { broken: trouble }),
  }
  return { held: allFailed === 0 && breaks.length === 0 && report.requests > 0 && trouble === null, line }
}
