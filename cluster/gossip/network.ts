// What the cluster asks of a network: datagrams to all or to one member, whole bodies on request, and to know who is connected.
// Everything may be lost, late, twice or out of order, but for a pull, which succeeds whole or fails. gossip/libp2p.ts is the
// real one.

import type { MemberId } from '../core/state.ts'
import type { ForeignPeer } from './foreign-peers.ts'

export interface NetworkEvents {
  /** `data` is at most LIMITS.message bytes; `from` is authenticated (it holds the cluster secret and its own key). */
  message(from: MemberId, data: Uint8Array): void
  connected(peer: MemberId): void
  /** The last connection to that member has closed. */
  disconnected(peer: MemberId): void
  /** A member asks for the body with this hash; null: it is not held (any more). */
  bodyOf(hash: string): string | null
}

export interface PeerConnection {
  readonly id: MemberId
  readonly address: string
  readonly direction: 'in' | 'out'
}

/** Counts since the start. */
export interface NetworkCounts {
  readonly sent: number
  readonly received: number
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Thrown away before anybody looked at them: too large, beyond the rate of one peer. */
  readonly dropped: number
  readonly pulls: number
  readonly pullsFailed: number
  readonly dials: number
  readonly dialsFailed: number
  /** Inbound connections that fit none of the secrets. */
  readonly handshakesRefused: number
}

export interface Network {
  readonly self: MemberId
  /** Port that it listens on. */
  readonly port: number
  /** Never throws and never waits; what cannot be sent is dropped. */
  broadcast(data: Uint8Array): void
  send(to: MemberId, data: Uint8Array): void
  /** Rejects with a reason for people; bounded in time and bytes (LIMITS.body). */
  pull(from: MemberId, hash: string): Promise<string>
  /**
   * Addresses (`host:port`, IP literals) at which members may be found, by origin; the whole list each time. It dials those it is
   * not connected to. `names`: the DNS name that gave an address, where there is one, for the log.
   */
  setTargets(addresses: readonly string[], names?: ReadonlyMap<string, string>): void
  /** A member whose addresses are known from its beats: full connection up to 16 members. */
  setMembers(members: readonly { readonly id: MemberId; readonly addresses: readonly string[] }[]): void
  connections(): readonly PeerConnection[]
  counts(): NetworkCounts
  /** Peers at targets that are not of this cluster; bounded. */
  foreignPeers(): readonly ForeignPeer[]
  stop(): Promise<void>
}
