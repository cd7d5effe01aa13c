// Limits the rate of every peer before its messages are parsed: one token bucket for messages and one for bytes. Messages beyond
// the rate are dropped. A peer that keeps exceeding it is to be disconnected. Pure: the clock is handed in.

import { TokenBucket } from '../rate-limit.ts'

export interface FloodLimits {
  readonly messagesPerSecond: number
  readonly bytesPerSecond: number
  /** The buckets hold what the rates allow in this time. */
  readonly burstMs: number
  /** Messages dropped within `strikesMs` (each is a strike) after which the peer is disconnected. */
  readonly strikes: number
  readonly strikesMs: number
}

export type FloodVerdict = 'accept' | 'drop' | 'disconnect'

export interface FloodGuard {
  /** Judges `messages` of `bytes` in total. `disconnect`: drop them and close the connection. */
  judge(peer: string, messages: number, bytes: number, nowMs: number): FloodVerdict
  forget(peer: string): void
}

interface PeerLimits {
  readonly messages: TokenBucket
  readonly bytes: TokenBucket
  strikes: number
  strikesSince: number
}

/** Beyond this number of peers the oldest is forgotten. A cluster has at most LIMITS.members. */
const MAX_PEERS = 1024

export function floodGuard(limits: FloodLimits): FloodGuard {
  const peers = new Map<string, PeerLimits>()
  const burstMessages = (limits.messagesPerSecond * limits.burstMs) / 1000
  const burstBytes = (limits.bytesPerSecond * limits.burstMs) / 1000

  function limitsOf(id: string, nowMs: number): PeerLimits {
    const known = peers.get(id)
    if (known !== undefined) return known
    if (peers.size >= MAX_PEERS) for (const oldest of peers.keys()) if (peers.delete(oldest)) break
    const fresh = {
      messages: new TokenBucket(burstMessages, limits.messagesPerSecond),
      bytes: new TokenBucket(burstBytes, limits.bytesPerSecond),
      strikes: 0,
      strikesSince: nowMs,
    }
    peers.set(id, fresh)
    return fresh
  }

  return {
    judge(id, messages, bytes, nowMs) {
      const peer = limitsOf(id, nowMs)
      // Both are checked before either is charged, so that a dropped message costs nothing.
      if (peer.messages.available(nowMs) >= messages && peer.bytes.available(nowMs) >= bytes) {
        peer.messages.take(nowMs, messages)
        peer.bytes.take(nowMs, bytes)
        return 'accept'
      }
      if (nowMs - peer.strikesSince > limits.strikesMs) {
        peer.strikes = 0
        peer.strikesSince = nowMs
      }
      peer.strikes += Math.max(1, messages)
      return peer.strikes >= limits.strikes ? 'disconnect' : 'drop'
    },
    forget: id => void peers.delete(id),
  }
}
