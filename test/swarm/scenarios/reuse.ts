// Addresses pass to another service's task as soon as they are free: six services on a subnet with hardly a free address, whose tasks
// are replaced and killed. The edges hold connections to the old tasks, and learn of the new ones later.

import { until } from '../../until.ts'
import { eachOf } from '../command.ts'
import { createNetwork, joinEdgesTo } from '../networks.ts'
import { containersOf } from '../stack.ts'
import { rollService, tasksOf, updateService, waitForTasks, waitForUpdate } from '../swarm.ts'
import { EDGES } from '../topology.ts'
import {
  allReached,
  type BackendOptions,
  createBackend,
  type Figures,
  ON_WORKERS,
  observe,
  type Scenario,
  type Scene,
} from './contract.ts'

const TIGHT = 'chaos-tight'
const SETTLE_MS = 120_000
/** More than the number of addresses in the range. */
const FILLERS = 24
/** A task without an address after this time (ms) gets none. */
const NO_ADDRESS_MS = 4000

/** The time (ms) after the last change at which Swarm is polled at the slow rate again, so a task's death is noticed latest then. */
const AT_REST_MS = 12_000

const BACKEND: BackendOptions = {
  replicas: 2,
  constraints: ON_WORKERS,
  network: TIGHT,
  labels: { 'traefik.docker.network': TIGHT },
  delayMs: 4000,
}

/** Allocates all addresses but one; resolves with the number. */
async function fill(): Promise<number> {
  const id = await createBackend('chaos-filler', {
    ...BACKEND,
    replicas: FILLERS,
    labels: { 'traefik.enable': 'false' },
  })
  let running = -1
  let since = performance.now()
  await until(
    'no address to be left',
    async () => {
      const tasks = (await tasksOf(id)).filter(task => task.DesiredState === 'running')
      const now = tasks.filter(task => task.Status.State === 'running').length
      if (now !== running) since = performance.now()
      running = now
      return (
        tasks.every(({ Status }) => Status.State === 'running' || Status.State === 'new') &&
        performance.now() - since > NO_ADDRESS_MS
      )
    },
    SETTLE_MS,
    { everyMs: 100 },
  )
  await updateService(id, spec => ({ ...spec, Mode: { Replicated: { Replicas: running - 1 } } }))
  await waitForTasks(id, running - 1, SETTLE_MS)
  return running - 1
}

/**
 * Waits until all tasks listen. Swarm reports a task as running before it listens, which takes seconds on a busy machine; a step that
 * removed the other task meanwhile would test another fault.
 */
async function allListen({ outside, serviceIds }: Scene): Promise<void> {
  for (const [name, id] of serviceIds) {
    await waitForTasks(id, 2, SETTLE_MS)
    await allReached(outside, name, 2)
  }
}

async function rollAll(services: readonly string[]): Promise<void> {
  for (const id of services) await rollService(id)
  for (const id of services) await waitForUpdate(id, SETTLE_MS)
}

/** Kills one task of each service (SIGKILL), which frees its address at once. */
async function killOneOfEach(services: readonly string[]): Promise<void> {
  const found = await Promise.all(EDGES.map(async node => Promise.all(services.map(id => containersOf(node, id)))))
  for (const [index] of services.entries()) {
    const [first] = found.flatMap(byService => byService[index] ?? [])
    if (first !== undefined) process.kill(first.pid, 'SIGKILL')
  }
}

/** Scales one service down and another up, which gets the free address. */
async function swap(scene: Scene, services: readonly string[]): Promise<void> {
  for (const [index, id] of services.entries()) {
    const other = services[(index + 1) % services.length] ?? id
    const scaled = (wanted: string, replicas: number): Promise<void> =>
      updateService(wanted, spec => ({ ...spec, Mode: { Replicated: { Replicas: replicas } } }))
    await scaled(id, 1)
    await scaled(other, 4)
    await waitForTasks(id, 1, SETTLE_MS)
    await observe(1500)
    await scaled(other, 2)
    await waitForTasks(other, 2, SETTLE_MS)
    await scaled(id, 2)
    await allListen(scene)
  }
}

async function pressAddresses(scene: Scene): Promise<Figures> {
  const filled = await fill()
  const services = [...scene.serviceIds.values()]
  const before = await addressesOf(services)
  for (let round = 0; round < (scene.short ? 1 : 3); round++) {
    await rollAll(services)
    await allListen(scene)
    await observe(AT_REST_MS)
    await killOneOfEach(services)
    await allListen(scene)
  }
  await swap(scene, scene.short ? services.slice(0, 2) : services)
  const after = await addressesOf(services)
  const reused = [...after].filter(([address, service]) => before.has(address) && before.get(address) !== service).length
  return { filled, reused }
}

/** The current addresses and their services. */
async function addressesOf(services: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const all = new Map<string, string>()
  await eachOf(services, 2, async id => {
    for (const task of await tasksOf(id)) {
      const address = task.NetworksAttachments?.[0]?.Addresses?.[0]
      if (task.Status.State === 'running' && address !== undefined) all.set(address, id)
    }
  })
  return all
}

export const reuse: Scenario = {
  name: 'reuse',
  promise:
    'six services on a subnet with hardly a free address are rolled, killed and scaled: addresses pass from one to the other at ' +
    'once (reused); no request is answered by another service, and none fails',
  onlyInAll: true,
  backend: BACKEND,
  services: Object.fromEntries(['b', 'c', 'd', 'e', 'f'].map(letter => [`chaos-${letter}`, BACKEND])),
  loadsAll: true,
  posts: true,
  async setUp() {
    await joinEdgesTo(await createNetwork(TIGHT, { subnet: '10.209.0.0/24', range: '10.209.0.32/27' }))
  },
  harm: pressAddresses,
}
