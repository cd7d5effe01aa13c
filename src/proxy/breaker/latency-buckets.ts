// A latency histogram of fixed size with logarithmic buckets, four per octave: a value is read back within 10 %, and counts of
// several workers and members can be added. Values below 1 ms share one bucket.

/** The first bucket holds values below 1 ms, the last one values from about 70 minutes. */
export const LATENCY_BUCKET_COUNT = 90
const PER_OCTAVE = 4

/** The bucket of a latency of `ms` (0 or more). */
export function latencyBucket(ms: number): number {
  if (ms < 1) return 0
  const bucket = 1 + ((PER_OCTAVE * Math.log2(ms)) | 0)
  return bucket < LATENCY_BUCKET_COUNT ? bucket : LATENCY_BUCKET_COUNT - 1
}

/** The value that represents a bucket, ms: its geometric middle, at most 9.1 % away from any value in it; 0 for the first. */
export function bucketMs(bucket: number): number {
  return bucket <= 0 ? 0 : 2 ** ((bucket - 0.5) / PER_OCTAVE)
}
