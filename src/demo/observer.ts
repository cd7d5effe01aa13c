// Polls the replicas' admin API and reports changes: the leader, the manager that each replica reads from or listens to, the
// number of servers of each service, and the state of its breaker. A change that several replicas show is reported once, with
// their names.

import type { AdminPages } from './admin-pages.ts'
import { clusterLine, type View } from './succession.ts'

export interface Observed {
  readonly name: string
  readonly adminPort: number
  readonly alive: () => boolean
}

const intervalMs = 250

interface ReplicaState {
  readonly report: View['report']
  /** Topic to the line that describes its state. */
  readonly topics: ReadonlyMap<string, string>
}

export class Observer {
  readonly #replicas: readonly Observed[]
  readonly #pages: AdminPages
  readonly #report: (line: string) => void
  /** By replica: topic to the last reported line. */
  readonly #reported = new Map<string, Map<string, string>>()
  readonly #reports = new Map<string, View['report']>()
  #timer: NodeJS.Timeout | null = null
  #polling: Promise<void> | null = null

  constructor(replicas: readonly Observed[], pages: AdminPages, report: (line: string) => void) {
    this.#replicas = replicas
    this.#pages = pages
    this.#report = report
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#polling ??= this.#poll().finally(() => {
        this.#polling = null
      })
    }, intervalMs)
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    await this.#polling
  }

  /** One line: the leader, its term, and the revision of each replica. */
  cluster(): string {
    return clusterLine(
      this.#replicas.map(({ name, alive }) => ({ name, report: alive() ? (this.#reports.get(name) ?? null) : null })),
    )
  }

  /** The last state of every replica; for the status key. */
  summary(): readonly string[] {
    return [this.cluster(), ...[...this.#reported].sort().map(([name, topics]) => `${name}: ${[...topics.values()].join('; ')}`)]
  }

  async #poll(): Promise<void> {
    const changes = new Map<string, string[]>()
    await Promise.all(
      this.#replicas.map(async replica => {
        const { name } = replica
        if (!replica.alive()) {
          this.#reported.delete(name)
          this.#reports.delete(name)
          return
        }
        const { report, topics } = await this.#read(replica.adminPort)
        this.#reports.set(name, report)
        const before = this.#reported.get(name)
        for (const [topic, line] of topics)
          if (before?.get(topic) !== line) changes.set(line, [...(changes.get(line) ?? []), name])
        if (topics.size > 0) this.#reported.set(name, new Map([...(before ?? []), ...topics]))
      }),
    )
    if (this.#timer === null) return
    for (const [line, names] of changes) this.#report(`${names.sort().join(', ')}: ${line}`)
  }

  async #read(port: number): Promise<ReplicaState> {
    const [report, snapshot, managers, breakers] = await Promise.all([
      this.#pages.get(port, 'cluster'),
      this.#pages.get(port, 'snapshot'),
      this.#pages.get(port, 'managers'),
      this.#pages.get(port, 'breakers'),
    ])
    const topics = new Map<string, string>()
    if (report !== null && report.leader !== null) topics.set('leader', `${report.leader.name} leads, term ${report.term.number}`)
    const current = managers?.flatMap(provider => provider.managers).find(manager => manager.current)
    if (report !== null && current !== undefined) {
      const state = current.state === 'healthy' ? '' : ` (${current.state})`
      topics.set('manager', `${report.role === 'leader' ? 'reads from' : 'listens to'} ${current.endpoint}${state}`)
    }
    for (const { source, servers } of Object.values(snapshot?.services ?? {}))
      topics.set(`service ${source}`, `${source} ${countStates(servers)}`)
    for (const { service, state } of breakers ?? []) topics.set(`breaker ${service}`, `the breaker of ${service} is ${state}`)
    return { report, topics }
  }
}

/** `3 servers`, or `2 servers, 1 draining`. */
export function countStates(servers: readonly { readonly state?: string }[]): string {
  const counts = new Map<string, number>()
  for (const { state = 'active' } of servers) counts.set(state, (counts.get(state) ?? 0) + 1)
  const active = counts.get('active') ?? 0
  counts.delete('active')
  return [`${active} server${active === 1 ? '' : 's'}`, ...[...counts].map(([state, count]) => `${count} ${state}`)].join(', ')
}
