// The whole lab, as `npm test` runs it: cut off while it comes up, brought up, held to the swarm cases, the stack deployed, every
// scenario in its short form, taken down, and nothing left behind. Needs root on Linux with dockerd; some ten minutes on two
// cores.

import { spawn } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { swarmCases } from './cases/cases.ts'
import type { SwarmTarget } from './cases/target.ts'
import { runScenario } from './chaos-run.ts'
import { isInstalled } from './command.ts'
import { answers } from './docker.ts'
import { killEngine, rebootNode } from './engine.ts'
import { processesOf } from './groups.ts'
import { heal } from './heal.ts'
import { BACKEND_IMAGE } from './images.ts'
import { takeLock } from './lock.ts'
import { SCENARIOS } from './scenarios/all.ts'
import type { Scenario } from './scenarios/contract.ts'
import { deployStack, fetchAdmin } from './stack.ts'
import { waitForSwarm } from './swarm.ts'
import { CGROUP, EDGES, LAB_DIR, type LabNode, MANAGERS, NODES, OUTER } from './topology.ts'
import { down, step, up } from './up.ts'

const UP_LIMIT_MS = 120_000
/** The load lasts longer where the harm does. */
const SHORT_SECONDS = 6

function endpoint(node: LabNode): string {
  return `unix://${node.socket}`
}

function managerAt(address: string): LabNode {
  const node = MANAGERS.find(manager => endpoint(manager) === address)
  if (node === undefined) throw new Error(`no manager at ${address}`)
  return node
}

const target: SwarmTarget = {
  managers: MANAGERS.map(endpoint),
  workers: EDGES.map(endpoint),
  speed: 1,
  image: BACKEND_IMAGE,
  command: [],
  harm: {
    kill: async address => killEngine(managerAt(address)),
    async revive(address) {
      const node = managerAt(address)
      if (!(await answers(node))) await rebootNode(node)
      if (MANAGERS.length === (await Promise.all(MANAGERS.map(manager => answers(manager)))).filter(Boolean).length)
        await waitForSwarm()
    },
  },
}

/** Paths and processes that are the lab's. */
function traces(): string[] {
  return [
    ...(existsSync(LAB_DIR) ? [LAB_DIR] : []),
    ...globSync(`/run/netns/${OUTER}*`),
    ...globSync(`/sys/fs/cgroup/{.,*}/${CGROUP}`),
    ...processesOf(null).map(pid => `process ${pid}`),
    ...readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter(line => line.includes('skein-lab')),
  ]
}

test('what a run leaves that was cut off while it came up, the next one clears', async () => {
  ;(await takeLock())()
  const cutOff = spawn(process.execPath, [join(import.meta.dirname, 'lab.ts'), 'up'], { stdio: 'ignore' })
  const ended = new Promise(resolve => cutOff.on('exit', resolve))
  try {
    await until('some engines to run', () => processesOf(null).length >= NODES.length, 60_000, { everyMs: 100 })
  } finally {
    cutOff.kill('SIGKILL')
    await ended
  }
  await down()
  assert.equal(traces(), [])
})

test(`the lab is up in less than ${UP_LIMIT_MS / 1000} s, images and stack included`, async () => {
  await takeLock()
  const started = performance.now()
  await up()
  await step('stack', () => deployStack('gossip'))
  assert.ok(performance.now() - started < UP_LIMIT_MS, `it took ${Math.round((performance.now() - started) / 1000)} s`)
})

test('each replica reads from a manager of its own', async () => {
  await until(
    'a different manager for each',
    async () => {
      const read = new Set<string>()
      for (const edge of EDGES) {
        const [status] = await fetchAdmin<{ managers: { current: boolean; hostname: string | null }[] }[]>(edge, '/api/managers')
        const current = status?.managers.find(manager => manager.current)
        if (current?.hostname) read.add(current.hostname)
      }
      return read.size === EDGES.length
    },
    60_000,
    { everyMs: 1000 },
  )
})

function runShort(scenario: Scenario): void {
  test(`${scenario.name}: ${scenario.promise}`, async () => {
    const { held, line } = await runScenario(scenario, { rps: null, seconds: SHORT_SECONDS, short: true })
    console.log(JSON.stringify(line))
    assert.ok(held, JSON.stringify(line))
  })
}

// what another scenario does too is left to that one: each loss of a manager takes half a minute to mend
const chosen = SCENARIOS.filter(({ name, partOf, notYetKept, onlyInAll, needs }) => {
  if (partOf !== undefined || notYetKept === true || onlyInAll === true) return false
  if (needs === undefined || isInstalled(needs)) return true
  console.log(`left out: ${name}, which needs ${needs}`)
  return false
})
for (const scenario of chosen.filter(({ store }) => store !== 'redis')) runShort(scenario)

test('Redis joins the stack', () => step('stack with redis', () => deployStack('redis')))

for (const scenario of chosen.filter(({ store }) => store === 'redis')) runShort(scenario)

for (const one of swarmCases) {
  test(`swarm case: ${one.name}`, async () => {
    await heal()
    await step('case', () => one.run(target))
  })
}

test('down leaves nothing behind', async () => {
  await down()
  assert.equal(traces(), [])
})

/** However the run ends, the lab goes with it. */
function leave(): void {
  down().finally(() => process.exit(1))
}
process.once('SIGINT', leave)
process.once('SIGTERM', leave)
test.run()
