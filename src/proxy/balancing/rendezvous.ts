// Weighted rendezvous hashing: every replica and worker maps a key to the same server without communication, and when a server is
// added or removed only the keys mapped to it move. The result depends on the key and the servers' ids and weights only. Sources:
// Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998); weights as in Schindelhauer and Schomaker
// (2005).

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { IGNORE_EJECTION, isEligible } from './eligible.ts'

export class Rendezvous {
  pick(
    servers: readonly UpstreamServer[],
    tried: readonly UpstreamServer[] | null,
    key: string,
    nowMs: number,
  ): UpstreamServer | null {
    const hash = hashString(key)
    return highest(servers, tried, hash, nowMs) ?? highest(servers, tried, hash, IGNORE_EJECTION)
  }
}

/**
 * The server with the highest score for a key with this hash (32 bits, signed or not) among those usable at `nowMs`; null: none.
 */
export function highest(
  servers: readonly UpstreamServer[],
  tried: readonly UpstreamServer[] | null,
  keyHash: number,
  nowMs: number,
): UpstreamServer | null {
  let best: UpstreamServer | null = null
  let bestHash = 0
  for (let i = 0; i < servers.length; i++) {
    const server = servers[i]!
    if (!isEligible(server, tried, nowMs)) continue
    if (server.idHash === 0) server.idHash = hashString(server.id) || 1
    const hash = mix(keyHash ^ server.idHash)
    if (best === null || beats(server, hash, best, bestHash)) {
      best = server
      bestHash = hash
    }
  }
  return best
}

/**
 * The score is weight / -ln(u) with u the hash as a fraction in (0, 1). With equal weights the hash decides and no logarithm is
 * needed.
 */
function beats(server: UpstreamServer, hash: number, best: UpstreamServer, bestHash: number): boolean {
  if (server.weight === best.weight) return hash > bestHash || (hash === bestHash && server.id < best.id)
  return server.weight * -Math.log(fraction(bestHash)) > best.weight * -Math.log(fraction(hash))
}

function fraction(hash: number): number {
  return (hash + 0.5) / 4_294_967_296
}

/** FNV-1a over UTF-16 code units, then mixed; 32 bits, unsigned. */
export function hashString(text: string, from = 0, to = text.length): number {
  let hash = 0x811c9dc5
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mix(hash)
}

/** The finalizer of MurmurHash3: every input bit affects every output bit. */
function mix(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
