// A peer that requests are relayed through: an upstream server of no service, with several addresses, reached by streams within a few
// TLS connections (mux.ts). Ejection, probes and stream reuse are those of any server.

import { type ConnectionOptions, connect } from 'node:tls'
import { LiveServer } from '../upstream/connection-pool.ts'
import { Mux } from './mux.ts'
import type { MuxStream } from './mux-stream.ts'

/** A cluster member, as far as the data plane needs it. */
export interface PeerTarget {
  readonly id: string
  readonly name: string
  /** Addresses of its relay port, best first. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  /** Names of the services that the member has reported as unreachable. */
  readonly unreachable: readonly string[]
}

/** Time in which a peer that declined a request gets no other request for that service, ms. */
const DECLINED_MS = 200
/** Added to the response timeout: the peer reaches its own limit first and reports the cause, ms. */
const ANSWER_GRACE_MS = 5000
/** Connections per peer, and streams per connection above which another one is opened, so that several workers of the peer share the load. */
const MAX_CONNECTIONS = 4
const STREAMS_BEFORE_NEXT = 32
const KEEP_ALIVE_MS = 10_000

export class RelayPeer extends LiveServer {
  /** Name and addresses. A change of either makes it another peer. */
  readonly identity: string
  private readonly target: PeerTarget
  private unreachable: ReadonlySet<string>
  private readonly declined = new Map<string, number>()
  private readonly channel: ConnectionOptions
  private readonly idleMs: number
  private muxes: Mux[] = []
  /** Consecutive addresses whose connect failed. */
  private failedAddresses = 0

  /** `idleMs`: how long a connection without streams is kept. */
  constructor(target: PeerTarget, channel: ConnectionOptions, idleMs: number) {
    const { host, port } = target.addresses[0]!
    super({ id: target.id, scheme: 'http', host, port, weight: 1, state: 'active', node: target.name }, '')
    this.channel = channel
    this.idleMs = idleMs
    this.target = target
    this.identity = RelayPeer.keyOf(target)
    this.unreachable = new Set(target.unreachable)
    this.peerName = target.name
    this.answerGraceMs = ANSWER_GRACE_MS
  }

  /** Key under which a new list of peers finds an existing one. */
  static keyOf(target: PeerTarget): string {
    return JSON.stringify([target.id, target.name, target.addresses.map(({ host, port }) => [host, port])])
  }

  /** Applies changes that do not alter the identity. */
  updateTarget(target: PeerTarget): void {
    this.unreachable = new Set(target.unreachable)
  }

  /** True if requests of the service may be relayed to it at `nowMs`. */
  canRelay(service: string, nowMs: number): boolean {
    if (this.ejectedUntilMs > nowMs || this.unreachable.has(service)) return false
    if (this.declined.size === 0) return true
    return (this.declined.get(service) ?? 0) <= nowMs
  }

  /** As canRelay, but ignores that it has declined a request a moment ago. */
  mayRelaySoon(service: string, nowMs: number): boolean {
    return this.ejectedUntilMs <= nowMs && !this.unreachable.has(service)
  }

  /** A connection is established: streams open without delay. */
  get connected(): boolean {
    for (const mux of this.muxes) if (mux.connected && !mux.leaving) return true
    return false
  }

  /** A connection is established or being established. */
  get hasConnection(): boolean {
    return this.muxes.length > 0
  }

  /** It declined a request: it reached no server of the service. */
  noteDeclined(service: string, nowMs: number): void {
    for (const [name, untilMs] of this.declined) if (untilMs <= nowMs) this.declined.delete(name)
    this.declined.set(service, nowMs + DECLINED_MS)
  }

  override get isPeer(): boolean {
    return true
  }

  override openStream(): MuxStream {
    let best: Mux | null = null
    for (const mux of this.muxes) {
      if (!mux.leaving && (best === null || mux.streams.size < best.streams.size)) best = mux
    }
    const few = this.muxes.length < MAX_CONNECTIONS
    if (best === null || (few && best.connected && best.streams.size >= STREAMS_BEFORE_NEXT)) best = this.dial()
    return best.open()
  }

  /** Closes idle streams. Connections close after their last stream. */
  override closeIdle(): void {
    super.closeIdle()
    for (const mux of [...this.muxes]) mux.leave()
  }

  /** Closes all connections at once; requests in progress fail. */
  destroy(): void {
    for (const mux of [...this.muxes]) mux.destroy('closed')
  }

  private dial(): Mux {
    const socket = connect({ ...this.channel, host: this.host, port: this.port })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const mux = new Mux(socket, false, this.idleMs, {
      onStream: null,
      onLeave: () => this.closeIdle(),
      onGone: gone => {
        this.muxes = this.muxes.filter(other => other !== gone)
      },
    })
    this.muxes.push(mux)
    return mux
  }

  override noteConnected(): void {
    this.failedAddresses = 0
  }

  /**
   * A connect to address number `address` failed. Moves on to the next address. @returns false once all addresses have failed
   */
  override nextAddress(address: number): boolean {
    // Of several connects that fail together, the first has already moved on.
    if (address !== this.address) return this.failedAddresses > 0
    const { addresses } = this.target
    this.address = (this.address + 1) % addresses.length
    this.host = addresses[this.address]!.host
    this.port = addresses[this.address]!.port
    this.failedAddresses = (this.failedAddresses + 1) % addresses.length
    for (const mux of [...this.muxes]) if (!mux.connected) mux.destroy('timeout')
    return this.failedAddresses > 0
  }
}
