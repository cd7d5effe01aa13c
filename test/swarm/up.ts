// From nothing to a swarm with the stack on it, and back to nothing. Both can be repeated at any time: what an earlier run left,
// cut off wherever it was, is cleared first.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eachOf, run } from './command.ts'
import { startEngine, waitForEngine } from './engine.ts'
import { endAll, processesOf, removeGroups, weighGroups } from './groups.ts'
import { buildImages, carryImages, prepareImages } from './images.ts'
import { createNodeNetwork, createOuter, outerExists, removeAllNetworks } from './network.ts'
import { formSwarm, labelEdges, waitForSwarm } from './swarm.ts'
import { LAB_DIR, NODES } from './topology.ts'

const READY_FILE = join(LAB_DIR, 'ready')

/** Says how long a step took; lines go to standard error, so that scenarios keep standard output for their figures. */
export async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  const result = await work()
  console.error(`lab: ${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  return result
}

/** True when a lab was brought up completely and nobody took it down. */
export function isUp(): boolean {
  return existsSync(READY_FILE) && outerExists() && processesOf(null).length > 0
}

/** @throws when something the lab needs is not there, naming what */
export async function requireTools(): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) throw new Error('the lab needs root on Linux')
  for (const tool of ['dockerd', 'docker', 'iptables', 'ip', 'nsenter', 'unshare', 'tar', 'redis-server']) {
    await run('sh', ['-c', 'command -v "$1"', 'sh', tool]).catch(() => {
      throw new Error(`the lab needs ${tool}: apt-get install docker.io iptables iproute2 redis-server`)
    })
  }
}

/** Ends and removes everything that is the lab's; does nothing when there is nothing. */
export async function down(): Promise<void> {
  await endAll(null)
  await removeAllNetworks()
  unmountBelow(LAB_DIR)
  rmSync(LAB_DIR, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  removeGroups(null)
}

/**
 * The engines mount in namespaces of their own; only a foreign tool could have left something in ours, but deleting through a
 * mount is final.
 */
function unmountBelow(dir: string): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' ')[1] ?? '')
    .filter(path => path.startsWith(`${dir}/`))
  if (mounted.length > 0) throw new Error(`unmount first: ${mounted.join(' ')}`)
}

/** Six engines, one swarm, all images on every node. The stack is not deployed yet. */
export async function up(): Promise<void> {
  await requireTools()
  await step('cleared', down)
  mkdirSync(LAB_DIR, { recursive: true })
  await step('network', async () => {
    await createOuter()
    for (const node of NODES) await createNodeNetwork(node)
  })
  const [builder, ...others] = NODES
  if (builder === undefined) return
  weighGroups(NODES.length)
  for (const node of NODES) startEngine(node)
  const prepared = step('image files', prepareImages)
  prepared.catch(() => {})
  await step('engines', () => eachOf(NODES, NODES.length, waitForEngine))
  const swarm = step('swarm', async () => {
    await formSwarm()
    await waitForSwarm()
    await labelEdges()
  })
  swarm.catch(() => {})
  await prepared
  await step('images built', () => buildImages(builder))
  await step('images on all nodes', () => carryImages(builder, others))
  await swarm
  writeFileSync(READY_FILE, `${new Date().toISOString()}\n`)
}

/** Skein's image anew from this checkout, on every node. */
export async function refreshImages(): Promise<void> {
  const [builder, ...others] = NODES
  if (builder === undefined) return
  await step('image files', prepareImages)
  await step('images built', () => buildImages(builder))
  await step('images on all nodes', () => carryImages(builder, others))
}
