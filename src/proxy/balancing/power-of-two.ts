// The less loaded of two random servers: nearly as even as comparing all, at the cost of comparing two. Many replicas that each
// see only their own load do not all choose the same server. A weight counts in the chance of being drawn and in the load.
// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { IGNORE_EJECTION, isEligible } from './eligible.ts'

/** Random draws before the list is scanned. Only lists of mostly unusable or very light servers need the scan. */
const MAX_DRAWS = 8

export class PowerOfTwo {
  readonly #random: () => number
  #preparedFor: readonly UpstreamServer[] | null = null
  #maxWeight = 0

  /** `random` returns numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random
  }

  pick(
    servers: readonly UpstreamServer[],
    tried: readonly UpstreamServer[] | null,
    _key: string,
    nowMs: number,
  ): UpstreamServer | null {
    if (servers !== this.#preparedFor) this.#prepare(servers)
    return this.#pickOnce(servers, tried, nowMs) ?? this.#pickOnce(servers, tried, IGNORE_EJECTION)
  }

  #prepare(servers: readonly UpstreamServer[]): void {
    this.#preparedFor = servers
    this.#maxWeight = 0
    for (let i = 0; i < servers.length; i++) this.#maxWeight = Math.max(this.#maxWeight, servers[i]!.weight)
  }

  #pickOnce(servers: readonly UpstreamServer[], tried: readonly UpstreamServer[] | null, nowMs: number): UpstreamServer | null {
    const first = this.#draw(servers, tried, nowMs, null)
    if (first === null) return null
    const second = this.#draw(servers, tried, nowMs, first)
    if (second === null) return first
    // Compares inFlight / weight without dividing. A tie keeps the first server, which was drawn by weight.
    return second.inFlight * first.weight < first.inFlight * second.weight ? second : first
  }

  #draw(
    servers: readonly UpstreamServer[],
    tried: readonly UpstreamServer[] | null,
    nowMs: number,
    other: UpstreamServer | null,
  ): UpstreamServer | null {
    const count = servers.length
    for (let draws = 0; draws < MAX_DRAWS; draws++) {
      const server = servers[Math.floor(this.#random() * count)]
      if (server === undefined || server === other || !isEligible(server, tried, nowMs)) continue
      if (server.weight >= this.#maxWeight || this.#random() * this.#maxWeight < server.weight) return server
    }
    let at = Math.floor(this.#random() * count)
    for (let left = count; left > 0; left--) {
      const server = servers[at]!
      at = at + 1 === count ? 0 : at + 1
      if (server !== other && isEligible(server, tried, nowMs)) return server
    }
    return null
  }
}
