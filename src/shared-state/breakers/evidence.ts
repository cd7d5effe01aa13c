// Whose word counts when members see a service differently. Whoever was cut off from the others, and from the servers, has opened
// a breaker by what he saw alone; when he is back his word must not stop a service that is well everywhere else. Pure.

import type { Breaker } from '../../config/model.ts'
import { holds, unpackCounts } from './counts.ts'
import type { BreakerRecord } from './record.ts'
import type { Window } from './window.ts'

/**
 * What happened so long ago every member that was not cut off has heard of; newer requests prove nothing, for counts travel up to
 * a second. And so much of it, for two members never see quite the same.
 */
const HEARD_S = 3
const FAR_MORE = 2

/**
 * `record` was written by a member that was cut off, for it knew far less of the others' older requests than is known here; and
 * with all of them the expression does not hold. Between members that hear each other the word of one is good for all, though
 * each sees the figures at another moment.
 */
export function isOutweighed({ id, own, because }: BreakerRecord, config: Breaker, window: Window, nowMs: number): boolean {
  const his = unpackCounts(own)
  if (his === null) return false
  const knewOfOthers = Math.max(0, because.requests - his.requests)
  if (window.totalWithout(id, nowMs, HEARD_S).requests < knewOfOthers * FAR_MORE + config.minRequests) return false
  const all = window.totalWithout(id, nowMs)
  all.addAll(his)
  return !holds(config.when, all)
}

/** There are enough requests to say that nothing is wrong. */
export function isWell(config: Breaker, window: Window, nowMs: number): boolean {
  const all = window.total(nowMs)
  return all.requests >= config.minRequests && !holds(config.when, all)
}
