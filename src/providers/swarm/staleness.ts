// Detects a stale manager. Every Swarm object carries the raft index of its last change, so an object older than one already
// seen comes from a manager that lags behind. A missing object proves nothing, because it may have been removed. Pure; the
// clock is passed in.

export interface Versioned {
  readonly ID: string
  readonly Version: { readonly Index: number }
}

/** Objects that were not seen for this long are forgotten, ms. */
const FORGET_AFTER_MS = 10 * 60_000
const MAX_OBJECTS = 200_000

export interface StalenessDetector {
  /** The reason why this read as a whole is stale, or null. Changes nothing. */
  stale(objects: readonly Versioned[]): string | null
  /** Records the objects of an accepted read. */
  accept(objects: readonly Versioned[], nowMs: number): void
  /** Forgets everything, for a swarm that was restored from a backup. */
  reset(): void
}

export function createStalenessDetector(): StalenessDetector {
  const known = new Map<string, { index: number; seenAt: number }>()
  let prunedAt = 0
  return {
    stale(objects) {
      for (const object of objects) {
        const before = known.get(object.ID)
        if (before !== undefined && object.Version.Index < before.index) {
          return `${object.ID} is at index ${object.Version.Index}, but ${before.index} was seen before`
        }
      }
      return null
    },
    accept(objects, nowMs) {
      for (const object of objects) {
        const before = known.get(object.ID)
        if (before === undefined) known.set(object.ID, { index: object.Version.Index, seenAt: nowMs })
        else {
          before.index = object.Version.Index
          before.seenAt = nowMs
        }
      }
      if (nowMs - prunedAt < FORGET_AFTER_MS / 10 && known.size < MAX_OBJECTS) return
      prunedAt = nowMs
      for (const [id, { seenAt }] of known) if (nowMs - seenAt > FORGET_AFTER_MS) known.delete(id)
      for (const id of known.keys()) {
        if (known.size < MAX_OBJECTS) break
        known.delete(id)
      }
    },
    reset: () => known.clear(),
  }
}
