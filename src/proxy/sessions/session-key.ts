// Reads the session id of the application from requests and responses and hashes it at once (key-hash.ts): ids are secrets and
// never leave the worker. An empty id is ignored, a long one is truncated. Quotes around a cookie value are ignored, because not
// every client sends them back.

import type { LearnedSessions } from '../../config/model.ts'
import { STRIDE, VALUE_END, VALUE_START } from '../message/fields.ts'
import type { Head } from '../message/head.ts'
import { CookieScan } from './cookie-scan.ts'
import type { KeyHash } from './key-hash.ts'

/** Characters of an id that are hashed. */
export const MAX_KEY_LENGTH = 4096
/** Set-Cookie fields examined per response. */
const MAX_SET_COOKIES = 32

const AMPERSAND = 38
const QUOTE = 34
const scan = new CookieScan()

/** The keys of session hashes and cookies; owned by the Runtime of a worker. */
export interface SessionKeys {
  /** The key of new sessions. */
  current: string
  /** Keys under which existing sessions are accepted. */
  others: readonly string[]
}

export interface KeySource {
  readonly from: LearnedSessions['from']
  readonly name: string
  /** `name=`, for cookies and queries. */
  readonly needle: string
}

export function keySource({ from, name }: Pick<LearnedSessions, 'from' | 'name'>): KeySource {
  return { from, name: from === 'header' ? name.toLowerCase() : name, needle: `${name}=` }
}

/** The parts of a request that may carry a session id. */
export interface KeyedRequest {
  readonly req: Head
  readonly query: string | null
  readonly clientAddress: string
}

/** Hashes the session id of a request; false if it has none. */
export function readKey(x: KeyedRequest, source: KeySource, hash: KeyHash): boolean {
  const { req } = x
  switch (source.from) {
    case 'cookie':
      scan.begin(req, source.needle)
      while (scan.next()) if (hashUnquoted(req.text, scan.from, scan.to, hash)) return true
      return false
    case 'header': {
      const field = req.find(source.name)
      if (field < 0) return false
      const o = field * STRIDE
      return hashPart(req.text, req.at[o + VALUE_START]!, req.at[o + VALUE_END]!, hash)
    }
    case 'query':
      return x.query !== null && hashParameter(x.query, source.needle, hash)
    case 'ip':
      return hashPart(x.clientAddress, 0, x.clientAddress.length, hash)
  }
}

/**
 * Hashes the session id that a response sets. Of several, the last one counts, which is the one that clients keep (RFC 6265,
 * 5.3). False if it sets none or deletes the cookie.
 */
export function readGivenKey(res: Head, source: KeySource, hash: KeyHash): boolean {
  let left = MAX_SET_COOKIES
  let found = false
  for (let i = res.find('set-cookie'); i >= 0 && left > 0; i = res.find('set-cookie', i + 1), left--) {
    const o = i * STRIDE
    const start = res.at[o + VALUE_START]!
    const end = res.at[o + VALUE_END]!
    if (!res.text.startsWith(source.needle, start)) continue
    const from = start + source.needle.length
    if (from > end) continue
    const semicolon = res.text.indexOf(';', from)
    let to = semicolon < 0 || semicolon > end ? end : semicolon
    if (to < end && isDeletion(res.text.slice(to, Math.min(end, to + 1024)))) continue
    while (to > from && res.text.charCodeAt(to - 1) <= 32) to--
    found = hashUnquoted(res.text, from, to, hash) || found
  }
  return found
}

/** True if the attributes expire the cookie at once (RFC 6265, 5.2.2). */
function isDeletion(attributes: string): boolean {
  return /;[ \t]*max-age[ \t]*=[ \t]*(?:-[0-9]+|0+)[ \t]*(?:;|$)/i.test(attributes)
}

/** Hashes the first non-empty parameter of the name, as it is in the query. */
function hashParameter(query: string, needle: string, hash: KeyHash): boolean {
  for (let at = query.indexOf(needle); at >= 0; at = query.indexOf(needle, at + needle.length)) {
    if (at > 0 && query.charCodeAt(at - 1) !== AMPERSAND) continue
    const from = at + needle.length
    const end = query.indexOf('&', from)
    if (hashPart(query, from, end < 0 ? query.length : end, hash)) return true
  }
  return false
}

function hashUnquoted(text: string, from: number, to: number, hash: KeyHash): boolean {
  const quoted = to - from >= 2 && text.charCodeAt(from) === QUOTE && text.charCodeAt(to - 1) === QUOTE
  return quoted ? hashPart(text, from + 1, to - 1, hash) : hashPart(text, from, to, hash)
}

function hashPart(text: string, from: number, to: number, hash: KeyHash): boolean {
  if (to <= from) return false
  hash.of(text, from, Math.min(to, from + MAX_KEY_LENGTH))
  return true
}
