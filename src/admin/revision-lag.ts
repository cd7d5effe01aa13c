// How many revisions a member is behind its leader: the definition that `skein status` and the metrics share.

export interface RevisionPosition {
  readonly term: number
  readonly leader: string
  readonly sequence: number
}

/**
 * Revisions that `held` is behind the leader's `target`; 0 if it is up to date or no leader has announced one. Sequences of different
 * terms cannot be compared: a member without a revision, or with one of another term, is 1 behind.
 */
export function revisionLag(held: RevisionPosition | null, target: RevisionPosition | null): number {
  if (target === null) return 0
  if (held === null || held.term !== target.term || held.leader !== target.leader) return 1
  return Math.max(0, target.sequence - held.sequence)
}
