// The interface of a scenario, and the helpers that scenarios share. The runner (chaos-run.ts) deploys the service under load, sends
// the load, calls `harm` meanwhile, judges the result, and repairs the lab afterwards in any case.

import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../../until.ts'
import type { Leader, Replicas } from '../cluster.ts'
import { call } from '../docker.ts'
import { BACKEND_IMAGE } from '../images.ts'
import type { LoadEdge, LoadReport } from '../load/generator.ts'
import type { Outside } from '../load/outside.ts'
import type { SessionGroup } from '../load/sessions.ts'
import { DOMAIN, EDGE_NETWORK, type Store } from '../stack.ts'
import { anyManager, createService, type ServiceSpec, tasksOf } from '../swarm.ts'
import { EDGES, type LabNode, MANAGERS } from '../topology.ts'

/** The service that is under load in every scenario. */
export const LOADED = 'chaos'
/** The label of services that scenarios create, by which a later run finds and removes them. */
export const MARK = 'lab.skein.chaos'

const ROUTE_TIMEOUT_MS = 60_000

export interface BackendOptions {
  readonly replicas: number
  /** Placement constraints; none: any node, including managers. */
  readonly constraints?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  /** Order and delay of the service's rolling updates. */
  readonly order?: 'stop-first' | 'start-first'
  readonly delayMs?: number
  /** The network of its tasks, by name; default: that of the edges. */
  readonly network?: string
}

/** The fields that a scenario adds to the result. */
export type Figures = Readonly<Record<string, unknown>>

/** A promise other than `failed: 0` was broken; the figures measured so far are part of the result. */
export class PromiseBroken extends Error {
  readonly figures: Figures

  constructor(message: string, figures: Figures) {
    super(message)
    this.figures = figures
  }
}

export interface Scenario {
  readonly name: string
  /** The promise in one sentence, shown by --list. */
  readonly promise: string
  readonly backend: BackendOptions
  /** Further services under load, by name. */
  readonly services?: Readonly<Record<string, BackendOptions>>
  /** Requests go to the further services too, in turn; otherwise only to the first one. */
  readonly loadsAll?: boolean
  /** The load includes POSTs. */
  readonly posts: boolean
  /** Clients with sessions, which make all of the load; no session may break (task-watch.ts). */
  readonly sessions?: readonly SessionGroup[]
  /** Requests (of clients with sessions: turns) per second without --rps; default 200. */
  readonly rps?: number
  /** The backend fails on purpose: judge() decides which of the separately counted answers were expected. */
  readonly breaker?: boolean
  /** The only store with which the scenario runs. */
  readonly store?: Store
  /** The edges that get load, given the edge of the leading replica at the start; default: all. */
  edges?(leader: LabNode): readonly LabNode[]
  /**
   * Edges that the scenario takes away temporarily: a refused connection there is retried at the next edge, as any client with several
   * addresses does.
   */
  leaving?(leader: LabNode): readonly LabNode[]
  /** A command that must be installed in addition to those of the lab. */
  readonly needs?: string
  /** Starts a program in front of the edges, which then gets all of the load. Called before the load begins. */
  front?(outside: Outside): Promise<Front>
  /** The name of a scenario that includes the fault of this one: `npm test` runs only that one. */
  readonly partOf?: string
  /** The scenario takes long or rebuilds the swarm: it runs by name and with --all, but not in `npm test`. */
  readonly onlyInAll?: boolean
  /** The promise does not hold in every run yet (docs/chaos.md): the scenario runs by name and with --all, but not in `npm test`. */
  readonly notYetKept?: boolean
  /** Prepares the lab before the services under load are deployed. */
  setUp?(): Promise<void>
  /** Undoes setUp and faults that the lab's heal() does not cover; called in any case. */
  tearDown?(): Promise<void>
  /**
   * Injects the fault under load and waits for the required reaction. @throws PromiseBroken, or any error, if a promise other than
   * `failed: 0` is broken
   */
  harm(scene: Scene): Promise<Figures>
  /** Judges the whole load after its end: further figures, and separately counted answers that were not expected. */
  judge?(report: LoadReport, figures: Figures): { readonly failed: Readonly<Record<string, number>>; readonly figures: Figures }
}

/** A program in front of the edges. */
export interface Front {
  readonly edge: LoadEdge
  /** Stops it, and undoes changes that were made for it. */
  close(): Promise<void>
}

export interface Scene {
  readonly outside: Outside
  /** The service under load. */
  readonly serviceId: string
  /** Ids of all services under load, by name. */
  readonly serviceIds: ReadonlyMap<string, string>
  readonly short: boolean
  readonly edges: readonly LabNode[]
  /** The leader when the load began. */
  readonly leader: Leader
  /** The replicas of all edges when the load began. */
  readonly replicas: Replicas
}

export const ON_WORKERS: readonly string[] = ['node.role == worker']

export function hostOf(service: string): string {
  return `${service}.${DOMAIN}`
}

/** A manager without a leader searches only its local networks and answers 404; only a repeated 404 is final. */
export function networkId(name: string, managers: readonly LabNode[] = MANAGERS): Promise<string> {
  return until(
    `the network ${name}`,
    async () => {
      const found = await anyManager(manager => call<{ Id: string }>(manager, 'GET', `/networks/${name}?scope=swarm`), managers)
      return found.Id
    },
    30_000,
    { everyMs: 100 },
  )
}

/**
 * Creates a backend service that exits immediately on SIGTERM, has no health check, and is routed by its name. Resolves with its id
 * when the API has answered.
 */
export async function createBackend(
  name: string,
  options: BackendOptions,
  managers: readonly LabNode[] = MANAGERS,
): Promise<string> {
  const network = await networkId(options.network ?? EDGE_NETWORK, managers)
  const spec: ServiceSpec = {
    Name: name,
    Labels: { [MARK]: 'true', 'traefik.port': '8080', ...options.labels },
    TaskTemplate: {
      ContainerSpec: { Image: BACKEND_IMAGE, Env: [`SERVICE=${name}`, 'GRACE_MS=0'], StopGracePeriod: 5_000_000_000 },
      Placement: { Constraints: options.constraints ?? [] },
      RestartPolicy: { Condition: 'any', Delay: 500_000_000 },
      Networks: [{ Target: network }],
    },
    Mode: { Replicated: { Replicas: options.replicas } },
    UpdateConfig: {
      Parallelism: 1,
      Delay: (options.delayMs ?? 0) * 1e6,
      Order: options.order ?? 'stop-first',
      FailureAction: 'continue',
    },
    EndpointSpec: { Mode: 'dnsrr' },
  }
  return createService(spec, managers)
}

/** The time of each edge's first answer for a service (ms since the epoch). @throws with the edges that never answered */
export async function routedThrough(
  outside: Outside,
  service: string,
  edges: readonly LabNode[],
  timeoutMs: number = ROUTE_TIMEOUT_MS,
): Promise<number[]> {
  const times = await Promise.all(
    edges.map(edge =>
      outside.awaitAnswer(
        { address: edge.address, port: 80, host: hostOf(service), path: '/?nonce=0', timeoutMs: 2000 },
        `"service":"${service}"`,
        timeoutMs,
      ),
    ),
  )
  const missing = edges.filter((_, index) => times[index] === null)
  if (missing.length > 0) throw new Error(`${service} is not served through ${missing.map(edge => edge.name).join(', ')}`)
  return times.filter(time => time !== null)
}

/** Waits until every edge has answered with every task of the service. */
export async function allReached(outside: Outside, service: string, replicas: number): Promise<void> {
  for (const { name, address } of EDGES) {
    const hosts = new Set<string>()
    await until(
      `all tasks of ${service} to answer through ${name}`,
      async () => {
        const answer = await outside.probe({ address, port: 80, host: hostOf(service), path: '/?nonce=0', timeoutMs: 2000 })
        if (answer.status === 200) hosts.add(`${(JSON.parse(answer.body) as { host: string }).host}`)
        return hosts.size >= replicas
      },
      60_000,
      { everyMs: 20 },
    )
  }
}

/**
 * Deploys a service during the load and waits until every edge serves it. `routeReadyMs`: from the first running task (in Swarm's API)
 * to the last edge's first 200; `fromCreateMs`: from the API's answer.
 */
export async function deployAndRoute(scene: Scene, name: string, managers: readonly LabNode[] = MANAGERS): Promise<Figures> {
  const id = await createBackend(name, { replicas: 2, constraints: ON_WORKERS }, managers)
  const createdAt = Date.now()
  const times = await routedThrough(scene.outside, name, scene.edges)
  const readyAt = Math.max(...times)
  const running = (await tasksOf(id, managers))
    .filter(task => task.Status.State === 'running')
    .map(task => Date.parse(task.Status.Timestamp))
  return { routeReadyMs: Math.max(0, readyAt - Math.min(...running)), fromCreateMs: readyAt - createdAt }
}

/** Waits while the load continues. */
export function observe(ms: number): Promise<void> {
  return delay(ms)
}

/** The edges without the given ones. */
export function edgesBut(...without: readonly LabNode[]): readonly LabNode[] {
  return EDGES.filter(edge => !without.includes(edge))
}
