// Latencies in bounded memory: buckets that grow by 2 %, from 10 microseconds to over two minutes. Percentiles are accurate to 2 %.

const GROWTH = Math.log(1.02)
const SMALLEST_MS = 0.01
const BUCKETS = 850

export class Histogram {
  private readonly counts = new Uint32Array(BUCKETS)
  private total = 0
  private largestMs = 0

  add(ms: number): void {
    const bucket = ms <= SMALLEST_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / SMALLEST_MS) / GROWTH))
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1
    this.total += 1
    if (ms > this.largestMs) this.largestMs = ms
  }

  /** Upper bound of the bucket that contains the given share (0 to 1); 0 if nothing was added. */
  percentile(share: number): number {
    let left = Math.ceil(this.total * share)
    if (left === 0) return 0
    // The last bucket has no upper bound except the largest value.
    for (let bucket = 0; bucket < BUCKETS - 1; bucket++) {
      left -= this.counts[bucket] ?? 0
      if (left <= 0) return Math.min(this.largestMs, SMALLEST_MS * Math.exp(bucket * GROWTH))
    }
    return this.largestMs
  }

  get maxMs(): number {
    return this.largestMs
  }
}
