// Finds out, while no manager can be read, which addresses Swarm has given to another service's task meanwhile. The configuration is
// then as old as the last read, and a request sent to such an address would be answered by the wrong service. Docker's DNS is kept
// by the nodes among themselves and goes on without managers: `tasks.SERVICE` gives a service's addresses (on one of the networks
// that this container shares with it), and the reverse lookup of a task's address gives `SERVICE.SLOT.TASK.NETWORK`.
//
// A server gets no request only on positive evidence: its address belongs to a task of another service. That the DNS does not list
// a server proves nothing: it may be listed on another network, and the DNS drops the tasks of a node whose daemon has died
// although they go on serving. Spec of the names: https://docs.docker.com/engine/swarm/networking/

import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Service } from '../config/model.ts'

export interface TaskAddressMonitorOptions {
  /** Addresses of a name; rejects when there are none. */
  readonly resolve: (name: string) => Promise<readonly string[]>
  /** Names of an IPv4 address; rejects when there are none. */
  readonly reverse: (address: string) => Promise<readonly string[]>
  /** True while no member is in touch with a manager. */
  readonly blind: () => boolean
  readonly setReassigned: (service: string, server: string, absent: boolean) => void
  readonly log: { warn(fields: object, message: string): void; info(fields: object, message: string): void }
  /** Time between two rounds of lookups; default EVERY_MS. */
  readonly everyMs?: number
  /** Default KEEP_MS. */
  readonly keepMs?: number
}

const EVERY_MS = 1000
/** Consecutive blind rounds before names are looked up: a change to another manager takes less time. */
const BLIND_ROUNDS = 2
/**
 * How long a finding may outlive the blind time, ms. Normally the new configuration has replaced the server long before. If the
 * configuration still has it after so long, the configuration is right and the DNS is not.
 */
const KEEP_MS = 60_000
const AT_ONCE = 32
/** Names looked up in one round; the next round continues with the rest. */
const MOST_NAMES = 256
/** Reverse lookups in one round; the next round continues with the rest. */
const MOST_ADDRESSES = 128
/** Reverse lookups of one address in a round: Docker answers with one of its names at random, the task's or an alias. */
const ASKS = 8
/** Name of the swarm provider. */
const SWARM = 'swarm'

interface Watched {
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
  /** Servers by the name of the Swarm service whose tasks they are. */
  private watched: ReadonlyMap<string, readonly Watched[]> = new Map()
  /** Servers whose addresses are another service's, by keyOf. */
  private readonly absent = new Map<string, Watched>()
  private blindRounds = 0
  /** Since when managers can be read again, monotonic ms; null while they cannot. */
  private readableSinceMs: number | null = null
  private nextName = 0
  private nextAddress = 0
  private timer: NodeJS.Timeout | undefined
  private stopped = false

  constructor(options: TaskAddressMonitorOptions) {
    this.options = options
  }

  /** The services that are served now. A server without an owner (from an older leader) may be any service's and is not judged. */
  apply(services: readonly Service[]): void {
    const watched = new Map<string, Watched[]>()
    const kept = new Set<string>()
    for (const { name, provider, servers } of services) {
      if (provider !== SWARM) continue
      for (const { id, host, node, owner } of servers) {
        // A virtual IP has no node; it belongs to the service as long as the service exists.
        if (node === '' || owner === undefined || isIP(host) !== 4) continue
        const one = { service: name, server: id, task: id.replace(/:\d+$/, ''), host }
        kept.add(keyOf(one))
        const list = watched.get(owner)
        if (list === undefined) watched.set(owner, [one])
        else list.push(one)
      }
    }
    this.watched = watched
    for (const key of this.absent.keys()) if (!kept.has(key)) this.absent.delete(key)
  }

  start(): void {
    this.timer = setTimeout(() => void this.round(), this.options.everyMs ?? EVERY_MS)
    this.timer.unref()
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  private async round(): Promise<void> {
    try {
      await this.look()
    } finally {
      if (!this.stopped) this.start()
    }
  }

  private async look(): Promise<void> {
    const blind = this.options.blind()
    if (blind) {
      this.readableSinceMs = null
      if (++this.blindRounds < BLIND_ROUNDS) return
    } else {
      this.blindRounds = 0
      if (this.absent.size === 0) return
      const nowMs = performance.now()
      this.readableSinceMs ??= nowMs
      if (nowMs - this.readableSinceMs >= (this.options.keepMs ?? KEEP_MS)) {
        this.forget()
        return
      }
    }
    const { watched } = this
    const names = this.turn([...watched.keys()], MOST_NAMES, this.nextName)
    this.nextName += names.length
    const answers = await this.askAll(names, name => this.options.resolve(`tasks.${name}`))
    const isOutdated = () => this.stopped || this.watched !== watched || this.options.blind() !== blind
    if (isOutdated()) return
    const before = this.absent.size
    const unlisted = this.judgeByName(watched, answers, blind)
    const asked = this.turn(unlisted, MOST_ADDRESSES, this.nextAddress)
    this.nextAddress += asked.length
    const found = await this.askAll([...new Set(asked.map(({ one }) => one.host))], address => this.namesOf(address))
    if (isOutdated()) return
    for (const { owner, one } of asked) this.judgeByAddress(owner, one, found.get(one.host) ?? [])
    if (this.absent.size > before) this.tell()
  }

  /** @returns the servers about which the names say nothing. Once a manager is read, only known findings are looked at again. */
  private judgeByName(
    watched: ReadonlyMap<string, readonly Watched[]>,
    answers: ReadonlyMap<string, readonly string[]>,
    blind: boolean,
  ): readonly { readonly owner: string; readonly one: Watched }[] {
    const listed = new Set<string>()
    for (const found of answers.values()) for (const address of found) listed.add(address)
    const unlisted: { owner: string; one: Watched }[] = []
    for (const [owner, found] of answers) {
      for (const one of watched.get(owner) ?? []) {
        if (!blind && !this.absent.has(keyOf(one))) continue
        if (found.includes(one.host)) this.mark(one, false)
        // Under another service's name, then.
        else if (listed.has(one.host)) this.mark(one, true)
        else unlisted.push({ owner, one })
      }
    }
    return unlisted
  }

  /** Without an answer that names a task, the finding of before still applies. */
  private judgeByAddress(owner: string, one: Watched, names: readonly string[]): void {
    const tasks = names.flatMap(name => parseTaskName(name) ?? [])
    if (tasks.length === 0) return
    this.mark(one, !tasks.some(({ service, task }) => task === one.task || service === owner.toLowerCase()))
  }

  /** Until one of the names is a task's. */
  private async namesOf(address: string): Promise<readonly string[]> {
    const names: string[] = []
    for (let n = 0; n < ASKS && !this.stopped; n++) {
      const found = await this.options.reverse(address)
      names.push(...found)
      if (found.length === 0 || found.some(name => parseTaskName(name) !== null)) break
    }
    return names
  }

  private async askAll(
    names: readonly string[],
    ask: (name: string) => Promise<readonly string[]>,
  ): Promise<ReadonlyMap<string, readonly string[]>> {
    const answers = new Map<string, readonly string[]>()
    const queue = [...names]
    const lane = async (): Promise<void> => {
      for (let name = queue.pop(); name !== undefined && !this.stopped; name = queue.pop()) {
        const found = await ask(name).catch(() => [])
        answers.set(name, found)
      }
    }
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, names.length) }, lane))
    return answers
  }

  private mark(one: Watched, absent: boolean): void {
    const key = keyOf(one)
    if (this.absent.has(key) === absent) return
    if (absent) this.absent.set(key, one)
    else this.absent.delete(key)
    this.options.setReassigned(one.service, one.server, absent)
  }

  private tell(): void {
    const servers = [...this.absent.values()].slice(0, 20).map(({ service, host }) => `${service} at ${host}`)
    this.options.log.warn(
      { absent: this.absent.size, servers },
      'no manager can be read, and by the DNS of Docker other services have the addresses of some tasks: these get no request',
    )
  }

  private forget(): void {
    const fields = { absent: this.absent.size }
    this.options.log.info(
      fields,
      'managers can be read again, and the configuration still has these tasks: they get requests again',
    )
    for (const one of [...this.absent.values()]) this.mark(one, false)
  }

  /** At most so many of a list, from a position on, round its end. */
  private turn<T>(all: readonly T[], most: number, position: number): readonly T[] {
    if (all.length <= most) return all
    const from = position % all.length
    return [...all.slice(from), ...all.slice(0, from)].slice(0, most)
  }
}

function keyOf({ service, server }: Watched): string {
  return `${service} ${server}`
}

const ID = /^[0-9a-z]{25}$/
const SLOT = /^(?:\d{1,9}|[0-9a-z]{25})$/

/**
 * Reads the name that Docker gives to a task's address: SERVICE.SLOT.TASK.NETWORK, in a global service SERVICE.NODE.TASK.NETWORK.
 * null: it is no task's, e.g. that of a container, or from a DNS outside of Docker.
 */
export function parseTaskName(name: string): TaskName | null {
  const parts = name.toLowerCase().split('.')
  const at = parts.findIndex((part, i) => i >= 2 && i < parts.length - 1 && ID.test(part) && SLOT.test(parts[i - 1] as string))
  return at === -1 ? null : { service: parts.slice(0, at - 1).join('.'), task: parts[at] as string }
}

/** Asks the DNS servers of this machine (in a container: Docker's); `servers` instead of them, `host:port`. */
export function dnsLookups(servers: readonly string[] = []): Pick<TaskAddressMonitorOptions, 'resolve' | 'reverse'> {
  const resolver = new Resolver({ timeout: 1000, tries: 1 })
  if (servers.length > 0) resolver.setServers(servers)
  return {
    resolve: name => resolver.resolve4(name),
    reverse: address => resolver.resolvePtr(`${address.split('.').reverse().join('.')}.in-addr.arpa`),
  }
}
