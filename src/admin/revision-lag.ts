// How far a member's configuration is behind its leader's: one definition for `skein status` and for the metrics.

export interface RevisionPosition {
  readonly term: number
  readonly leader: string
  readonly sequence: number
}

/**
 * Sequences that `held` is behind `target`, the leader's; 0: up to date, or no leader has told of any. Sequences of two terms
 * cannot be counted against each other: a member that holds nothing, or something of another term, is 1 behind until it catches
 * up.
 */
export function revisionLag(held: RevisionPosition | null, target: RevisionPosition | null): number {
  if (target === null) return 0
  if (held === null || held.term !== target.term || held.leader !== target.leader) return 1
  return Math.max(0, target.sequence - held.sequence)
}
