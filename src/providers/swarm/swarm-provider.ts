// The Swarm provider: watches a swarm through one of its managers and emits a configuration whenever the content changes. A
// failed read never removes anything, so the last configuration stays through any outage. In a cluster only the leader's
// provider reads; the others keep an event stream open and adopt the facts that they need to take over.

import type { Logger } from 'pino'
import { interfaceNetworks } from '../../../cluster/gossip/own-addresses.ts'
import type { DynamicConfig } from '../../config/model.ts'
import { createLabelReader } from '../../labels/dialects.ts'
import type { Addressing, DiscoveredService } from '../../labels/shared/discovered.ts'
import type { SwarmOptions } from '../../options/options.ts'
import { agentKey } from '../../util/agent-channel.ts'
import { MAX_ANSWER_BYTES } from '../docker-api/client.ts'
import { loadManagerTls } from '../docker-api/client-tls.ts'
import { type Endpoint, parseEndpoint } from '../docker-api/endpoint.ts'
import type { ClusterLink, ClusterPart, ManagerStatus, Provider, ProviderStatus, ProviderType } from '../shared/provider.ts'
import { dialectOptionsOf } from './dialect-options.ts'
import { createEdgeNetworkTracker } from './edge-networks.ts'
import { type Lookup, systemLookup } from './endpoint-addresses.ts'
import { createFetcher } from './fetch.ts'
import { createInventory } from './inventory.ts'
import { createLearnedStore } from './learned-managers.ts'
import { createManagerPool, type PoolTiming } from './managers.ts'
import { isLocal } from './roster.ts'
import { buildSharedFacts, createReplicaNodes, NO_SHARED_FACTS, parseSharedFacts, type SharedFacts } from './shared-facts.ts'
import { findSiblings, ownContainerId, type Swarm } from './sibling-replicas.ts'

export interface SwarmProviderOptions extends SwarmOptions {
  /** This replica's name; in the stack file, the hostname of its node. */
  readonly name: string
  /** Cluster secret, for agent:// managers. */
  readonly secret: string | null
  /** Directory of the stored list of managers; null: none. */
  readonly dataDir: string | null
}

export interface SwarmProviderSeams {
  readonly lookup?: Lookup
  readonly timing?: Partial<PoolTiming>
  /** Id of the container that this replica runs in; found by ownContainerId by default. */
  readonly container?: string | null
  /** Addresses of this replica's interfaces, with prefix lengths. */
  readonly interfaces?: () => readonly string[]
}

const NAME = 'swarm'

export const swarm: ProviderType = {
  name: NAME,
  create({ options, log, cluster }) {
    if (options.swarm.managers.length === 0) return null
    const { name, dataDir, secrets } = options
    const own = { ...options.swarm, name, dataDir, secret: secrets[0] ?? null }
    const reader = createLabelReader(dialectOptionsOf(options.swarm))
    return createSwarmProvider(own, log, services => reader.read(services), cluster)
  },
}

export interface SwarmProvider extends Provider {
  readonly cluster: Required<ClusterPart>
  status(): ProviderStatus & { readonly managers: readonly ManagerStatus[] }
}

/**
 * `readLabels` turns the discovered services into a configuration (labels/dialects.ts). Without a `cluster` this replica is not
 * a member of one, and the managers are distributed among the tasks of its own service.
 */
export function createSwarmProvider(
  options: SwarmProviderOptions,
  log: Logger,
  readLabels: (services: readonly DiscoveredService[]) => DynamicConfig,
  cluster: ClusterLink | null = null,
  seams: SwarmProviderSeams = {},
): SwarmProvider {
  const seeds: Endpoint[] = []
  const mistakes: string[] = []
  for (const text of options.managers) {
    const parsed = parseEndpoint(text)
    if (parsed.ok) seeds.push(parsed.endpoint)
    else mistakes.push(parsed.message)
  }
  const tls = loadManagerTls(options.tls)
  if (!tls.ok) mistakes.push(tls.message)
  if (options.secret === null && seeds.some(seed => seed.scheme === 'agent')) mistakes.push('agent:// needs the cluster secret')

  const container = seams.container === undefined ? ownContainerId() : seams.container
  const interfaces = seams.interfaces ?? interfaceNetworks
  const inventory = createInventory()
  const edgeNetworks = createEdgeNetworkTracker()
  const replicaNodes = createReplicaNodes(options.name, container, isLocal(seeds))
  const pool = createManagerPool(
    {
      seeds,
      tls: tls.ok ? tls.tls : null,
      agentKey: options.secret === null ? null : agentKey(options.secret),
      learn: options.learnManagers,
      callTimeoutMs: options.callTimeoutMs,
      answerBytes: MAX_ANSWER_BYTES,
      store: createLearnedStore(options.dataDir, (fields, message) => log.warn(fields, message)),
      lookup: seams.lookup ?? systemLookup,
      log,
      members: () => cluster?.members() ?? null,
      changed: () => fetcher.managerChanged(),
      listening: key => fetcher.isListening(key),
      reportHealth: (name, healthy) => cluster?.managerHealth(name, healthy),
      ...(seams.timing === undefined ? {} : { timing: seams.timing }),
    },
    options.name,
  )
  let emit: (config: DynamicConfig) => void = () => undefined
  let lastServices = ''
  let lastConfig = ''
  let lastShared = ''
  let config: DynamicConfig | null = null
  let shared: SharedFacts = NO_SHARED_FACTS
  let addressing: Addressing = { network: options.network, edges: null }
  let synced = false
  let configError: string | null = null

  const fetcher = createFetcher({
    pool,
    inventory,
    pollRestMs: options.pollRestMs,
    pollBusyMs: options.pollBusyMs,
    log,
    accepted: () => {
      synced = true
      const swarm = { tasks: inventory.activeTasks(), services: inventory.services(), nodes: inventory.nodes() }
      updateMembers(swarm)
      // Starting tasks are included: after a power failure all replicas start at once, for as long as their first health check
      // takes.
      const present = { ...swarm, tasks: inventory.presentTasks() }
      shared = buildSharedFacts(pool.known(), replicaNodes.read(present, performance.now()))
      const edges = edgeNetworks.read(present, inventory.networks(), shared.service, cluster?.others() ?? [], interfaces())
      addressing = { network: options.network, edges }
      publish()
    },
    eventSeen: key => cluster?.eventsSeen([key]),
  })

  /** Used only without a cluster. */
  function updateMembers(swarm: Swarm): void {
    const siblings = findSiblings(swarm, options.name, container)
    if (siblings === null) pool.setMembers([options.name], options.name)
    else pool.setMembers(siblings.members, siblings.self)
  }

  function publish(): void {
    const sharedNow = JSON.stringify(shared)
    if (!readConfig() && (sharedNow === lastShared || config === null)) return
    if (config === null) return
    lastShared = sharedNow
    try {
      emit(config)
    } catch (error) {
      configError = `the configuration could not be applied: ${error instanceof Error ? error.message : String(error)}`
      log.error({ err: error }, 'a defect in Skein: the configuration could not be applied, keeping the previous one')
    }
  }

  /** Returns true when the configuration differs from the one emitted last. */
  function readConfig(): boolean {
    const services = inventory.discovered(NAME)
    const found = JSON.stringify([services, addressing.edges])
    if (found === lastServices) return false
    lastServices = found
    let next: DynamicConfig
    try {
      next = readLabels(services.map(service => ({ ...service, addressing })))
      configError = null
    } catch (error) {
      configError = `the labels could not be read: ${error instanceof Error ? error.message : String(error)}`
      log.error({ err: error }, 'a defect in Skein: the labels could not be read, keeping the configuration')
      return false
    }
    const text = JSON.stringify(next)
    if (text === lastConfig) return false
    lastConfig = text
    config = next
    return true
  }

  return {
    name: NAME,
    start(onConfig) {
      emit = onConfig
      for (const message of mistakes) log.error({ reason: message }, 'a manager cannot be used')
      fetcher.start()
      void pool.start()
    },
    async stop() {
      emit = () => undefined
      await Promise.all([pool.stop(), fetcher.stop()])
    },
    refresh: () => fetcher.hint([]),
    cluster: {
      setMode(mode) {
        // Another replica may have led since and published something else: the next complete read is emitted in any case.
        lastServices = ''
        lastConfig = ''
        lastShared = ''
        config = null
        fetcher.setMode(mode)
      },
      hint: keys => fetcher.hint(keys),
      shared: () => shared,
      adopt(value) {
        const facts = parseSharedFacts(value)
        if (facts === null) {
          log.warn('the facts about managers that the leader replicates are malformed; they are ignored')
          return
        }
        shared = facts
        replicaNodes.adopt({ service: facts.service, list: facts.replicas }, performance.now())
        pool.adopt(facts)
      },
      nodeAddresses: () => new Map(shared.replicas.map(({ name, address }) => [name, address])),
    },
    status() {
      const at = fetcher.lastSuccess()
      return {
        provider: NAME,
        synced,
        lastSuccessMs: at === null ? null : Math.round(performance.now() - at),
        lastError: configError ?? fetcher.lastError() ?? mistakes[0] ?? null,
        managers: pool.status(),
      }
    },
  }
}
