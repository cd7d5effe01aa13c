// Counters in one SharedArrayBuffer (design 3): each worker adds to its own block, control reads all. One writer per number, so
// plain float64 stores do; integers stay exact to 2^53. A slot belongs to a service; slot 0 is for requests that no service took.

/** Numbers per slot. */
export const REQUESTS = 0
export const IN_FLIGHT = 1
export const BYTES_IN = 2
export const BYTES_OUT = 3
/** Answers by class: 1xx (tunnels), 2xx ... 5xx. */
export const CLASS_1XX = 4
export const RETRIES = 9
/** Requests that the proxy answered itself with 502, 503 or 504. */
export const FAILED = 10
/** The client went away before its answer was complete. */
export const ABORTED = 11
export const LATENCY_SUM_MS = 12
export const LATENCY_BUCKETS = 13
/** Requests handed to a peer; taken from one and sent to a server; that were to be relayed and found no peer. */
export const RELAYED_OUT = 27
export const RELAYED_IN = 28
export const RELAY_FAILED = 29
/** Connections to the relay port that did not hold a key (slot 0). */
export const RELAY_UNAUTHENTICATED = 30
/** Upper bounds in ms of the latency buckets; one more for all above. */
export const BUCKET_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000] as const

const FIELDS = 32
/** Services beyond this share the last slot. */
export const SLOTS = 4096

/** Memory for all counters of so many workers, all at 0: 1 MiB a worker. */
export function createCounters(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * SLOTS * FIELDS * Float64Array.BYTES_PER_ELEMENT)
}

/** One worker's own block. */
export class WorkerCounters {
  private readonly numbers: Float64Array

  constructor(buffer: SharedArrayBuffer, worker: number) {
    const length = SLOTS * FIELDS
    this.numbers = new Float64Array(buffer, worker * length * Float64Array.BYTES_PER_ELEMENT, length)
  }

  add(slot: number, field: number, amount: number): void {
    this.numbers[slot * FIELDS + field]! += amount
  }

  /** A finished request. `status` 0: none was sent. */
  finished(slot: number, status: number, ms: number, bytesIn: number, bytesOut: number): void {
    const n = this.numbers
    const o = slot * FIELDS
    n[o + REQUESTS]!++
    n[o + IN_FLIGHT]!--
    n[o + BYTES_IN]! += bytesIn
    n[o + BYTES_OUT]! += bytesOut
    // Beyond 599 no class is defined: a client takes it for a 5xx (RFC 9110, 15).
    if (status >= 100) n[o + CLASS_1XX - 1 + Math.min(5, (status / 100) | 0)]!++
    n[o + LATENCY_SUM_MS]! += ms
    let bucket = 0
    while (bucket < BUCKET_MS.length && ms > BUCKET_MS[bucket]!) bucket++
    n[o + LATENCY_BUCKETS + bucket]!++
  }

  /** What stands in flight belongs to a worker's life: a new worker begins at none. */
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

/** One number over all slots and workers. */
export function sumAllSlots(buffer: SharedArrayBuffer, field: number): number {
  const all = new Float64Array(buffer)
  let total = 0
  for (let o = field; o < all.length; o += FIELDS) total += all[o]!
  return total
}
