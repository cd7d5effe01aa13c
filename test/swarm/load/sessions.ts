// Clients with sessions: each keeps what a browser would (cookies), or says who it is by a header or its address, sends one
// request after the other, each through another edge, and takes note of which task answers. What a change of task means is not
// judged here: that needs to know which tasks were there (task-watch.ts).

import type { Reply } from './http-client.ts'

export interface SessionGroup {
  /** What the backend must call itself. */
  readonly service: string
  readonly host: string
  /**
   * How the edges may recognise a client: `cookie` of their own making, `app` for the application's own session cookie, `header`
   * for a header that the client makes, `address` for its IP address.
   */
  readonly by: 'cookie' | 'app' | 'header' | 'address'
  readonly count: number
  /** From the second turn on a client sends through all edges at once: they must all send it to one task. */
  readonly together?: boolean
  /** They begin only when they are told to (SessionClients.begin). */
  readonly later?: boolean
}

/** A client was answered by another task than before. */
export interface SessionChange {
  readonly session: number
  readonly service: string
  readonly by: SessionGroup['by']
  /** Host names of tasks: the first twelve digits of their containers' ids. */
  readonly from: string
  readonly to: string
  /** Who had answered it when the turn began: another than `from` where one turn led to two places. */
  readonly before: string
  readonly edge: string
  /** Ms since the epoch. */
  readonly sentAt: number
  readonly answeredAt: number
}

export interface SessionsReport {
  readonly sessions: number
  /** The first CHANGES of them; how many there were in all is `changed`. */
  readonly changes: readonly SessionChange[]
  readonly changed: number
  /** Answers of an application that did not know the session it was given. */
  readonly unknown: number
  /** Clients that have begun, with fewer answers than there are edges. */
  readonly unfinished: number
  /** Clients by the task that answered last, of each service. */
  readonly spread: Readonly<Record<string, readonly number[]>>
}

/** A client's next requests, which are sent at once. */
export interface Turn {
  readonly client: Client
  /** Indexes of edges. */
  readonly edges: readonly number[]
  /** Task that answered it last; '' before the first answer. */
  readonly before: string
  /** See Client. */
  readonly candidates: readonly string[]
  left: number
}

interface Client {
  readonly id: number
  readonly group: SessionGroup
  readonly cookies: Map<string, string>
  /** Its source address; null: any. */
  readonly address: string | null
  task: string
  /** Tasks to which one turn led at once: the next answer tells which of them it is. */
  candidates: readonly string[]
  edge: number
  answers: number
  idleSince: number
}

const CHANGES = 20_000
/**
 * A client's next request comes so long after an answer at the soonest. What edges learned from it is known everywhere by then.
 */
export const PAUSE_MS = 500
/** Every so many turns a client comes back that was answered just now, instead of the one that has waited longest. */
const SOON_EVERY = 4
/** The application's cookie, as backend/app.ts makes it. */
const APP_COOKIE = 'JSESSIONID'
export const SESSION_HEADER = 'X-Session-Id'

export class SessionClients {
  private readonly clients: readonly Client[]
  /** In the order in which they were answered. */
  private readonly idle: Client[]
  private held: Client[]
  private readonly edges: readonly string[]
  private readonly pauseMs: number
  private readonly changes: SessionChange[] = []
  private changed = 0
  private unknown = 0
  private turns = 0

  /** `edges` are names; `addresses` are those that clients by address have, one each. */
  constructor(groups: readonly SessionGroup[], edges: readonly string[], addresses: readonly string[], pauseMs: number) {
    this.edges = edges
    this.pauseMs = pauseMs
    const clients: Client[] = []
    for (const group of groups) {
      for (let n = 0; n < group.count; n++) {
        const id = clients.length
        const address = group.by === 'address' ? (addresses[n] ?? null) : null
        if (group.by === 'address' && address === null) throw new Error(`no address for client ${n} of ${group.service}`)
        clients.push({
          id,
          group,
          cookies: new Map(),
          address,
          task: '',
          candidates: [],
          edge: id,
          answers: 0,
          idleSince: -Infinity,
        })
      }
    }
    this.clients = clients
    // all kinds from the start: each at its share of the way
    const rank = new Map<Client, number>()
    const seen = new Map<SessionGroup, number>()
    for (const client of clients) {
      const n = seen.get(client.group) ?? 0
      seen.set(client.group, n + 1)
      rank.set(client, (n + 0.5) / client.group.count)
    }
    const mixed = [...clients].sort((a, b) => (rank.get(a) ?? 0) - (rank.get(b) ?? 0))
    this.idle = mixed.filter(client => client.group.later !== true)
    this.held = mixed.filter(client => client.group.later === true)
  }

  /** Those that were to begin later begin. */
  begin(): void {
    // whoever has not had a turn goes first
    this.idle.unshift(...this.held)
    this.held = []
  }

  /** Whose turn it is; null when every client waits for an answer or pauses. `usable`: which edges may be used now. */
  next(now: number, usable: readonly boolean[]): Turn | null {
    this.turns += 1
    const index = this.turns % SOON_EVERY === 0 ? this.soonest(now) : 0
    const client = this.idle[index]
    if (client === undefined || now - client.idleSince < this.pauseMs) return null
    this.idle.splice(index, 1)
    const all = usable.flatMap((can, edge) => (can ? [edge] : []))
    client.edge += 1
    const one = all[client.edge % all.length]
    const edges = client.group.together && client.task !== '' ? all : one === undefined ? [] : [one]
    return { client, edges, before: client.task, candidates: client.candidates, left: edges.length }
  }

  /** Path and header lines that make a request the client's. */
  request({ client }: Turn): { readonly path: string; readonly lines: readonly string[]; readonly address: string | null } {
    const { group, cookies, address, id } = client
    const lines: string[] = []
    if (cookies.size > 0) lines.push(`Cookie: ${[...cookies].map(([name, value]) => `${name}=${value}`).join('; ')}`)
    if (group.by === 'header') lines.push(`${SESSION_HEADER}: client-${id}-of-${group.service}`)
    return { path: group.by === 'app' ? '/session' : '/', lines, address }
  }

  /** One answer of a turn, right in every other respect. @returns what is wrong with it as a session's answer, or null */
  answered(turn: Turn, edge: number, reply: Reply, body: Readonly<Record<string, unknown>>, sentAt: number): string | null {
    const { client } = turn
    const task = `${body.host ?? ''}`
    const wrong = client.group.by === 'app' ? this.appFault(client, task, body.session) : null
    for (const [, name = '', value = ''] of reply.head.matchAll(/^set-cookie:[ \t]*([^=;\r\n]+)=([^;\r\n]*)/gim))
      client.cookies.set(name, value)
    client.answers += 1
    if (client.task === '' || (turn.candidates.includes(task) && client.candidates.includes(task))) {
      client.task = task
      client.candidates = []
    } else if (task !== client.task && task !== turn.before) {
      // edges that are asked at once may not all know yet that the task before is going: its answers are as good
      if (client.task !== turn.before) client.candidates = [client.task, task]
      this.change(turn, task, edge, sentAt)
    }
    return wrong
  }

  /** One request of a turn has ended, however it did. */
  ended(turn: Turn, now: number): void {
    turn.left -= 1
    if (turn.left > 0) return
    turn.client.idleSince = now
    this.idle.push(turn.client)
  }

  report(): SessionsReport {
    const tasks = new Map<string, Map<string, number>>()
    for (const { group, task } of this.clients) {
      const counts = tasks.get(group.service) ?? new Map<string, number>()
      tasks.set(group.service, counts.set(task, (counts.get(task) ?? 0) + 1))
    }
    const most = (counts: Map<string, number>): number[] => [...counts.values()].sort((a, b) => b - a)
    return {
      sessions: this.clients.length,
      changes: this.changes,
      changed: this.changed,
      unknown: this.unknown,
      unfinished: this.clients.filter(({ answers }) => answers < this.edges.length).length - this.held.length,
      spread: Object.fromEntries([...tasks].map(([service, counts]) => [service, most(counts)])),
    }
  }

  /**
   * Index of the client that was answered last among those that have paused; the one that has waited longest if there is none.
   */
  private soonest(now: number): number {
    for (let index = this.idle.length - 1; index > 0; index--) {
      if (now - (this.idle[index]?.idleSince ?? now) >= this.pauseMs) return index
    }
    return 0
  }

  private change({ client, before }: Turn, to: string, edge: number, sentAt: number): void {
    this.changed += 1
    const { id: session, task: from, group } = client
    client.task = to
    if (this.changes.length >= CHANGES) return
    const { service, by } = group
    this.changes.push({ session, service, by, from, to, before, edge: this.edges[edge] ?? '', sentAt, answeredAt: Date.now() })
  }

  private appFault(client: Client, task: string, said: unknown): string | null {
    const given = client.cookies.get(APP_COOKIE) ?? null
    if (typeof said !== 'object' || said === null || !('id' in said) || !('known' in said)) return 'no word of the session'
    if (said.known === null) return given === null ? null : 'the session cookie did not arrive'
    if (given === null) return 'a session that was never given'
    if (said.known === true) return said.id === given ? null : "another client's session"
    this.unknown += 1
    return task === client.task ? 'its own task does not know the session' : null
  }
}
