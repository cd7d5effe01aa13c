// Smooth weighted round robin, the algorithm of nginx: weights 5, 1, 1 give a a b a c a a, never five in a row. With equal
// weights (the usual case) it is a plain rotation, whose cost does not depend on the number of servers. Long lists of different
// weights use weight-groups.ts. Source: nginx, ngx_http_upstream_round_robin.c.

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { IGNORE_EJECTION, isEligible } from './eligible.ts'
import { WeightGroups } from './weight-groups.ts'

/** Up to this number of servers the plain algorithm, which visits each, is the cheapest. */
const MAX_PLAIN_SERVERS = 16

export class WeightedRoundRobin {
  /** The array that the fields below were computed for. A new snapshot has a new array. */
  #preparedFor: readonly UpstreamServer[] | null = null
  /** The weight of all servers, or 0 if weights differ. */
  #commonWeight = 0
  #groups: WeightGroups | null = null
  #cursor: number

  /** `start` in [0, 1) spreads the first picks of many workers and replicas. */
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

  /** Must be called when weights change while the array stays. */
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
        // The next pick starts after the chosen server, so that an unusable server does not double the share of its neighbour.
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

/** Every server gains its weight; the one with the highest sum is chosen and pays the total of all weights. */
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
