// Dynamic round robin (Traefik v1's `drr`): weighted round robin whose weights follow what the servers do. One that fails, or is
// far slower than the rest, gets a quarter of its share, then a sixteenth ... (never nothing, so that it can prove itself again),
// and doubles back once it behaves. Servers are judged against their median: when all are bad, none is. Spec: Traefik 1.7,
// "Load-balancing"; vulcand/oxy's rebalancer.

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

const ADJUST_EVERY_MS = 1000
const MIN_FACTOR = 1 / 256
/** Fewer answers than this in the window say nothing of a server. */
const MIN_ANSWERS = 10
const ERROR_MARGIN = 0.05
const LATENCY_FACTOR = 3
const LATENCY_MARGIN_MS = 20

export class DynamicRoundRobin {
  readonly #rotation: WeightedRoundRobin
  #adjustAtMs = 0

  constructor(start = 0) {
    this.#rotation = new WeightedRoundRobin(start)
  }

  pick(
    servers: readonly UpstreamServer[],
    tried: readonly UpstreamServer[] | null,
    key: string,
    nowMs: number,
  ): UpstreamServer | null {
    if (nowMs >= this.#adjustAtMs) {
      this.#adjustAtMs = nowMs + ADJUST_EVERY_MS
      if (adjustWeights(servers)) this.#rotation.weightsChanged()
    }
    return this.#rotation.pick(servers, tried, key, nowMs)
  }
}

/**
 * Judges every server by its window and halves the window. True if a factor changed. Called about once a second, so it may
 * allocate.
 */
export function adjustWeights(servers: readonly UpstreamServer[]): boolean {
  const errorLimit = lowerMedian(servers.map(errorRatio)) + ERROR_MARGIN
  const latencyLimit =
    lowerMedian(servers.filter(hasAnswered).map(server => server.latencyMs)) * LATENCY_FACTOR + LATENCY_MARGIN_MS
  let changed = false
  for (const server of servers) {
    const bad = errorRatio(server) > errorLimit || (hasAnswered(server) && server.latencyMs > latencyLimit)
    const factor = bad ? Math.max(MIN_FACTOR, server.weightFactor / 4) : Math.min(1, server.weightFactor * 2)
    if (factor !== server.weightFactor) {
      server.weightFactor = factor
      changed = true
    }
    server.answers /= 2
    server.errors /= 2
  }
  return changed
}

function hasAnswered(server: UpstreamServer): boolean {
  return server.answers >= MIN_ANSWERS
}

function errorRatio(server: UpstreamServer): number {
  return hasAnswered(server) ? server.errors / server.answers : 0
}

/** The median, or the lower of the two in the middle: of two servers the better one is the measure. */
function lowerMedian(values: number[]): number {
  values.sort((a, b) => a - b)
  return values[(values.length - 1) >> 1] ?? 0
}
