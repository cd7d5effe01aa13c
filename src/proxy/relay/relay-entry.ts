// Where one data worker takes the requests of peers: TLS with the cluster's key on a port that all workers share, and streams
// within it (mux.ts), each of which is a client connection. Whoever does not hold a key gets no further than the handshake,
// of which there are only so many at once; whoever does is treated as a client all the same.

import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { pskServerOptions } from '../../util/psk-channel.ts'
import { RELAY_UNAUTHENTICATED } from '../counters.ts'
import { ClientConnection } from '../http1/client-connection.ts'
import { unmapped } from '../listen/entry-point.ts'
import { ownAnswer } from '../message/local-reply.ts'
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
/** Handshakes at once in one worker, and of one address; peers open a few connections each. */
const MAX_HANDSHAKES = 1024
const MAX_OF_ONE_ADDRESS = 64
/** Connections of peers in one worker: a thousand replicas with one each, or a hundred with workers and connections to spare. */
const MAX_CONNECTIONS = 1024
/** Beyond the time after which a peer closes what it does not use. */
const IDLE_GRACE_MS = 30_000
const TELL_EVERY_MS = 60_000

export class RelayEntry {
  private readonly context: WorkerContext
  private readonly connections: Set<ClientConnection>
  private readonly server: Server
  private readonly listener: Listener
  /** TCP connections that have not proved a key yet, by their address and port. */
  private readonly handshakes = new Map<string, Socket>()
  private readonly muxes = new Set<Mux>()
  private readonly perAddress = new Map<string, number>()
  private toldMs = Number.NEGATIVE_INFINITY
  private untold = 0

  /** `connections` holds the peers' connections of this worker; as many are taken as of clients. */
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
    this.server.on('secureConnection', socket => this.begin(socket))
    this.server.on('tlsClientError', (error, socket) => this.refuse(error, socket))
  }

  /** @returns the port, which matters when 0 was asked for. Throws what listen() reports, e.g. EADDRINUSE. */
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

  /** Connections of peers. */
  get size(): number {
    return this.muxes.size
  }

  /**
   * Takes no new connection and tells peers to open no stream any more; what is under way goes on, and each peer closes its
   * connections with its last answer.
   */
  close(): void {
    this.server.close()
    for (const socket of this.handshakes.values()) socket.destroy()
    for (const mux of this.muxes) mux.leave()
  }

  destroy(): void {
    for (const mux of [...this.muxes]) mux.destroy('closed')
  }

  /** Every TCP connection, before its handshake. */
  private count(socket: Socket): void {
    const address = unmapped(socket.remoteAddress)
    const mine = this.perAddress.get(address) ?? 0
    if (this.handshakes.size >= MAX_HANDSHAKES || mine >= MAX_OF_ONE_ADDRESS) {
      socket.destroy()
      return
    }
    this.perAddress.set(address, mine + 1)
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

  private begin(socket: TLSSocket): void {
    const address = unmapped(socket.remoteAddress)
    this.uncount(`${address} ${socket.remotePort}`, address)
    if (address === '' || this.muxes.size >= MAX_CONNECTIONS) {
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const mux = new Mux(socket, true, this.context.options.timeouts.upstreamIdleMs + IDLE_GRACE_MS, {
      onStream: stream => this.take(stream, address),
      onLeave: () => {},
      onGone: gone => this.muxes.delete(gone),
    })
    this.muxes.add(mux)
  }

  private take(stream: MuxStream, address: string): void {
    if (this.connections.size >= this.listener.limits.connections) {
      // Said, not reset: nothing was sent on, so the peer may take the request elsewhere, and does not ask again at once.
      stream.write(ownAnswer(503, this.context.ids.next(), 'HEAD', true, UNSENT))
      stream.end()
      return
    }
    const connection = new ClientConnection(stream, this.context, relayForwarded(address), this.listener, gone =>
      this.connections.delete(gone),
    )
    this.connections.add(connection)
  }

  /** Counted, and told at most once a minute. */
  private refuse(error: Error, socket: TLSSocket): void {
    const address = unmapped(socket.remoteAddress)
    // A handshake that takes too long is told of here, and no more than that.
    socket.destroy()
    const code = 'code' in error ? String(error.code) : error.message
    // Peers that look whether this one is there close before they have said a word.
    if (code === 'ECONNRESET' || code === 'EPIPE') return
    this.context.counters.add(0, RELAY_UNAUTHENTICATED, 1)
    const nowMs = performance.now()
    if (nowMs - this.toldMs < TELL_EVERY_MS) {
      this.untold++
      return
    }
    this.toldMs = nowMs
    const reason = /BINDER|DECRYPT|BAD_RECORD/.test(code)
      ? 'it does not hold a secret that is valid here'
      : `it does not speak the protocol (${code})`
    this.context.log('warn', `relay: a connection was turned away: ${reason}`, { client: address, more: this.untold })
    this.untold = 0
  }
}
