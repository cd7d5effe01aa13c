// Limits concurrent requests per client address, host or header value (`backend.maxconn.*`). Counts are local to the worker.
// Memory is bounded by the requests in flight: a count of zero is deleted. Source:
// https://doc.traefik.io/traefik/v1.7/basics/#maximum-connections.

import type { RequestView } from '../message/request-view.ts'

/** Keys are truncated to this length, so that long header values do not fill the memory. */
const MAX_KEY_LENGTH = 256
const HEADER = 'request.header.'

/**
 * The function that reads the key of `by` (`client.ip`, `request.host` or `request.header.NAME`) from a request; null if `by` is
 * none of these.
 */
export function compileMaxConnKey(by: string): ((request: RequestView) => string) | null {
  const lower = by.toLowerCase()
  if (lower === 'client.ip') return request => request.clientAddress
  if (lower === 'request.host') return request => request.host
  if (!lower.startsWith(HEADER) || lower.length === HEADER.length) return null
  const name = lower.slice(HEADER.length)
  return request => request.header(name) ?? ''
}

export class ConnectionLimit {
  readonly #amount: number
  readonly #counts = new Map<string, number>()

  /** `amount`: concurrent requests per key. */
  constructor(amount: number) {
    this.#amount = amount
  }

  /** Counts a request for `key`; false, without counting, if the limit is reached. Every true requires one `release`. */
  acquire(key: string): boolean {
    const short = truncate(key)
    const count = this.#counts.get(short) ?? 0
    if (count >= this.#amount) return false
    this.#counts.set(short, count + 1)
    return true
  }

  release(key: string): void {
    const short = truncate(key)
    const count = this.#counts.get(short)
    if (count === undefined) return
    if (count <= 1) this.#counts.delete(short)
    else this.#counts.set(short, count - 1)
  }

  /** Number of keys with a count. */
  get size(): number {
    return this.#counts.size
  }
}

function truncate(key: string): string {
  return key.length <= MAX_KEY_LENGTH ? key : key.slice(0, MAX_KEY_LENGTH)
}
