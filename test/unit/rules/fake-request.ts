// A request as rules and middlewares see it, from plain values; what they set is kept for the test to look at.

import type { RequestView } from '../../../src/proxy/message/request-view.ts'

export interface FakeRequest extends RequestView {
  readonly set: Map<string, string>
}

export interface FakeFields {
  readonly method?: string
  readonly host?: string
  /** Path and query. */
  readonly target?: string
  readonly entryPoint?: string
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, readonly string[]>>
}

export function request(fields: FakeFields): FakeRequest {
  const target = fields.target ?? '/'
  const question = target.indexOf('?')
  const headers = fields.headers ?? {}
  const set = new Map<string, string>()
  return {
    method: fields.method ?? 'GET',
    host: fields.host ?? 'localhost',
    path: question < 0 ? target : target.slice(0, question),
    receivedPath: question < 0 ? target : target.slice(0, question),
    wirePath: '',
    query: question < 0 ? null : target.slice(question + 1),
    entryPoint: fields.entryPoint ?? 'web',
    clientAddress: '192.0.2.1',
    header: name => headers[name]?.[0],
    headers: name => headers[name] ?? [],
    setHeader: (name, value) => void set.set(name, value),
    set,
  }
}

/** A small seeded generator (mulberry32): numbers in [0, 1), the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
