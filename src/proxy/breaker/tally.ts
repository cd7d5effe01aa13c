// Outcomes of one service's requests in one data worker since the last report. The cluster's circuit breaker is decided by these
// counts. Adding allocates nothing.

import { LATENCY_BUCKET_COUNT, latencyBucket } from './latency-buckets.ts'

/** One report. It contains only non-zero counts. */
export interface Outcomes {
  readonly service: string
  /** Pairs of status and count. Local replies with 502, 503 or 504 are included. */
  readonly statuses: readonly number[]
  /** 502 and 504 of the server or of the proxy, and the proxy's 503 for want of a reachable server. */
  readonly networkErrors: number
  /** Pairs of latency bucket (latency-buckets.ts) and count. */
  readonly latencies: readonly number[]
  /** Requests that the breaker has refused. They are not in the other counts. */
  readonly refused: number
}

const STATUSES = 1_000

export class Tally {
  private readonly statuses = new Uint32Array(STATUSES)
  private readonly latencies = new Uint32Array(LATENCY_BUCKET_COUNT)
  private readonly seenStatuses: number[] = []
  private readonly seenLatencies: number[] = []
  private networkErrors = 0
  private refused = 0

  add(status: number, ms: number, networkError: boolean): void {
    const code = status < STATUSES ? status : STATUSES - 1
    if (this.statuses[code]!++ === 0) this.seenStatuses.push(code)
    if (networkError) this.networkErrors++
    // The duration of a tunnel depends on its two ends and says nothing about the service.
    if (status === 101) return
    const bucket = latencyBucket(ms)
    if (this.latencies[bucket]!++ === 0) this.seenLatencies.push(bucket)
  }

  refuse(): void {
    this.refused++
  }

  /** The outcomes since the last call; null: none. */
  take(service: string): Outcomes | null {
    const { networkErrors, refused } = this
    if (this.seenStatuses.length === 0 && refused === 0) return null
    this.networkErrors = 0
    this.refused = 0
    const statuses = drain(this.statuses, this.seenStatuses)
    return { service, statuses, networkErrors, latencies: drain(this.latencies, this.seenLatencies), refused }
  }
}

function drain(counts: Uint32Array, seen: number[]): number[] {
  const pairs: number[] = []
  for (const index of seen) {
    pairs.push(index, counts[index]!)
    counts[index] = 0
  }
  seen.length = 0
  return pairs
}
