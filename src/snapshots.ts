// From providers' parts to one ordered snapshot. Pure but for the counter: what comes in is merged, hashed and numbered; nothing
// is published that equals what stands. A replica in a cluster merges here, but the cluster numbers (clustered.ts).

import { hashOf, mergeConfigs, snapshotOf } from './config/merge.ts'
import type { DynamicConfig, Revision, Snapshot } from './config/model.ts'
import { parseSnapshot } from './config/schema.ts'

export class SnapshotBuilder {
  private readonly parts = new Map<string, DynamicConfig>()
  private revision: Revision
  private hash: string

  /** Goes on from a snapshot kept on disk, so that revisions never go backwards. */
  constructor(from: Snapshot | null) {
    this.revision = from?.revision ?? { term: 0, leader: '', sequence: 0 }
    this.hash = from?.hash ?? ''
  }

  /** A provider's whole configuration. @returns the new snapshot, or null when nothing has changed */
  update(provider: string, config: DynamicConfig): Snapshot | null {
    const next = snapshotOf(this.merge(provider, config), { ...this.revision, sequence: this.revision.sequence + 1 })
    if (next.hash === this.hash) return null
    this.revision = next.revision
    this.hash = next.hash
    return next
  }

  /** The whole configuration with this new part of a provider's, not numbered. */
  merge(provider: string, config: DynamicConfig): DynamicConfig {
    this.parts.set(provider, config)
    // In an order that does not depend on who was first, so that every replica settles a clash of names the same way.
    const parts = [...this.parts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, part]) => part)
    return mergeConfigs(parts)
  }

  /** Forgets all parts: another replica has fetched for a while, and what they say may be old. */
  clear(): void {
    this.parts.clear()
  }
}

/** A revision for people: `0.17`. */
export function formatRevision(revision: Revision): string {
  return `${revision.term}.${revision.sequence}`
}

/**
 * A snapshot read from disk, or the reason why it is none. One whose content is not that of its hash (someone has edited it) is
 * as good as any while no manager answers, but it must not be taken for what the managers last said: it gets the hash it should
 * have, and no term: what other members hold under that revision replaces it.
 */
export function restoreSnapshot(value: unknown, warn: (message: string) => void): Snapshot | string {
  const result = parseSnapshot(value)
  if (!result.ok) return result.message
  const hash = hashOf(result.snapshot)
  if (hash === result.snapshot.hash) return result.snapshot
  warn('the configuration kept on disk was changed by something other than Skein; it counts until a manager answers')
  const { sequence } = result.snapshot.revision
  return { ...result.snapshot, revision: { term: 0, leader: '', sequence }, hash }
}
