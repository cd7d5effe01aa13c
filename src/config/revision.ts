// The text form of a revision, for log lines and terminals.

/** `TERM.SEQUENCE`, such as `0.17`; `none yet` for null. */
export function formatRevision(revision: { readonly term: number; readonly sequence: number } | null): string {
  return revision === null ? 'none yet' : `${revision.term}.${revision.sequence}`
}
