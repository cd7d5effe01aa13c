// Synchronizes with Redis after every connect and after Redis was emptied: loads its entries, then writes those that this
// replica holds beyond them or newer. Several replicas may do so at once; the newest stamp wins. Works in slices, so that
// neither Redis nor this thread is blocked.

import { compareStamps, type Entry, type InnerStore, STORE_LIMITS } from '../model.ts'
import { keyOf, MAX_KEY_BYTES, type Names, readEntry, readKey } from './codec.ts'
import type { Link } from './link.ts'
import { LOAD } from './scripts.ts'
import { type Slice, SliceBuilder } from './write-queue.ts'

const SCAN_COUNT = 1_000
const LOAD_KEYS = 500

export interface SyncContext {
  readonly names: Names
  readonly inner: InnerStore
  readonly wall: () => number
  /** Whether to load an entry of this table. Called once per entry. */
  readonly accepts: (table: string) => boolean
  /** Receives entries from Redis. */
  readonly take: (entries: readonly Entry[]) => void
  readonly malformed: (count: number) => void
  /** @returns the number of entries that Redis lacked or held older versions of */
  readonly write: (slice: Slice) => Promise<number>
}

export interface Synced {
  readonly loaded: number
  /** Entries written because Redis lacked them or held older versions. */
  readonly reseeded: number
}

/** Synchronizes both ways. Rejects when the link fails. */
export async function synchronize(context: SyncContext, link: Link): Promise<Synced> {
  const unchanged = new Set<string>()
  const loaded = await load(context, link, unchanged)
  return { loaded, reseeded: await reseed(context, unchanged) }
}

/**
 * Loads the entries of the accepted tables.
 * @param unchanged collects keys whose version in Redis equals the held one
 * @returns the number of loaded entries
 */
export async function load(
  { names, inner, wall, accepts, take, malformed }: SyncContext,
  link: Link,
  unchanged = new Set<string>(),
): Promise<number> {
  let loaded = 0
  let cursor = '0'
  do {
    const page = await link.scan(cursor, `${names.entries}*`, SCAN_COUNT)
    cursor = page.cursor
    const keys: string[] = []
    for (const key of page.keys) {
      const table = key.length <= MAX_KEY_BYTES ? readKey(names, key)?.table : undefined
      if (table === undefined) malformed(1)
      else if (accepts(table)) keys.push(key)
    }
    for (let from = 0; from < keys.length && loaded < STORE_LIMITS.entries; from += LOAD_KEYS) {
      const chunk = keys.slice(from, from + LOAD_KEYS)
      const answer = (await link.run(LOAD, chunk, [])) as (string | number | null)[]
      const entries: Entry[] = []
      let invalid = 0
      for (const [index, key] of chunk.entries()) {
        const value = answer[2 * index]
        const ttlMs = Number(answer[2 * index + 1])
        // It expired after the scan.
        if (value === '' && ttlMs === -2) continue
        const entry = typeof value === 'string' ? readEntry(names, key, value, ttlMs, wall()) : null
        if (entry === null) invalid += 1
        else entries.push(entry)
      }
      malformed(invalid)
      take(entries)
      for (const entry of entries) {
        const held = inner.get(entry.table, entry.key)
        if (held !== null && compareStamps(held, entry) === 0) unchanged.add(keyOf(names, entry.table, entry.key))
      }
      loaded += entries.length
    }
  } while (cursor !== '0' && loaded < STORE_LIMITS.entries)
  return loaded
}

async function reseed({ names, inner, write }: SyncContext, unchanged: ReadonlySet<string>): Promise<number> {
  const slice = new SliceBuilder(names)
  let reseeded = 0
  let seen = 0
  for (const entry of inner.allEntries()) {
    // Entries written meanwhile may be visited again; bound the loop.
    if ((seen += 1) > 2 * STORE_LIMITS.entries) break
    if (unchanged.has(keyOf(names, entry.table, entry.key))) continue
    slice.add(entry, entry.ttlMs)
    const full = slice.full ? slice.takeSlice() : null
    if (full !== null) reseeded += await write(full)
  }
  const rest = slice.takeSlice()
  return rest === null ? reseeded : reseeded + (await write(rest))
}
