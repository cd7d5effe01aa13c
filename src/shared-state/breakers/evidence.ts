// Decides when members see a service differently. A member that was cut off from the others and from the servers opens a
// breaker on its own counts alone; when it returns, its record must not stop a service that works for all others. Pure.

import type { Breaker } from '../../config/model.ts'
import { holds, unpackCounts } from './counts.ts'
import type { BreakerRecord } from './record.ts'
import type { Window } from './window.ts'

/**
 * Requests older than this have reached every connected member, s: counts take up to a second to arrive. And the excess of
 * requests that proves a partition, because two members never count quite the same.
 */
const SETTLED_S = 3
const MIN_EXCESS = 2

/**
 * Whether `record` was written by a member that was cut off: it counted far fewer of the others' older requests than are
 * counted here, and the expression does not hold on all of them. Connected members follow each other's records, although each
 * sees the figures at another moment.
 */
export function isOutweighed({ id, own, because }: BreakerRecord, config: Breaker, window: Window, nowMs: number): boolean {
  const author = unpackCounts(own)
  if (author === null) return false
  const countedRemote = Math.max(0, because.requests - author.requests)
  if (window.totalWithout(id, nowMs, SETTLED_S).requests < countedRemote * MIN_EXCESS + config.minRequests) return false
  const all = window.totalWithout(id, nowMs)
  all.addAll(author)
  return !holds(config.when, all)
}

/** Whether there are enough requests and the expression does not hold. */
export function isWell(config: Breaker, window: Window, nowMs: number): boolean {
  const all = window.total(nowMs)
  return all.requests >= config.minRequests && !holds(config.when, all)
}
