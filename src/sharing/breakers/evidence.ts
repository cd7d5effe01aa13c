// Whose word counts when members see a service differently. Whoever was cut off from the others, and from the servers, has opened
// a breaker by what he saw alone; when he is back his word must not stop a service that is well everywhere else. Pure.

import type { Breaker } from '../../config/model.ts'
import { holds, unpackCounts } from './counts.ts'
import type { BreakerRecord } from './record.ts'
import type { Window } from './window.ts'

/** What others have counted is always a little older where it was told than where it was counted. */
const LAG = 1.3

/**
 * `record` was written by a member that knew far less of the others' requests than is known here, and with all of them the
 * expression does not hold.
 */
export function isOutweighed({ id, own, because }: BreakerRecord, config: Breaker, window: Window, nowMs: number): boolean {
  const his = unpackCounts(own)
  if (his === null) return false
  const all = window.totalWithout(id, nowMs)
  const knewOfOthers = Math.max(0, because.requests - his.requests)
  if (all.requests < knewOfOthers * LAG + config.minRequests) return false
  all.addAll(his)
  return !holds(config.when, all)
}

/** There are enough requests to say that nothing is wrong. */
export function isWell(config: Breaker, window: Window, nowMs: number): boolean {
  const all = window.total(nowMs)
  return all.requests >= config.minRequests && !holds(config.when, all)
}
