// The cluster secret: what makes one, and the keys that are derived from it. One secret serves many purposes (the private
// network, agents, the relay), each with a key of its own, so that what one of them gives away is worth nothing to the others.

import { hkdfSync, randomBytes } from 'node:crypto'

/** 256 random bits in 43 printable characters (base64url). */
export function makeSecret(): string {
  return randomBytes(32).toString('base64url')
}

/**
 * A key of 32 bytes for one purpose (HKDF-SHA256, RFC 5869): the same on every replica that holds the secret, and unrelated to
 * the keys for other purposes.
 */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'utf8'), 'skein/1', purpose, 32))
}

/**
 * The name of clusters that were given none. Their keys are those of versions that made keys of the secret alone, so that replicas
 * of both versions stay one cluster during a rolling update.
 */
export const DEFAULT_CLUSTER = 'skein'

/** The purpose of a key that members of the cluster of this name have, and those of other names have not. */
export function purposeOf(what: string, cluster: string): string {
  return cluster === DEFAULT_CLUSTER ? what : `${what} of ${cluster}`
}
