// Watches the replicas through their admin API and tells what changes: who leads them, which manager each reads from or listens
// to, how many servers each service has, and how its breaker is. The same news from several replicas is told once, with their
// names.

import type { AdminPages } from './admin-pages.ts'
import { clusterLine, type View } from './succession.ts'

export interface Observed {
  readonly name: string
  readonly adminPort: number
  readonly alive: () => boolean
}

const intervalMs = 250

interface Seen {
  readonly report: View['report']
  /** Topic to what is to be told of it. */
  readonly topics: ReadonlyMap<string, string>
}

export class Observer {
  readonly #replicas: readonly Observed[]
  readonly #pages: AdminPages
  readonly #tell: (line: string) => void
  /** By replica: topic to its last words. */
  readonly #known = new Map<string, Map<string, string>>()
  readonly #reports = new Map<string, View['report']>()
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> | null = null

  constructor(replicas: readonly Observed[], pages: AdminPages, tell: (line: string) => void) {
    this.#replicas = replicas
    this.#pages = pages
    this.#tell = tell
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = null
      })
    }, intervalMs)
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    await this.#looking
  }

  /** Who leads, in which term, and the revision that each replica is at. */
  cluster(): string {
    return clusterLine(
      this.#replicas.map(({ name, alive }) => ({ name, report: alive() ? (this.#reports.get(name) ?? null) : null })),
    )
  }

  /** What every replica last said; for the status key. */
  summary(): readonly string[] {
    return [this.cluster(), ...[...this.#known].sort().map(([name, topics]) => `${name}: ${[...topics.values()].join('; ')}`)]
  }

  async #look(): Promise<void> {
    const news = new Map<string, string[]>()
    await Promise.all(
      this.#replicas.map(async replica => {
        const { name } = replica
        if (!replica.alive()) {
          this.#known.delete(name)
          this.#reports.delete(name)
          return
        }
        const { report, topics } = await this.#ask(replica.adminPort)
        this.#reports.set(name, report)
        const before = this.#known.get(name)
        for (const [topic, words] of topics) if (before?.get(topic) !== words) news.set(words, [...(news.get(words) ?? []), name])
        if (topics.size > 0) this.#known.set(name, new Map([...(before ?? []), ...topics]))
      }),
    )
    if (this.#timer === null) return
    for (const [words, names] of news) this.#tell(`${names.sort().join(', ')}: ${words}`)
  }

  async #ask(port: number): Promise<Seen> {
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
