// Looks tasks up in Docker's own DNS while no manager can be read. The configuration is then as old as the last read, and Swarm
// may have given a task's address to a task of another service: a request sent there would be answered by the wrong service.
// Docker's DNS (`tasks.SERVICE`) is kept by the nodes among themselves and goes on without managers. A server that it no longer
// lists for its service gets no request until a manager can be read again. Where that DNS does not answer (outside of Docker, a
// daemon that has died) nothing is concluded. Spec of the names: https://docs.docker.com/engine/swarm/networking/

import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Service } from './config/model.ts'

export interface TaskNamesOptions {
  /** Addresses of a name; rejects when there are none. */
  readonly resolve: (name: string) => Promise<readonly string[]>
  /** True while no member is in touch with a manager. */
  readonly blind: () => boolean
  readonly setAbsent: (service: string, server: string, absent: boolean) => void
  readonly log: { warn(fields: object, message: string): void; info(fields: object, message: string): void }
  /** Time between two rounds of lookups; default EVERY_MS. */
  readonly everyMs?: number
}

const EVERY_MS = 1000
/** Consecutive blind rounds before names are looked up: a change to another manager takes less time. */
const BLIND_ROUNDS = 2
/** Rounds for which the findings still apply after a manager is read again, until the new configuration arrives. */
const SEEN_ROUNDS = 2
/** A name that was answered before has lost its tasks only if it has no answer in this many rounds in a row. */
const SILENT_ROUNDS = 2
const AT_ONCE = 16
/** Names looked up in one round; the next round continues with the rest. */
const MOST_NAMES = 256
/** Name of the swarm provider. */
const SWARM = 'swarm'

interface Watched {
  readonly service: string
  readonly server: string
  readonly host: string
}

export class TaskNames {
  private readonly options: TaskNamesOptions
  /** Servers by the name of the Swarm service whose tasks they are. */
  private watched: ReadonlyMap<string, readonly Watched[]> = new Map()
  private readonly absent = new Map<string, Watched>()
  private readonly silent = new Map<string, number>()
  /** Names that were answered with an address of a server. Other names may be on networks of which this DNS lists nothing. */
  private readonly proven = new Set<string>()
  private blindRounds = 0
  private seenRounds = 0
  private next = 0
  private timer: NodeJS.Timeout | undefined
  private stopped = false

  constructor(options: TaskNamesOptions) {
    this.options = options
  }

  /** The services that are served now. */
  apply(services: readonly Service[]): void {
    const watched = new Map<string, Watched[]>()
    const kept = new Set<string>()
    for (const { name, provider, source, servers } of services) {
      if (provider !== SWARM) continue
      for (const { id, host, node, owner } of servers) {
        // A virtual IP has no node; it is the service's for as long as that lives.
        if (node === '' || isIP(host) !== 4) continue
        const key = `${name} ${id}`
        kept.add(key)
        const list = watched.get(owner ?? source) ?? []
        list.push({ service: name, server: id, host })
        watched.set(owner ?? source, list)
      }
    }
    this.watched = watched
    for (const key of this.absent.keys()) if (!kept.has(key)) this.absent.delete(key)
    for (const name of this.silent.keys()) if (!watched.has(name)) this.silent.delete(name)
    for (const name of this.proven) if (!watched.has(name)) this.proven.delete(name)
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
    if (!this.options.blind()) {
      this.blindRounds = 0
      if (this.absent.size > 0 && ++this.seenRounds >= SEEN_ROUNDS) this.forget()
      return
    }
    this.seenRounds = 0
    if (++this.blindRounds < BLIND_ROUNDS) return
    const names = this.nextNames()
    const answers = new Map<string, readonly string[]>()
    const queue = [...names]
    const lane = async (): Promise<void> => {
      for (let name = queue.shift(); name !== undefined && !this.stopped; name = queue.shift()) {
        const found = await this.options.resolve(`tasks.${name}`).catch(() => [])
        answers.set(name, found)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))
    if (this.stopped || !this.options.blind() || !this.isDocker(answers)) return
    const before = this.absent.size
    for (const [name, found] of answers) this.judge(name, found)
    if (this.absent.size !== before) {
      const servers = [...this.absent.values()].slice(0, 20).map(({ service, host }) => `${service} at ${host}`)
      this.options.log.warn(
        { absent: this.absent.size, servers },
        'no manager can be read, and by the DNS of Docker some tasks have ended: they get no request',
      )
    }
  }

  /** It lists at least one server where it is known to be: it is the swarm's DNS, and it works. */
  private isDocker(answers: ReadonlyMap<string, readonly string[]>): boolean {
    for (const [name, found] of answers)
      if (this.watched.get(name)?.some(({ host }) => found.includes(host)) === true) return true
    return false
  }

  private judge(name: string, found: readonly string[]): void {
    const servers = this.watched.get(name) ?? []
    if (servers.some(({ host }) => found.includes(host))) this.proven.add(name)
    const silent = found.length > 0 ? 0 : (this.silent.get(name) ?? 0) + 1
    this.silent.set(name, silent)
    if (silent > 0 && (silent < SILENT_ROUNDS || !this.proven.has(name))) return
    for (const one of servers) this.mark(one, !found.includes(one.host))
  }

  private mark(one: Watched, absent: boolean): void {
    const key = `${one.service} ${one.server}`
    if (this.absent.has(key) === absent) return
    if (absent) this.absent.set(key, one)
    else this.absent.delete(key)
    this.options.setAbsent(one.service, one.server, absent)
  }

  private forget(): void {
    this.options.log.info({}, 'a manager can be read again: tasks missing from the DNS of Docker are no longer held back')
    for (const one of [...this.absent.values()]) this.mark(one, false)
    this.silent.clear()
  }

  private nextNames(): readonly string[] {
    const all = [...this.watched.keys()]
    if (all.length <= MOST_NAMES) return all
    const from = this.next % all.length
    this.next = from + MOST_NAMES
    return [...all.slice(from), ...all.slice(0, from)].slice(0, MOST_NAMES)
  }
}

/** Asks the DNS servers of this machine (in a container: Docker's); `servers` instead of them, `host:port`. */
export function dnsResolve(servers: readonly string[] = []): TaskNamesOptions['resolve'] {
  const resolver = new Resolver({ timeout: 1000, tries: 1 })
  if (servers.length > 0) resolver.setServers(servers)
  return name => resolver.resolve4(name)
}
