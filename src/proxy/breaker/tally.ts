// What the requests of one service came to since the last report, in one data worker: the counts that a circuit breaker of the
// whole cluster is decided by. Adding allocates nothing.

import { LATENCY_BUCKET_COUNT, latencyBucket } from './latency-buckets.ts'

/** One report. Only what changed is in it. */
export interface Outcomes {
  readonly service: string
  /** Pairs: status, count. Own failures (502, 503, 504) are among them. */
  readonly statuses: readonly number[]
  /** 502 and 504, be it the server's or the proxy's own answer, and the proxy's own 503 for want of a server. */
  readonly networkErrors: number
  /** Pairs: latency bucket (latency-buckets.ts), count. */
  readonly latencies: readonly number[]
  /** Requests that the breaker itself has refused; they are in no other count. */
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
    // A tunnel lasts as long as its two ends like: that says nothing of the service.
    if (status === 101) return
    const bucket = latencyBucket(ms)
    if (this.latencies[bucket]!++ === 0) this.seenLatencies.push(bucket)
  }

  refuse(): void {
    this.refused++
  }

  /** What there is since it was last taken; null: nothing. */
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
