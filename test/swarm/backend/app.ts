// The application in the lab's backend: it keeps sessions in its own memory (and reports an unknown session), fails for configured
// edges, and records the arrivals of requests.

import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export const SESSION_COOKIE = 'JSESSIONID'
/** Maximum number of recorded requests; the oldest are removed first. */
const ARRIVALS = 50_000
const SESSIONS = 20_000

/** The application's view of a request's session. */
export interface AppSession {
  readonly id: string
  /** null: the request had no session. false: its session is unknown and was replaced. */
  readonly known: boolean | null
}

/** The arrival of a request (ms since the epoch), its edge, and its status. */
export type Arrival = readonly [at: number, edge: string, status: number]

export class App {
  private readonly sessions = new Set<string>()
  private arrivals: Arrival[] = []
  private failing: ReadonlySet<string> = new Set()

  /** Finds or creates a session. As in Java's containers, an unknown session is replaced by a new one. `setCookie` is null if unchanged. */
  session(request: IncomingMessage): { readonly session: AppSession; readonly setCookie: string | null } {
    const given = cookieOf(request.headers.cookie ?? '', SESSION_COOKIE)
    if (given !== null && this.sessions.has(given)) return { session: { id: given, known: true }, setCookie: null }
    const id = randomBytes(16).toString('hex').toUpperCase()
    if (this.sessions.size < SESSIONS) this.sessions.add(id)
    return { session: { id, known: given === null ? null : false }, setCookie: `${SESSION_COOKIE}=${id}; Path=/; HttpOnly` }
  }

  /** From now on, requests through these edges get 500; `*` means all edges. */
  failFor(edges: readonly string[]): void {
    this.failing = new Set(edges)
  }

  /** The status for a request, which is recorded. */
  arrived(request: IncomingMessage): number {
    const edge = `${request.headers['x-forwarded-server'] ?? ''}`
    const status = this.failing.has(edge) || this.failing.has('*') ? 500 : 200
    if (this.arrivals.length >= ARRIVALS) this.arrivals = this.arrivals.slice(ARRIVALS / 2)
    this.arrivals.push([Date.now(), edge, status])
    return status
  }

  arrivalsSince(at: number): readonly Arrival[] {
    return this.arrivals.filter(arrival => arrival[0] >= at)
  }
}

function cookieOf(header: string, name: string): string | null {
  const pair = header
    .split(';')
    .map(text => text.trim())
    .find(text => text.startsWith(`${name}=`))
  return pair === undefined ? null : pair.slice(name.length + 1)
}
