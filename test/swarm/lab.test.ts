// The whole lab, as `npm test` runs it: a start that is aborted, a complete start, the swarm cases, the stack, every scenario in its
// short form, the shutdown, and a check that nothing is left. Needs root on Linux with dockerd; takes about ten minutes on two cores.

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
/** Minimum duration of the load in seconds; it lasts longer if the fault does. */
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

/** Paths and processes that belong to the lab. */
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

test('an aborted start: the next start removes its remains', async () => {
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

test('three replicas: each uses another manager', async () => {
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
    const { held, line } = await runScenario(scenario, { rps: null, seconds: SHORT_SECONDS, short: true }).catch(error => {
      // The report of all failures follows at the end of the file, many minutes later.
      console.log(`${scenario.name} could not be run: ${error instanceof Error ? error.message : String(error)}`)
      throw error
    })
    console.log(JSON.stringify(line))
    assert.ok(held, JSON.stringify(line))
  })
}

// A scenario whose fault is part of another one is left out: recovery from each loss of a manager takes half a minute.
const chosen = SCENARIOS.filter(({ name, partOf, notYetKept, onlyInAll, needs }) => {
  if (partOf !== undefined || notYetKept === true || onlyInAll === true) return false
  if (needs === undefined || isInstalled(needs)) return true
  console.log(`left out: ${name}, which needs ${needs}`)
  return false
})
for (const scenario of chosen.filter(({ store }) => store !== 'redis')) runShort(scenario)

test('the stack with Redis is deployed', () => step('stack with redis', () => deployStack('redis')))

for (const scenario of chosen.filter(({ store }) => store === 'redis')) runShort(scenario)

for (const one of swarmCases) {
  test(`swarm case: ${one.name}`, async () => {
    await heal()
    await step('case', () => one.run(target))
  })
}

test('down: no process, path or namespace of the lab is left', async () => {
  await down()
  assert.equal(traces(), [])
})

/** The lab is removed when the run ends, in any way. */
function leave(): void {
  down().finally(() => process.exit(1))
}
process.once('SIGINT', leave)
process.once('SIGTERM', leave)
test.run()
