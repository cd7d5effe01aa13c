// The configurations of the simulated swarm: version 1, 2, 3 ... of an opaque text, some small enough to travel in an
// announcement, some to be pulled. The same version is the same text, so every leader that reads it publishes the same hash.

import { createHash } from 'node:crypto'
import { LIMITS } from '../../cluster/core/state.ts'

const LARGE_EVERY = 4
const FILLING = 'x'.repeat(LIMITS.inlineBody + 1000)

const bodies: string[] = []
const hashes = new Map<string, string>()

/** The text of a version; every fourth one is too large to travel in its announcement. */
export function bodyOf(version: number): string {
  return (bodies[version] ??= `version ${version}${version % LARGE_EVERY === 0 ? ` ${FILLING}` : ''}`)
}

/** The version that a text is; 0 when it is none. */
export function versionOf(body: string): number {
  return Number(/^version (\d+)/.exec(body)?.[1] ?? 0)
}

/** SHA-256, hex, by node's own crypto: what a body is held against. */
export function hashOf(body: string): string {
  let hash = hashes.get(body)
  if (hash === undefined) {
    hash = createHash('sha256').update(body).digest('hex')
    hashes.set(body, hash)
  }
  return hash
}
