// The table of connected peers: when the first connection opens and the last one closes, whether the peer belongs to this
// cluster, and which of several connections to one peer (both sides dialled at once) is kept.

import type { Connection, PeerId } from '@libp2p/interface'
import type { MemberId } from '../core/state.ts'
import { type Outbox, outbox } from './message-streams.ts'
import { fromMultiaddr } from './multiaddr.ts'
import type { PeerConnection } from './network.ts'

/** Duplicate connections are kept this long, until both sides have seen both, ms. */
const DUPLICATE_GRACE_MS = 2_000

export interface Peer {
  readonly id: MemberId
  readonly peerId: PeerId
  /** Oldest first. */
  readonly connections: Connection[]
  readonly outbox: Outbox
  /** It has sent the name of this cluster. */
  admitted: boolean
  /** When a direct message was last sent or received. */
  usedAt: number
}

export interface PeerTable {
  readonly all: ReadonlyMap<MemberId, Peer>
  /** Ids of connected peers, admitted or not. */
  readonly connected: ReadonlySet<MemberId>
  opened(connection: Connection, nowMs: number): Peer
  closed(connection: Connection): void
  /** Closes all but the oldest connection to each peer. */
  closeDuplicates(nowMs: number): void
  list(): readonly PeerConnection[]
  stop(): void
}

export interface PeerTableEvents {
  /** The last connection has closed. */
  disconnected(peer: Peer): void
  /** One of several connections has closed: its streams need another one. */
  connectionLost(peer: Peer): void
}

/** Closes gracefully, or aborts if that fails. */
export function closeConnection(connection: Connection): void {
  connection.close().catch((error: Error) => connection.abort(error))
}

/** @param greeting first message on every message stream */
export function peerTable(self: MemberId, greeting: Uint8Array, events: PeerTableEvents): PeerTable {
  const all = new Map<MemberId, Peer>()
  const connected = new Set<MemberId>()
  const duplicates = new Map<MemberId, number>()

  return {
    all,
    connected,

    opened(connection, nowMs) {
      const id = connection.remotePeer.toString()
      let peer = all.get(id)
      if (peer === undefined) {
        const connections = [connection]
        peer = {
          id,
          peerId: connection.remotePeer,
          connections,
          outbox: outbox(greeting, () => connections[0] ?? null),
          admitted: false,
          usedAt: nowMs,
        }
        all.set(id, peer)
        connected.add(id)
      } else if (!peer.connections.includes(connection)) {
        peer.connections.push(connection)
        duplicates.set(id, nowMs + DUPLICATE_GRACE_MS)
      }
      return peer
    },

    closed(connection) {
      const id = connection.remotePeer.toString()
      const peer = all.get(id)
      const at = peer?.connections.indexOf(connection) ?? -1
      if (peer === undefined || at < 0) return
      peer.connections.splice(at, 1)
      if (peer.connections.length > 0) {
        events.connectionLost(peer)
        return
      }
      all.delete(id)
      connected.delete(id)
      duplicates.delete(id)
      peer.outbox.close()
      events.disconnected(peer)
    },

    closeDuplicates(nowMs) {
      for (const [id, due] of duplicates) {
        if (nowMs < due) continue
        const superfluous = all.get(id)?.connections.slice(1) ?? []
        if (superfluous.length === 0) duplicates.delete(id)
        else duplicates.set(id, nowMs + DUPLICATE_GRACE_MS)
        // Only one side closes duplicates; otherwise each could close a different one.
        if (self < id) for (const connection of superfluous) closeConnection(connection)
      }
    },

    list() {
      return [...all.values()].flatMap(peer =>
        peer.connections.map(connection => ({
          id: peer.id,
          address: fromMultiaddr(connection.remoteAddr),
          direction: connection.direction === 'inbound' ? ('in' as const) : ('out' as const),
        })),
      )
    },

    stop() {
      for (const peer of all.values()) peer.outbox.close()
    },
  }
}
