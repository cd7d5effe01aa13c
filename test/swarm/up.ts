// Starts and stops the lab. Both can be repeated at any time: the remains of an earlier run, aborted at any point, are removed first.

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

/** Runs a step and prints its duration to standard error; standard output is for the figures of scenarios. */
export async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  const result = await work()
  console.error(`lab: ${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  return result
}

/** Whether the lab was started completely and not stopped since. */
export function isUp(): boolean {
  return existsSync(READY_FILE) && outerExists() && processesOf(null).length > 0
}

/** Checks the requirements of the lab. @throws with the first one that is missing */
export async function requireTools(): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) throw new Error('the lab needs root on Linux')
  for (const tool of ['dockerd', 'docker', 'iptables', 'ip', 'nsenter', 'unshare', 'tar', 'redis-server']) {
    await run('sh', ['-c', 'command -v "$1"', 'sh', tool]).catch(() => {
      throw new Error(`the lab needs ${tool}: apt-get install docker.io iptables iproute2 redis-server`)
    })
  }
}

/** Ends and removes everything of the lab; does nothing if there is nothing. */
export async function down(): Promise<void> {
  await endAll(null)
  await removeAllNetworks()
  unmountBelow(LAB_DIR)
  rmSync(LAB_DIR, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  removeGroups(null)
}

/**
 * Unmounts file systems below the lab's directory before it is deleted. The engines mount in their own namespaces, so only another
 * tool could have left a mount here, but a deletion through a mount could not be undone.
 */
function unmountBelow(dir: string): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' ')[1] ?? '')
    .filter(path => path.startsWith(`${dir}/`))
  if (mounted.length > 0) throw new Error(`unmount first: ${mounted.join(' ')}`)
}

/** Starts six engines and one swarm, with all images on every node. It does not deploy the stack. */
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

/** Builds Skein's image from this checkout again and copies it to every node. */
export async function refreshImages(): Promise<void> {
  const [builder, ...others] = NODES
  if (builder === undefined) return
  await step('image files', prepareImages)
  await step('images built', () => buildImages(builder))
  await step('images on all nodes', () => carryImages(builder, others))
}
