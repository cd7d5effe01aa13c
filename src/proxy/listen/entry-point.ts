// One listening address of a data worker. All workers listen on the same port (SO_REUSEPORT); the kernel distributes connections.
// Reads the PROXY header where one is expected, then hands the socket to the codec.

import { createServer, type Server, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { EntryPointOptions } from '../../options/options.ts'
import { keepAlive } from '../../util/tcp-keep-alive.ts'
import { ClientConnection } from '../http1/client-connection.ts'
import { localReplyText } from '../http1/write-head.ts'
import { NO_FIELDS } from '../message/field-list.ts'
import { ForwardedContext } from '../message/forwarded-headers.ts'
import { localReply } from '../message/local-reply.ts'
import { admit, type Listener } from '../routing/admission.ts'
import type { WorkerContext } from '../worker-context.ts'
import { parseProxyHeader } from './proxy-protocol.ts'
import { compileTrusted, unmapped } from './trusted-addresses.ts'

/** Turns of the event loop without a new connection before a listener is closed, and the limit of that wait. */
const QUIET_TURNS = 3
const MAX_QUIET_WAIT_MS = 200

export class EntryPoint {
  readonly name: string
  private readonly options: EntryPointOptions
  private readonly context: WorkerContext
  private readonly connections: Set<ClientConnection>
  private readonly pending = new Set<Socket>()
  private readonly server: Server
  private readonly trustsForwarded: (address: string) => boolean
  private readonly sendsProxyHeader: (address: string) => boolean
  private readonly proxyHeadersEnabled: boolean
  private readonly listener: Listener
  private accepted = 0

  /** `connections` is shared by all entry points of a worker: the limit applies to their sum. */
  constructor(options: EntryPointOptions, context: WorkerContext, connections: Set<ClientConnection>) {
    this.name = options.name
    this.options = options
    this.context = context
    this.listener = { name: options.name, limits: context.options.limits, ping: options.ping ?? '', admit }
    this.connections = connections
    this.trustsForwarded = compileTrusted(options.forwardedHeaders.trustedIPs, options.forwardedHeaders.insecure)
    this.sendsProxyHeader = compileTrusted(options.proxyProtocol.trustedIPs, options.proxyProtocol.insecure)
    this.proxyHeadersEnabled = options.proxyProtocol.insecure || options.proxyProtocol.trustedIPs.length > 0
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, socket => this.accept(socket))
  }

  /** @returns the port, for when 0 was requested. Rejects with the error of listen(), e.g. EADDRINUSE. */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen({ host: this.options.host, port, reusePort: true, backlog: 4096 }, () => {
        this.server.off('error', reject)
        this.server.on('error', error => this.context.log('error', `entry point ${this.name}: ${error.message}`, {}))
        const address = this.server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  }

  /**
   * Stops accepting connections; open ones continue. The kernel resets connections in the accept queue when a listener closes, so
   * it closes right after a few turns of the event loop without a new connection.
   */
  async close(): Promise<void> {
    const deadlineMs = performance.now() + MAX_QUIET_WAIT_MS
    for (let quiet = 0; quiet < QUIET_TURNS && performance.now() < deadlineMs; quiet++) {
      const before = this.accepted
      await nextTurn()
      if (this.accepted !== before) quiet = -1
    }
    this.server.close()
    for (const socket of this.pending) socket.destroy()
  }

  private accept(socket: Socket): void {
    this.accepted++
    const peer = unmapped(socket.remoteAddress)
    if (peer === '') {
      socket.destroy()
      return
    }
    if (this.connections.size >= this.context.options.limits.connections) {
      this.context.log('warn', `more than ${this.context.options.limits.connections} client connections in one worker`, {
        client: peer,
      })
      socket.on('error', () => {})
      const reply = localReply(503, this.context.ids.next(), NO_FIELDS)
      socket.end(localReplyText(reply, 'GET', true), () => socket.destroy())
      return
    }
    keepAlive(socket)
    if (this.proxyHeadersEnabled && this.sendsProxyHeader(peer)) this.readProxyHeader(socket, peer)
    else this.begin(socket, peer)
  }

  private begin(socket: Socket, client: string): ClientConnection {
    // With a PROXY header the HTTP comes from the client: the balancer forwards any X-Forwarded-* that the client invents.
    const forwarded = new ForwardedContext(client, 'http', this.context.options.name, this.trustsForwarded(client))
    const connection = new ClientConnection(socket, this.context, forwarded, this.listener, gone => this.connections.delete(gone))
    this.connections.add(connection)
    return connection
  }

  /** The header must come first, complete, and in time; otherwise the balancer in front is misconfigured and the socket is closed. */
  private readProxyHeader(socket: Socket, peer: string): void {
    let head = Buffer.alloc(0)
    this.pending.add(socket)
    const timer = setTimeout(() => refuse('no PROXY header in time'), this.context.options.timeouts.requestHeaderMs)
    const settle = () => {
      clearTimeout(timer)
      this.pending.delete(socket)
      socket.off('data', onData)
      socket.off('error', drop)
      socket.off('end', drop)
      socket.off('close', settle)
    }
    const refuse = (reason: string) => {
      this.context.log('warn', `PROXY protocol: ${reason}`, { client: peer, entryPoint: this.name })
      drop()
    }
    const drop = () => {
      settle()
      socket.on('error', () => {})
      socket.destroy()
    }
    const onData = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk])
      const result = parseProxyHeader(head)
      if (result.kind === 'bad') refuse(result.reason)
      else if (result.kind === 'done') {
        settle()
        const connection = this.begin(socket, result.source === null ? peer : result.source.address)
        if (head.length > result.length) connection.onData(head.subarray(result.length))
      }
    }
    socket.on('data', onData)
    socket.on('error', drop)
    socket.on('end', drop)
    socket.on('close', settle)
  }
}
