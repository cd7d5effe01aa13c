// The stack as the README deploys it: the secrets, then `docker stack deploy` of docker-compose.ha.yml, unchanged; with the store
// `redis` of deploy/redis.yml as well.

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../until.ts'
import { messageOf, run } from './command.ts'
import { call, docker } from './docker.ts'
import { REDIS_IMAGE, skeinImage } from './images.ts'
import { anyManager, listServices, removeService, tasksOf } from './swarm.ts'
import { EDGES, LAB_DIR, type LabNode, MANAGERS } from './topology.ts'

export const STACK = 'edge'
/** The service whose tasks are Skein's replicas. */
export const REPLICA = `${STACK}_edge`
export const DOMAIN = 'lab.test'
/** The Docker secret that the stack uses unless told another. */
export const SECRET = 'skein_secret'
/** The network that services join to be reached. */
export const EDGE_NETWORK = 'edge'
/** The service that redis.yml adds. */
export const REDIS = `${STACK}_redis`
const ROOT = join(import.meta.dirname, '../..')
const STACK_FILE = join(ROOT, 'docker-compose.ha.yml')
const REDIS_FILE = join(ROOT, 'deploy/redis.yml')
/** Where shared state lives beside the replicas' memory. */
export const STORES = ['gossip', 'redis'] as const
export type Store = (typeof STORES)[number]
/** @throws for another word */
export function asStore(text: string): Store {
  const store = STORES.find(known => known === text)
  if (store === undefined) throw new Error(`--store is "${text}", expected ${STORES.join(' or ')}`)
  return store
}

/** Names the store that was deployed last. */
const STORE_FILE = join(LAB_DIR, 'store')

/** The store of the stack that is deployed. */
export function deployedStore(): Store {
  return existsSync(STORE_FILE) && readFileSync(STORE_FILE, 'utf8') === 'redis' ? 'redis' : 'gossip'
}

/** Names of the stack's services, with how many tasks each must have. */
function wantedTasks(): Readonly<Record<string, number>> {
  const always = { [`${STACK}_managers`]: MANAGERS.length, [REPLICA]: EDGES.length }
  return deployedStore() === 'redis' ? { ...always, [REDIS]: 1 } : always
}

/** Makes a Docker secret unless there is one of this name. */
export async function ensureSecret(name: string, text: string = randomBytes(32).toString('hex')): Promise<void> {
  await anyManager(async manager => {
    const secrets = await call<{ Spec: { Name: string } }[]>(manager, 'GET', '/secrets')
    if (secrets.some(secret => secret.Spec.Name === name)) return
    await docker(manager, ['secret', 'create', name, '-'], { input: text })
  })
}

/** No service may use them any more; what does not exist is passed over. */
export async function removeSecrets(names: readonly string[]): Promise<void> {
  await anyManager(async manager => {
    const secrets = await call<{ ID: string; Spec: { Name: string } }[]>(manager, 'GET', '/secrets')
    for (const { ID, Spec } of secrets) if (names.includes(Spec.Name)) await call(manager, 'DELETE', `/secrets/${ID}`)
  })
}

/**
 * Deploys the stack, or brings a deployed one up to date (another store, another Docker secret); resolves when all of it runs.
 * @param secret name of the Docker secret that replicas and agents share
 */
export async function deployStack(store: Store = deployedStore(), secret = SECRET, timeoutMs = 120_000): Promise<void> {
  await ensureSecret(secret)
  if (store === 'redis') await ensureSecret('skein_redis_password')
  const services = await anyManager(listServices)
  const edge = services.find(service => service.Spec.Name === REPLICA)
  // replicas with another store are other replicas: rolled one by one they would take a minute
  if (edge !== undefined && store !== deployedStore()) await removeService(edge.ID)
  const files = ['-c', STACK_FILE, ...(store === 'redis' ? ['-c', REDIS_FILE] : [])]
  await anyManager(manager =>
    docker(manager, ['stack', 'deploy', ...files, '--prune', '--resolve-image', 'never', STACK], {
      env: { SKEIN_IMAGE: skeinImage(), SKEIN_REDIS_IMAGE: REDIS_IMAGE, SKEIN_DOMAIN: DOMAIN, SKEIN_SECRET_NAME: secret },
    }),
  )
  writeFileSync(STORE_FILE, store)
  await waitForStack(timeoutMs)
}

export interface StackTrouble {
  readonly what: string
  /** Swarm has not even made all the tasks. */
  readonly missing: boolean
}

/** What keeps the stack from being whole; null when every node that should run a part of it runs it. */
export async function stackTrouble(): Promise<StackTrouble | null> {
  const services = await anyManager(listServices)
  for (const [name, count] of Object.entries(wantedTasks())) {
    const service = services.find(candidate => candidate.Spec.Name === name)
    if (service === undefined) return { what: `${name} is not deployed`, missing: true }
    if (service.UpdateStatus?.State === 'updating') return { what: `${name} is being updated`, missing: false }
    const tasks = (await tasksOf(service.ID)).filter(task => task.DesiredState === 'running')
    const failed = tasks.find(task => task.Status.Err !== undefined && task.Status.Err !== '')
    if (tasks.length !== count || tasks.some(task => task.Status.State !== 'running')) {
      const states = tasks.map(task => task.Status.State).join(' ')
      return { what: `${name}: ${states}${failed ? ` (${failed.Status.Err})` : ''}`, missing: tasks.length < count }
    }
  }
  return null
}

/** Waits until the stack is whole. */
export async function waitForStack(timeoutMs: number): Promise<void> {
  await until(
    'the stack to run everywhere',
    async () => {
      const trouble = await stackTrouble()
      if (trouble !== null) throw new Error(trouble.what)
      return true
    },
    timeoutMs,
    { everyMs: 250 },
  )
}

interface Container {
  readonly Id: string
  readonly Labels: Readonly<Record<string, string>>
}

/** A container's id, and its process. */
export interface Running {
  readonly id: string
  readonly pid: number
}

/**
 * The running containers of a service, by its name or id, on a node; asks the node itself, so it works without managers. By its
 * name it may be another service's that is being removed.
 */
export async function containersOf(node: LabNode, service: string): Promise<Running[]> {
  const containers = await call<Container[]>(node, 'GET', '/containers/json')
  const found = containers.filter(
    ({ Labels }) => Labels['com.docker.swarm.service.name'] === service || Labels['com.docker.swarm.service.id'] === service,
  )
  const running = await Promise.all(
    found.map(async ({ Id }) => {
      const { State } = await call<{ State: { Pid: number } }>(node, 'GET', `/containers/${Id}/json`)
      return { id: Id, pid: State.Pid }
    }),
  )
  // one that ended since it was listed has no process
  return running.filter(({ pid }) => pid !== 0)
}

/** The one running container of a service on a node. @throws when there is none */
export async function containerOn(node: LabNode, service: string): Promise<Running> {
  const [found] = await containersOf(node, service)
  if (found === undefined) throw new Error(`${service} does not run on ${node.name}`)
  return found
}

/** Empties the volume of a replica that does not run: the configuration that it kept, and all else. */
export function wipeData(node: LabNode): void {
  const data = join(node.dir, 'data/volumes', `${STACK}_data`, '_data')
  if (!existsSync(data)) return
  for (const name of readdirSync(data)) rmSync(join(data, name), { recursive: true, force: true })
}

/** A page of the admin API of the replica on an edge node. */
export async function fetchAdmin<T>(edge: LabNode, path: string): Promise<T> {
  return askContainer((await containerOn(edge, REPLICA)).pid, path)
}

/**
 * A page of a replica's admin API, asked from inside its container's network, where alone it listens. `pid`: the container's
 * process; nothing else is needed, so it works when the node's daemon is dead.
 */
export async function askContainer<T>(pid: number, path: string): Promise<T> {
  const script = [
    `const answer = await fetch('http://127.0.0.1:9000${path}', { signal: AbortSignal.timeout(4000) })`,
    // health says 503 while it drains
    "if (!answer.ok && answer.status !== 503) throw new Error('status ' + answer.status)",
    'console.log(await answer.text())',
  ].join('\n')
  const text = await run('nsenter', [`--net=/proc/${pid}/ns/net`, process.execPath, '--input-type=module', '-e', script], {
    timeoutMs: 6000,
  })
  return JSON.parse(text) as T
}

/** Answers of each replica's health page, or why there was none; for people. */
export async function edgeHealth(): Promise<Record<string, string>> {
  const answers: Record<string, string> = {}
  for (const edge of EDGES) {
    answers[edge.name] = await fetchAdmin<unknown>(edge, '/api/health').then(
      value => JSON.stringify(value),
      (error: unknown) => messageOf(error).split('\n')[0] ?? '',
    )
  }
  return answers
}
