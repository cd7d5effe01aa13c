// Dynamic round robin (Traefik v1's `drr`): weighted round robin whose weights follow the observed responses. A server that
// fails, or is much slower than the others, gets a quarter of its share, then a sixteenth and so on (never zero, so that it can
// recover), and its share doubles again once it responds well. Servers are judged against their median: if all are bad, no weight
// changes. Sources: https://doc.traefik.io/traefik/v1.7/basics/#load-balancing; rebalancer of github.com/vulcand/oxy.

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

const ADJUST_EVERY_MS = 1000
const MIN_FACTOR = 1 / 256
/** A server with fewer responses in the window is not judged. */
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
 * Judges every server by its window and halves the window. @returns whether a factor changed. Called about once a second, so it
 * may allocate.
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

/** The median, or the lower of the two middle values: of two servers the better one sets the standard. */
function lowerMedian(values: number[]): number {
  values.sort((a, b) => a - b)
  return values[(values.length - 1) >> 1] ?? 0
}
