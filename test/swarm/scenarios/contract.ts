// What a scenario is, and what it has to work with. The runner (chaos-run.ts) does the rest: deploys the service under load,
// drives the load, calls `harm` while it runs, judges, and mends the lab afterwards whatever happened.

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
/** Marks what scenarios created, so that a later run finds and removes it. */
export const MARK = 'lab.skein.chaos'

const ROUTE_TIMEOUT_MS = 60_000

export interface BackendOptions {
  readonly replicas: number
  /** Placement constraints; none: any node, managers too. */
  readonly constraints?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  /** Order and delay of its rolling updates. */
  readonly order?: 'stop-first' | 'start-first'
  readonly delayMs?: number
  /** The one network that its tasks join, by name; that of the edges unless said. */
  readonly network?: string
}

/** What a scenario adds to the result: plain values under their own names. */
export type Figures = Readonly<Record<string, unknown>>

/** A promise other than `failed: 0` was not kept; what was measured all the same is part of the result. */
export class PromiseBroken extends Error {
  readonly figures: Figures

  constructor(message: string, figures: Figures) {
    super(message)
    this.figures = figures
  }
}

export interface Scenario {
  readonly name: string
  /** One sentence: what must hold. Shown by --list. */
  readonly promise: string
  readonly backend: BackendOptions
  /** Further services under load, by name. */
  readonly services?: Readonly<Record<string, BackendOptions>>
  /** Requests go to the further services too, in turn; otherwise to the first one only. */
  readonly loadsAll?: boolean
  /** POSTs are mixed into the load. */
  readonly posts: boolean
  /** Clients with sessions, which make all of the load: none of them may be broken (task-watch.ts). */
  readonly sessions?: readonly SessionGroup[]
  /** Requests (of clients with sessions: turns) per second, unless --rps says otherwise; 200. */
  readonly rps?: number
  /** The backend is made to fail on purpose: judge() has to say which of the answers counted apart were in place. */
  readonly breaker?: boolean
  /** Runs with this store only. */
  readonly store?: Store
  /** Edges that get load, given the one whose replica leads when it starts; all unless said. */
  edges?(leader: LabNode): readonly LabNode[]
  /**
   * Edges that the scenario takes away for a while: a connection refused there goes to the next edge, as any client with several
   * addresses does.
   */
  leaving?(leader: LabNode): readonly LabNode[]
  /** A command beyond those of the lab that must be installed. */
  readonly needs?: string
  /** Puts something in front of the edges, which then gets all of the load. Called before it begins. */
  front?(outside: Outside): Promise<Front>
  /** Name of a scenario that does all of this one's harm and more: `npm test` runs that one only. */
  readonly partOf?: string
  /** Takes long, or rebuilds the swarm: run by its name and by --all, but not by `npm test`. */
  readonly onlyInAll?: boolean
  /** The promise is not kept in every run yet, as docs/chaos.md says: run by its name and by --all, but not by `npm test`. */
  readonly notYetKept?: boolean
  /** What must be there before the services under load are deployed. */
  setUp?(): Promise<void>
  /** Undoes setUp, and what else of the harm the lab's heal() does not know of; called whatever happened before. */
  tearDown?(): Promise<void>
  /**
   * Does the damage under load and waits for what must come of it. @throws PromiseBroken, or any error, when a promise other than
   * `failed: 0` is broken
   */
  harm(scene: Scene): Promise<Figures>
  /** What only the whole load can tell, once it has ended: more figures, and answers counted apart that were not in place. */
  judge?(report: LoadReport, figures: Figures): { readonly failed: Readonly<Record<string, number>>; readonly figures: Figures }
}

/** What stands in front of the edges. */
export interface Front {
  readonly edge: LoadEdge
  /** Takes it away, and undoes what was changed for it. */
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
  /** Who led when the load began. */
  readonly leader: Leader
  /** Of all edges, as they were when the load began. */
  readonly replicas: Replicas
}

export const ON_WORKERS: readonly string[] = ['node.role == worker']

export function hostOf(service: string): string {
  return `${service}.${DOMAIN}`
}

/** A manager that finds no leader looks among its own networks and says 404: only one that goes on saying so is right. */
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
 * A backend service: exits at once on SIGTERM, has no health check, is routed by its name alone. Resolves with its id when the
 * API has answered.
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

/** When each edge first answered for a service (ms since the epoch). @throws naming the edges that never did */
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

/** Until every edge has had an answer from every task of the service. */
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
 * Deploys a service while the load runs and waits until every edge serves it. `routeReadyMs`: from its first task running (as
 * Swarm says) to the last edge's first 200; `fromCreateMs`: from the API's answer.
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

/** Lets the load run on, for what needs to be seen for a while. */
export function observe(ms: number): Promise<void> {
  return delay(ms)
}

/** The edges without the given ones. */
export function edgesBut(...without: readonly LabNode[]): readonly LabNode[] {
  return EDGES.filter(edge => !without.includes(edge))
}
