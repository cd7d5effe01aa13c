// The cluster secret: its generation, and the keys derived from it. Each purpose (private network, agents, relay) has a key of
// its own, so that a leaked key exposes no other.

import { hkdfSync, randomBytes } from 'node:crypto'

/** 256 random bits in 43 characters of base64url. */
export function makeSecret(): string {
  return randomBytes(32).toString('base64url')
}

/**
 * A key of 32 bytes for one purpose (HKDF-SHA256, RFC 5869): equal on every replica that holds the secret, and independent of
 * the keys for other purposes.
 */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'utf8'), 'skein/1', purpose, 32))
}

/**
 * The default cluster name. Its keys are derived from the secret alone, as in versions without cluster names, so that replicas
 * of both versions stay one cluster during a rolling update.
 */
export const DEFAULT_CLUSTER = 'skein'

/** The key purpose for the cluster of this name: members of other clusters derive other keys. */
export function purposeOf(what: string, cluster: string): string {
  return cluster === DEFAULT_CLUSTER ? what : `${what} of ${cluster}`
}
