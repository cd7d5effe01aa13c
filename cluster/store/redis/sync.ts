// After every (re)connect, and when Redis was emptied: what it holds is taken in, and what this replica holds beyond that, or
// newer, is written. Several replicas that do so at once do no harm: the newest stamp wins. In slices, so that neither Redis nor
// this thread is held up.

import { compareStamps, type Entry, type InnerStore, STORE_LIMITS } from '../model.ts'
import { keyOf, MOST_KEY_BYTES, type Names, readEntry, readKey } from './codec.ts'
import type { Link } from './link.ts'
import { LOAD } from './scripts.ts'
import { type Slice, SliceBuilder } from './write-queue.ts'

const SCAN_COUNT = 1_000
const LOAD_KEYS = 500

export interface SyncHost {
  readonly names: Names
  readonly inner: InnerStore
  readonly wall: () => number
  /** Whether an entry of this table, found in Redis, is to be taken in. Asked once for each. */
  readonly wants: (table: string) => boolean
  /** Entries from Redis. */
  readonly take: (entries: readonly Entry[]) => void
  readonly malformed: (count: number) => void
  /** @returns how many of them Redis lacked or had older */
  readonly write: (slice: Slice) => Promise<number>
}

export interface Synced {
  readonly loaded: number
  /** Written because Redis lacked them or had them older. */
  readonly reseeded: number
}

/** Both ways. Rejects when the link fails. */
export async function synchronize(host: SyncHost, link: Link): Promise<Synced> {
  const same = new Set<string>()
  const loaded = await load(host, link, same)
  return { loaded, reseeded: await reseed(host, same) }
}

/**
 * What Redis holds of the tables that are wanted. `same` collects the keys whose version in Redis is the one held here. @returns
 * how many entries were read
 */
export async function load(
  { names, inner, wall, wants, take, malformed }: SyncHost,
  link: Link,
  same = new Set<string>(),
): Promise<number> {
  let loaded = 0
  let cursor = '0'
  do {
    const step = await link.scan(cursor, `${names.entries}*`, SCAN_COUNT)
    cursor = step.cursor
    const keys: string[] = []
    for (const key of step.keys) {
      const table = key.length <= MOST_KEY_BYTES ? readKey(names, key)?.table : undefined
      if (table === undefined) malformed(1)
      else if (wants(table)) keys.push(key)
    }
    for (let from = 0; from < keys.length && loaded < STORE_LIMITS.entries; from += LOAD_KEYS) {
      const some = keys.slice(from, from + LOAD_KEYS)
      const answer = (await link.run(LOAD, some, [])) as (string | number | null)[]
      const entries: Entry[] = []
      let unread = 0
      for (const [index, key] of some.entries()) {
        const value = answer[2 * index]
        const ttlMs = Number(answer[2 * index + 1])
        // Its time was over since the scan saw it.
        if (value === '' && ttlMs === -2) continue
        const entry = typeof value === 'string' ? readEntry(names, key, value, ttlMs, wall()) : null
        if (entry === null) unread += 1
        else entries.push(entry)
      }
      malformed(unread)
      take(entries)
      for (const entry of entries) {
        const held = inner.get(entry.table, entry.key)
        if (held !== null && compareStamps(held, entry) === 0) same.add(keyOf(names, entry.table, entry.key))
      }
      loaded += entries.length
    }
  } while (cursor !== '0' && loaded < STORE_LIMITS.entries)
  return loaded
}

async function reseed({ names, inner, write }: SyncHost, same: ReadonlySet<string>): Promise<number> {
  const slice = new SliceBuilder(names)
  let reseeded = 0
  let seen = 0
  for (const entry of inner.allEntries()) {
    // Writes while this goes on may be met again: they have an end.
    if ((seen += 1) > 2 * STORE_LIMITS.entries) break
    if (same.has(keyOf(names, entry.table, entry.key))) continue
    slice.add(entry, entry.ttlMs)
    const full = slice.full ? slice.taken() : null
    if (full !== null) reseeded += await write(full)
  }
  const rest = slice.taken()
  return rest === null ? reseeded : reseeded + (await write(rest))
}
