// What two holders compare to find where they differ, without telling each other everything: one number for a table, then one for
// each bucket of its keys. A digest is the sum of its rows' hashes, so that their order does not matter. Made when it is asked
// for: a table of 100,000 takes some milliseconds. Pure.

import { type Cut, FEWEST_BUCKETS, MOST_BUCKETS } from './codec.ts'
import type { Row, Table, Write } from './tables.ts'

/** A bucket holds so many rows or so. */
const BUCKET_ROWS = 16
/** Hashes of values (and writers) that many rows share are remembered, but for those that are made as quickly. */
const LONG_VALUE = 12
const MOST_REMEMBERED = 1024

/** 32 bits of a text. FNV-1a, mixed at the end. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mix(hash)
}

/** The finalizer of MurmurHash3: every bit in depends on every bit out. */
function mix(hash: number): number {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

const remembered = new Map<string, number>()

function hashShared(text: string): number {
  if (text.length < LONG_VALUE) return hashText(text)
  let hash = remembered.get(text)
  if (hash !== undefined) return hash
  hash = hashText(text)
  if (remembered.size >= MOST_REMEMBERED) remembered.clear()
  remembered.set(text, hash)
  return hash
}

export type HashWrite = (write: Write) => number

/** 32 bits of all that two holders must agree on: not of what is left of its life. */
export const hashWrite: HashWrite = ({ key, value, wall, count, origin, rank }) => {
  let hash = hashText(key)
  hash = Math.imul(hash ^ (value === null ? 0x9e3779b9 : hashShared(value)), 0x01000193) ^ hashShared(origin)
  hash = Math.imul(hash ^ (wall % 0x100000000), 0x01000193) ^ Math.floor(wall / 0x100000000)
  return mix(Math.imul(hash ^ count, 0x01000193) ^ rank)
}

export function isWithin(write: Write, cut: Cut): boolean {
  return write.wall < cut.wall || (write.wall === cut.wall && write.count <= cut.count)
}

export function bucketOf(key: string, size: number): number {
  return hashText(key) & (size - 1)
}

/** How many buckets a table of so many rows is compared in. */
export function bucketsFor(rows: number): number {
  let size = FEWEST_BUCKETS
  while (size < MOST_BUCKETS && size * BUCKET_ROWS < rows) size *= 2
  return size
}

/** The rows of a table that count in a comparison: alive, and within the cut. */
export function* comparedRows(table: Table, cut: Cut, now: number): Generator<Row> {
  for (const row of table.rows.values()) if (row.until > now && isWithin(row, cut)) yield row
}

/** @param table undefined: nothing is held */
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
