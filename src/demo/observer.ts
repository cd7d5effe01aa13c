// Watches the replicas through their admin API and tells what changes: which manager each reads from, and how many servers each
// service has. The same news from several replicas is told once, with their names.

import { Agent, request } from 'undici'

export interface Observed {
  readonly name: string
  readonly adminPort: number
  readonly alive: () => boolean
}

interface SnapshotAnswer {
  readonly services?: Record<string, { readonly source?: string; readonly servers?: readonly { readonly state?: string }[] }>
}

type ManagersAnswer = readonly {
  readonly managers?: readonly { readonly endpoint: string; readonly current: boolean; readonly state: string }[]
}[]

const intervalMs = 250

export class Observer {
  readonly #replicas: readonly Observed[]
  readonly #tell: (line: string) => void
  readonly #agent = new Agent({ connections: 2, headersTimeout: 2_000 })
  /** By replica: topic to its last words. */
  readonly #known = new Map<string, Map<string, string>>()
  #timer: NodeJS.Timeout | null = null
  #busy = false

  constructor(replicas: readonly Observed[], tell: (line: string) => void) {
    this.#replicas = replicas
    this.#tell = tell
  }

  start(): void {
    this.#timer = setInterval(() => void this.#look(), intervalMs)
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    await this.#agent.destroy()
  }

  /** What every replica last said, by topic; for the status key. */
  summary(): readonly string[] {
    return [...this.#known].map(
      ([name, topics]) => `${name}: ${[...topics].map(([topic, words]) => `${topic} ${words}`).join('; ')}`,
    )
  }

  async #look(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    const news = new Map<string, string[]>()
    await Promise.all(
      this.#replicas.map(async replica => {
        if (!replica.alive()) {
          this.#known.delete(replica.name)
          return
        }
        const seen = await this.#ask(replica.adminPort)
        const before = this.#known.get(replica.name)
        for (const [topic, words] of seen) {
          if (before?.get(topic) === words) continue
          const line = `${topic} ${words}`
          news.set(line, [...(news.get(line) ?? []), replica.name])
        }
        if (seen.size > 0) this.#known.set(replica.name, new Map([...(before ?? []), ...seen]))
      }),
    )
    this.#busy = false
    if (this.#timer === null) return
    for (const [line, names] of news) this.#tell(`${names.sort().join(', ')}: ${line}`)
  }

  async #ask(port: number): Promise<ReadonlyMap<string, string>> {
    const [snapshot, managers] = await Promise.all([
      this.#get<SnapshotAnswer>(port, '/api/snapshot'),
      this.#get<ManagersAnswer>(port, '/api/managers'),
    ])
    const seen = new Map<string, string>()
    const current = managers?.flatMap(provider => provider.managers ?? []).find(manager => manager.current)
    if (current !== undefined) {
      const state = current.state === 'healthy' ? '' : ` (${current.state})`
      seen.set('reads from', `${current.endpoint}${state}`)
    }
    for (const [name, service] of Object.entries(snapshot?.services ?? {}))
      seen.set(service.source ?? name, countStates(service.servers ?? []))
    return seen
  }

  async #get<T>(port: number, path: string): Promise<T | null> {
    try {
      const answer = await request(`http://127.0.0.1:${port}${path}`, { dispatcher: this.#agent })
      // The answer comes from the very program that this file is part of.
      return (await answer.body.json()) as T
    } catch {
      return null
    }
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
