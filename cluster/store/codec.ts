// Wire format of store messages: version, kind, payload. An entry omits what it shares with the one before it (table and
// origin; times are differences), and a repeated text is written as an index, so a session with an 11-character key takes about
// 20 bytes. Input is untrusted: decoding never throws, its work is bounded by the number of received bytes, and errors name the
// cause.

import { LIMITS } from '../core/state.ts'
import { Malformed, Reader, Writer } from './bytes.ts'
import { type Entry, STORE_LIMITS } from './model.ts'

/** Digest of one table, of entries up to a cut. */
export interface Root {
  /** Hash of the table's name. */
  readonly name: number
  readonly count: number
  readonly digest: number
}

/** Limit of a comparison: it includes entries with a stamp up to this one (wall clock and counter). */
export interface Cut {
  readonly wall: number
  readonly count: number
}

export interface Body {
  /** SHA-256 of the text, hexadecimal. */
  readonly hash: string
  /** Characters. */
  readonly size: number
}

export type StoreMessage =
  /** Writes. `repair`: sent because a comparison found them missing. */
  | { readonly kind: 'batch'; readonly repair: boolean; readonly entries: readonly Entry[] }
  /** Digests of the sender's tables, to compare. */
  | { readonly kind: 'roots'; readonly cut: Cut; readonly roots: readonly Root[] }
  /** Digests of the sender's buckets of a table that differs. */
  | { readonly kind: 'buckets'; readonly table: string; readonly cut: Cut; readonly count: number; readonly digests: Uint32Array }
  /** All entries of the sender in these buckets; requests those that it lacks. */
  | {
      readonly kind: 'fill'
      readonly table: string
      readonly cut: Cut
      /** Total number of buckets. */
      readonly size: number
      readonly buckets: readonly number[]
      readonly entries: readonly Entry[]
    }
  /** Offers the sender's whole state. */
  | { readonly kind: 'stateOffer' }
  | { readonly kind: 'stateRequest' }
  /** Bodies of the sender's whole state, `ageMs` old. `ready`: the sender has completed its own initial transfer. */
  | { readonly kind: 'state'; readonly ready: boolean; readonly ageMs: number; readonly bodies: readonly Body[] }

export type DecodedStore =
  | { readonly ok: true; readonly message: StoreMessage }
  /** `reason` is a text for logs; it contains nothing of the input. */
  | { readonly ok: false; readonly reason: string }

const VERSION = 1
const KINDS = ['batch', 'roots', 'buckets', 'fill', 'stateOffer', 'stateRequest', 'state'] as const
type Kind = (typeof KINDS)[number]

export const MIN_BUCKETS = 16
export const MAX_BUCKETS = 4096
/** Entries of one message or body: a few milliseconds to merge. */
export const MAX_ENTRIES = 8192
/** Bodies of a whole state, and characters of each. */
export const MAX_BODIES = 160
export const MAX_BODY_CHARACTERS = 1024 * 1024
const MAX_WALL = 2 ** 48
const MAX_COUNT = 2 ** 32
const MAX_ORIGIN = LIMITS.text

/** Flags in the first byte of an entry. */
const CONFIRMED = 1
const TOMBSTONE = 2
const COUNTED = 4
const SAME_TABLE = 8
const SAME_ORIGIN = 16

// ---- entries ----

/** Writes entries until a size limit is reached. */
export class EntryWriter {
  readonly #out: Writer
  readonly #maxBytes: number
  readonly #texts = new Map<string, number>()
  #table = ''
  #origin = ''
  #wall = 0
  #entries = 0

  /** @param maxBytes final size of `out` */
  constructor(out: Writer, maxBytes: number) {
    this.#out = out
    this.#maxBytes = maxBytes
  }

  get entries(): number {
    return this.#entries
  }

  /** False: the entry does not fit; nothing was written. */
  add(entry: Entry): boolean {
    const out = this.#out
    const { table, key, value, wall, count, origin, rank, ttlMs } = entry
    const worst = 40 + 3 * (table.length + key.length + (value?.length ?? 0) + origin.length)
    if (out.length + worst > this.#maxBytes || this.#entries >= MAX_ENTRIES) return false
    const flags =
      (rank === 1 ? CONFIRMED : 0) |
      (value === null ? TOMBSTONE : 0) |
      (count > 0 ? COUNTED : 0) |
      (table === this.#table ? SAME_TABLE : 0) |
      (origin === this.#origin ? SAME_ORIGIN : 0)
    out.byte(flags + 1)
    if (table !== this.#table) this.#text((this.#table = table))
    if (origin !== this.#origin) this.#text((this.#origin = origin))
    out.text(key)
    if (value !== null) this.#text(value)
    out.signed(wall - this.#wall)
    this.#wall = wall
    if (count > 0) out.varint(count)
    out.varint(ttlMs)
    this.#entries++
    return true
  }

  /** Ends the list. */
  end(): void {
    this.#out.byte(0)
  }

  /** 0 and the text, or the index of an earlier text, from 1. */
  #text(text: string): void {
    const known = this.#texts.get(text)
    if (known !== undefined) {
      this.#out.varint(known)
      return
    }
    this.#texts.set(text, this.#texts.size + 1)
    this.#out.varint(0)
    this.#out.text(text)
  }
}

function readEntries(reader: Reader): Entry[] {
  const entries: Entry[] = []
  const texts: string[] = []
  let table = ''
  let origin = ''
  let wall = 0
  const text = (min: number, max: number): string => {
    const index = reader.varint()
    if (index === 0) {
      const added = reader.text(min, max)
      texts.push(added)
      return added
    }
    const known = texts[index - 1]
    if (known === undefined || known.length < min || known.length > max) throw new Malformed('a reference to an unknown text')
    return known
  }
  for (;;) {
    const lead = reader.byte()
    if (lead === 0) return entries
    if (entries.length >= MAX_ENTRIES) throw new Malformed(`more than ${MAX_ENTRIES} entries`)
    const flags = lead - 1
    if (flags > 31) throw new Malformed('unknown flags of an entry')
    if ((flags & SAME_TABLE) === 0) table = text(1, STORE_LIMITS.table)
    if ((flags & SAME_ORIGIN) === 0) origin = text(1, MAX_ORIGIN)
    if (table === '' || origin === '') throw new Malformed('an entry without a table or an origin')
    const key = reader.text(1, STORE_LIMITS.key)
    const value = (flags & TOMBSTONE) === 0 ? text(0, STORE_LIMITS.value) : null
    wall += reader.signed()
    if (wall < 0 || wall > MAX_WALL) throw new Malformed('a stamp out of range')
    const count = (flags & COUNTED) === 0 ? 0 : reader.varint(MAX_COUNT)
    const ttlMs = reader.varint(STORE_LIMITS.ttlMs)
    if (ttlMs === 0) throw new Malformed('an entry without a time to live')
    entries.push({ table, key, value, wall, count, origin, rank: (flags & CONFIRMED) === 0 ? 0 : 1, ttlMs })
  }
}

// ---- messages ----

function begin(kind: Kind): Writer {
  const out = new Writer()
  out.byte(VERSION)
  out.byte(KINDS.indexOf(kind))
  return out
}

/** Builds a batch until it is full. */
export class BatchWriter {
  readonly #out = begin('batch')
  readonly #entries: EntryWriter

  constructor(repair: boolean, maxBytes: number = LIMITS.store) {
    this.#out.byte(repair ? 1 : 0)
    this.#entries = new EntryWriter(this.#out, maxBytes - 1)
  }

  get count(): number {
    return this.#entries.entries
  }

  add(entry: Entry): boolean {
    return this.#entries.add(entry)
  }

  done(): Uint8Array {
    this.#entries.end()
    return this.#out.done()
  }
}

/** Builds a message of whole buckets of a table until it is full. */
export class FillWriter {
  readonly #out = begin('fill')
  readonly #entries: EntryWriter
  readonly #buckets: number[] = []

  constructor(table: string, cut: Cut, size: number) {
    this.#out.text(table)
    writeCut(this.#out, cut)
    this.#out.varint(size)
    this.#entries = new EntryWriter(this.#out, LIMITS.store - 4 - 2 * MAX_BUCKETS)
  }

  /**
   * False: the bucket does not fit. Entries that were written are still merged by the receiver, but nothing of this bucket is
   * requested.
   */
  add(bucket: number, entries: readonly Entry[]): boolean {
    for (const entry of entries) if (!this.#entries.add(entry)) return false
    this.#buckets.push(bucket)
    return true
  }

  done(): Uint8Array {
    this.#entries.end()
    this.#out.varint(this.#buckets.length)
    for (const bucket of this.#buckets) this.#out.varint(bucket)
    return this.#out.done()
  }
}

/** @throws RangeError above LIMITS.store, which no message of this store reaches */
export function encodeStore(message: Exclude<StoreMessage, { kind: 'batch' | 'fill' }>): Uint8Array {
  const out = begin(message.kind)
  switch (message.kind) {
    case 'roots':
      writeCut(out, message.cut)
      out.varint(message.roots.length)
      for (const { name, count, digest } of message.roots) {
        out.uint32(name)
        out.varint(count)
        out.uint32(digest)
      }
      break
    case 'buckets':
      out.text(message.table)
      writeCut(out, message.cut)
      out.varint(message.count)
      out.varint(message.digests.length)
      for (const digest of message.digests) out.uint32(digest)
      break
    case 'state':
      out.byte(message.ready ? 1 : 0)
      out.varint(message.ageMs)
      out.varint(message.bodies.length)
      for (const { hash, size } of message.bodies) {
        out.bytes(Buffer.from(hash, 'hex'))
        out.varint(size)
      }
      break
    case 'stateOffer':
    case 'stateRequest':
      break
  }
  const bytes = out.done()
  if (bytes.length > LIMITS.store) throw new RangeError(`${bytes.length} bytes of ${message.kind}: the limit is ${LIMITS.store}`)
  return bytes
}

/**
 * Never throws.
 * @param maxBytes bodies that are pulled may be larger than a message
 */
export function decodeStore(bytes: Uint8Array, maxBytes: number = LIMITS.store): DecodedStore {
  if (bytes.length > maxBytes) return { ok: false, reason: `it has ${bytes.length} bytes, the limit is ${maxBytes}` }
  try {
    const reader = new Reader(bytes)
    const version = reader.byte()
    if (version !== VERSION) return { ok: false, reason: `version ${version} is unknown, expected ${VERSION}` }
    const kind = KINDS[reader.byte()]
    if (kind === undefined) return { ok: false, reason: 'its kind is unknown' }
    const message = READERS[kind](reader)
    reader.end()
    return { ok: true, message }
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, reason: error.message }
    throw error
  }
}

const READERS: Readonly<Record<Kind, (reader: Reader) => StoreMessage>> = {
  batch(reader) {
    const repair = readFlag(reader)
    return { kind: 'batch', repair, entries: readEntries(reader) }
  },
  roots(reader) {
    const cut = readCut(reader)
    const roots: Root[] = []
    for (let left = reader.varint(LIMITS.store); left > 0; left--) {
      roots.push({ name: reader.uint32(), count: reader.varint(), digest: reader.uint32() })
    }
    return { kind: 'roots', cut, roots }
  },
  buckets(reader) {
    const table = reader.text(1, STORE_LIMITS.table)
    const cut = readCut(reader)
    const count = reader.varint()
    const digests = new Uint32Array(readSize(reader))
    for (let i = 0; i < digests.length; i++) digests[i] = reader.uint32()
    return { kind: 'buckets', table, cut, count, digests }
  },
  fill(reader) {
    const table = reader.text(1, STORE_LIMITS.table)
    const cut = readCut(reader)
    const size = readSize(reader)
    const entries = readEntries(reader)
    const buckets: number[] = []
    for (let left = reader.varint(size); left > 0; left--) buckets.push(reader.varint(size - 1))
    return { kind: 'fill', table, cut, size, buckets, entries }
  },
  stateOffer: () => ({ kind: 'stateOffer' }),
  stateRequest: () => ({ kind: 'stateRequest' }),
  state(reader) {
    const ready = readFlag(reader)
    const ageMs = reader.varint(STORE_LIMITS.ttlMs)
    const bodies: Body[] = []
    for (let left = reader.varint(MAX_BODIES); left > 0; left--) {
      bodies.push({ hash: reader.bytes(32).toString('hex'), size: reader.varint(MAX_BODY_CHARACTERS) })
    }
    return { kind: 'state', ready, ageMs, bodies }
  },
}

function readFlag(reader: Reader): boolean {
  const value = reader.byte()
  if (value > 1) throw new Malformed('expected 0 or 1')
  return value === 1
}

function writeCut(out: Writer, cut: Cut): void {
  out.varint(cut.wall)
  out.varint(cut.count)
}

function readCut(reader: Reader): Cut {
  return { wall: reader.varint(MAX_WALL), count: reader.varint(MAX_COUNT) }
}

/** Reads the number of buckets: a power of two. */
function readSize(reader: Reader): number {
  const size = reader.varint(MAX_BUCKETS)
  if (size < MIN_BUCKETS || (size & (size - 1)) !== 0) throw new Malformed('invalid number of buckets')
  return size
}
