// Weighted round robin, smooth as nginx does it: with weights 5, 1, 1 the order is a a b a c a a, never five in a row. Where all
// weights are equal (the usual case) smoothness is plain rotation, which costs the same for 3 servers as for 1,000; long lists of
// different weights go by groups (weight-groups.ts). Spec: nginx, ngx_http_upstream_round_robin.c (the algorithm; words and code
// are ours).

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { IGNORE_EJECTION, isEligible } from './eligible.ts'
import { WeightGroups } from './weight-groups.ts'

/** Up to so many servers the plain algorithm, which looks at each, is the cheapest. */
const MAX_PLAIN_SERVERS = 16

export class WeightedRoundRobin {
  /** The array that was surveyed; a new snapshot brings a new array. */
  #preparedFor: readonly UpstreamServer[] | null = null
  /** The weight all servers have, or 0 when they differ. */
  #commonWeight = 0
  #groups: WeightGroups | null = null
  #cursor: number

  /** `start` spreads the first picks of many workers and replicas; any number from 0 up to 1. */
  constructor(start = 0) {
    this.#cursor = Math.floor(start * 65_536)
  }

  pick(
    servers: readonly UpstreamServer[],
    tried: readonly UpstreamServer[] | null,
    _key: string,
    nowMs: number,
  ): UpstreamServer | null {
    if (servers !== this.#preparedFor) this.#prepare(servers)
    if (this.#commonWeight > 0) return this.#rotate(servers, tried, nowMs) ?? this.#rotate(servers, tried, IGNORE_EJECTION)
    const picked = this.#groups === null ? smooth(servers, tried, nowMs) : this.#groups.pick(tried, nowMs)
    return picked ?? smooth(servers, tried, IGNORE_EJECTION)
  }

  /** To be called when weights have changed while the array has not. */
  weightsChanged(): void {
    this.#preparedFor = null
  }

  #prepare(servers: readonly UpstreamServer[]): void {
    this.#preparedFor = servers
    this.#commonWeight = servers.length === 0 ? 0 : effectiveWeight(servers[0]!)
    for (let i = 0; i < servers.length; i++) {
      const server = servers[i]!
      server.currentWeight = 0
      if (effectiveWeight(server) !== this.#commonWeight) this.#commonWeight = 0
    }
    this.#groups =
      this.#commonWeight > 0 || servers.length <= MAX_PLAIN_SERVERS ? null : new WeightGroups(servers, effectiveWeight)
  }

  #rotate(servers: readonly UpstreamServer[], tried: readonly UpstreamServer[] | null, nowMs: number): UpstreamServer | null {
    const count = servers.length
    let at = this.#cursor < count ? this.#cursor : this.#cursor % count
    for (let left = count; left > 0; left--) {
      const server = servers[at]!
      at = at + 1 === count ? 0 : at + 1
      if (isEligible(server, tried, nowMs)) {
        // The next turn starts after the one chosen, so that a gap does not double its neighbour's share.
        this.#cursor = at
        return server
      }
    }
    return null
  }
}

function effectiveWeight(server: UpstreamServer): number {
  return server.weight * server.weightFactor
}

/** Each gains its weight; the richest is chosen and pays what all gained together. */
function smooth(
  servers: readonly UpstreamServer[],
  tried: readonly UpstreamServer[] | null,
  nowMs: number,
): UpstreamServer | null {
  let best: UpstreamServer | null = null
  let total = 0
  for (let i = 0; i < servers.length; i++) {
    const server = servers[i]!
    if (!isEligible(server, tried, nowMs)) continue
    const weight = server.weight * server.weightFactor
    server.currentWeight += weight
    total += weight
    if (best === null || server.currentWeight > best.currentWeight) best = server
  }
  if (best !== null) best.currentWeight -= total
  return best
}
