// Clients with sessions: each keeps cookies as a browser does, or has its own header or address, sends one request after the other,
// each through another edge, and records which task answers. task-watch.ts judges changes of task, since that needs the states of the
// tasks.

import type { Reply } from './http-client.ts'

export interface SessionGroup {
  /** The name that the backend's answers must contain. */
  readonly service: string
  readonly host: string
  /**
   * How the edges recognize a client: `cookie` is Skein's cookie, `app` the application's own session cookie, `header` a header that the
   * client sends, `address` its IP address.
   */
  readonly by: 'cookie' | 'app' | 'header' | 'address'
  readonly count: number
  /** From its second turn on a client sends through all edges at once, which must all send it to the same task. */
  readonly together?: boolean
  /** These clients begin when SessionClients.begin is called. */
  readonly later?: boolean
}

/** An answer by another task than the previous one of the client. */
export interface SessionChange {
  readonly session: number
  readonly service: string
  readonly by: SessionGroup['by']
  /** Host names of tasks: the first twelve digits of the container's id. */
  readonly from: string
  readonly to: string
  /** The task that had answered before the turn; differs from `from` if one turn led to two tasks. */
  readonly before: string
  readonly edge: string
  /** Time in ms since the epoch. */
  readonly sentAt: number
  readonly answeredAt: number
}

export interface SessionsReport {
  readonly sessions: number
  /** The first CHANGES changes; `changed` is their total number. */
  readonly changes: readonly SessionChange[]
  readonly changed: number
  /** Answers of an application that received a session it does not know. */
  readonly unknown: number
  /** Started clients with fewer answers than there are edges. */
  readonly unfinished: number
  /** The number of clients by the task that answered last, for each service. */
  readonly spread: Readonly<Record<string, readonly number[]>>
}

/** A client's next requests, which are sent at the same time. */
export interface Turn {
  readonly client: Client
  /** Indexes of edges. */
  readonly edges: readonly number[]
  /** The task that answered last; '' before the first answer. */
  readonly before: string
  /** See Client. */
  readonly candidates: readonly string[]
  left: number
}

interface Client {
  readonly id: number
  readonly group: SessionGroup
  readonly cookies: Map<string, string>
  /** The source address; null: any. */
  readonly address: string | null
  task: string
  /** The tasks to which one turn led; the next answer decides which of them counts. */
  candidates: readonly string[]
  edge: number
  answers: number
  idleSince: number
}

const CHANGES = 20_000
/**
 * Minimum time in ms between an answer and the client's next request. All edges have the session by then.
 */
export const PAUSE_MS = 500
/** In every n-th turn, a client that was answered recently is next, instead of the one that has waited longest. */
const SOON_EVERY = 4
/** The application's cookie of backend/app.ts. */
const APP_COOKIE = 'JSESSIONID'
export const SESSION_HEADER = 'X-Session-Id'

export class SessionClients {
  private readonly clients: readonly Client[]
  /** Waiting clients, in the order of their last answers. */
  private readonly idle: Client[]
  private held: Client[]
  private readonly edges: readonly string[]
  private readonly pauseMs: number
  private readonly changes: SessionChange[] = []
  private changed = 0
  private unknown = 0
  private turns = 0

  /** `edges` are names; `addresses` are the source addresses of clients by address, one for each. */
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
    // Interleaves the groups in proportion, so that all kinds send from the start.
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

  /** Starts the clients that begin later. */
  begin(): void {
    // Clients without a turn so far are first.
    this.idle.unshift(...this.held)
    this.held = []
  }

  /** The next turn; null if every client waits for an answer or pauses. `usable`: which edges may be used now. */
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

  /** The path and the header lines that identify the client. */
  request({ client }: Turn): { readonly path: string; readonly lines: readonly string[]; readonly address: string | null } {
    const { group, cookies, address, id } = client
    const lines: string[] = []
    if (cookies.size > 0) lines.push(`Cookie: ${[...cookies].map(([name, value]) => `${name}=${value}`).join('; ')}`)
    if (group.by === 'header') lines.push(`${SESSION_HEADER}: client-${id}-of-${group.service}`)
    return { path: group.by === 'app' ? '/session' : '/', lines, address }
  }

  /** Records one answer of a turn, correct in every other respect. @returns the error in it as an answer to a session, or null */
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
      // Not all edges that got the requests of one turn may know yet that the previous task drains, so its answers are correct too.
      if (client.task !== turn.before) client.candidates = [client.task, task]
      this.change(turn, task, edge, sentAt)
    }
    return wrong
  }

  /** Records the end of one request of a turn, with or without an answer. */
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
   * Index of the client that was answered last among those whose pause is over; if there is none, of the one that has waited longest.
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

  private appFault(client: Client, task: string, answer: unknown): string | null {
    const given = client.cookies.get(APP_COOKIE) ?? null
    if (typeof answer !== 'object' || answer === null || !('id' in answer) || !('known' in answer))
      return 'the answer does not describe the session'
    if (answer.known === null) return given === null ? null : 'the session cookie did not arrive'
    if (given === null) return 'a session that was never set'
    if (answer.known === true) return answer.id === given ? null : "another client's session"
    this.unknown += 1
    return task === client.task ? 'its own task does not know the session' : null
  }
}
