// A peer that requests are relayed through: an upstream server of no service, with several addresses, whose transport is
// relay/relay-transport.ts. Ejection, probes and stream reuse are those of any server.

import { UpstreamServer } from '../upstream/upstream-server.ts'
import type { Transport } from '../upstream/upstream-stream.ts'

/** How a peer is reached; relay/relay-transport.ts implements it. */
export interface PeerTransport extends Transport {
  /** A connection is established: streams open without delay. */
  readonly connected: boolean
  /** A connection is established or being established. */
  readonly hasConnection: boolean
  /** Aborts connects in progress: the peer's address has changed. */
  abortConnects(): void
  /** Closes all connections at once; requests in progress fail. */
  destroy(): void
}

export type PeerTransportFactory = (peer: UpstreamServer) => PeerTransport

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
const RESPONSE_GRACE_MS = 5000

export class RelayPeer extends UpstreamServer {
  declare readonly transport: PeerTransport
  /** Name and addresses. A change of either makes it another peer. */
  readonly identity: string
  private readonly target: PeerTarget
  private unreachable: ReadonlySet<string>
  private readonly declined = new Map<string, number>()
  /** Consecutive addresses whose connect failed. */
  private failedAddresses = 0

  constructor(target: PeerTarget, transports: PeerTransportFactory) {
    const { host, port } = target.addresses[0]!
    super({ id: target.id, scheme: 'http', host, port, weight: 1, state: 'active', node: target.name }, '', transports)
    this.target = target
    this.identity = RelayPeer.keyOf(target)
    this.unreachable = new Set(target.unreachable)
    this.peerName = target.name
    this.responseGraceMs = RESPONSE_GRACE_MS
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
    return this.transport.connected
  }

  /** A connection is established or being established. */
  get hasConnection(): boolean {
    return this.transport.hasConnection
  }

  /** It declined a request: it reached no server of the service. */
  noteDeclined(service: string, nowMs: number): void {
    for (const [name, untilMs] of this.declined) if (untilMs <= nowMs) this.declined.delete(name)
    this.declined.set(service, nowMs + DECLINED_MS)
  }

  override get isPeer(): boolean {
    return true
  }

  /** Closes all connections at once; requests in progress fail. */
  destroy(): void {
    this.transport.destroy()
  }

  override onConnected(): void {
    this.failedAddresses = 0
  }

  /** Moves on to the next address. @returns false once all addresses have failed in a row */
  override nextAddress(address: number): boolean {
    // Of several connects that fail together, the first has already moved on.
    if (address !== this.address) return this.failedAddresses > 0
    const { addresses } = this.target
    this.address = (this.address + 1) % addresses.length
    this.host = addresses[this.address]!.host
    this.port = addresses[this.address]!.port
    this.failedAddresses = (this.failedAddresses + 1) % addresses.length
    this.transport.abortConnects()
    return this.failedAddresses > 0
  }
}
