// What the lab's backend is to sessions and breakers: an application that keeps its sessions in its own memory (and says when it
// is given one that it does not know), that fails for those edges that it is told to fail for, and that remembers when what
// arrived.

import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export const SESSION_COOKIE = 'JSESSIONID'
/** Requests remembered; older ones are forgotten first. */
const ARRIVALS = 50_000
const SESSIONS = 20_000

/** What the application says of the session that a request brought. */
export interface AppSession {
  readonly id: string
  /** null: the request brought none. false: it brought one that is not in this memory, and was given this one instead. */
  readonly known: boolean | null
}

/** When a request arrived (ms since the epoch), by which edge, and how it was answered. */
export type Arrival = readonly [at: number, edge: string, status: number]

export class App {
  private readonly sessions = new Set<string>()
  private arrivals: Arrival[] = []
  private failing: ReadonlySet<string> = new Set()

  /** As Java's containers do: an unknown session is replaced by a new one. `setCookie` is null when nothing is to be set. */
  session(request: IncomingMessage): { readonly session: AppSession; readonly setCookie: string | null } {
    const given = cookieOf(request.headers.cookie ?? '', SESSION_COOKIE)
    if (given !== null && this.sessions.has(given)) return { session: { id: given, known: true }, setCookie: null }
    const id = randomBytes(16).toString('hex').toUpperCase()
    if (this.sessions.size < SESSIONS) this.sessions.add(id)
    return { session: { id, known: given === null ? null : false }, setCookie: `${SESSION_COOKIE}=${id}; Path=/; HttpOnly` }
  }

  /** Requests that these edges send are answered with 500 from now on; `*` means all edges. */
  failFor(edges: readonly string[]): void {
    this.failing = new Set(edges)
  }

  /** The status that a request is to get, which is remembered. */
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
