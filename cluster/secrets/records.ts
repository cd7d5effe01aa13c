// The set of records that a member holds, with the digests that replication compares. Names fall into 64 buckets by hash. A
// bucket's manifest lists its records; the root lists the hashes of all manifests; the digest is the root's hash. Two members with
// equal digests hold the same records. Pure.

import { createHash } from 'node:crypto'
import {
  compareRecords,
  compareVersions,
  encodeManifest,
  encodeRecord,
  SECRET_LIMITS,
  type SecretRecord,
  type SecretVersion,
  sha256,
} from './record.ts'

export const BUCKETS = 64
/** Manifests and roots that were replaced recently and can still be pulled. */
const MAX_PAST_TEXTS = 128

const EMPTY_MANIFEST = sha256(encodeManifest([]))

interface Bucket {
  readonly records: Map<string, SecretRecord>
  /** Manifest and its hash; null: to be built. */
  text: string | null
  hash: string
}

export class Records {
  /** Number of entries that are not deleted, and of deleted ones. */
  entries = 0
  tombstones = 0
  /** Bytes of all sealed values of entries. */
  bytes = 0
  /** The highest version of any record; null: none. */
  highest: SecretVersion | null = null
  readonly #buckets: Bucket[] = Array.from({ length: BUCKETS }, () => ({ records: new Map(), text: null, hash: '' }))
  readonly #byHash = new Map<string, SecretRecord>()
  readonly #past = new Map<string, string>()
  #root: string | null = null
  #digest = ''

  get(name: string): SecretRecord | undefined {
    return this.#buckets[bucketOf(name)]!.records.get(name)
  }

  /** All records, deleted ones included. */
  *all(): Iterable<SecretRecord> {
    for (const { records } of this.#buckets) yield* records.values()
  }

  /** Installs the record unless the one held is as new. Callers call `trim` after one or several. @returns whether it was installed */
  install(record: SecretRecord): boolean {
    const bucket = this.#buckets[bucketOf(record.name)]!
    const before = bucket.records.get(record.name)
    if (before !== undefined && compareRecords(before, record) >= 0) return false
    if (before !== undefined) this.#count(before, -1)
    this.#count(record, 1)
    bucket.records.set(record.name, record)
    this.#outdate(bucket)
    if (this.highest === null || compareVersions(record.version, this.highest) > 0) this.highest = record.version
    return true
  }

  /**
   * Evicts the tombstones of the lowest versions above the limit, so that all members evict the same ones. It scans all records, so
   * it is called once per write or manifest. @returns the evicted tombstones
   */
  trim(): readonly SecretRecord[] {
    const excess = this.tombstones - SECRET_LIMITS.tombstones
    if (excess <= 0) return []
    const tombstones: SecretRecord[] = []
    for (const record of this.all()) if (record.deleted) tombstones.push(record)
    const evicted = tombstones.sort((a, b) => compareVersions(a.version, b.version)).slice(0, excess)
    for (const record of evicted) {
      const bucket = this.#buckets[bucketOf(record.name)]!
      this.#count(record, -1)
      bucket.records.delete(record.name)
      this.#outdate(bucket)
    }
    return evicted
  }

  get digest(): string {
    this.root()
    return this.#digest
  }

  /** Hashes of all manifests, one per line. */
  root(): string {
    if (this.#root === null) {
      this.#root = this.#buckets.map((_, index) => this.bucketHash(index)).join('\n')
      this.#digest = sha256(this.#root)
    }
    return this.#root
  }

  bucketHash(index: number): string {
    this.manifest(index)
    return this.#buckets[index]!.hash
  }

  manifest(index: number): string {
    const bucket = this.#buckets[index]!
    if (bucket.text === null) {
      bucket.text = encodeManifest([...bucket.records.values()].sort((a, b) => (a.name < b.name ? -1 : 1)))
      bucket.hash = sha256(bucket.text)
    }
    return bucket.text
  }

  /** Whether the bucket has this manifest, had it recently, or it is the empty one. */
  hasHeldManifest(index: number, hash: string): boolean {
    return hash === this.bucketHash(index) || hash === EMPTY_MANIFEST || this.#past.has(hash)
  }

  /** The root, manifest or record with this hash; null: not held. */
  bodyOf(hash: string): string | null {
    // Texts are not built here: only announced ones are pulled, and building one per merged record would displace them.
    if (this.#root !== null && hash === this.#digest) return this.#root
    const record = this.#byHash.get(hash)
    if (record !== undefined) return encodeRecord(record)
    for (const bucket of this.#buckets) if (bucket.hash === hash && bucket.text !== null) return bucket.text
    return this.#past.get(hash) ?? null
  }

  #count(record: SecretRecord, by: 1 | -1): void {
    if (record.deleted) this.tombstones += by
    else {
      this.entries += by
      this.bytes += by * record.sealed.length
    }
    if (by > 0) this.#byHash.set(record.hash, record)
    else this.#byHash.delete(record.hash)
  }

  /** Texts that peers may be pulling stay available for a while. */
  #outdate(bucket: Bucket): void {
    if (this.#root !== null) this.#keep(this.#digest, this.#root)
    if (bucket.text !== null) this.#keep(bucket.hash, bucket.text)
    bucket.text = null
    this.#root = null
  }

  #keep(hash: string, text: string): void {
    this.#past.delete(hash)
    if (this.#past.size >= MAX_PAST_TEXTS) for (const oldest of this.#past.keys()) if (this.#past.delete(oldest)) break
    this.#past.set(hash, text)
  }
}

function bucketOf(name: string): number {
  return createHash('sha256').update(name).digest()[0]! % BUCKETS
}
