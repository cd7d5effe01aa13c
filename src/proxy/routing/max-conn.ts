// At most so many requests at once for each value of something the request says of itself (`backend.maxconn.*`). Counts are this
// worker's own. Memory is bounded by the requests under way: a count that falls to zero is forgotten. Spec: Traefik 1.7, "Max
// connection".

import type { RequestView } from '../message/request-view.ts'

/** Keys are cut to this, so that a long header value is not kept by the thousand. */
const LONGEST_KEY = 256
const HEADER = 'request.header.'

/** What `by` reads of a request: `client.ip`, `request.host` or `request.header.NAME`; null if it is none of these. */
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

  /** `amount`: requests at once per key. */
  constructor(amount: number) {
    this.#amount = amount
  }

  /** Counts one more for `key`; false, and nothing is counted, if that would be too many. Each true wants one `release`. */
  acquire(key: string): boolean {
    const short = cut(key)
    const count = this.#counts.get(short) ?? 0
    if (count >= this.#amount) return false
    this.#counts.set(short, count + 1)
    return true
  }

  release(key: string): void {
    const short = cut(key)
    const count = this.#counts.get(short)
    if (count === undefined) return
    if (count <= 1) this.#counts.delete(short)
    else this.#counts.set(short, count - 1)
  }

  /** Keys that are counted now. */
  get size(): number {
    return this.#counts.size
  }
}

function cut(key: string): string {
  return key.length <= LONGEST_KEY ? key : key.slice(0, LONGEST_KEY)
}
