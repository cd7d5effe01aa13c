// The network interface of a member: datagrams to all members or one, body transfer on request, and connection events. Messages
// may be lost, delayed, duplicated or reordered. A pull succeeds as a whole or fails. libp2p.ts is the implementation.

import type { MemberId } from '../core/state.ts'
import type { ForeignPeer } from './foreign-peers.ts'

export interface NetworkEvents {
  /** `data` has at most LIMITS.message bytes. `from` is authenticated: it holds the cluster secret and its private key. */
  message(from: MemberId, data: Uint8Array): void
  connected(peer: MemberId): void
  /** The last connection to this member has closed. */
  disconnected(peer: MemberId): void
  /** A member requests the body with this hash; null: it is not held. */
  bodyOf(hash: string): string | null
}

export interface PeerConnection {
  readonly id: MemberId
  readonly address: string
  readonly direction: 'in' | 'out'
}

/** Totals since the start. */
export interface NetworkCounts {
  readonly sent: number
  readonly received: number
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Messages discarded unread: too large, or beyond a peer's rate. */
  readonly dropped: number
  readonly pulls: number
  readonly pullsFailed: number
  readonly dials: number
  readonly dialsFailed: number
  /** Inbound connections that match none of the secrets. */
  readonly handshakesRefused: number
}

export interface Network {
  readonly self: MemberId
  /** The port that it listens on. */
  readonly port: number
  /** Never throws and never waits; a message that cannot be sent is dropped. */
  broadcast(data: Uint8Array): void
  send(to: MemberId, data: Uint8Array): void
  /** Bounded in time and bytes (LIMITS.body). Rejects with a readable reason. */
  pull(from: MemberId, hash: string): Promise<string>
  /**
   * Sets all addresses (`host:port`, IP literals) where members may be found, and dials those without a connection. `names`:
   * the DNS name of an address, for the log.
   */
  setTargets(addresses: readonly string[], names?: ReadonlyMap<string, string>): void
  /** Sets the known members and the addresses from their heartbeats. Up to 16 members are fully connected. */
  setMembers(members: readonly { readonly id: MemberId; readonly addresses: readonly string[] }[]): void
  connections(): readonly PeerConnection[]
  counts(): NetworkCounts
  /** Foreign peers at the targets (foreign-peers.ts). */
  foreignPeers(): readonly ForeignPeer[]
  stop(): Promise<void>
}
