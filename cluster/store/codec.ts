// What stores say to each other, as bytes: the version, the kind, then what the kind holds. Entries are written one after the
// other with what they have in common left out (table and writer of the one before, times as differences) and every text that
// comes again as a number, so that a session of an 11-character key costs some 20 bytes. Whatever comes from a network is
// hostile: decoding never throws, is bounded by the bytes that came, and tells what is wrong.

import { LIMITS } from '../core/state.ts'
import { Malformed, Reader, Writer } from './bytes.ts'
import { type Entry, STORE_LIMITS } from './model.ts'

/** A table as one holder has it, up to a place in the order of writes. */
export interface Root {
  /** Of the table's name. */
  readonly name: number
  readonly count: number
  readonly digest: number
}

/** What is compared: entries with a stamp up to this (wall clock and count). */
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
  /** Writes. `repair`: handed over because a comparison has found them missing. */
  | { readonly kind: 'batch'; readonly repair: boolean; readonly entries: readonly Entry[] }
  /** Is this what you hold too? */
  | { readonly kind: 'roots'; readonly cut: Cut; readonly roots: readonly Root[] }
  /** No: this is what I hold in that table, in buckets by key. */
  | { readonly kind: 'buckets'; readonly table: string; readonly cut: Cut; readonly count: number; readonly digests: Uint32Array }
  /** All that I hold in these buckets; give me what I lack of them. */
  | {
      readonly kind: 'fill'
      readonly table: string
      readonly cut: Cut
      /** Number of buckets there are. */
      readonly size: number
      readonly buckets: readonly number[]
      readonly entries: readonly Entry[]
    }
  /** I hold much that you may lack: take my whole state. */
  | { readonly kind: 'look' }
  | { readonly kind: 'state?' }
  /** Bodies that can be pulled and are my whole state, `ageMs` ago. `ready`: as far as I know there is no more. */
  | { readonly kind: 'state'; readonly ready: boolean; readonly ageMs: number; readonly bodies: readonly Body[] }

export type DecodedStore =
  | { readonly ok: true; readonly message: StoreMessage }
  /** `reason` is for people; nothing of what came is in it. */
  | { readonly ok: false; readonly reason: string }

const VERSION = 1
const KINDS = ['batch', 'roots', 'buckets', 'fill', 'look', 'state?', 'state'] as const
type Kind = (typeof KINDS)[number]

export const FEWEST_BUCKETS = 16
export const MOST_BUCKETS = 4096
/** Entries of one message or body: a few milliseconds to take in. */
export const MOST_ENTRIES = 8192
/** Bodies of a whole state, and characters of each. */
export const MOST_BODIES = 160
export const MOST_BODY_CHARACTERS = 1024 * 1024
const MOST_WALL = 2 ** 48
const MOST_COUNT = 2 ** 32
const MOST_ORIGIN = LIMITS.text

/** Bits of the byte that an entry begins with. */
const CONFIRMED = 1
const GRAVE = 2
const COUNTED = 4
const SAME_TABLE = 8
const SAME_ORIGIN = 16

// ---- entries ----

/** Writes entries as long as there is room. */
export class EntryWriter {
  readonly #out: Writer
  readonly #most: number
  readonly #texts = new Map<string, number>()
  #table = ''
  #origin = ''
  #wall = 0
  #entries = 0

  /** @param most bytes that `out` may hold in the end */
  constructor(out: Writer, most: number) {
    this.#out = out
    this.#most = most
  }

  get entries(): number {
    return this.#entries
  }

  /** False: there is no room for it; nothing was written. */
  add(entry: Entry): boolean {
    const out = this.#out
    const { table, key, value, wall, count, origin, rank, ttlMs } = entry
    const worst = 40 + 3 * (table.length + key.length + (value?.length ?? 0) + origin.length)
    if (out.length + worst > this.#most || this.#entries >= MOST_ENTRIES) return false
    const flags =
      (rank === 1 ? CONFIRMED : 0) |
      (value === null ? GRAVE : 0) |
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

  /** After the last. */
  end(): void {
    this.#out.byte(0)
  }

  /** 0 and the text, or the place of one that was written before, from 1. */
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
  const text = (least: number, most: number): string => {
    const place = reader.varint()
    if (place === 0) {
      const fresh = reader.text(least, most)
      texts.push(fresh)
      return fresh
    }
    const known = texts[place - 1]
    if (known === undefined || known.length < least || known.length > most) throw new Malformed('a text that was not told before')
    return known
  }
  for (;;) {
    const lead = reader.byte()
    if (lead === 0) return entries
    if (entries.length >= MOST_ENTRIES) throw new Malformed(`more than ${MOST_ENTRIES} entries`)
    const flags = lead - 1
    if (flags > 31) throw new Malformed('an entry of a form that is not known')
    if ((flags & SAME_TABLE) === 0) table = text(1, STORE_LIMITS.table)
    if ((flags & SAME_ORIGIN) === 0) origin = text(1, MOST_ORIGIN)
    if (table === '' || origin === '') throw new Malformed('an entry without a table or a writer')
    const key = reader.text(1, STORE_LIMITS.key)
    const value = (flags & GRAVE) === 0 ? text(0, STORE_LIMITS.value) : null
    wall += reader.signed()
    if (wall < 0 || wall > MOST_WALL) throw new Malformed('a time that cannot be')
    const count = (flags & COUNTED) === 0 ? 0 : reader.varint(MOST_COUNT)
    const ttlMs = reader.varint(STORE_LIMITS.ttlMs)
    if (ttlMs === 0) throw new Malformed('an entry without a life')
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

/** A batch to which entries are added until it is full. */
export class BatchWriter {
  readonly #out = begin('batch')
  readonly #entries: EntryWriter

  constructor(repair: boolean, most: number = LIMITS.store) {
    this.#out.byte(repair ? 1 : 0)
    this.#entries = new EntryWriter(this.#out, most - 1)
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

/** The buckets of a table, whole, until the message is full. */
export class FillWriter {
  readonly #out = begin('fill')
  readonly #entries: EntryWriter
  readonly #buckets: number[] = []

  constructor(table: string, cut: Cut, size: number) {
    this.#out.text(table)
    writeCut(this.#out, cut)
    this.#out.varint(size)
    this.#entries = new EntryWriter(this.#out, LIMITS.store - 4 - 2 * MOST_BUCKETS)
  }

  /** False: there is no room for all of them; what was written of them is of use all the same, but nothing is asked for. */
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

/** @throws RangeError when it is larger than LIMITS.store, which what the store makes never is */
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
    case 'look':
    case 'state?':
      break
  }
  const bytes = out.done()
  if (bytes.length > LIMITS.store) throw new RangeError(`${bytes.length} bytes of ${message.kind}; at most ${LIMITS.store} fit`)
  return bytes
}

/** Never throws. @param most bytes; bodies that are pulled may be larger than a message */
export function decodeStore(bytes: Uint8Array, most: number = LIMITS.store): DecodedStore {
  if (bytes.length > most) return { ok: false, reason: `it has ${bytes.length} bytes, at most ${most} are allowed` }
  try {
    const reader = new Reader(bytes)
    const version = reader.byte()
    if (version !== VERSION) return { ok: false, reason: `version ${version} is not known here, only ${VERSION} is` }
    const kind = KINDS[reader.byte()]
    if (kind === undefined) return { ok: false, reason: 'it is of a kind that is not known' }
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
    const repair = flag(reader)
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
    const digests = new Uint32Array(sizeOf(reader))
    for (let i = 0; i < digests.length; i++) digests[i] = reader.uint32()
    return { kind: 'buckets', table, cut, count, digests }
  },
  fill(reader) {
    const table = reader.text(1, STORE_LIMITS.table)
    const cut = readCut(reader)
    const size = sizeOf(reader)
    const entries = readEntries(reader)
    const buckets: number[] = []
    for (let left = reader.varint(size); left > 0; left--) buckets.push(reader.varint(size - 1))
    return { kind: 'fill', table, cut, size, buckets, entries }
  },
  look: () => ({ kind: 'look' }),
  'state?': () => ({ kind: 'state?' }),
  state(reader) {
    const ready = flag(reader)
    const ageMs = reader.varint(STORE_LIMITS.ttlMs)
    const bodies: Body[] = []
    for (let left = reader.varint(MOST_BODIES); left > 0; left--) {
      bodies.push({ hash: reader.bytes(32).toString('hex'), size: reader.varint(MOST_BODY_CHARACTERS) })
    }
    return { kind: 'state', ready, ageMs, bodies }
  },
}

function flag(reader: Reader): boolean {
  const value = reader.byte()
  if (value > 1) throw new Malformed('0 or 1 was expected')
  return value === 1
}

function writeCut(out: Writer, cut: Cut): void {
  out.varint(cut.wall)
  out.varint(cut.count)
}

function readCut(reader: Reader): Cut {
  return { wall: reader.varint(MOST_WALL), count: reader.varint(MOST_COUNT) }
}

/** A number of buckets: a power of two. */
function sizeOf(reader: Reader): number {
  const size = reader.varint(MOST_BUCKETS)
  if (size < FEWEST_BUCKETS || (size & (size - 1)) !== 0) throw new Malformed('a number of buckets that cannot be')
  return size
}
