// Configurations of the simulated swarm: versions 1, 2, 3 ... of an opaque text; some fit into an announcement, some are
// pulled. The same version is always the same text, so every leader that reads it publishes the same hash.

import { createHash } from 'node:crypto'
import { LIMITS } from '../../cluster/core/state.ts'

const LARGE_EVERY = 4
const FILLING = 'x'.repeat(LIMITS.inlineBody + 1000)

const bodies: string[] = []
const hashes = new Map<string, string>()

/** The text of a version. Every fourth one is too large for its announcement. */
export function bodyOf(version: number): string {
  return (bodies[version] ??= `version ${version}${version % LARGE_EVERY === 0 ? ` ${FILLING}` : ''}`)
}

/** The version of a text; 0 for any other text. */
export function versionOf(body: string): number {
  return Number(/^version (\d+)/.exec(body)?.[1] ?? 0)
}

/** SHA-256 in hex by node:crypto, computed independently of the code under test. */
export function hashOf(body: string): string {
  let hash = hashes.get(body)
  if (hash === undefined) {
    hash = createHash('sha256').update(body).digest('hex')
    hashes.set(body, hash)
  }
  return hash
}
