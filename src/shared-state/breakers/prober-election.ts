// Who probes a service whose breaker is half-open. All members rank each other alike; each waits for those before it, so that one
// probes as a rule, and another takes over from one that has died, or has no traffic to probe with. Pure.

import { createHash } from 'node:crypto'
import type { Peer } from '../part.ts'

/** A member has so long before the next one in rank may probe as well, ms. */
export const TURN_MS = 1_000
/** While one that is alive has a probe under way, the others wait for so long, ms. */
export const CLAIM_MS = 10_000
/** A worker that has the probe in hand and gets no request loses it to one that does, ms. */
export const HOLD_MS = 100
/** What a refused client is told while a probe is awaited, ms. */
export const PROBE_RETRY_MS = 1_000

/** This member's place among all: 0 is the first. */
export function rankOf(peers: readonly Peer[], service: string, epoch: number): number {
  const self = peers.find(peer => peer.self)
  if (self === undefined) return 0
  const own = weight(service, epoch, self.id)
  return peers.filter(peer => !peer.self && weight(service, epoch, peer.id) > own).length
}

function weight(service: string, epoch: number, id: string): string {
  return createHash('sha1').update(`${service}\0${epoch}\0${id}`).digest('hex')
}
