// The Swarm provider: watches a swarm through one of its managers and emits a configuration whenever the content changes. It
// keeps what it knows through any outage: a failed read never removes anything. Spec: design, section 5.

import type { Logger } from 'pino'
import { agentKey } from '../../agent/channel.ts'
import type { DynamicConfig } from '../../config/model.ts'
import type { SwarmOptions } from '../../options/options.ts'
import type { DiscoveredService } from '../discovered.ts'
import type { Provider } from '../provider.ts'
import { type Lookup, systemLookup } from './addresses.ts'
import { ANSWER_BYTES } from './docker-client.ts'
import { loadManagerTls } from './docker-tls.ts'
import { type Endpoint, parseEndpoint } from './endpoint.ts'
import { createFetcher } from './fetch.ts'
import { createInventory } from './inventory.ts'
import { createLearnedStore } from './learned-store.ts'
import { createManagerPool } from './managers.ts'
import { findPeers, ownContainerId } from './peers.ts'

export interface SwarmProviderOptions extends SwarmOptions {
  /** This replica's name; in the stack its node's hostname. */
  readonly name: string
  /** Cluster secret, for agent:// managers. */
  readonly secret: string | null
  /** Where learned managers are kept; null: nowhere. */
  readonly dataDir: string | null
}

export interface SwarmProviderSeams {
  /**
   * Names of all replicas alive, this one's included, once something knows them (the cluster); until then the swarm's own task
   * list is used.
   */
  readonly members?: () => readonly string[]
  readonly lookup?: Lookup
}

const NAME = 'swarm'

/** `discover` is the label dialect: it turns what was found into routers, services and middlewares. */
export function createSwarmProvider(
  options: SwarmProviderOptions,
  log: Logger,
  discover: (services: readonly DiscoveredService[]) => DynamicConfig,
  seams: SwarmProviderSeams = {},
): Provider {
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

  const container = ownContainerId()
  const inventory = createInventory()
  const pool = createManagerPool(
    {
      seeds,
      tls: tls.ok ? tls.tls : null,
      agentKey: options.secret === null ? null : agentKey(options.secret),
      learn: options.learnManagers,
      callTimeoutMs: options.callTimeoutMs,
      answerBytes: ANSWER_BYTES,
      store: createLearnedStore(options.dataDir, (fields, message) => log.warn(fields, message)),
      lookup: seams.lookup ?? systemLookup,
      log,
      changed: () => fetcher.managerChanged(),
    },
    options.name,
  )
  let emit: (config: DynamicConfig) => void = () => undefined
  let lastServices = ''
  let lastConfig = ''
  let discoverError: string | null = null

  const fetcher = createFetcher({
    pool,
    inventory,
    pollRestMs: options.pollRestMs,
    pollBusyMs: options.pollBusyMs,
    log,
    accepted: () => {
      settleMembers()
      publish()
    },
  })

  function settleMembers(): void {
    const told = seams.members?.()
    if (told !== undefined) {
      pool.setMembers(told, options.name)
      return
    }
    const peers = findPeers(inventory.activeTasks(), inventory.services(), inventory.nodes(), options.name, container)
    if (peers === null) pool.setMembers([options.name], options.name)
    else pool.setMembers(peers.members, peers.self)
  }

  function publish(): void {
    const services = inventory.discovered(NAME)
    const found = JSON.stringify(services)
    if (found === lastServices) return
    lastServices = found
    let config: DynamicConfig
    try {
      config = discover(services)
      discoverError = null
    } catch (error) {
      discoverError = `the labels could not be read: ${error instanceof Error ? error.message : String(error)}`
      log.error({ err: error }, 'the labels could not be read; the configuration stays as it was')
      return
    }
    const text = JSON.stringify(config)
    if (text === lastConfig) return
    lastConfig = text
    try {
      emit(config)
    } catch (error) {
      discoverError = `the configuration could not be applied: ${error instanceof Error ? error.message : String(error)}`
      log.error({ err: error }, 'a defect in Skein: the configuration could not be applied; the one before goes on')
    }
  }

  return {
    name: NAME,
    start(listener) {
      emit = listener
      for (const message of mistakes) log.error({ reason: message }, 'a manager cannot be used')
      fetcher.start()
      void pool.start()
    },
    async stop() {
      emit = () => undefined
      await Promise.all([pool.stop(), fetcher.stop()])
    },
    status() {
      const at = fetcher.lastSuccess()
      return {
        provider: NAME,
        synced: at !== null,
        lastSuccessMs: at === null ? null : Math.round(performance.now() - at),
        lastError: discoverError ?? fetcher.lastError() ?? mistakes[0] ?? null,
        managers: pool.status(),
      }
    },
  }
}
