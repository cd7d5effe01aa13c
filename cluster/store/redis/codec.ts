// Format of entries in Redis and on its channel. Anything that can write to Redis may have written them, so they are validated
// as strictly as messages of peers. All keys share one hash tag, so a batch is one script in Redis Cluster, too. Values:
// `1 <wall> <count> <rank> <v|x> <origin>\n<value>`; x: removed. The scripts (scripts.ts) parse the same format.

import { type Entry, STORE_LIMITS, type Stamp } from '../model.ts'

/** Characters of an origin. */
const MAX_ORIGIN = 256
/** Highest counter of a stamp (clock.ts). */
export const MAX_COUNT = 2 ** 31
/** Bytes; a longer key or value is not an entry. UTF-8 needs at most 3 bytes per UTF-16 unit. */
export const MAX_KEY_BYTES = 3 * (STORE_LIMITS.table + STORE_LIMITS.key) + 256
export const MAX_VALUE_BYTES = 3 * (STORE_LIMITS.value + MAX_ORIGIN) + 64
/** Bytes of one message on the channel; own messages are far smaller (write-queue.ts). */
export const MAX_MESSAGE_BYTES = 1024 ** 2

export interface Names {
  /** Prefix of the keys of entries. */
  readonly entries: string
  readonly generation: string
  readonly pulse: string
  readonly channel: string
}

export function keyNames({ prefix, cluster }: { readonly prefix: string; readonly cluster: string }): Names {
  const tag = `{${prefix}:${cluster}}`
  return { entries: `${tag}:e:`, generation: `${tag}:generation`, pulse: `${tag}:pulse`, channel: `${tag}:batches` }
}

export function keyOf(names: Names, table: string, key: string): string {
  return `${names.entries}${table.length}:${table}${key}`
}

/** null: not a key of this cluster, or beyond the limits. */
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

/** null: the origin or counter cannot be represented. */
export function encodeValue(entry: Stamp & Pick<Entry, 'rank' | 'value'>): string | null {
  const { wall, count, origin, rank, value } = entry
  if (!isOrigin(origin) || count > MAX_COUNT) return null
  return `1 ${wall} ${count} ${rank} ${value === null ? 'x' : 'v'} ${origin}\n${value ?? ''}`
}

function isOrigin(text: string): boolean {
  return text.length > 0 && text.length <= MAX_ORIGIN && !text.includes('\n')
}

/**
 * null: not an entry, or beyond the limits.
 * @param wallMs the cluster's time; a stamp may be at most a day ahead of it
 */
export function readEntry(names: Names, keyText: string, text: string, ttlMs: number, wallMs: number): Entry | null {
  const place = readKey(names, keyText)
  const line = text.indexOf('\n')
  if (place === null || line < 0 || line > MAX_ORIGIN + 40) return null
  const match = /^1 (\d{1,15}) (\d{1,10}) ([01]) ([vx]) ([^\n]+)$/.exec(text.slice(0, line))
  if (match === null) return null
  const wall = Number(match[1])
  const origin = match[5] as string
  const count = Number(match[2])
  const value = text.slice(line + 1)
  if (
    count > MAX_COUNT ||
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
  /** Number of parts that could not be parsed. */
  readonly malformed: number
}

/**
 * Parses a message of the channel: `1 <sender>\n`, then for each entry `<bytes of key> <ttl> <bytes of value>\n<key><value>`.
 * null: it is not a batch.
 */
export function readBatch(names: Names, body: Buffer, wallMs: number): Batch | null {
  if (body.length > MAX_MESSAGE_BYTES) return null
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
    // The position of the next part is unknown.
    if (head === null || valueEnd > body.length) return { sender, entries, malformed: malformed + 1 }
    const fits = Number(head[1]) <= MAX_KEY_BYTES && Number(head[3]) <= MAX_VALUE_BYTES
    const entry = fits
      ? readEntry(names, body.toString('utf8', end + 1, keyEnd), body.toString('utf8', keyEnd, valueEnd), Number(head[2]), wallMs)
      : null
    if (entry === null) malformed += 1
    else entries.push(entry)
    at = valueEnd
  }
  return { sender, entries, malformed }
}

/** End of the line that begins at `from`; -1: it is longer than 80 bytes. */
function lineEnd(body: Buffer, from: number): number {
  const end = body.indexOf(10, from)
  return end - from > 80 ? -1 : end
}
