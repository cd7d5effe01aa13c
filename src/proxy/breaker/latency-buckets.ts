// Latencies as counts in logarithmic buckets, four to an octave: whatever was counted is read back within 10 % of what it was, at
// a fixed size, and counts of many workers and members add up. Below 1 ms nothing is told apart.

/** The first takes all below 1 ms, the last all from some 70 minutes. */
export const LATENCY_BUCKET_COUNT = 90
const PER_OCTAVE = 4

/** `ms` of 0 or more. */
export function latencyBucket(ms: number): number {
  if (ms < 1) return 0
  const bucket = 1 + ((PER_OCTAVE * Math.log2(ms)) | 0)
  return bucket < LATENCY_BUCKET_COUNT ? bucket : LATENCY_BUCKET_COUNT - 1
}

/** What stands for a bucket, ms: its geometric middle, at most 9.1 % from anything in it; 0 for the first. */
export function bucketMs(bucket: number): number {
  return bucket <= 0 ? 0 : 2 ** ((bucket - 0.5) / PER_OCTAVE)
}
