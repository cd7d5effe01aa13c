// A peer that requests may be relayed through: a server of no service, with several addresses, reached by streams within a few
// TLS connections. Ejection, probes, and which request takes which stream are those of any server.

import { type ConnectionOptions, connect } from 'node:tls'
import { LiveServer } from '../upstream/connection-pool.ts'
import { Mux } from './mux.ts'
import type { MuxStream } from './mux-stream.ts'

/** A member of the cluster as the data plane needs it. */
export interface PeerTarget {
  readonly id: string
  readonly name: string
  /** Addresses of its relay port, best first. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  /** Services that it cannot reach either. */
  readonly unreachable: readonly string[]
}

/** A peer that handed a request back is not asked for that service again before. */
const DECLINED_MS = 200
/** Beyond the time a server has for its answer: the peer gives up first, and tells why. */
const ANSWER_GRACE_MS = 5000
/** Connections to one peer at most, and how many streams each has before there is another: several keep several workers busy. */
const MAX_CONNECTIONS = 4
const STREAMS_BEFORE_NEXT = 32
const KEEP_ALIVE_MS = 10_000

export class RelayPeer extends LiveServer {
  /** Its name and addresses: with other ones it would be another peer. */
  readonly identity: string
  private readonly target: PeerTarget
  private unreachable: ReadonlySet<string>
  private readonly declined = new Map<string, number>()
  private readonly channel: ConnectionOptions
  private readonly idleMs: number
  private muxes: Mux[] = []
  /** Addresses that failed in a row. */
  private failed = 0

  /** `idleMs`: how long a connection without a stream is kept. */
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

  /** The identity under which a new list finds an old peer again. */
  static keyOf(target: PeerTarget): string {
    return JSON.stringify([target.id, target.name, target.addresses.map(({ host, port }) => [host, port])])
  }

  /** Takes over what may change without the peer becoming another one. */
  updateTarget(target: PeerTarget): void {
    this.unreachable = new Set(target.unreachable)
  }

  /** May this service's requests be handed to it at `nowMs`? */
  canRelay(service: string, nowMs: number): boolean {
    if (this.ejectedUntilMs > nowMs || this.unreachable.has(service)) return false
    if (this.declined.size === 0) return true
    return (this.declined.get(service) ?? 0) <= nowMs
  }

  /** It may take the service's requests in a moment, if not now. */
  mayRelaySoon(service: string, nowMs: number): boolean {
    return this.ejectedUntilMs <= nowMs && !this.unreachable.has(service)
  }

  /** A connection to it stands: what goes there waits for none. */
  get connected(): boolean {
    for (const mux of this.muxes) if (mux.connected && !mux.leaving) return true
    return false
  }

  /** There is a connection, or will be. */
  get hasConnection(): boolean {
    return this.muxes.length > 0
  }

  /** It could reach no server either. */
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

  /** Also the connections: they are left to what is under way. */
  override closeIdle(): void {
    super.closeIdle()
    for (const mux of [...this.muxes]) mux.leave()
  }

  /** At once, with all that is under way. */
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
    this.failed = 0
  }

  /**
   * A connect to address number `address` failed. @returns whether another one is worth a try before the peer counts as lost; it
   * is the current one then
   */
  override nextAddress(address: number): boolean {
    // Of many connects that fail together the first has moved on already.
    if (address !== this.address) return this.failed > 0
    const { addresses } = this.target
    this.address = (this.address + 1) % addresses.length
    this.host = addresses[this.address]!.host
    this.port = addresses[this.address]!.port
    this.failed = (this.failed + 1) % addresses.length
    for (const mux of [...this.muxes]) if (!mux.connected) mux.destroy('timeout')
    return this.failed > 0
  }
}
