// Holds every peer to a rate, before anything that it says is looked at: a token bucket for messages and one for bytes. Beyond it
// messages are dropped; a peer that goes on is to be cut off. Pure; the clock is handed in.

export interface FloodLimits {
  readonly messagesPerSecond: number
  readonly bytesPerSecond: number
  /** The buckets hold what comes in so many ms. */
  readonly burstMs: number
  /** Messages dropped, within `strikesMs`, after which the peer is cut off. */
  readonly strikes: number
  readonly strikesMs: number
}

export type FloodVerdict = 'take' | 'drop' | 'cut'

export interface FloodGuard {
  /** May these `messages` of this many bytes together be looked at? `cut`: drop them and close the connection. */
  judge(peer: string, messages: number, bytes: number, nowMs: number): FloodVerdict
  forget(peer: string): void
}

interface Bucket {
  messages: number
  bytes: number
  at: number
  strikes: number
  strikesSince: number
}

/** More peers than members can be are strangers to each other: the oldest is forgotten. */
const MOST_PEERS = 1024

export function floodGuard(limits: FloodLimits): FloodGuard {
  const buckets = new Map<string, Bucket>()
  const mostMessages = (limits.messagesPerSecond * limits.burstMs) / 1000
  const mostBytes = (limits.bytesPerSecond * limits.burstMs) / 1000

  function bucketOf(peer: string, nowMs: number): Bucket {
    const known = buckets.get(peer)
    if (known !== undefined) return known
    if (buckets.size >= MOST_PEERS) for (const oldest of [...buckets.keys()].slice(0, 1)) buckets.delete(oldest)
    const fresh = { messages: mostMessages, bytes: mostBytes, at: nowMs, strikes: 0, strikesSince: nowMs }
    buckets.set(peer, fresh)
    return fresh
  }

  return {
    judge(peer, messages, bytes, nowMs) {
      const bucket = bucketOf(peer, nowMs)
      const seconds = Math.max(0, nowMs - bucket.at) / 1000
      bucket.at = nowMs
      bucket.messages = Math.min(mostMessages, bucket.messages + seconds * limits.messagesPerSecond)
      bucket.bytes = Math.min(mostBytes, bucket.bytes + seconds * limits.bytesPerSecond)
      if (bucket.messages >= messages && bucket.bytes >= bytes) {
        bucket.messages -= messages
        bucket.bytes -= bytes
        return 'take'
      }
      if (nowMs - bucket.strikesSince > limits.strikesMs) {
        bucket.strikes = 0
        bucket.strikesSince = nowMs
      }
      bucket.strikes += Math.max(1, messages)
      return bucket.strikes >= limits.strikes ? 'cut' : 'drop'
    },
    forget: peer => void buckets.delete(peer),
  }
}
