// Runs one scenario: heals the lab, deploys the service under load, drives the load while the scenario does its harm, judges,
// heals again.

import { setTimeout as delay } from 'node:timers/promises'
import { describe, type Replicas, replicasOn, waitForCluster, whoLeads } from './cluster.ts'
import { messageOf } from './command.ts'
import { docker } from './docker.ts'
import { processesOf } from './groups.ts'
import { heal } from './heal.ts'
import type { LoadPlan, LoadReport, LoadTarget } from './load/generator.ts'
import { Outside } from './load/outside.ts'
import { createBackend, type Figures, hostOf, LOADED, PromiseBroken, routedThrough, type Scenario } from './scenarios/contract.ts'
import { waitForTasks } from './swarm.ts'
import { EDGES, type LabNode } from './topology.ts'
import { step } from './up.ts'

export interface ChaosOptions {
  readonly rps: number
  /** Load lasts at least so long; longer when the harm does. */
  readonly seconds: number
  /** Leaves out what only lengthens a scenario. */
  readonly short: boolean
}

export interface ChaosResult {
  readonly held: boolean
  /** What the last line says. */
  readonly line: Readonly<Record<string, unknown>>
}

/** Load before the harm, so that connections are warm. */
const LEAD_IN_MS = 1000
const LEAD_OUT_MS = 1000
/** Failures shown; the generator keeps more, and counts all by kind. */
const SHOWN = 12
const POST_SIZES = [512, 20_000]

function targets(posts: boolean): LoadTarget[] {
  const common = { service: LOADED, host: hostOf(LOADED) }
  const get: LoadTarget = { ...common, method: 'GET', bodyBytes: 0 }
  return posts ? [get, ...POST_SIZES.map((bodyBytes): LoadTarget => ({ ...common, method: 'POST', bodyBytes }))] : [get]
}

/** Never throws for what the scenario found; does when the lab itself cannot be made ready. */
export async function runScenario(scenario: Scenario, options: ChaosOptions): Promise<ChaosResult> {
  const outside = new Outside()
  try {
    await step('healed', heal)
    const serviceId = await createBackend(LOADED, scenario.backend)
    await step('service under load', async () => {
      await waitForTasks(serviceId, scenario.backend.replicas, 60_000)
      await routedThrough(outside, LOADED, EDGES)
    })
    const leader = await waitForCluster()
    const edges = scenario.edges?.(leader.node) ?? EDGES
    const leaving = scenario.leaving?.(leader.node) ?? []
    const plan: LoadPlan = {
      edges: edges.map(edge => ({ name: edge.name, address: edge.address, port: 80, leaving: leaving.includes(edge) })),
      targets: targets(scenario.posts),
      rps: options.rps,
    }
    const replicas = await replicasOn(EDGES)
    const started = performance.now()
    await outside.startLoad(plan)
    await delay(LEAD_IN_MS)
    let figures: Figures = {}
    let broken: string | null = null
    try {
      figures = await scenario.harm({ outside, serviceId, short: options.short, edges, leader, replicas })
    } catch (error) {
      broken = messageOf(error)
      if (error instanceof PromiseBroken) figures = error.figures
    }
    await delay(Math.max(LEAD_OUT_MS, options.seconds * 1000 - (performance.now() - started)))
    const report = await outside.stopLoad()
    const staying = edges.filter(edge => !leaving.includes(edge))
    const ended = await endedReplicas(replicas, staying)
    const led = { ledBefore: describe(leader.node, leader.term), ledAfter: await whoLeads(replicas) }
    return judge(
      scenario,
      report,
      { ...figures, ...led },
      broken ?? (ended.length > 0 ? `the replica ended on ${ended.join(', ')}` : null),
    )
  } finally {
    await outside.close()
    await step('healed', heal)
  }
}

/** Names of the nodes whose replica ended though it should have stayed; shows what it said last. */
async function endedReplicas(before: Replicas, staying: readonly LabNode[]): Promise<string[]> {
  const ended: string[] = []
  for (const edge of staying) {
    const { id, pid } = before.get(edge) ?? { id: '', pid: 0 }
    // its container's process, not its daemon's word: a scenario may have killed the daemon
    if (processesOf(edge.name).includes(pid)) continue
    ended.push(edge.name)
    const said = await docker(edge, ['logs', '--tail', '20', id], { both: true }).catch(messageOf)
    console.error(`${edge.name} said last: ${said.slice(-4000)}`)
  }
  return ended
}

function judge(scenario: Scenario, report: LoadReport, figures: Figures, broken: string | null): ChaosResult {
  const { samples, ...counts } = report
  for (const sample of samples.slice(0, SHOWN)) console.error(`failed: ${JSON.stringify(sample)}`)
  if (broken !== null) console.error(`broken: ${broken}`)
  return {
    held: report.failed === 0 && report.requests > 0 && broken === null,
    line: { scenario: scenario.name, ...counts, ...figures, ...(broken === null ? {} : { broken }) },
  }
}
