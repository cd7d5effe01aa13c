// HTTP/1.1 to one server: opens connections, and pools those that are idle. A connection carries one exchange at a time. How it is
// established, and what the request head looks like, is up to the subclass: ServerTransport for servers, RelayTransport
// (relay/relay-transport.ts) for peers.

import type { DataPlaneOptions } from '../../options/options.ts'
import type { ByteStream } from '../byte-stream.ts'
import type { Sweep } from '../forward/deadlines.ts'
import type { Exchange } from '../forward/exchange.ts'
import { isIdempotent } from '../forward/retries.ts'
import { AUTH_PER_REQUEST } from '../message/connection-auth.ts'
import { probeConnect } from '../upstream/probe.ts'
import { StrayBodies } from '../upstream/stray-bodies.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import type { Transport, TransportFactory, UpstreamEvents } from '../upstream/upstream-stream.ts'
import { dial } from './server-socket.ts'
import { type ConnectionHost, type Http1Settings, UpstreamConnection } from './upstream-connection.ts'
import { serverHead } from './write-head.ts'

/** Idle connections kept per server and worker. */
const MAX_IDLE = 256
/**
 * A request that must not be sent twice uses an idle connection only if that was in use this recently, ms: the server may be
 * closing it.
 */
const REUSE_UNSAFE_MS = 900

export abstract class Http1Transport implements Transport, ConnectionHost {
  readonly server: UpstreamServer
  readonly settings: Http1Settings
  abstract readonly lenient: boolean
  readonly straysAfterHead = new StrayBodies()
  readonly straysAfterStatus = new StrayBodies()
  /** Last in, first out: the most recently used connection is reused first, so that surplus ones expire. */
  readonly idle: UpstreamConnection[] = []

  constructor(server: UpstreamServer, settings: Http1Settings) {
    this.server = server
    this.settings = settings
  }

  abstract dial(): ByteStream
  abstract requestHead(x: Exchange): string

  take(x: Exchange): UpstreamConnection | null {
    const connection = this.idle.at(-1)
    // An authentication handshake starts on a new connection: on an idle one that the server is closing it would be lost.
    if (connection === undefined || x.req.connectionAuth !== AUTH_PER_REQUEST) return null
    if (this.settings.sweep.now - connection.idleSince > REUSE_UNSAFE_MS && !isIdempotent(x)) return null
    this.idle.pop()
    return connection
  }

  open(events: UpstreamEvents): UpstreamConnection {
    return new UpstreamConnection(this, events)
  }

  probe(timeoutMs: number, done: (code: string) => void): void {
    probeConnect(this.server.host, this.server.port, timeoutMs, done)
  }

  closeIdle(): void {
    for (const connection of this.idle.splice(0)) connection.destroy()
  }

  keep(connection: UpstreamConnection): boolean {
    if (this.server.gone || this.server.draining || this.idle.length >= MAX_IDLE) return false
    this.idle.push(connection)
    return true
  }

  forget(connection: UpstreamConnection): void {
    const index = this.idle.lastIndexOf(connection)
    if (index >= 0) this.idle.splice(index, 1)
  }
}

/** Connections to the servers of services, by TCP or TLS. */
export class ServerTransport extends Http1Transport {
  readonly lenient = true
  private readonly verifyTls: boolean

  constructor(server: UpstreamServer, settings: Http1Settings, verifyTls: boolean) {
    super(server, settings)
    this.verifyTls = verifyTls
  }

  dial(): ByteStream {
    return dial(this.server, this.verifyTls)
  }

  requestHead(x: Exchange): string {
    return serverHead(x, this.server)
  }
}

/** The transports of all servers of services in a worker. */
export function serverTransports({ limits, timeouts, upstreamTls }: DataPlaneOptions, sweep: Sweep): TransportFactory {
  const settings = { sweep, limits, connectMs: timeouts.connectMs, idleMs: timeouts.upstreamIdleMs }
  return server => new ServerTransport(server, settings, upstreamTls.verify)
}
