// Aggregated outcomes of requests: of a second, of a member, or of the cluster's window. Members exchange them as a short,
// bounded and validated text. Breaker expressions are evaluated on them.

import type { BreakerFigures } from '../../admin/admin-source.ts'
import type { BreakerExpression, Comparison } from '../../config/model.ts'
import { bucketMs, LATENCY_BUCKET_COUNT, latencyBucket } from '../../proxy/breaker/latency-buckets.ts'
import type { Outcomes } from '../../proxy/breaker/tally.ts'

/** Distinct statuses of one second that are sent; rarer ones are sent as the last of their class (x99). */
const MAX_STATUSES = 24
/** More requests per second than a replica can serve; such counts are refused. */
const MAX_PER_SECOND = 10_000_000

/** Packed counts: network errors, pairs of status and count, pairs of latency bucket and count. */
export type PackedCounts = readonly [networkErrors: number, statuses: readonly number[], latencies: readonly number[]]

export class Counts {
  requests = 0
  networkErrors = 0
  private readonly statuses = new Map<number, number>()
  private readonly latencies = new Map<number, number>()

  add({ statuses, networkErrors, latencies }: Pick<Outcomes, 'statuses' | 'networkErrors' | 'latencies'>): void {
    this.networkErrors += networkErrors
    for (let i = 0; i + 1 < statuses.length; i += 2) {
      this.requests += statuses[i + 1]!
      increase(this.statuses, statuses[i]!, statuses[i + 1]!)
    }
    for (let i = 0; i + 1 < latencies.length; i += 2) increase(this.latencies, latencies[i]!, latencies[i + 1]!)
  }

  addOne(status: number, ms: number, networkError: boolean): void {
    this.add({ statuses: [status, 1], networkErrors: networkError ? 1 : 0, latencies: [latencyBucket(ms), 1] })
  }

  addAll(other: Counts): void {
    this.requests += other.requests
    this.networkErrors += other.networkErrors
    for (const [status, count] of other.statuses) increase(this.statuses, status, count)
    for (const [bucket, count] of other.latencies) increase(this.latencies, bucket, count)
  }

  /** Share of requests with network errors; 0 without requests. */
  networkErrorRatio(): number {
    return ratio(this.networkErrors, this.requests)
  }

  /** Count of statuses [from, to) divided by that of [ofFrom, ofTo); 0 if the latter is 0. */
  codeRatio(from: number, to: number, ofFrom: number, ofTo: number): number {
    let matching = 0
    let all = 0
    for (const [status, count] of this.statuses) {
      if (status >= from && status < to) matching += count
      if (status >= ofFrom && status < ofTo) all += count
    }
    return ratio(matching, all)
  }

  /** Latency percentile in whole ms, as an HDR histogram computes it; 0 without requests. */
  latencyMs(percent: number): number {
    let all = 0
    for (const count of this.latencies.values()) all += count
    if (all === 0) return 0
    let left = Math.max(1, Math.floor((percent / 100) * all + 0.5))
    for (let bucket = 0; bucket < LATENCY_BUCKET_COUNT; bucket++) {
      left -= this.latencies.get(bucket) ?? 0
      if (left <= 0) return Math.floor(bucketMs(bucket))
    }
    return Math.floor(bucketMs(LATENCY_BUCKET_COUNT - 1))
  }

  figures(): BreakerFigures {
    return {
      requests: this.requests,
      networkErrorRatio: this.networkErrorRatio(),
      errorRatio: this.codeRatio(500, 600, 0, 1_000),
      latencyP50Ms: this.latencyMs(50),
      latencyP99Ms: this.latencyMs(99),
    }
  }

  pack(): PackedCounts {
    const statuses = this.statuses.size <= MAX_STATUSES ? this.statuses : byClass(this.statuses)
    return [this.networkErrors, [...statuses].flat(), [...this.latencies].flat()]
  }
}

/** null: malformed. */
export function unpackCounts(value: unknown): Counts | null {
  if (!Array.isArray(value) || value.length !== 3) return null
  const [networkErrors, statuses, latencies] = value as readonly unknown[]
  if (!isCount(networkErrors) || !isPairs(statuses, 1_000) || !isPairs(latencies, LATENCY_BUCKET_COUNT)) return null
  const counts = new Counts()
  counts.add({ statuses, networkErrors, latencies })
  return networkErrors <= counts.requests && counts.requests <= MAX_PER_SECOND ? counts : null
}

export function holds(when: BreakerExpression, counts: Counts): boolean {
  switch (when.kind) {
    case 'and':
      return when.of.every(part => holds(part, counts))
    case 'or':
      return when.of.some(part => holds(part, counts))
    case 'not':
      return !holds(when.of, counts)
    case 'networkErrorRatio':
      return compare(counts.networkErrorRatio(), when.is, when.value)
    case 'latencyAtQuantileMs':
      return compare(counts.latencyMs(when.quantile), when.is, when.value)
    case 'responseCodeRatio':
      return compare(counts.codeRatio(when.from, when.to, when.ofFrom, when.ofTo), when.is, when.value)
  }
}

function compare(a: number, is: Comparison, b: number): boolean {
  switch (is) {
    case '<':
      return a < b
    case '<=':
      return a <= b
    case '>':
      return a > b
    case '>=':
      return a >= b
    case '==':
      return a === b
    case '!=':
      return a !== b
  }
}

function ratio(part: number, total: number): number {
  return total === 0 ? 0 : part / total
}

function increase(counts: Map<number, number>, key: number, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}

/** Keeps the most frequent statuses; adds the others to the last status of their class. */
function byClass(statuses: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
  const sorted = [...statuses].sort((a, b) => b[1] - a[1])
  const out = new Map(sorted.slice(0, MAX_STATUSES - 10))
  for (const [status, count] of sorted.slice(MAX_STATUSES - 10)) increase(out, Math.floor(status / 100) * 100 + 99, count)
  return out
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_PER_SECOND
}

/** Pairs of an index below `below` and a count. */
function isPairs(value: unknown, below: number): value is number[] {
  return (
    Array.isArray(value) &&
    value.length % 2 === 0 &&
    value.length <= below * 2 &&
    value.every((one, i) => isCount(one) && (i % 2 === 1 || one < below))
  )
}
