// What a beat tells that the one before it did not. Pure; a part of membership.ts.

import { type Beat, compareRevisions, compareTerms } from './model.ts'

/** Sent before what is known already and overtaken by it. */
export function isOlder(beat: Beat, known: Beat): boolean {
  if (compareTerms(beat.term, known.term) < 0) return true
  return known.revision !== null && (beat.revision === null || compareRevisions(beat.revision, known.revision) < 0)
}

/** Something that people or the relay may want to know, beyond that it is alive. */
export function differs(a: Beat, b: Beat): boolean {
  return (
    a.role !== b.role ||
    a.name !== b.name ||
    a.hash !== b.hash ||
    compareTerms(a.term, b.term) !== 0 ||
    (a.revision === null) !== (b.revision === null) ||
    (a.revision !== null && b.revision !== null && compareRevisions(a.revision, b.revision) !== 0) ||
    a.local.manager !== b.local.manager ||
    a.local.managerHealthy !== b.local.managerHealthy ||
    a.local.unreachableAll !== b.local.unreachableAll ||
    !sameList(a.local.unreachable, b.local.unreachable) ||
    !sameList(a.local.addresses, b.local.addresses) ||
    !sameList(a.local.relay, b.local.relay)
  )
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index])
}
