// Digests with which two holders find where their tables differ without exchanging entries: one number per table, then one per
// bucket of keys. A digest is the sum of its rows' hashes, so order does not matter. Computed on demand: a table of 100,000
// rows takes some milliseconds. Pure.

import { type Cut, MAX_BUCKETS, MIN_BUCKETS } from './codec.ts'
import type { Row, Table, Write } from './tables.ts'

/** Average number of rows in a bucket. */
const BUCKET_ROWS = 16
/** Hashes of values and origins that many rows share are cached, except short ones, which hash as fast. */
const MIN_CACHED_LENGTH = 12
const MAX_CACHED = 1024

/** 32-bit hash of a text: FNV-1a, mixed at the end. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mix(hash)
}

/** The finalizer of MurmurHash3: every input bit affects every output bit. */
function mix(hash: number): number {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

const hashCache = new Map<string, number>()

function cachedHash(text: string): number {
  if (text.length < MIN_CACHED_LENGTH) return hashText(text)
  let hash = hashCache.get(text)
  if (hash !== undefined) return hash
  hash = hashText(text)
  if (hashCache.size >= MAX_CACHED) hashCache.clear()
  hashCache.set(text, hash)
  return hash
}

export type HashWrite = (write: Write) => number

/** 32-bit hash of allEntries that two holders must agree on; the time to live left is not part of it. */
export const hashWrite: HashWrite = ({ key, value, wall, count, origin, rank }) => {
  let hash = hashText(key)
  hash = Math.imul(hash ^ (value === null ? 0x9e3779b9 : cachedHash(value)), 0x01000193) ^ cachedHash(origin)
  hash = Math.imul(hash ^ (wall % 0x100000000), 0x01000193) ^ Math.floor(wall / 0x100000000)
  return mix(Math.imul(hash ^ count, 0x01000193) ^ rank)
}

export function isWithin(write: Write, cut: Cut): boolean {
  return write.wall < cut.wall || (write.wall === cut.wall && write.count <= cut.count)
}

export function bucketOf(key: string, size: number): number {
  return hashText(key) & (size - 1)
}

/** Number of buckets in which a table of this many rows is compared. */
export function bucketsFor(rows: number): number {
  let size = MIN_BUCKETS
  while (size < MAX_BUCKETS && size * BUCKET_ROWS < rows) size *= 2
  return size
}

/** Rows that a comparison includes: not expired, and within the cut. */
export function* comparedRows(table: Table, cut: Cut, now: number): Generator<Row> {
  for (const row of table.rows.values()) if (row.until > now && isWithin(row, cut)) yield row
}

/** @param table undefined: no rows are held */
export function digestOf(
  table: Table | undefined,
  cut: Cut,
  now: number,
  hash: HashWrite,
): { readonly count: number; readonly digest: number } {
  let count = 0
  let digest = 0
  for (const row of table?.rows.values() ?? []) {
    if (row.until <= now || !isWithin(row, cut)) continue
    count++
    digest = (digest + hash(row)) >>> 0
  }
  return { count, digest }
}

export function bucketDigests(table: Table | undefined, cut: Cut, now: number, size: number, hash: HashWrite): Uint32Array {
  const digests = new Uint32Array(size)
  for (const row of table?.rows.values() ?? []) {
    if (row.until <= now || !isWithin(row, cut)) continue
    const bucket = bucketOf(row.key, size)
    digests[bucket] = (digests[bucket]! + hash(row)) >>> 0
  }
  return digests
}
