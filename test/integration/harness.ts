// One data worker in this process, without control: a runtime, a forwarder and an entry point on its own port, connected as in
// worker.ts, with scripted backends. Default time-outs are longer than any test waits, so that what ends in a test ends for the
// reason under test. Tests of a time-out set it.

import { createServer, type Server as NetServer, type Socket } from 'node:net'
import type { Middleware, Router, Server, Service, Snapshot } from '../../src/config/model.ts'
import { MIDDLEWARES, type MiddlewareRegistry } from '../../src/middlewares/registry.ts'
import type { DataPlaneOptions, EntryPointOptions } from '../../src/options/options.ts'
import { type CounterTotals, createCounters, readCounters, WorkerCounters } from '../../src/proxy/counters.ts'
import { Sweep } from '../../src/proxy/forward/deadlines.ts'
import { Forwarder } from '../../src/proxy/forward/forwarder.ts'
import type { ClientConnection } from '../../src/proxy/http1/client-connection.ts'
import { type Http1Transport, serverTransports } from '../../src/proxy/http1/http1-transport.ts'
import { EntryPoint } from '../../src/proxy/listen/entry-point.ts'
import { RequestIds } from '../../src/proxy/message/request-ids.ts'
import type { PeerTarget } from '../../src/proxy/peers/relay-peer.ts'
import { RelayEntry } from '../../src/proxy/relay/relay-entry.ts'
import { relayTransports } from '../../src/proxy/relay/relay-transport.ts'
import { Runtime } from '../../src/proxy/runtime.ts'
import type { RuntimeService } from '../../src/proxy/runtime-service.ts'
import type { SessionRows } from '../../src/proxy/sessions/service-sessions.ts'
import type { UpstreamServer } from '../../src/proxy/upstream/upstream-server.ts'
import type { WorkerContext } from '../../src/proxy/worker-context.ts'
import { freePort } from '../free-port.ts'
import { type Message, RawConnection } from './raw-connection.ts'

export interface LogEntry {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, string | number>>
}

export type Overrides = {
  readonly timeouts?: Partial<DataPlaneOptions['timeouts']>
  readonly limits?: Partial<DataPlaneOptions['limits']>
  readonly retry?: Partial<DataPlaneOptions['retry']>
  readonly entryPoint?: Partial<EntryPointOptions>
  readonly name?: string
  readonly relay?: Partial<DataPlaneOptions['relay']>
  readonly sessions?: Partial<DataPlaneOptions['sessions']>
  /** TLS of https servers. */
  readonly verifyTls?: boolean
  readonly keepTrailingSlash?: boolean
  /** Kinds of middlewares, instead of the product's. */
  readonly middlewares?: MiddlewareRegistry
  /** Keys of sessions: the one that new ones are made under, then those that are accepted as well. */
  readonly keys?: readonly string[]
}

export function testOptions(overrides: Overrides = {}): DataPlaneOptions {
  return {
    entryPoints: [
      {
        name: 'web',
        host: '127.0.0.1',
        port: 0,
        forwardedHeaders: { trustedIPs: [], insecure: false },
        proxyProtocol: { trustedIPs: [], insecure: false },
        ...overrides.entryPoint,
      },
    ],
    name: overrides.name ?? 'edge-1',
    cookieKey: overrides.keys?.[0] ?? 'test',
    otherCookieKeys: overrides.keys?.slice(1) ?? [],
    timeouts: {
      connectMs: 500,
      responseHeaderMs: 60_000,
      requestHeaderMs: 60_000,
      stallMs: 60_000,
      clientIdleMs: 60_000,
      upstreamIdleMs: 60_000,
      tunnelIdleMs: 60_000,
      noResponseMs: 1000,
      ...overrides.timeouts,
    },
    limits: {
      headerBytes: 65_536,
      headerCount: 128,
      uriBytes: 16_384,
      connections: 10_000,
      privateConnections: 10_000,
      bodyBytes: 0,
      ...overrides.limits,
    },
    retry: { attempts: 3, bufferBytes: 65_536, budgetRatio: 0.2, budgetMin: 3, serverWaitMs: 0, ...overrides.retry },
    upstreamTls: { verify: overrides.verifyTls ?? true },
    keepTrailingSlash: overrides.keepTrailingSlash ?? false,
    relay: { listen: null, keys: [], ...overrides.relay },
    accessLog: true,
    sessions: { consistency: 'fast', strictWaitMs: 100, ...overrides.sessions },
  }
}

export type ServiceSketch = Partial<Omit<Service, 'servers'>> & {
  /** Ports on 127.0.0.1, or complete servers. */
  readonly servers: readonly (number | (Partial<Server> & { readonly port: number }))[]
  /** Fields of its router. */
  readonly router?: Partial<Router>
}

let sequence = 0

/** A snapshot with one router per service. The router of a single service takes every request, others `Host:<name>.test`. */
export function snapshotOf(
  sketches: Readonly<Record<string, ServiceSketch>>,
  middlewares: Readonly<Record<string, Middleware>> = {},
): Snapshot {
  const names = Object.keys(sketches)
  const services: Record<string, Service> = {}
  const routers: Record<string, Router> = {}
  for (const name of names) {
    const { servers, router, ...rest } = sketches[name]!
    services[name] = {
      name,
      balancer: 'wrr',
      sticky: null,
      learn: null,
      breaker: null,
      outliers: { errors: 0 },
      healthCheck: null,
      maxConn: null,
      timeouts: { responseHeaderMs: null, stallMs: null },
      provider: 'test',
      source: name,
      ...rest,
      servers: servers.map(server => ({
        id: `task-${typeof server === 'number' ? server : server.port}`,
        scheme: 'http',
        host: '127.0.0.1',
        weight: 1,
        state: 'active',
        node: '',
        ...(typeof server === 'number' ? { port: server } : server),
      })),
    }
    routers[name] = {
      name,
      entryPoints: [],
      rule: 'test',
      matcher: names.length === 1 ? { kind: 'pathPrefix', prefixes: ['/'] } : { kind: 'host', hosts: [`${name}.test`] },
      priority: 1,
      service: name,
      middlewares: Object.keys(middlewares),
      passHostHeader: true,
      provider: 'test',
      source: name,
      ...router,
    }
  }
  sequence++
  return { revision: { term: 0, leader: '', sequence }, hash: `h${sequence}`, routers, services, middlewares, errors: [] }
}

export interface SessionClaim {
  readonly ticket: number
  readonly service: string
  readonly high: number
  readonly low: number
  readonly server: string
}

export class Edge {
  readonly logs: LogEntry[] = []
  /** The access log: method, host, path and status of each request. */
  readonly accessLog: string[] = []
  readonly ejections: string[] = []
  /** Other reports about servers: suspicions, and probes that failed. */
  readonly healthReports: string[] = []
  /** Reports about the probes of circuit breakers. */
  readonly probes: string[] = []
  /** Services that became relayed or local again. */
  readonly reachabilityChanges: string[] = []
  /** Handles this worker's reports about sessions; a test may take the place of control. */
  onSessions: (service: string, rows: SessionRows) => void = () => {}
  onClaim: (claim: SessionClaim) => void = () => {}
  /** Handles its reports about servers; a test may take the place of control. */
  onEjection: (server: UpstreamServer, out: boolean, cause: string, by: string) => void = () => {}
  onHealthReport: (server: UpstreamServer, cause: string) => void = () => {}
  onReachabilityQuery: (server: UpstreamServer) => void = () => {}
  onReachable: (server: UpstreamServer) => void = () => {}
  readonly connections = new Set<ClientConnection>()
  readonly context: WorkerContext
  readonly runtime: Runtime
  readonly forwarder: Forwarder
  port = 0
  /** The port to which peers relay; 0: none. */
  relayPort = 0
  /** Connections of peers. */
  readonly peerConnections = new Set<ClientConnection>()
  private readonly entryPoint: EntryPoint
  private readonly relayEntry: RelayEntry | null
  private readonly sweep: Sweep
  private readonly counterBuffer = createCounters(1)
  private readonly clients: RawConnection[] = []

  private constructor(options: DataPlaneOptions, middlewares: MiddlewareRegistry) {
    this.sweep = new Sweep(nowMs => this.forwarder.tick(this.runtime.services.values(), nowMs))
    const transports = serverTransports(options, this.sweep)
    this.runtime = new Runtime(options.cookieKey, middlewares, transports, options.otherCookieKeys, options.keepTrailingSlash)
    this.forwarder = new Forwarder(
      options,
      this.sweep,
      {
        onEjection: (server, out, cause, by) => {
          this.ejections.push(`${server.service} ${server.port} ${out ? 'out' : 'in'} ${cause}`)
          if (!server.isPeer) this.onEjection(server, out, cause, by)
        },
        onHealthReport: (server, cause) => {
          this.healthReports.push(`${server.service} ${server.port} ${cause}`)
          this.onHealthReport(server, cause)
        },
        onReachabilityQuery: server => this.onReachabilityQuery(server),
        onReachable: server => this.onReachable(server),
        onReach: (service, reachable, cause, through) =>
          void this.reachabilityChanges.push(`${service} ${reachable ? 'back' : `${cause} through ${through || 'no peer'}`}`),
        onSessions: (service, rows) => this.onSessions(service, rows),
        onClaim: (ticket, service, high, low, server) => this.onClaim({ ticket, service, high, low, server }),
      },
      relayTransports(options, this.sweep),
    )
    this.context = {
      options,
      sweep: this.sweep,
      runtime: this.runtime,
      forwarder: this.forwarder,
      counters: new WorkerCounters(this.counterBuffer, 0),
      ids: new RequestIds(options.name, 0, Date.now()),
      breakerEvents: {
        probing: service => void this.probes.push(`${service} probing`),
        probed: (service, status) => void this.probes.push(`${service} probed ${status}`),
      },
      draining: false,
      closing: false,
      lingering: 0,
      log: (level, message, fields) => void this.logs.push({ level, message, fields }),
      access: x =>
        void this.accessLog.push(
          `${x.method} ${x.authority} ${x.receivedPath} ${x.status}${x.attempt.relayPeer === '' ? '' : ` through ${x.attempt.relayPeer}`}`,
        ),
    }
    this.entryPoint = new EntryPoint(options.entryPoints[0]!, this.context, this.connections)
    this.relayEntry = options.relay.listen === null ? null : new RelayEntry(this.context, this.peerConnections)
  }

  /** Starts an edge that serves these services. */
  static async start(services: Readonly<Record<string, ServiceSketch>>, overrides: Overrides = {}): Promise<Edge> {
    const edge = new Edge(testOptions(overrides), overrides.middlewares ?? MIDDLEWARES)
    edge.apply(snapshotOf(services))
    edge.port = await edge.entryPoint.listen(0)
    const { listen } = edge.context.options.relay
    if (edge.relayEntry !== null && listen !== null) edge.relayPort = await edge.relayEntry.listen(listen.host, listen.port)
    return edge
  }

  apply(snapshot: Snapshot): void {
    const slots = new Map(Object.keys(snapshot.services).map((name, i) => [name, i + 1]))
    for (const message of this.runtime.apply(snapshot, slots)) this.logs.push({ level: 'warn', message, fields: {} })
  }

  /** This edge as a peer through which others may relay. */
  target(overrides: Partial<PeerTarget> = {}): PeerTarget {
    const { name } = this.context.options
    return { id: `id of ${name}`, name, addresses: [{ host: '127.0.0.1', port: this.relayPort }], unreachable: [], ...overrides }
  }

  relayTo(...targets: readonly PeerTarget[]): void {
    this.forwarder.relays.setPeers(targets)
  }

  /** A client that is closed with the edge. */
  async client(): Promise<RawConnection> {
    const client = await RawConnection.open(this.port)
    this.clients.push(client)
    return client
  }

  /** Sends one request on its own connection. @returns the response */
  async ask(request: string | Buffer, options: { noBody?: boolean; ms?: number } = {}): Promise<Message> {
    const client = await this.client()
    client.write(request)
    try {
      return await client.takeMessage(options)
    } finally {
      client.destroy()
    }
  }

  service(name = 'app'): RuntimeService {
    return this.runtime.services.get(name)!
  }

  /** Idle connections to the first server of `app`. */
  idleConnections(): number {
    return (this.service().servers[0]!.transport as Http1Transport).idle.length
  }

  /** Counters of a service; slot 0 counts requests without a service. */
  counters(slot: number): CounterTotals {
    return readCounters(this.counterBuffer, slot)
  }

  /** No request is in flight: the state in which every test should end. */
  get isIdle(): boolean {
    if (this.forwarder.inFlight !== 0) return false
    for (const service of this.runtime.services.values()) if (service.servers.some(s => s.inFlight !== 0)) return false
    if (this.forwarder.relays.peers.some(peer => peer.inFlight !== 0)) return false
    return true
  }

  /** Announces the drain as worker.ts does. */
  announceDrain(): void {
    this.context.draining = true
  }

  /** Drains as worker.ts does. */
  async drain(): Promise<void> {
    this.relayEntry?.close()
    await this.entryPoint.close()
    this.context.draining = true
    this.context.closing = true
    for (const connection of [...this.connections, ...this.peerConnections]) connection.drain()
  }

  stop(): void {
    for (const client of this.clients) client.destroy()
    void this.entryPoint.close()
    this.relayEntry?.close()
    this.relayEntry?.destroy()
    for (const connection of [...this.connections, ...this.peerConnections]) connection.destroy()
    for (const peer of this.forwarder.relays.peers) {
      peer.retire()
      peer.destroy()
    }
    for (const service of this.runtime.services.values()) service.retire()
    this.sweep.stop()
  }
}

export interface BackendRequest extends Message {
  /** Number of the request on its connection, from 1. */
  readonly number: number
}

export class Backend {
  port = 0
  readonly requests: BackendRequest[] = []
  readonly connections: RawConnection[] = []
  /** Number of connections accepted so far. */
  accepted = 0
  private readonly server: NetServer
  private readonly sockets = new Set<Socket>()

  private constructor(onConnection: (connection: RawConnection, backend: Backend) => Promise<void>) {
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
      this.accepted++
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
      const connection = new RawConnection(socket)
      this.connections.push(connection)
      onConnection(connection, this).catch(() => {})
    })
  }

  /** A backend that reads complete requests and calls `answer` for each, one after another. */
  static async start(
    answer: (request: BackendRequest, connection: RawConnection, backend: Backend) => void | Promise<void>,
  ): Promise<Backend> {
    return Backend.raw(async (connection, backend) => {
      for (let number = 1; !connection.closed; number++) {
        const request = { ...(await connection.takeMessage({ ms: 60_000 })), number }
        backend.requests.push(request)
        await answer(request, connection, backend)
      }
    })
  }

  /** A backend that handles its connections freely. */
  static async raw(onConnection: (connection: RawConnection, backend: Backend) => void | Promise<void>): Promise<Backend> {
    const backend = new Backend(async (connection, self) => onConnection(connection, self))
    await backend.listen(0)
    return backend
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen({ port, host: '127.0.0.1', backlog: 511 }, () => {
        this.port = (this.server.address() as { port: number }).port
        resolve()
      })
    })
  }

  /** Closes the listener and resets every connection. */
  stop(): void {
    this.server.close()
    for (const socket of this.sockets) socket.resetAndDestroy()
  }
}

/** `200` with a body that names its request. */
export function ok(body = 'ok', fields = ''): string {
  return `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`
}

export function get(path = '/', fields = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: app.test\r\n${fields}\r\n`
}

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** A port on 127.0.0.1 without a listener. */
export const closedPort = freePort
