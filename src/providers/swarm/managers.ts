// The pool of managers: keeps the roster (roster.ts) up to date, probes the managers that are not in use, and provides the one
// to read from or to listen to. manager-selection.ts decides; this file has the timers and sockets. A replica in mode `listen`
// makes no calls: it opens event streams only, also to probe whether a preferred manager is back.

import type { Logger } from 'pino'
import { KeyedLogLimit } from '../../../cluster/rate-limit.ts'
import { printable } from '../../util/printable.ts'
import { type CallError, createDockerClient, type DockerClient } from '../docker-api/client.ts'
import type { ManagerTls } from '../docker-api/client-tls.ts'
import { type Endpoint, parseEndpoint } from '../docker-api/endpoint.ts'
import type { DockerNode } from '../docker-api/schemas.ts'
import type { ManagerStatus, ProviderMode } from '../shared/provider.ts'
import { type Lookup, type SeedEndpoint, watchSeeds } from './endpoint-addresses.ts'
import type { LearnedManager, LearnedStore } from './learned-managers.ts'
import { createManagerHealth } from './manager-health.ts'
import { listManagers } from './manager-list.ts'
import { createManagerProbes } from './manager-probes.ts'
import {
  type EndpointHealth,
  INITIAL_SELECTION,
  RETURN_AFTER_MS,
  type SelectionEvent,
  type SelectionState,
  stepSelection,
} from './manager-selection.ts'
import { buildRoster, learnManagers, managersOf, orderEndpoints, type RosterEntry } from './roster.ts'
import type { KnownManagers } from './shared-facts.ts'
import { createSwarmIdentities } from './swarm-identity.ts'

export interface ManagerPoolOptions {
  readonly seeds: readonly Endpoint[]
  readonly tls: ManagerTls | null
  readonly agentKey: Buffer | null
  readonly learn: boolean
  readonly callTimeoutMs: number
  readonly answerBytes: number
  readonly store: LearnedStore
  readonly lookup: Lookup
  readonly log: Logger
  /** Names of all members of the cluster; null: not a member, the names come from setMembers. */
  readonly members: () => readonly string[] | null
  /** Called when another manager is selected. */
  readonly changed: () => void
  /** True while the event stream of this manager is open. */
  readonly listening: (key: string) => boolean
  /** Called with the name of the manager in use and its health when either changes. */
  readonly reportHealth: (name: string | null, healthy: boolean) => void
  readonly timing?: Partial<PoolTiming>
}

/** In ms; shorter in tests. */
export interface PoolTiming {
  /** Interval of the check for due probes. */
  readonly tickMs: number
  /** Interval of probes of endpoints preferred to the current one, and of all while the current one is broken. */
  readonly probeMs: number
  /** Interval of probes of the others. */
  readonly probeRestMs: number
  /** Interval of probes of preferred endpoints in mode `listen`. */
  readonly probeListenMs: number
  readonly returnAfterMs: number
}

const TIMING: PoolTiming = {
  tickMs: 1_000,
  probeMs: 2_000,
  probeRestMs: 10_000,
  probeListenMs: 10_000,
  returnAfterMs: RETURN_AFTER_MS,
}

export interface CurrentManager {
  readonly key: string
  readonly client: DockerClient
}

export interface ManagerPool {
  /** Resolves after the seeds were resolved and the stored list was read. After that `changed` is called on every change. */
  start(): Promise<void>
  /** Resolves when all connections are closed and the list of managers is stored. */
  stop(): Promise<void>
  /** The selected manager; null only before any endpoint is known. */
  current(): CurrentManager | null
  /** Records a successful call. */
  answered(key: string): void
  /** Records a failed call. */
  failed(key: string, error: CallError | { readonly kind: 'stale' | 'slow'; readonly message: string }): void
  /** Pings a manager that looks broken, and records a failure when it does not answer. */
  suspect(key: string, message: string): void
  setMode(mode: ProviderMode): void
  /** The managers, for other replicas. */
  known(): KnownManagers
  /** Takes the managers that the leader has replicated. */
  adopt(known: KnownManagers): void
  /** Takes the nodes from a healthy manager: managers among them are learned, former ones are removed. */
  observe(nodes: readonly DockerNode[]): void
  /** Sets the replicas among which the managers are distributed, and this replica's name among them. */
  setMembers(members: readonly string[], self: string): void
  status(): readonly ManagerStatus[]
}

/** Makes no call before `start`. `self`: this replica's name, which determines its order of preference. */
export function createManagerPool(options: ManagerPoolOptions, self: string): ManagerPool {
  const { log } = options
  const timing = { ...TIMING, ...options.timing }
  const managerHealth = createManagerHealth()
  let mode: ProviderMode = 'read'
  let seeds: readonly SeedEndpoint[] = []
  let learned: readonly (LearnedManager & { parsed: Endpoint })[] = []
  let managers: readonly string[] = []
  let members: { readonly all: readonly string[]; readonly self: string } = { all: [self], self }
  let roster: ReadonlyMap<string, RosterEntry> = new Map()
  let selection: SelectionState = INITIAL_SELECTION
  let started = false
  let stopped = false
  let allFailed = false
  let saving: Promise<void> = Promise.resolve()
  let orderedBy = ''
  let reportedHealth = ''
  /** Whether the hanging current manager answers a ping; null: unknown. */
  let pingAnswered: boolean | null = null
  const clients = new Map<string, DockerClient>()
  const nodeOf = new Map<string, string>()
  const hostnames = new Map<string, string>()
  const problems = new Map<string, string>()
  /** Description of endpoints that are no agents of this cluster. */
  const foreignAgents = new Map<string, string>()
  const foreignLog = new KeyedLogLimit()
  const identities = createSwarmIdentities((key, message) =>
    log.error({ manager: key, reason: message }, 'the manager cannot be used'),
  )
  /** Endpoints whose node the leader has identified. */
  const identified = new Map<string, LearnedManager>()

  const watch = watchSeeds(
    options.seeds,
    options.lookup,
    found => {
      seeds = found
      rebuild()
    },
    (host, message) => {
      if (message === null) problems.delete(host)
      else problems.set(host, message)
      if (message === null) log.info({ host }, 'the DNS name of the managers is resolved again')
      else log.warn({ host, reason: message }, 'cannot resolve the DNS name of the managers, keeping the last answer')
    },
  )
  const timer = setInterval(probeDue, timing.tickMs)
  const probes = createManagerProbes({
    clientOf,
    mode: () => mode,
    answered(key, found) {
      if (found !== null && managers.length === 0) pool.observe(found)
      pool.answered(key)
    },
    failed: (key, error) => pool.failed(key, error),
    identified(key, { Name, Swarm }) {
      if (Name !== '') hostnames.set(key, Name)
      if (Swarm.NodeID !== '') nodeOf.set(key, Swarm.NodeID)
      identities.record(key, Swarm.Cluster?.ID ?? '')
      reorder()
    },
  })

  function rebuild(): void {
    if (!started || stopped) return
    roster = buildRoster(seeds, learned)
    for (const [key, client] of clients) {
      if (roster.has(key)) continue
      client.close()
      clients.delete(key)
      nodeOf.delete(key)
      hostnames.delete(key)
      identities.forget(key)
      foreignAgents.delete(key)
    }
    for (const manager of [...identified.values(), ...learned]) {
      if (!roster.has(manager.endpoint)) continue
      nodeOf.set(manager.endpoint, manager.nodeId)
      if (manager.hostname !== '') hostnames.set(manager.endpoint, manager.hostname)
    }
    reorder()
  }

  function reorder(): void {
    const now = performance.now()
    const lost = [...selection.health].filter(([, { state, since }]) => state === 'down' && now - since >= RETURN_AFTER_MS)
    const unreachable = new Set(lost.map(([key]) => key))
    const all = options.members()
    const who = all === null ? members : { all, self }
    const ours = new Map([...roster].filter(([key]) => identities.problemOf(key) === null))
    const usable = ours.size > 0 ? ours : roster
    // Called every second. The order is computed only when an input has changed, because it costs one hash per pair of member
    // and manager.
    const shape = [...usable.values()].map(({ key, ownAddress }) => [key, ownAddress, nodeOf.get(key)])
    const input = JSON.stringify([who, shape, managers, lost.map(([key]) => key)])
    if (input === orderedBy) return
    orderedBy = input
    const order = orderEndpoints({ roster: usable, nodeOf, managers, members: who.all, self: who.self, unreachable })
    if (JSON.stringify(order) !== JSON.stringify(selection.order)) step({ kind: 'order', order, at: performance.now() })
  }

  function step(event: SelectionEvent): void {
    if (stopped) return
    const before = selection
    const { state, effects } = stepSelection(selection, event, timing.returnAfterMs)
    selection = state
    const { current } = state
    if (current !== before.current || healthOf(current)?.state !== before.health.get(current ?? '')?.state) pingAnswered = null
    if (current !== null && pingAnswered === null && healthOf(current)?.state === 'hanging') pingHanging(current)
    for (const effect of effects) {
      if (effect.kind === 'probe') for (const key of effect.endpoints) probes.probe(key, 0)
      else if (effect.kind === 'changed') logState(effect.endpoint, effect.state, effect.message)
      else {
        if (effect.endpoint !== null)
          log.info(
            { manager: effect.endpoint, hostname: hostnames.get(effect.endpoint) },
            mode === 'read' ? 'reading from this manager' : 'listening to this manager',
          )
        options.changed()
      }
    }
    const states = [...selection.health.values()]
    const allFailedNow = states.length > 0 && states.every(({ state: health }) => health === 'hanging' || health === 'down')
    if (allFailedNow && !allFailed)
      log.warn({ managers: states.length }, 'no manager answers, keeping the configuration until one does')
    allFailed = allFailedNow
    reportHealth()
  }

  function healthOf(key: string | null): EndpointHealth | undefined {
    return key === null ? undefined : selection.health.get(key)
  }

  /** Reports the manager in use when its name or health has changed. */
  function reportHealth(): void {
    const { current } = selection
    const usable = mode === 'read' || (current !== null && options.listening(current))
    const healthy = managerHealth.isHealthy(mode, healthOf(current), pingAnswered, performance.now()) && usable
    const hostname = printable((hostnames.get(current ?? '') ?? '').slice(0, 64))
    const name = current === null ? null : hostname === '' ? current : `${hostname} (${current})`
    const text = JSON.stringify([name, healthy])
    if (stopped || text === reportedHealth) return
    reportedHealth = text
    options.reportHealth(name, healthy)
  }

  /** Pings a hanging manager. */
  function pingHanging(key: string): void {
    probes.ping(key, failure => {
      if (selection.current !== key || healthOf(key)?.state !== 'hanging') return
      pingAnswered = failure === null
      reportHealth()
    })
  }

  function logState(key: string, state: string, message: string | null): void {
    const entry = roster.get(key)
    const host = entry?.origin === 'dns' ? (entry.serverName ?? undefined) : undefined
    const fields = { manager: key, host, hostname: hostnames.get(key) }
    if (state === 'healthy') log.info(fields, 'the manager answers')
    else if (state === 'hanging')
      log.warn({ ...fields, reason: message }, 'the manager hangs (all managers do while the swarm elects a leader)')
    else log.warn({ ...fields, reason: message }, 'the manager cannot be used')
  }

  function clientOf(key: string): DockerClient | null {
    const entry = roster.get(key)
    if (entry === undefined || stopped) return null
    const existing = clients.get(key)
    if (existing !== undefined) return existing
    const { endpoint, serverName, origin } = entry
    const foundBy = origin === 'dns' ? serverName : null
    const { tls, agentKey, callTimeoutMs, answerBytes } = options
    const client = createDockerClient({ endpoint, serverName, foundBy, tls, agentKey, callTimeoutMs, answerBytes })
    clients.set(key, client)
    return client
  }

  function probeDue(): void {
    reorder()
    const now = performance.now()
    if (mode === 'listen') step({ kind: 'expire', before: now - 2.5 * timing.probeListenMs, at: now })
    const { current, order } = selection
    const state = healthOf(current)?.state
    const broken = state === 'hanging' || state === 'down'
    const rank = current === null ? 0 : order.indexOf(current)
    if (current !== null && state === 'hanging') pingHanging(current)
    order.forEach((key, place) => {
      const every = broken ? timing.probeMs : probeIntervalMs(place < rank)
      if (key !== current && every !== null) probes.probe(key, every)
    })
    reportHealth()
  }

  /** Interval of probes of an endpoint, ms; null: it is not probed. */
  function probeIntervalMs(preferred: boolean): number | null {
    if (mode === 'listen') return preferred ? timing.probeListenMs : null
    return preferred ? timing.probeMs : timing.probeRestMs
  }

  function learn(next: readonly LearnedManager[]): void {
    const before = new Map(learned.map(({ endpoint, hostname }) => [endpoint, hostname]))
    const plain = learned.map(({ endpoint, nodeId, hostname }) => ({ endpoint, nodeId, hostname }))
    if (JSON.stringify(next) === JSON.stringify(plain)) return
    for (const { endpoint, hostname } of next)
      if (!before.delete(endpoint) && !roster.has(endpoint)) log.info({ manager: endpoint, hostname }, 'learned a manager')
    for (const [endpoint, hostname] of before) log.info({ manager: endpoint, hostname }, 'this node is no longer a manager')
    setLearned(next)
    saving = options.store.save(next)
  }

  function setLearned(next: readonly LearnedManager[]): void {
    learned = next.flatMap(manager => {
      const parsed = parseEndpoint(manager.endpoint)
      return parsed.ok ? [{ ...manager, parsed: parsed.endpoint }] : []
    })
    rebuild()
  }

  const pool: ManagerPool = {
    async start() {
      started = true
      rebuild()
      if (options.learn) {
        const kept = await options.store.load()
        if (kept.length > 0 && learned.length === 0) setLearned(kept)
      }
      await watch.refresh()
      probeDue()
    },
    stop() {
      stopped = true
      clearInterval(timer)
      watch.stop()
      for (const client of clients.values()) client.close()
      clients.clear()
      return saving
    },
    current() {
      const key = selection.current
      const client = key === null ? null : clientOf(key)
      return key === null || client === null ? null : { key, client }
    },
    answered(key) {
      if (mode === 'read' && key === selection.current) {
        managerHealth.readSucceeded()
        identities.confirm(key)
      }
      if (!nodeOf.has(key) || !hostnames.has(key)) probes.identify(key)
      foreignAgents.delete(key)
      step({ kind: 'answer', endpoint: key, at: performance.now() })
    },
    failed(key, error) {
      const { kind } = error
      const foreign = 'foreign' in error && error.foreign === true
      // A foreign agent that does not answer has been described already.
      const message = kind === 'slow' ? (foreignAgents.get(key) ?? error.message) : error.message
      const before = healthOf(key)?.state
      const hang = kind === 'timeout' || kind === 'slow' || kind === 'no-leader'
      step({ kind: 'failure', endpoint: key, hang, message, at: performance.now() })
      const after = healthOf(key)?.state
      if (!foreign || after === undefined || foreignAgents.get(key) === message) return
      // The state was logged when it changed. What the endpoint is became known only now.
      const due = foreignLog.take(`${key} ${message}`, performance.now())
      if (!due) return
      foreignAgents.set(key, message)
      if (before === after) logState(key, after, message)
    },
    observe(nodes) {
      const found = managersOf(nodes)
      // A list of nodes without any manager is not the answer of a swarm.
      if (found.length === 0) return
      managers = found.map(node => node.ID)
      learn(options.learn ? learnManagers(nodes, options.seeds) : [])
      reorder()
    },
    suspect(key, message) {
      probes.ping(key, failure => {
        if (failure === null) return
        pool.failed(key, { kind: failure.kind, message: `${message}, and a ping: ${failure.message}` })
        if (selection.current !== key || healthOf(key)?.state !== 'hanging') return
        pingAnswered = false
        reportHealth()
      })
    },
    setMode(next) {
      mode = next
      reportHealth()
    },
    known() {
      const plain = learned.map(({ endpoint, nodeId, hostname }) => ({ endpoint, nodeId, hostname }))
      const own = new Set(plain.map(({ endpoint }) => endpoint))
      const others = [...roster.values()].flatMap(({ key, endpoint }) => {
        const nodeId = nodeOf.get(key)
        // A unix socket is another manager on every machine.
        if (own.has(key) || nodeId === undefined || endpoint.scheme === 'unix') return []
        return [{ endpoint: key, nodeId, hostname: hostnames.get(key) ?? '' }]
      })
      return { managers: plain, identified: others, nodes: managers }
    },
    adopt(known) {
      managers = known.nodes
      identified.clear()
      for (const one of known.identified) identified.set(one.endpoint, one)
      if (options.learn && known.managers.length > 0) learn(known.managers)
      rebuild()
    },
    setMembers(all, name) {
      if (members.self === name && JSON.stringify(members.all) === JSON.stringify(all)) return
      members = { all, self: name }
      reorder()
    },
    status: () => listManagers({ roster, selection, hostnames, seeds: options.seeds, found: seeds, problems, identities }),
  }
  return pool
}
