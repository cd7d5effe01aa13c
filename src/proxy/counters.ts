// Counters in one SharedArrayBuffer: each worker writes its own block, control reads all blocks. Every number has one writer, so
// plain float64 stores suffice; integers are exact up to 2^53. A slot belongs to a service; slot 0 counts requests without a
// service.

/** Fields of a slot. */
export const REQUESTS = 0
export const IN_FLIGHT = 1
export const BYTES_IN = 2
export const BYTES_OUT = 3
/** Responses by class: 1xx (tunnels), 2xx ... 5xx. */
export const CLASS_1XX = 4
export const RETRIES = 9
/** Requests that the proxy answered with its own 502, 503 or 504. */
export const FAILED = 10
/** Requests whose client disconnected before the end of the response. */
export const ABORTED = 11
export const LATENCY_SUM_MS = 12
export const LATENCY_BUCKETS = 13
/** Requests relayed to a peer; relayed by a peer and sent to a server; that should be relayed but had no peer. */
export const RELAYED_OUT = 27
export const RELAYED_IN = 28
export const RELAY_FAILED = 29
/** Connections to the relay port that failed to authenticate (slot 0). */
export const RELAY_UNAUTHENTICATED = 30
/** Upper bounds of the latency buckets, ms. A last bucket holds all larger values. */
export const BUCKET_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000] as const

const FIELDS = 32
/** Further services share the last slot. */
export const SLOTS = 4096

/** The memory for the counters of `workers` workers, zeroed: 1 MiB per worker. */
export function createCounters(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * SLOTS * FIELDS * Float64Array.BYTES_PER_ELEMENT)
}

/** The block of one worker. */
export class WorkerCounters {
  private readonly numbers: Float64Array

  constructor(buffer: SharedArrayBuffer, worker: number) {
    const length = SLOTS * FIELDS
    this.numbers = new Float64Array(buffer, worker * length * Float64Array.BYTES_PER_ELEMENT, length)
  }

  add(slot: number, field: number, amount: number): void {
    this.numbers[slot * FIELDS + field]! += amount
  }

  /** Counts a finished request. `status` 0: no response was sent. */
  finished(slot: number, status: number, ms: number, bytesIn: number, bytesOut: number): void {
    const n = this.numbers
    const o = slot * FIELDS
    n[o + REQUESTS]!++
    n[o + IN_FLIGHT]!--
    n[o + BYTES_IN]! += bytesIn
    n[o + BYTES_OUT]! += bytesOut
    // Statuses above 599 are undefined; clients treat them as 5xx (RFC 9110, 15).
    if (status >= 100) n[o + CLASS_1XX - 1 + Math.min(5, (status / 100) | 0)]!++
    n[o + LATENCY_SUM_MS]! += ms
    let bucket = 0
    while (bucket < BUCKET_MS.length && ms > BUCKET_MS[bucket]!) bucket++
    n[o + LATENCY_BUCKETS + bucket]!++
  }

  /** Resets the gauges of requests in flight when a new worker takes over the block. */
  clearInFlight(): void {
    for (let slot = 0; slot < SLOTS; slot++) this.numbers[slot * FIELDS + IN_FLIGHT] = 0
  }
}

export interface CounterTotals {
  readonly requests: number
  readonly inFlight: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly answers: {
    readonly '1xx': number
    readonly '2xx': number
    readonly '3xx': number
    readonly '4xx': number
    readonly '5xx': number
  }
  readonly retries: number
  readonly failed: number
  readonly aborted: number
  readonly relayedOut: number
  readonly relayedIn: number
  readonly relayFailed: number
  readonly latencySumMs: number
  readonly latencyBuckets: readonly number[]
}

/** Sums one slot over all workers. */
export function readCounters(buffer: SharedArrayBuffer, slot: number): CounterTotals {
  const all = new Float64Array(buffer)
  const sum = (field: number) => {
    let total = 0
    for (let o = slot * FIELDS + field; o < all.length; o += SLOTS * FIELDS) total += all[o]!
    return total
  }
  const answers = (n: number) => sum(CLASS_1XX + n - 1)
  return {
    requests: sum(REQUESTS),
    inFlight: sum(IN_FLIGHT),
    bytesIn: sum(BYTES_IN),
    bytesOut: sum(BYTES_OUT),
    answers: { '1xx': answers(1), '2xx': answers(2), '3xx': answers(3), '4xx': answers(4), '5xx': answers(5) },
    retries: sum(RETRIES),
    failed: sum(FAILED),
    aborted: sum(ABORTED),
    relayedOut: sum(RELAYED_OUT),
    relayedIn: sum(RELAYED_IN),
    relayFailed: sum(RELAY_FAILED),
    latencySumMs: sum(LATENCY_SUM_MS),
    latencyBuckets: Array.from({ length: BUCKET_MS.length + 1 }, (_, i) => sum(LATENCY_BUCKETS + i)),
  }
}

/** Sums one field over all slots and workers. */
export function sumAllSlots(buffer: SharedArrayBuffer, field: number): number {
  const all = new Float64Array(buffer)
  let total = 0
  for (let o = field; o < all.length; o += FIELDS) total += all[o]!
  return total
}
