// The pool of managers: keeps the roster (roster.ts) up to date, asks those that are not in use whether they are well, and says
// which one to read from, or to listen to. The deciding is done by failover.ts; here are the timers and the sockets. A replica
// that only listens asks nothing: all that it opens, also to find out whether a better placed manager is back, are event streams.
// Spec: design, section 5.

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
  /** Names of all members of the cluster; null: not a member, the members are those set. */
  readonly members: () => readonly string[] | null
  /** Called when the manager to read from has changed. */
  readonly changed: () => void
  /** The event stream of this manager is open. */
  readonly listening: (key: string) => boolean
  /** The manager in use, for people, and whether it is well; called when either changes. */
  readonly tell: (name: string | null, healthy: boolean) => void
  readonly timing?: Partial<PoolTiming>
}

/** Ms; tests shorten them. */
export interface PoolTiming {
  /** Looks for what is due so often. */
  readonly tickMs: number
  /** Endpoints are asked so often that are better placed than the current one, or all when the current one is broken ... */
  readonly probeMs: number
  /** ... and the others. */
  readonly probeRestMs: number
  /** The better placed ones, by a replica that only listens. */
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
  /**
   * Resolves when the seeds have been looked up and what was learned has been read; after that `changed` is called as things
   * change.
   */
  start(): Promise<void>
  /** Resolves when every connection is closed and what was learned is on disk (or given up). */
  stop(): Promise<void>
  /** The manager to read from; null only before any endpoint is known. */
  current(): CurrentManager | null
  /** What came of reading from a manager. */
  answered(key: string): void
  failed(key: string, error: CallError | { readonly kind: 'stale' | 'slow'; readonly message: string }): void
  /** Something looks wrong with the manager that is read from: find out now whether it is there. */
  doubt(key: string, message: string): void
  setMode(mode: ProviderMode): void
  /** What other replicas need to know of the managers; and what the leader knows of them. */
  known(): KnownManagers
  adopt(known: KnownManagers): void
  /** The nodes, as a manager in good health gives them: managers are learned from it, and dropped. */
  observe(nodes: readonly DockerNode[]): void
  /** Who shares the managers with this replica, and its own name among them. */
  setMembers(members: readonly string[], self: string): void
  status(): readonly ManagerStatus[]
}

/** Asks nobody before `start`; `self` is this replica's own name, by which it prefers some managers to others. */
export function createManagerPool(options: ManagerPoolOptions, self: string): ManagerPool {
  const { log } = options
  const timing = { ...TIMING, ...options.timing }
  const wellness = createManagerHealth()
  let mode: ProviderMode = 'read'
  let seeds: readonly SeedEndpoint[] = []
  let learned: readonly (LearnedManager & { parsed: Endpoint })[] = []
  let managers: readonly string[] = []
  let members: { readonly all: readonly string[]; readonly self: string } = { all: [self], self }
  let roster: ReadonlyMap<string, RosterEntry> = new Map()
  let failover: SelectionState = INITIAL_SELECTION
  let started = false
  let stopped = false
  let blind = false
  let saving: Promise<void> = Promise.resolve()
  let ordered = ''
  let told = ''
  /** Whether the current manager answers a ping while it hangs; null: being found out, or of no interest. */
  let pong: boolean | null = null
  const clients = new Map<string, DockerClient>()
  const nodeOf = new Map<string, string>()
  const hostnames = new Map<string, string>()
  const problems = new Map<string, string>()
  /** Endpoints that are no agents of this cluster, and what they are. */
  const strangers = new Map<string, string>()
  const foreignLog = new KeyedLogLimit()
  const swarms = createSwarmIdentities((key, message) =>
    log.error({ manager: key, reason: message }, 'the manager cannot be used'),
  )
  /** Nodes behind endpoints, as the leader found them out. */
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
      if (message === null) log.info({ host }, 'the name of the managers can be looked up again')
      else log.warn({ host, reason: message }, 'the name of the managers cannot be looked up; the last answer is kept')
    },
  )
  const timer = setInterval(probeDue, timing.tickMs)
  const asker = createManagerProbes({
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
      swarms.tell(key, Swarm.Cluster?.ID ?? '')
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
      swarms.forget(key)
      strangers.delete(key)
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
    const lost = [...failover.health].filter(([, { state, since }]) => state === 'down' && now - since >= RETURN_AFTER_MS)
    const unreachable = new Set(lost.map(([key]) => key))
    const all = options.members()
    const who = all === null ? members : { all, self }
    const ours = new Map([...roster].filter(([key]) => swarms.problemOf(key) === null))
    const usable = ours.size > 0 ? ours : roster
    // Asked every second, answered anew only when something is different: the spread costs a hash for each pair.
    const shape = [...usable.values()].map(({ key, ownAddress }) => [key, ownAddress, nodeOf.get(key)])
    const question = JSON.stringify([who, shape, managers, lost.map(([key]) => key)])
    if (question === ordered) return
    ordered = question
    const order = orderEndpoints({ roster: usable, nodeOf, managers, members: who.all, self: who.self, unreachable })
    if (JSON.stringify(order) !== JSON.stringify(failover.order)) feed({ kind: 'order', order, at: performance.now() })
  }

  function feed(event: SelectionEvent): void {
    if (stopped) return
    const before = failover
    const { state, effects } = stepSelection(failover, event, timing.returnAfterMs)
    failover = state
    const { current } = state
    if (current !== before.current || healthOf(current)?.state !== before.health.get(current ?? '')?.state) pong = null
    if (current !== null && pong === null && healthOf(current)?.state === 'hanging') pingHanging(current)
    for (const effect of effects) {
      if (effect.kind === 'probe') for (const key of effect.endpoints) asker.probe(key, 0)
      else if (effect.kind === 'changed') tell(effect.endpoint, effect.state, effect.message)
      else {
        if (effect.endpoint !== null)
          log.info(
            { manager: effect.endpoint, hostname: hostnames.get(effect.endpoint) },
            mode === 'read' ? 'reading from this manager' : 'listening to this manager',
          )
        options.changed()
      }
    }
    const states = [...failover.health.values()]
    const nowBlind = states.length > 0 && states.every(({ state: health }) => health === 'hanging' || health === 'down')
    if (nowBlind && !blind)
      log.warn({ managers: states.length }, 'no manager answers: what was known stays in force until one does')
    blind = nowBlind
    report()
  }

  function healthOf(key: string | null): EndpointHealth | undefined {
    return key === null ? undefined : failover.health.get(key)
  }

  /** Tells of the manager in use when there is something new to tell. */
  function report(): void {
    const { current } = failover
    const heard = mode === 'read' || (current !== null && options.listening(current))
    const healthy = wellness.judge(mode, healthOf(current), pong, performance.now()) && heard
    const hostname = printable((hostnames.get(current ?? '') ?? '').slice(0, 64))
    const name = current === null ? null : hostname === '' ? current : `${hostname} (${current})`
    const text = JSON.stringify([name, healthy])
    if (stopped || text === told) return
    told = text
    options.tell(name, healthy)
  }

  /** Asks a manager that hangs whether it is there at all. */
  function pingHanging(key: string): void {
    asker.ping(key, failure => {
      if (failover.current !== key || healthOf(key)?.state !== 'hanging') return
      pong = failure === null
      report()
    })
  }

  function tell(key: string, state: string, message: string | null): void {
    const entry = roster.get(key)
    const host = entry?.origin === 'dns' ? (entry.serverName ?? undefined) : undefined
    const fields = { manager: key, host, hostname: hostnames.get(key) }
    if (state === 'healthy') log.info(fields, 'the manager answers')
    else if (state === 'hanging')
      log.warn({ ...fields, reason: message }, 'the manager hangs (so does every manager while the swarm elects a leader)')
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
    if (mode === 'listen') feed({ kind: 'expire', before: now - 2.5 * timing.probeListenMs, at: now })
    const { current, order } = failover
    const state = healthOf(current)?.state
    const broken = state === 'hanging' || state === 'down'
    const rank = current === null ? 0 : order.indexOf(current)
    if (current !== null && state === 'hanging') pingHanging(current)
    order.forEach((key, place) => {
      const every = broken ? timing.probeMs : everyMs(place < rank)
      if (key !== current && every !== null) asker.probe(key, every)
    })
    report()
  }

  /** null: never. */
  function everyMs(better: boolean): number | null {
    if (mode === 'listen') return better ? timing.probeListenMs : null
    return better ? timing.probeMs : timing.probeRestMs
  }

  function learn(next: readonly LearnedManager[]): void {
    const before = new Map(learned.map(({ endpoint, hostname }) => [endpoint, hostname]))
    const plain = learned.map(({ endpoint, nodeId, hostname }) => ({ endpoint, nodeId, hostname }))
    if (JSON.stringify(next) === JSON.stringify(plain)) return
    for (const { endpoint, hostname } of next)
      if (!before.delete(endpoint) && !roster.has(endpoint)) log.info({ manager: endpoint, hostname }, 'learned a manager')
    for (const [endpoint, hostname] of before) log.info({ manager: endpoint, hostname }, 'this manager is one no longer')
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
      const key = failover.current
      const client = key === null ? null : clientOf(key)
      return key === null || client === null ? null : { key, client }
    },
    answered(key) {
      if (mode === 'read' && key === failover.current) {
        wellness.read()
        swarms.use(key)
      }
      if (!nodeOf.has(key) || !hostnames.has(key)) asker.identify(key)
      strangers.delete(key)
      feed({ kind: 'answer', endpoint: key, at: performance.now() })
    },
    failed(key, error) {
      const { kind } = error
      const stranger = 'stranger' in error && error.stranger === true
      // Silence has been explained already.
      const message = kind === 'slow' ? (strangers.get(key) ?? error.message) : error.message
      const before = healthOf(key)?.state
      const hang = kind === 'timeout' || kind === 'slow' || kind === 'no-leader'
      feed({ kind: 'failure', endpoint: key, hang, message, at: performance.now() })
      const after = healthOf(key)?.state
      if (!stranger || after === undefined || strangers.get(key) === message) return
      // The state was reported when it changed; what the endpoint is has become known, or different, only now.
      const due = foreignLog.take(`${key} ${message}`, performance.now())
      if (!due) return
      strangers.set(key, message)
      if (before === after) tell(key, after, message)
    },
    observe(nodes) {
      const found = managersOf(nodes)
      // An answer without any manager is no swarm's: a manager gave it.
      if (found.length === 0) return
      managers = found.map(node => node.ID)
      learn(options.learn ? learnManagers(nodes, options.seeds) : [])
      reorder()
    },
    doubt(key, message) {
      asker.ping(key, failure => {
        if (failure === null) return
        pool.failed(key, { kind: failure.kind, message: `${message}, and a ping: ${failure.message}` })
        if (failover.current !== key || healthOf(key)?.state !== 'hanging') return
        pong = false
        report()
      })
    },
    setMode(next) {
      mode = next
      report()
    },
    known() {
      const plain = learned.map(({ endpoint, nodeId, hostname }) => ({ endpoint, nodeId, hostname }))
      const own = new Set(plain.map(({ endpoint }) => endpoint))
      const others = [...roster.values()].flatMap(({ key, endpoint }) => {
        const nodeId = nodeOf.get(key)
        // A socket is another manager on every machine.
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
    status: () => listManagers({ roster, failover, hostnames, seeds: options.seeds, found: seeds, problems, swarms }),
  }
  return pool
}
