// The stack as the README deploys it: the secrets, then `docker stack deploy` of docker-compose.ha.yml, unchanged; with the store
// `redis` also of deploy/redis.yml.

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
/** The service whose tasks are the replicas. */
export const REPLICA = `${STACK}_edge`
export const DOMAIN = 'lab.test'
/** The Docker secret that the stack uses by default. */
export const SECRET = 'skein_secret'
/** The network through which the edges reach services. */
export const EDGE_NETWORK = 'edge'
/** The service of redis.yml. */
export const REDIS = `${STACK}_redis`
const ROOT = join(import.meta.dirname, '../..')
const STACK_FILE = join(ROOT, 'docker-compose.ha.yml')
const REDIS_FILE = join(ROOT, 'deploy/redis.yml')
/** The store of shared state. */
export const STORES = ['gossip', 'redis'] as const
export type Store = (typeof STORES)[number]
/** Parses the name of a store. @throws for any other text */
export function asStore(text: string): Store {
  const store = STORES.find(known => known === text)
  if (store === undefined) throw new Error(`--store is "${text}", expected ${STORES.join(' or ')}`)
  return store
}

/** The file with the name of the store that was deployed last. */
const STORE_FILE = join(LAB_DIR, 'store')

/** The store of the deployed stack. */
export function deployedStore(): Store {
  return existsSync(STORE_FILE) && readFileSync(STORE_FILE, 'utf8') === 'redis' ? 'redis' : 'gossip'
}

/** The names of the stack's services, with the number of tasks of each. */
function wantedTasks(): Readonly<Record<string, number>> {
  const always = { [`${STACK}_managers`]: MANAGERS.length, [REPLICA]: EDGES.length }
  return deployedStore() === 'redis' ? { ...always, [REDIS]: 1 } : always
}

/** Creates a Docker secret unless one of this name exists. */
export async function ensureSecret(name: string, text: string = randomBytes(32).toString('hex')): Promise<void> {
  await anyManager(async manager => {
    const secrets = await call<{ Spec: { Name: string } }[]>(manager, 'GET', '/secrets')
    if (secrets.some(secret => secret.Spec.Name === name)) return
    await docker(manager, ['secret', 'create', name, '-'], { input: text })
  })
}

/** Removes Docker secrets, which no service may use any more; ignores those that do not exist. */
export async function removeSecrets(names: readonly string[]): Promise<void> {
  await anyManager(async manager => {
    const secrets = await call<{ ID: string; Spec: { Name: string } }[]>(manager, 'GET', '/secrets')
    for (const { ID, Spec } of secrets) if (names.includes(Spec.Name)) await call(manager, 'DELETE', `/secrets/${ID}`)
  })
}

/**
 * Deploys the stack, or updates a deployed one (another store, another Docker secret); resolves when all of it runs.
 * @param secret the name of the Docker secret that replicas and agents share
 */
export async function deployStack(store: Store = deployedStore(), secret = SECRET, timeoutMs = 120_000): Promise<void> {
  await ensureSecret(secret)
  if (store === 'redis') await ensureSecret('skein_redis_password')
  const services = await anyManager(listServices)
  const edge = services.find(service => service.Spec.Name === REPLICA)
  // A change of the store replaces the replicas; rolling them one by one would take a minute.
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
  /** Swarm has not created all tasks yet. */
  readonly missing: boolean
}

/** The first service that does not run completely; null if every node runs the tasks that it should. */
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

/** Waits until the stack runs completely. */
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

/** A container's id and process. */
export interface Running {
  readonly id: string
  readonly pid: number
}

/**
 * The running containers of a service, by name or id, on a node. It asks the node itself, so it works without managers. A name may
 * also match a service of the same name that is still in removal.
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
  // A container that has ended since the list was made has no process.
  return running.filter(({ pid }) => pid !== 0)
}

/** The running container of a service on a node. @throws if there is none */
export async function containerOn(node: LabNode, service: string): Promise<Running> {
  const [found] = await containersOf(node, service)
  if (found === undefined) throw new Error(`${service} does not run on ${node.name}`)
  return found
}

/** Empties the data volume of a stopped replica. */
export function wipeData(node: LabNode): void {
  const data = join(node.dir, 'data/volumes', `${STACK}_data`, '_data')
  if (!existsSync(data)) return
  for (const name of readdirSync(data)) rmSync(join(data, name), { recursive: true, force: true })
}

/** Reads a page of the admin API of the replica on an edge node. */
export async function fetchAdmin<T>(edge: LabNode, path: string): Promise<T> {
  return askContainer((await containerOn(edge, REPLICA)).pid, path)
}

/**
 * Reads a page of a replica's admin API from inside its container's network, the only place where it listens. It needs only `pid`,
 * the container's process, so it works while the node's daemon is dead.
 */
export async function askContainer<T>(pid: number, path: string): Promise<T> {
  const script = [
    `const answer = await fetch('http://127.0.0.1:9000${path}', { signal: AbortSignal.timeout(4000) })`,
    // /api/health answers 503 while the replica drains.
    "if (!answer.ok && answer.status !== 503) throw new Error('status ' + answer.status)",
    'console.log(await answer.text())',
  ].join('\n')
  const text = await run('nsenter', [`--net=/proc/${pid}/ns/net`, process.execPath, '--input-type=module', '-e', script], {
    timeoutMs: 6000,
  })
  return JSON.parse(text) as T
}

/** The answer of each replica's health page, or the error, as text. */
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
