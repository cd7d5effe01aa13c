// Upstream servers by short names, for the tests of balancing. Not a test itself.

import { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { noTransport } from '../no-transport.ts'

/** `servers('a:5', 'b')` returns server a with weight 5 and server b with weight 1. */
export function servers(...names: string[]): UpstreamServer[] {
  return names.map((text, index) => {
    const [id = '', weight = '1'] = text.split(':')
    return new UpstreamServer(
      {
        id,
        scheme: 'http',
        host: `10.0.${index >> 8}.${index & 255}`,
        port: 80,
        weight: Number(weight),
        state: 'active',
        node: '',
      },
      'app',
      noTransport,
    )
  })
}

/** The same, as the servers of one service. */
export function pool(...names: string[]): UpstreamServer[] {
  const list = servers(...names)
  for (const server of list) server.pool = { servers: list }
  return list
}

/** Counts of each id. */
export function tally(ids: readonly (string | undefined)[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const id of ids) counts[id ?? 'null'] = (counts[id ?? 'null'] ?? 0) + 1
  return counts
}

/** Reproducible random numbers (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let hash = Math.imul(state ^ (state >>> 15), 1 | state)
    hash = (hash + Math.imul(hash ^ (hash >>> 7), 61 | hash)) ^ hash
    return ((hash ^ (hash >>> 14)) >>> 0) / 4_294_967_296
  }
}
