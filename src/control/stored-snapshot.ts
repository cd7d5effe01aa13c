// The content of the snapshot file in the data directory: a snapshot and the providers' data beside it. Everything read from disk
// is validated here before use. Pure.

import { hashOf } from '../config/merge.ts'
import type { Snapshot } from '../config/model.ts'
import { parseSnapshot } from '../config/schema.ts'
import { type Body, sharedOf } from './body-codec.ts'

export type StoredSnapshot = Snapshot & { readonly shared?: Readonly<Record<string, unknown>> }

/** The stored snapshot, or the reason why the value is not one. */
export function restoreStoredSnapshot(value: unknown, warn: (message: string) => void): StoredSnapshot | string {
  const snapshot = restoreSnapshot(value, warn)
  if (typeof snapshot === 'string') return snapshot
  const shared = sharedOf(value)
  return typeof shared === 'string' ? shared : { ...snapshot, shared }
}

export function bodyOf({ shared, ...snapshot }: StoredSnapshot): Body {
  return { snapshot, shared: shared ?? {} }
}

/**
 * Validates the snapshot in `value`; returns the reason if it is not one. A snapshot whose content does not match its hash was
 * edited. It is still usable while no manager can be read, but must not pass for the managers' last configuration. It therefore
 * gets the hash of its content and term 0, so that a snapshot of any member replaces it.
 */
export function restoreSnapshot(value: unknown, warn: (message: string) => void): Snapshot | string {
  const result = parseSnapshot(value)
  if (!result.ok) return result.message
  const hash = hashOf(result.snapshot)
  if (hash === result.snapshot.hash) return result.snapshot
  warn('the configuration on disk was modified outside of Skein; it is used until a manager can be read')
  const { sequence } = result.snapshot.revision
  return { ...result.snapshot, revision: { term: 0, leader: '', sequence }, hash }
}
