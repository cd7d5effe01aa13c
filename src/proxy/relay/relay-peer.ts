// A peer that requests may be relayed through: a server of no service, with several addresses, reached by TLS with the cluster's
// key. Ejection, probes and connections are those of any server.

import type { ConnectionOptions } from 'node:tls'
import { LiveServer } from '../live-server.ts'

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
const HANDED_BACK_MS = 200
/** Beyond the time a server has for its answer: the peer gives up first, and tells why. */
const ANSWER_GRACE_MS = 5000

export class RelayPeerServer extends LiveServer {
  /** Its name and addresses: with other ones it would be another peer. */
  readonly identity: string
  private readonly target: PeerTarget
  private unreachable: ReadonlySet<string>
  private readonly handedBack = new Map<string, number>()
  /** Addresses that failed in a row. */
  private failed = 0

  constructor(target: PeerTarget, channel: ConnectionOptions) {
    const { host, port } = target.addresses[0]!
    super({ id: target.id, scheme: 'http', host, port, weight: 1, state: 'active', node: target.name }, '', channel)
    this.target = target
    this.identity = RelayPeerServer.keyOf(target)
    this.unreachable = new Set(target.unreachable)
    this.peerName = target.name
    this.answerGraceMs = ANSWER_GRACE_MS
  }

  /** The identity under which a new list finds an old peer again. */
  static keyOf(target: PeerTarget): string {
    return JSON.stringify([target.id, target.name, target.addresses.map(({ host, port }) => [host, port])])
  }

  /** Takes over what may change without the peer becoming another one. */
  learn(target: PeerTarget): void {
    this.unreachable = new Set(target.unreachable)
  }

  /** May this service's requests be handed to it at `nowMs`? */
  takes(service: string, nowMs: number): boolean {
    if (this.ejectedUntilMs > nowMs || this.unreachable.has(service)) return false
    if (this.handedBack.size === 0) return true
    return (this.handedBack.get(service) ?? 0) <= nowMs
  }

  /** It may take the service's requests in a moment, if not now. */
  maySoon(service: string, nowMs: number): boolean {
    return this.ejectedUntilMs <= nowMs && !this.unreachable.has(service)
  }

  /** It could reach no server either. */
  noteHandedBack(service: string, nowMs: number): void {
    for (const [name, untilMs] of this.handedBack) if (untilMs <= nowMs) this.handedBack.delete(name)
    this.handedBack.set(service, nowMs + HANDED_BACK_MS)
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
    return this.failed > 0
  }
}
