// Accepts relay connections of peers in one data worker: TLS with the cluster's key on a port that all workers share. Each stream of
// a connection (mux.ts) is served as a client connection. Connections without a valid key end in the handshake, and the number of
// concurrent handshakes is limited, in total and per address. Authenticated peers are subject to the limits of clients.

import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { pskServerOptions } from '../../util/psk-channel.ts'
import { RELAY_UNAUTHENTICATED } from '../counters.ts'
import { ClientConnection } from '../http1/client-connection.ts'
import { localReplyText } from '../http1/write-head.ts'
import { unmapped } from '../listen/trusted-addresses.ts'
import { localReply } from '../message/local-reply.ts'
import { UNSENT } from '../message/relay-field.ts'
import type { Listener } from '../routing/admission.ts'
import type { WorkerContext } from '../worker-context.ts'
import { Mux } from './mux.ts'
import type { MuxStream } from './mux-stream.ts'
import { admitRelayed, relayForwarded } from './relay-admission.ts'
import { RELAY_PROTOCOL } from './relay-key.ts'
import { relayedLimits } from './relay-limits.ts'

const HANDSHAKE_MS = 3000
const KEEP_ALIVE_MS = 10_000
/** Concurrent handshakes per worker, and per address. A peer opens at most four connections per worker. */
const MAX_HANDSHAKES = 1024
const MAX_HANDSHAKES_PER_ADDRESS = 64
/** Peer connections per worker: a thousand replicas with one each, or a hundred with several workers. */
const MAX_CONNECTIONS = 1024
/** Added to the idle time of the connecting side, which therefore closes first, ms. */
const IDLE_GRACE_MS = 30_000
const LOG_INTERVAL_MS = 60_000

export class RelayEntry {
  private readonly context: WorkerContext
  private readonly connections: Set<ClientConnection>
  private readonly server: Server
  private readonly listener: Listener
  /** TCP connections in their TLS handshake, by remote address and port. */
  private readonly handshakes = new Map<string, Socket>()
  private readonly muxes = new Set<Mux>()
  private readonly perAddress = new Map<string, number>()
  private loggedMs = Number.NEGATIVE_INFINITY
  private unlogged = 0

  /** `connections` receives the streams of peers. Their number has the same limit as that of client connections. */
  constructor(context: WorkerContext, connections: Set<ClientConnection>) {
    this.context = context
    this.connections = connections
    this.listener = { name: 'relay', limits: relayedLimits(context.options.limits), ping: '', admit: admitRelayed }
    const keys = context.options.relay.keys.map(key => Buffer.from(key, 'hex'))
    this.server = createServer({
      ...pskServerOptions(keys, RELAY_PROTOCOL),
      handshakeTimeout: HANDSHAKE_MS,
      noDelay: true,
    })
    this.server.on('connection', (socket: Socket) => this.count(socket))
    this.server.on('secureConnection', socket => this.accept(socket))
    this.server.on('tlsClientError', (error, socket) => this.refuse(error, socket))
  }

  /** @returns the bound port. Rejects with the error of listen(), e.g. EADDRINUSE. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen({ host, port, reusePort: true, backlog: 4096 }, () => {
        this.server.off('error', reject)
        this.server.on('error', error => this.context.log('error', `relay: ${error.message}`, {}))
        const address = this.server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  }

  /** Number of peer connections. */
  get size(): number {
    return this.muxes.size
  }

  /**
   * Stops accepting connections and sends LEAVE to all peers. Requests in progress finish; each peer closes its connection after
   * its last response.
   */
  close(): void {
    this.server.close()
    for (const socket of this.handshakes.values()) socket.destroy()
    for (const mux of this.muxes) mux.leave()
  }

  destroy(): void {
    for (const mux of [...this.muxes]) mux.destroy('closed')
  }

  /** Counts a TCP connection whose handshake begins; closes it above the limits. */
  private count(socket: Socket): void {
    const address = unmapped(socket.remoteAddress)
    const ofAddress = this.perAddress.get(address) ?? 0
    if (this.handshakes.size >= MAX_HANDSHAKES || ofAddress >= MAX_HANDSHAKES_PER_ADDRESS) {
      socket.destroy()
      return
    }
    this.perAddress.set(address, ofAddress + 1)
    const from = `${address} ${socket.remotePort}`
    this.handshakes.set(from, socket)
    socket.once('close', () => this.uncount(from, address))
  }

  private uncount(from: string, address: string): void {
    if (!this.handshakes.delete(from)) return
    const left = (this.perAddress.get(address) ?? 1) - 1
    if (left <= 0) this.perAddress.delete(address)
    else this.perAddress.set(address, left)
  }

  private accept(socket: TLSSocket): void {
    const address = unmapped(socket.remoteAddress)
    this.uncount(`${address} ${socket.remotePort}`, address)
    if (address === '' || this.muxes.size >= MAX_CONNECTIONS) {
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const mux = new Mux(socket, true, this.context.options.timeouts.upstreamIdleMs + IDLE_GRACE_MS, {
      onStream: stream => this.serve(stream, address),
      onLeave: () => {},
      onGone: gone => this.muxes.delete(gone),
    })
    this.muxes.add(mux)
  }

  private serve(stream: MuxStream, address: string): void {
    if (this.connections.size >= this.listener.limits.connections) {
      // A response instead of a reset: it states that no server has received the request, so the peer retries elsewhere.
      stream.write(localReplyText(localReply(503, this.context.ids.next(), UNSENT), 'HEAD', true))
      stream.end()
      return
    }
    const connection = new ClientConnection(stream, this.context, relayForwarded(address), this.listener, gone =>
      this.connections.delete(gone),
    )
    this.connections.add(connection)
  }

  /** Counts a failed handshake and logs it at most once a minute. */
  private refuse(error: Error, socket: TLSSocket): void {
    const address = unmapped(socket.remoteAddress)
    // tls.Server reports a handshake timeout here but leaves the socket open.
    socket.destroy()
    const code = 'code' in error ? String(error.code) : error.message
    // Probes of peers connect and close without a handshake.
    if (code === 'ECONNRESET' || code === 'EPIPE') return
    this.context.counters.add(0, RELAY_UNAUTHENTICATED, 1)
    const nowMs = performance.now()
    if (nowMs - this.loggedMs < LOG_INTERVAL_MS) {
      this.unlogged++
      return
    }
    this.loggedMs = nowMs
    const reason = /BINDER|DECRYPT|BAD_RECORD/.test(code)
      ? 'its key is not one of the accepted cluster secrets'
      : `the TLS handshake failed (${code})`
    this.context.log('warn', `relay: connection refused: ${reason}`, { client: address, more: this.unlogged })
    this.unlogged = 0
  }
}
