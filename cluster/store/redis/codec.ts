// Entries as they are kept in Redis and told on its channel. Whoever can write to Redis may have written anything there: what is
// read is checked as strictly as what comes from a peer. Keys share one hash tag, so that a batch is one script in Redis Cluster
// too. Values: `1 <wall> <count> <rank> <v|x> <origin>\n<value>`; x: removed. The scripts (redis-scripts.ts) read the same form.

import { type Entry, STORE_LIMITS, type Stamp } from '../model.ts'

/** Characters of a writer's id. */
const MOST_ORIGIN = 256
/** A stamp's count (clock.ts). */
export const MOST_COUNT = 2 ** 31
/** Bytes: what is longer is no entry. UTF-8 takes at most 3 bytes for a UTF-16 unit. */
export const MOST_KEY_BYTES = 3 * (STORE_LIMITS.table + STORE_LIMITS.key) + 256
export const MOST_VALUE_BYTES = 3 * (STORE_LIMITS.value + MOST_ORIGIN) + 64
/** One message on the channel; own ones are far smaller (redis-queue.ts). */
export const MOST_MESSAGE_BYTES = 1024 ** 2

export interface Names {
  /** Keys of entries begin with it. */
  readonly entries: string
  readonly generation: string
  readonly pulse: string
  readonly channel: string
}

export function namesOf({ prefix, cluster }: { readonly prefix: string; readonly cluster: string }): Names {
  const tag = `{${prefix}:${cluster}}`
  return { entries: `${tag}:e:`, generation: `${tag}:generation`, pulse: `${tag}:pulse`, channel: `${tag}:batchJob` }
}

export function keyOf(names: Names, table: string, key: string): string {
  return `${names.entries}${table.length}:${table}${key}`
}

/** null: not a key of this cluster, or beyond limits. */
export function readKey(names: Names, text: string): { readonly table: string; readonly key: string } | null {
  if (!text.startsWith(names.entries)) return null
  const colon = text.indexOf(':', names.entries.length)
  const digits = colon < 0 ? '' : text.slice(names.entries.length, colon)
  if (!/^[1-9]\d{0,2}$/.test(digits)) return null
  const table = text.slice(colon + 1, colon + 1 + Number(digits))
  const key = text.slice(colon + 1 + Number(digits))
  if (table.length !== Number(digits) || table.length > STORE_LIMITS.table || key.length > STORE_LIMITS.key) return null
  return { table, key }
}

/** null: its writer's id cannot be written so. */
export function encodeValue(entry: Stamp & Pick<Entry, 'rank' | 'value'>): string | null {
  const { wall, count, origin, rank, value } = entry
  if (!isOrigin(origin) || count > MOST_COUNT) return null
  return `1 ${wall} ${count} ${rank} ${value === null ? 'x' : 'v'} ${origin}\n${value ?? ''}`
}

function isOrigin(text: string): boolean {
  return text.length > 0 && text.length <= MOST_ORIGIN && !text.includes('\n')
}

/** null: it is none, or beyond limits. `wallMs`: the cluster's time, which a stamp must not be a day ahead of. */
export function readEntry(names: Names, keyText: string, text: string, ttlMs: number, wallMs: number): Entry | null {
  const place = readKey(names, keyText)
  const line = text.indexOf('\n')
  if (place === null || line < 0 || line > MOST_ORIGIN + 40) return null
  const match = /^1 (\d{1,15}) (\d{1,10}) ([01]) ([vx]) ([^\n]+)$/.exec(text.slice(0, line))
  if (match === null) return null
  const wall = Number(match[1])
  const origin = match[5] as string
  const count = Number(match[2])
  const value = text.slice(line + 1)
  if (
    count > MOST_COUNT ||
    wall > wallMs + STORE_LIMITS.uncomparedAheadMs ||
    !isOrigin(origin) ||
    value.length > STORE_LIMITS.value
  )
    return null
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 1 || ttlMs > STORE_LIMITS.ttlMs) return null
  if (match[4] === 'x' && value !== '') return null
  return {
    ...place,
    value: match[4] === 'x' ? null : value,
    wall,
    count,
    origin,
    rank: match[3] === '1' ? 1 : 0,
    ttlMs,
  }
}

export interface Batch {
  readonly sender: string
  readonly entries: readonly Entry[]
  /** Parts that could not be read. */
  readonly malformed: number
}

/**
 * A message of the channel: `1 <sender>\n`, then for each entry `<bytes of key> <ttl> <bytes of value>\n<key><value>`. null: it
 * is none at all.
 */
export function readBatch(names: Names, body: Buffer, wallMs: number): Batch | null {
  if (body.length > MOST_MESSAGE_BYTES) return null
  const first = lineEnd(body, 0)
  const sender = first < 0 ? undefined : /^1 ([\w-]{1,64})$/.exec(body.toString('latin1', 0, first))?.[1]
  if (sender === undefined) return null
  const entries: Entry[] = []
  let malformed = 0
  for (let at = first + 1; at < body.length; ) {
    const end = lineEnd(body, at)
    const head = end < 0 ? null : /^(\d{1,5}) (\d{1,13}) (\d{1,6})$/.exec(body.toString('latin1', at, end))
    const keyEnd = head === null ? 0 : end + 1 + Number(head[1])
    const valueEnd = head === null ? 0 : keyEnd + Number(head[3])
    // What follows cannot be found any more.
    if (head === null || valueEnd > body.length) return { sender, entries, malformed: malformed + 1 }
    const fits = Number(head[1]) <= MOST_KEY_BYTES && Number(head[3]) <= MOST_VALUE_BYTES
    const entry = fits
      ? readEntry(names, body.toString('utf8', end + 1, keyEnd), body.toString('utf8', keyEnd, valueEnd), Number(head[2]), wallMs)
      : null
    if (entry === null) malformed += 1
    else entries.push(entry)
    at = valueEnd
  }
  return { sender, entries, malformed }
}

/** Where the line that begins at `from` ends; -1: it does not within 80 bytes. */
function lineEnd(body: Buffer, from: number): number {
  const end = body.indexOf(10, from)
  return end - from > 80 ? -1 : end
}
