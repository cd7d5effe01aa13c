// Detects, while no manager can be read, which addresses Swarm has meanwhile given to tasks of other services. The configuration is
// as old as the last read then, and a request to such an address would reach the wrong service. Docker's DNS works without managers,
// because the nodes exchange it among themselves: `tasks.SERVICE` resolves to a service's addresses (on one of the networks that
// this container shares with it), and the reverse lookup of a task's address gives `SERVICE.SLOT.TASK.NETWORK`.
//
// A server is excluded only on positive evidence: its address belongs to a task of another service. A server missing from the DNS
// proves nothing: it may be listed on another network, and the DNS drops the tasks of a node whose daemon has died although they
// still serve. Names: https://docs.docker.com/engine/swarm/networking/

import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Service } from '../config/model.ts'

export interface TaskAddressMonitorOptions {
  /** Addresses of a name; rejects if there are none. */
  readonly resolve: (name: string) => Promise<readonly string[]>
  /** Names of an IPv4 address; rejects if there are none. */
  readonly reverse: (address: string) => Promise<readonly string[]>
  /** True while no member has a healthy manager. */
  readonly managersUnreachable: () => boolean
  readonly setReassigned: (service: string, server: string, reassigned: boolean) => void
  readonly log: { warn(fields: object, message: string): void; info(fields: object, message: string): void }
  /** Time between two rounds of lookups, ms; default INTERVAL_MS. */
  readonly intervalMs?: number
  /** Default RETAIN_MS. */
  readonly retainMs?: number
}

const INTERVAL_MS = 1000
/** Consecutive rounds without a manager before names are looked up: a failover to another manager takes less time. */
const MIN_UNREACHABLE_ROUNDS = 2
/**
 * How long a server stays excluded after managers can be read again, ms. The new configuration normally replaces the server long
 * before. If the server is still configured after this time, the configuration is right and the DNS is wrong.
 */
const RETAIN_MS = 60_000
const MAX_CONCURRENT_LOOKUPS = 32
/** Names looked up in one round; the next round continues with the rest. */
const MAX_NAMES = 256
/** Addresses looked up in one round; the next round continues with the rest. */
const MAX_ADDRESSES = 128
/** Reverse lookups of one address in a round: Docker answers with one of its names at random, the task's or an alias. */
const MAX_REVERSE_LOOKUPS = 8
/** Name of the swarm provider. */
const SWARM = 'swarm'

interface WatchedServer {
  readonly service: string
  readonly server: string
  /** Id of its task. */
  readonly task: string
  readonly host: string
}

interface TaskName {
  readonly service: string
  readonly task: string
}

export class TaskAddressMonitor {
  private readonly options: TaskAddressMonitorOptions
  /** Servers by the name of the Swarm service that owns their tasks. */
  private watched: ReadonlyMap<string, readonly WatchedServer[]> = new Map()
  /** Servers whose addresses belong to tasks of other services, by keyOf. */
  private readonly reassigned = new Map<string, WatchedServer>()
  private unreachableRounds = 0
  /** Since when managers can be read again, monotonic ms; null while they cannot. */
  private readableSinceMs: number | null = null
  private nextName = 0
  private nextAddress = 0
  private timer: NodeJS.Timeout | undefined
  private stopped = false

  constructor(options: TaskAddressMonitorOptions) {
    this.options = options
  }

  /** Sets the services in use. Servers without an owner (from an older leader) are skipped: their service is unknown. */
  apply(services: readonly Service[]): void {
    const watched = new Map<string, WatchedServer[]>()
    const present = new Set<string>()
    for (const { name, provider, servers } of services) {
      if (provider !== SWARM) continue
      for (const { id, host, node, owner } of servers) {
        // A virtual IP has no node and belongs to its service as long as the service exists.
        if (node === '' || owner === undefined || isIP(host) !== 4) continue
        const entry = { service: name, server: id, task: id.replace(/:\d+$/, ''), host }
        present.add(keyOf(entry))
        const list = watched.get(owner)
        if (list === undefined) watched.set(owner, [entry])
        else list.push(entry)
      }
    }
    this.watched = watched
    for (const key of this.reassigned.keys()) if (!present.has(key)) this.reassigned.delete(key)
  }

  start(): void {
    this.timer = setTimeout(() => void this.round(), this.options.intervalMs ?? INTERVAL_MS)
    this.timer.unref()
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  private async round(): Promise<void> {
    try {
      await this.check()
    } finally {
      if (!this.stopped) this.start()
    }
  }

  private async check(): Promise<void> {
    const unreachable = this.options.managersUnreachable()
    if (unreachable) {
      this.readableSinceMs = null
      if (++this.unreachableRounds < MIN_UNREACHABLE_ROUNDS) return
    } else {
      this.unreachableRounds = 0
      if (this.reassigned.size === 0) return
      const nowMs = performance.now()
      this.readableSinceMs ??= nowMs
      if (nowMs - this.readableSinceMs >= (this.options.retainMs ?? RETAIN_MS)) {
        this.clearAll()
        return
      }
    }
    const { watched } = this
    const names = window([...watched.keys()], MAX_NAMES, this.nextName)
    this.nextName += names.length
    const addressesByName = await this.lookUpAll(names, name => this.options.resolve(`tasks.${name}`))
    const isOutdated = () => this.stopped || this.watched !== watched || this.options.managersUnreachable() !== unreachable
    if (isOutdated()) return
    const before = this.reassigned.size
    const unlisted = this.checkByName(watched, addressesByName, unreachable)
    const selected = window(unlisted, MAX_ADDRESSES, this.nextAddress)
    this.nextAddress += selected.length
    const hosts = [...new Set(selected.map(({ server }) => server.host))]
    const namesByAddress = await this.lookUpAll(hosts, address => this.namesOf(address))
    if (isOutdated()) return
    for (const { owner, server } of selected) this.checkByAddress(owner, server, namesByAddress.get(server.host) ?? [])
    if (this.reassigned.size > before) this.logReassigned()
  }

  /** @returns the servers that no name lists. While managers can be read, only known reassignments are checked again. */
  private checkByName(
    watched: ReadonlyMap<string, readonly WatchedServer[]>,
    addressesByName: ReadonlyMap<string, readonly string[]>,
    unreachable: boolean,
  ): readonly { readonly owner: string; readonly server: WatchedServer }[] {
    const listed = new Set<string>()
    for (const addresses of addressesByName.values()) for (const address of addresses) listed.add(address)
    const unlisted: { owner: string; server: WatchedServer }[] = []
    for (const [owner, addresses] of addressesByName) {
      for (const server of watched.get(owner) ?? []) {
        if (!unreachable && !this.reassigned.has(keyOf(server))) continue
        if (addresses.includes(server.host)) this.mark(server, false)
        // Another service's name lists the address.
        else if (listed.has(server.host)) this.mark(server, true)
        else unlisted.push({ owner, server })
      }
    }
    return unlisted
  }

  /** If no name is a task's, the previous result stays. */
  private checkByAddress(owner: string, server: WatchedServer, names: readonly string[]): void {
    const tasks = names.flatMap(name => parseTaskName(name) ?? [])
    if (tasks.length === 0) return
    this.mark(server, !tasks.some(({ service, task }) => task === server.task || service === owner.toLowerCase()))
  }

  /** Repeats the reverse lookup until one of the names is a task's. */
  private async namesOf(address: string): Promise<readonly string[]> {
    const names: string[] = []
    for (let n = 0; n < MAX_REVERSE_LOOKUPS && !this.stopped; n++) {
      const found = await this.options.reverse(address)
      names.push(...found)
      if (found.length === 0 || found.some(name => parseTaskName(name) !== null)) break
    }
    return names
  }

  private async lookUpAll(
    keys: readonly string[],
    lookUp: (key: string) => Promise<readonly string[]>,
  ): Promise<ReadonlyMap<string, readonly string[]>> {
    const results = new Map<string, readonly string[]>()
    const queue = [...keys]
    const drainQueue = async (): Promise<void> => {
      for (let key = queue.pop(); key !== undefined && !this.stopped; key = queue.pop()) {
        const found = await lookUp(key).catch(() => [])
        results.set(key, found)
      }
    }
    await Promise.all(Array.from({ length: Math.min(MAX_CONCURRENT_LOOKUPS, keys.length) }, drainQueue))
    return results
  }

  private mark(server: WatchedServer, reassigned: boolean): void {
    const key = keyOf(server)
    if (this.reassigned.has(key) === reassigned) return
    if (reassigned) this.reassigned.set(key, server)
    else this.reassigned.delete(key)
    this.options.setReassigned(server.service, server.server, reassigned)
  }

  private logReassigned(): void {
    const servers = [...this.reassigned.values()].slice(0, 20).map(({ service, host }) => `${service} at ${host}`)
    this.options.log.warn(
      { reassigned: this.reassigned.size, servers },
      "no manager can be read, and Docker's DNS lists the addresses of these servers for other services: they get no requests",
    )
  }

  private clearAll(): void {
    this.options.log.info(
      { reassigned: this.reassigned.size },
      'managers can be read again, and these servers are still configured: they get requests again',
    )
    for (const server of [...this.reassigned.values()]) this.mark(server, false)
  }
}

/** At most `max` items of a list from a position on, wrapping around at its end. */
function window<T>(all: readonly T[], max: number, position: number): readonly T[] {
  if (all.length <= max) return all
  const from = position % all.length
  return [...all.slice(from), ...all.slice(0, from)].slice(0, max)
}

function keyOf({ service, server }: WatchedServer): string {
  return `${service} ${server}`
}

const ID = /^[0-9a-z]{25}$/
const SLOT = /^(?:\d{1,9}|[0-9a-z]{25})$/

/**
 * Parses the name that Docker gives to a task's address: SERVICE.SLOT.TASK.NETWORK, or SERVICE.NODE.TASK.NETWORK in a global
 * service. null if the name is not a task's, for example a container's, or comes from another DNS.
 */
export function parseTaskName(name: string): TaskName | null {
  const parts = name.toLowerCase().split('.')
  const at = parts.findIndex((part, i) => i >= 2 && i < parts.length - 1 && ID.test(part) && SLOT.test(parts[i - 1] as string))
  return at === -1 ? null : { service: parts.slice(0, at - 1).join('.'), task: parts[at] as string }
}

/** Queries this machine's DNS servers (in a container: Docker's), or `servers` (`host:port`) instead. */
export function dnsLookups(servers: readonly string[] = []): Pick<TaskAddressMonitorOptions, 'resolve' | 'reverse'> {
  const resolver = new Resolver({ timeout: 1000, tries: 1 })
  if (servers.length > 0) resolver.setServers(servers)
  return {
    resolve: name => resolver.resolve4(name),
    reverse: address => resolver.resolvePtr(`${address.split('.').reverse().join('.')}.in-addr.arpa`),
  }
}
