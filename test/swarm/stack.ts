// The stack as the README deploys it: the secret, then `docker stack deploy` of docker-compose.ha.yml, unchanged.

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, run, until } from './command.ts'
import { call, docker } from './docker.ts'
import { skeinImage } from './images.ts'
import { anyManager, listServices, tasksOf } from './swarm.ts'
import { EDGES, type LabNode, MANAGERS } from './topology.ts'

export const STACK = 'edge'
/** The service whose tasks are Skein's replicas. */
export const REPLICA = `${STACK}_edge`
export const DOMAIN = 'lab.test'
/** The network that services join to be reached. */
export const EDGE_NETWORK = 'edge'
const SECRET = 'skein_secret'
const STACK_FILE = join(import.meta.dirname, '../../docker-compose.ha.yml')

/** Names of the stack's services, with how many tasks each must have. */
const SERVICES: Readonly<Record<string, number>> = { [`${STACK}_managers`]: MANAGERS.length, [REPLICA]: EDGES.length }

/** Deploys the stack, or brings a deployed one up to date; resolves when all of it runs. */
export async function deployStack(): Promise<void> {
  await anyManager(async manager => {
    const secrets = await call<{ Spec: { Name: string } }[]>(manager, 'GET', '/secrets')
    if (secrets.some(secret => secret.Spec.Name === SECRET)) return
    await docker(manager, ['secret', 'create', SECRET, '-'], { input: randomBytes(32).toString('hex') })
  })
  await anyManager(manager =>
    docker(manager, ['stack', 'deploy', '-c', STACK_FILE, '--resolve-image', 'never', STACK], {
      env: { SKEIN_IMAGE: skeinImage(), SKEIN_DOMAIN: DOMAIN },
    }),
  )
  await waitForStack(120_000)
}

export interface StackTrouble {
  readonly what: string
  /** Swarm has not even made all the tasks. */
  readonly missing: boolean
}

/** What keeps the stack from being whole; null when every node that should run a part of it runs it. */
export async function stackTrouble(): Promise<StackTrouble | null> {
  const services = await anyManager(listServices)
  for (const [name, count] of Object.entries(SERVICES)) {
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
    timeoutMs,
    async () => {
      const trouble = await stackTrouble()
      if (trouble !== null) throw new Error(trouble.what)
      return true
    },
    250,
  )
}

interface Container {
  readonly Id: string
  readonly Labels: Readonly<Record<string, string>>
}

/** The running container of a service on a node; asks the node itself, so it works without managers. */
export async function containerOn(node: LabNode, service: string): Promise<{ id: string; pid: number }> {
  const containers = await call<Container[]>(node, 'GET', '/containers/json')
  const found = containers.find(container => container.Labels['com.docker.swarm.service.name'] === service)
  if (found === undefined) throw new Error(`${service} does not run on ${node.name}`)
  const { State } = await call<{ State: { Pid: number } }>(node, 'GET', `/containers/${found.Id}/json`)
  return { id: found.Id, pid: State.Pid }
}

/** Empties the volume of a replica that does not run: the configuration that it kept, and all else. */
export function wipeData(node: LabNode): void {
  const data = join(node.dir, 'data/volumes', `${STACK}_data`, '_data')
  if (!existsSync(data)) return
  for (const name of readdirSync(data)) rmSync(join(data, name), { recursive: true, force: true })
}

/** A page of the admin API of the replica on an edge node. */
export async function askAdmin<T>(edge: LabNode, path: string): Promise<T> {
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
    answers[edge.name] = await askAdmin<unknown>(edge, '/api/health').then(
      value => JSON.stringify(value),
      (error: unknown) => messageOf(error).split('\n')[0] ?? '',
    )
  }
  return answers
}
