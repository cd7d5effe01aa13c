// The cases of the bench: a load (the requests of wrk) and a shape of the configuration (the number of routers).

export interface Case {
  readonly name: string
  readonly title: string
  /** Number of services, each with its own router: `s0.bench.test`, `s1.bench.test` ... */
  readonly services: number
  /** Number of servers of each service. */
  readonly serversEach: number
  /** Further labels of each service, in order; default: only those of the router. */
  readonly labels?: readonly Readonly<Record<string, string>>[]
  /** The load of wrk; null: connections are opened, used once and kept (for memory). */
  readonly load: Load | null
}

export interface Load {
  readonly connections: number
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly bodyBytes: number
  readonly closeEach: boolean
}

const GET: Load = { connections: 64, method: 'GET', path: '/1k', bodyBytes: 0, closeEach: false }

export const IDLE_CONNECTIONS = 1000

export const CASES: readonly Case[] = [
  { name: 'get-1k', title: 'GET, 1 KiB', services: 1, serversEach: 3, load: GET },
  { name: 'get-1m', title: 'GET, 1 MiB', services: 1, serversEach: 3, load: { ...GET, path: '/1m', connections: 16 } },
  {
    name: 'post-64k',
    title: 'POST, 64 KiB',
    services: 1,
    serversEach: 3,
    load: { ...GET, method: 'POST', path: '/post', bodyBytes: 65_536, connections: 32 },
  },
  { name: 'routers-1000', title: 'GET, 1 KiB, 1,000 routers in turn', services: 1000, serversEach: 1, load: GET },
  {
    name: 'new-connection',
    title: 'GET, 1 KiB, a connection per request',
    services: 1,
    serversEach: 3,
    load: { ...GET, closeEach: true },
  },
  { name: 'idle-1000', title: '1,000 idle kept-alive connections', services: 1, serversEach: 3, load: null },
]

export function hostOf(service: number): string {
  return `s${service}.bench.test`
}

/** Addresses of a service's servers: the same backend listens on all of them. */
export function serverHosts(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `127.0.0.${i + 1}`)
}
