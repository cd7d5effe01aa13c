// The secret state of one member: entries that only the leader writes and every member holds, encrypted (sealing.ts). Pure: `step`
// takes an event and the time and returns effects.
//
// Members announce the digest of their records. A member whose digest differs pulls the peer's root, the manifests of the buckets
// that differ, and the records that are newer than its own. The highest version of each entry wins, so the two sides of a
// partition merge into the union of their entries. A record that no accepted secret opens is kept and passed on sealed.

import { LIMITS, type MemberId } from '../core/state.ts'
import {
  compareRecords,
  contextOf,
  decodeManifest,
  decodeRecord,
  isValidName,
  type ManifestEntry,
  makeRecord,
  SECRET_LIMITS,
  type SecretRecord,
  type SecretVersion,
  sha256,
} from './record.ts'
import { BUCKETS, Records } from './records.ts'
import { type Keyring, type Opened, OVERHEAD_BYTES } from './sealing.ts'

/** A pull without a result is abandoned after this time; the network ends every pull earlier, ms. */
const PULL_TIMEOUT_MS = 90_000
/** Delay before a peer is asked again after a failed pull, ms. Doubles up to the maximum. */
const BACKOFF_MS = 200
const MAX_BACKOFF_MS = 10_000
/** Records that a leader seals again per tick after a rotation of the cluster secret. */
const RESEALED_PER_TICK = 16
/** Peers tracked; a cluster has fewer members. */
const MAX_PEERS = 512
/** Characters of a root: a hash per bucket, separated by line feeds. */
const ROOT_LENGTH = BUCKETS * 65 - 1
/** Bodies that wait to be pulled from one peer; a manifest may refer to other manifests in place of records. */
const MAX_QUEUED = 2 * (SECRET_LIMITS.entries + SECRET_LIMITS.tombstones)
/** Digests remembered as containing nothing new; a peer with an older one costs a pull of its root. */
const MAX_COVERED = 1_024
const SHA256 = /^[0-9a-f]{64}$/

export type SecretEvent =
  | { readonly kind: 'tick' }
  /** The digests announced by all live peers. */
  | { readonly kind: 'peers'; readonly digests: ReadonlyMap<MemberId, string> }
  /** This member leads in this term, or follows. */
  | { readonly kind: 'role'; readonly term: number; readonly leading: boolean }
  | { readonly kind: 'pulled'; readonly from: MemberId; readonly hash: string; readonly body: string }
  | { readonly kind: 'pullFailed'; readonly from: MemberId; readonly hash: string }

export type SecretEffect =
  /** Pull the body with this hash from this member; answered by `pulled` or `pullFailed`. One at a time. */
  | { readonly kind: 'pull'; readonly from: MemberId; readonly hash: string }
  /** Announce this digest to the other members: after a write, and at the end of a merge. */
  | { readonly kind: 'digest'; readonly digest: string }
  /** Keep this record on disk, in place of an older one of its name. */
  | { readonly kind: 'save'; readonly record: SecretRecord }
  /** Remove the record of this name from the disk. */
  | { readonly kind: 'erase'; readonly name: string }
  /** The value of this entry has changed, or it was deleted. */
  | { readonly kind: 'changed'; readonly name: string }

export type WriteRefusal = 'not leader' | 'invalid name' | 'too large' | 'full'

export type Written =
  | { readonly ok: true; readonly version: SecretVersion; readonly effects: readonly SecretEffect[] }
  | { readonly ok: false; readonly reason: WriteRefusal }

export interface SecretStatus {
  readonly entries: number
  readonly tombstones: number
  /** Bytes of all sealed values of entries. */
  readonly bytes: number
  /** Records sealed with a secret that this member does not accept. */
  readonly unreadable: number
  /** Records sealed with an accepted secret that is not the first one. */
  readonly outdated: number
  /** Nothing is left to pull from any live peer. */
  readonly synced: boolean
  /** Records and manifests refused as invalid, and records refused for lack of capacity. */
  readonly refused: number
}

interface Peer {
  digest: string
  failures: number
  backoffUntil: number
}

/** The merge of the records of one peer, while it is in progress. */
interface Sync {
  readonly from: MemberId
  readonly digest: string
  /** Hashes of manifests and records still to be pulled, and which of them are manifests. */
  readonly queue: string[]
  readonly manifests: Set<string>
  pulling: string
  until: number
}

export interface SecretCoreOptions {
  readonly id: MemberId
  readonly keyring: Keyring
  /** Records from the disk. Corrupt ones are dropped and counted as refused, so that a peer replaces them. */
  readonly kept: Iterable<SecretRecord>
}

export class SecretCore {
  readonly #id: MemberId
  readonly #keyring: Keyring
  readonly #records = new Records()
  readonly #peers = new Map<MemberId, Peer>()
  /** Names of records that no accepted secret opens, and of those to be sealed again. */
  readonly #unreadable = new Set<string>()
  readonly #outdated = new Set<string>()
  #term = 0
  #leading = false
  #sync: Sync | null = null
  #refused = 0
  /** Digests of states that contain nothing newer than the own one: earlier own ones, and merged ones of peers. */
  readonly #covered = new Set<string>()
  /** The digest announced last. */
  #announced: string

  constructor({ id, keyring, kept }: SecretCoreOptions) {
    this.#id = id
    this.#keyring = keyring
    // In order of their terms, so that a term far above all others is found.
    for (const record of [...kept].sort((a, b) => a.version.term - b.version.term)) {
      const opened = this.#open(record)
      if (isCorrupt(opened) || this.#isFarAhead(record.version)) this.#refused++
      else this.#install(record, opened, [])
    }
    this.#trim([])
    this.#announced = this.digest
    this.#cover(new Records().digest)
    this.#cover(this.#announced)
  }

  get digest(): string {
    return this.#records.digest
  }

  /** The value of an entry; null: there is none, it was deleted, or no accepted secret opens it. */
  get(name: string): Buffer | null {
    const record = this.#records.get(name)
    if (record === undefined || record.deleted) return null
    const opened = this.#open(record)
    return opened.ok ? opened.value : null
  }

  /** Names of all entries, sorted. */
  names(): readonly string[] {
    const names: string[] = []
    for (const { name, deleted } of this.#records.all()) if (!deleted) names.push(name)
    return names.sort()
  }

  /** All records, deleted ones included. */
  records(): Iterable<SecretRecord> {
    return this.#records.all()
  }

  status(): SecretStatus {
    let synced = this.#sync === null
    for (const peer of this.#peers.values()) if (this.#isAhead(peer)) synced = false
    const { entries, tombstones, bytes } = this.#records
    return {
      entries,
      tombstones,
      bytes,
      unreadable: this.#unreadable.size,
      outdated: this.#outdated.size,
      synced,
      refused: this.#refused,
    }
  }

  /** What a peer may pull: the root, a manifest or a record by its hash; null: not held. */
  bodyOf(hash: string): string | null {
    return this.#records.bodyOf(hash)
  }

  /** Writes an entry; equal content gets no new version. Only a leader may write. */
  put(name: string, value: Uint8Array): Written {
    if (!this.#leading) return { ok: false, reason: 'not leader' }
    if (!isValidName(name)) return { ok: false, reason: 'invalid name' }
    if (value.length > SECRET_LIMITS.value) return { ok: false, reason: 'too large' }
    const before = this.#records.get(name)
    if (before !== undefined && !this.#outdated.has(name) && this.get(name)?.equals(value))
      return { ok: true, version: before.version, effects: [] }
    if (!this.#hasRoom(before, value.length + OVERHEAD_BYTES, 1)) return { ok: false, reason: 'full' }
    return this.#write(name, value)
  }

  /** Deletes an entry. Only a leader may delete. */
  remove(name: string): Written {
    if (!this.#leading) return { ok: false, reason: 'not leader' }
    if (!isValidName(name)) return { ok: false, reason: 'invalid name' }
    const before = this.#records.get(name)
    if (before?.deleted) return { ok: true, version: before.version, effects: [] }
    return this.#write(name, null)
  }

  step(event: SecretEvent, nowMs: number): readonly SecretEffect[] {
    const effects: SecretEffect[] = []
    switch (event.kind) {
      case 'tick':
        if (this.#leading) this.#reseal(effects)
        break
      case 'peers':
        this.#setPeers(event.digests)
        break
      case 'role':
        this.#term = event.term
        this.#leading = event.leading
        break
      case 'pulled':
        this.#onPulled(event.from, event.hash, event.body, nowMs, effects)
        break
      case 'pullFailed':
        if (this.#sync?.from === event.from && this.#sync.pulling === event.hash) this.#abandon(nowMs)
        break
    }
    if (this.#sync !== null && nowMs >= this.#sync.until) this.#abandon(nowMs)
    // A sync announces its result once, at its end: a digest per merged record would make all peers pull again.
    if (this.#sync === null) {
      this.#announce(effects)
      this.#startSync(nowMs, effects)
    }
    return effects
  }

  #announce(effects: SecretEffect[]): void {
    const { digest } = this
    if (digest === this.#announced) return
    this.#announced = digest
    this.#cover(digest)
    effects.push({ kind: 'digest', digest })
  }

  // ---- writing ----

  #write(name: string, value: Uint8Array | null): Written {
    const version = this.#nextVersion()
    const effects: SecretEffect[] = []
    const record = this.#seal(name, version, value)
    this.#install(record, this.#open(record), effects)
    this.#trim(effects)
    this.#announce(effects)
    return { ok: true, version, effects }
  }

  /** null: deleted. */
  #seal(name: string, version: SecretVersion, value: Uint8Array | null): SecretRecord {
    const deleted = value === null
    return makeRecord(name, version, this.#keyring.seal(value ?? Buffer.alloc(0), contextOf({ name, version, deleted })), deleted)
  }

  /** A version above all that are held, even if the other side of a healed partition led in a higher term. */
  #nextVersion(): SecretVersion {
    const highest = this.#records.highest
    const term = Math.max(this.#term, highest?.term ?? 0)
    return { term, sequence: highest !== null && highest.term === term ? highest.sequence + 1 : 1, writer: this.#id, seal: 0 }
  }

  /** Seals entries again that were sealed with an older accepted secret, so that this secret can be retired. */
  #reseal(effects: SecretEffect[]): void {
    let left = RESEALED_PER_TICK
    for (const name of this.#outdated) {
      if (left-- === 0) return
      const before = this.#records.get(name)
      const opened = before === undefined ? null : this.#open(before)
      if (before === undefined || !opened?.ok) continue
      const version = { ...before.version, seal: before.version.seal + 1 }
      const record = this.#seal(name, version, before.deleted ? null : opened.value)
      this.#install(record, this.#open(record), effects, false)
    }
  }

  // ---- merging ----

  #setPeers(digests: ReadonlyMap<MemberId, string>): void {
    for (const id of this.#peers.keys()) if (!digests.has(id)) this.#peers.delete(id)
    for (const [id, digest] of digests) {
      const peer = this.#peers.get(id)
      if (peer === undefined) {
        if (this.#peers.size < MAX_PEERS) this.#peers.set(id, { digest, failures: 0, backoffUntil: 0 })
      } else peer.digest = digest
    }
    if (this.#sync !== null && !this.#peers.has(this.#sync.from)) this.#sync = null
  }

  /** Whether the peer may hold records that this member lacks. */
  #isAhead(peer: Peer): boolean {
    return !this.#covered.has(peer.digest) && peer.digest !== this.digest && SHA256.test(peer.digest)
  }

  /** A term that no election has reached: it is corrupt or forged, and would win over all later writes. */
  #isFarAhead({ term }: SecretVersion): boolean {
    return term > Math.max(this.#term, this.#records.highest?.term ?? 0) + LIMITS.termJump
  }

  #cover(digest: string): void {
    this.#covered.delete(digest)
    if (this.#covered.size >= MAX_COVERED) for (const oldest of this.#covered) if (this.#covered.delete(oldest)) break
    this.#covered.add(digest)
  }

  #startSync(nowMs: number, effects: SecretEffect[]): void {
    for (const [from, peer] of this.#peers) {
      if (!this.#isAhead(peer) || peer.backoffUntil > nowMs) continue
      this.#sync = {
        from,
        digest: peer.digest,
        queue: [],
        manifests: new Set(),
        pulling: peer.digest,
        until: nowMs + PULL_TIMEOUT_MS,
      }
      effects.push({ kind: 'pull', from, hash: peer.digest })
      return
    }
  }

  #onPulled(from: MemberId, hash: string, body: string, nowMs: number, effects: SecretEffect[]): void {
    const sync = this.#sync
    if (sync === null || sync.from !== from || sync.pulling !== hash) return
    const accepted =
      sha256(body) === hash &&
      (hash === sync.digest
        ? this.#readRoot(sync, body)
        : sync.manifests.delete(hash)
          ? this.#readManifest(sync, body, effects)
          : this.#readRecord(body, effects))
    if (!accepted) {
      this.#refused++
      this.#abandon(nowMs, MAX_BACKOFF_MS)
      return
    }
    const peer = this.#peers.get(from)
    // The merge advances, so a later failure is not one of a series.
    if (peer !== undefined) peer.failures = 0
    const next = sync.queue.pop()
    if (next !== undefined) {
      sync.pulling = next
      sync.until = nowMs + PULL_TIMEOUT_MS
      effects.push({ kind: 'pull', from, hash: next })
      return
    }
    this.#cover(sync.digest)
    this.#sync = null
  }

  #readRoot(sync: Sync, body: string): boolean {
    if (body.length !== ROOT_LENGTH) return false
    const hashes = body.split('\n')
    if (hashes.length !== BUCKETS || !hashes.every(hash => SHA256.test(hash))) return false
    for (const [index, hash] of hashes.entries()) {
      // A manifest of the member's own past contains nothing new.
      if (sync.manifests.has(hash) || this.#records.hasHeldManifest(index, hash)) continue
      sync.queue.push(hash)
      sync.manifests.add(hash)
    }
    return true
  }

  #readManifest(sync: Sync, body: string, effects: SecretEffect[]): boolean {
    const entries = decodeManifest(body)
    if (entries === null) return false
    const accepted = this.#readEntries(sync, entries, effects)
    this.#trim(effects)
    return accepted
  }

  #readEntries(sync: Sync, entries: readonly ManifestEntry[], effects: SecretEffect[]): boolean {
    for (const [name, term, sequence, writer, seal, hash, tombstone] of entries) {
      const version = { term, sequence, writer, seal }
      if (this.#isFarAhead(version)) return false
      const before = this.#records.get(name)
      if (before !== undefined && compareRecords(before, { version, hash }) >= 0) continue
      if (tombstone === null) {
        if (sync.queue.length >= MAX_QUEUED) return false
        sync.queue.push(hash)
        continue
      }
      const record = makeRecord(name, version, Buffer.from(tombstone, 'base64'), true)
      const opened = this.#open(record)
      if (record.hash !== hash || isCorrupt(opened)) return false
      this.#install(record, opened, effects)
    }
    return true
  }

  #readRecord(body: string, effects: SecretEffect[]): boolean {
    const record = decodeRecord(body)
    if (record === null || record.deleted || this.#isFarAhead(record.version)) return false
    const opened = this.#open(record)
    if (isCorrupt(opened)) return false
    if (!this.#hasRoom(this.#records.get(record.name), record.sealed.length, 2)) return false
    this.#install(record, opened, effects)
    return true
  }

  /** Whether an entry of this many sealed bytes fits in place of `before`: it is no larger, or within the limits times `factor`. */
  #hasRoom(before: SecretRecord | undefined, size: number, factor: number): boolean {
    const { entries, bytes } = this.#records
    const replaced = before === undefined || before.deleted ? 0 : before.sealed.length
    if (replaced === 0 && entries >= factor * SECRET_LIMITS.entries) return false
    return size <= replaced || bytes - replaced + size <= factor * SECRET_LIMITS.total
  }

  /** `minBackoffMs`: an invalid body will be the same in the next attempt, so the peer is not asked again soon. */
  #abandon(nowMs: number, minBackoffMs = 0): void {
    const peer = this.#sync === null ? undefined : this.#peers.get(this.#sync.from)
    if (peer !== undefined) {
      const backoffMs = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(peer.failures, 10))
      peer.backoffUntil = nowMs + Math.max(minBackoffMs, backoffMs)
      peer.failures++
    }
    this.#sync = null
  }

  #open(record: SecretRecord): Opened {
    return this.#keyring.open(record.sealed, contextOf(record))
  }

  /** `opened`: the result of #open. `changes`: the value is a new one, not the same one sealed again. */
  #install(record: SecretRecord, opened: Opened, effects: SecretEffect[], changes = true): void {
    if (!this.#records.install(record)) return
    const { name, sealed } = record
    if (opened.ok) this.#unreadable.delete(name)
    else this.#unreadable.add(name)
    if (opened.ok && this.#keyring.isOutdated(sealed)) this.#outdated.add(name)
    else this.#outdated.delete(name)
    effects.push({ kind: 'save', record })
    if (changes) effects.push({ kind: 'changed', name })
  }

  /** Evicts tombstones above the limit. */
  #trim(effects: SecretEffect[]): void {
    for (const { name } of this.#records.trim()) {
      this.#unreadable.delete(name)
      this.#outdated.delete(name)
      effects.push({ kind: 'erase', name })
    }
  }
}

function isCorrupt(opened: Opened): boolean {
  return !opened.ok && opened.reason === 'corrupt'
}
