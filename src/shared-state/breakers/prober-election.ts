// Elects the member that probes a service whose breaker is half-open. All members compute the same ranking; each waits for
// those ranked before it. Usually one member probes, and the next takes over if that one has failed or has no traffic. Pure.

import { createHash } from 'node:crypto'
import type { Peer } from '../part.ts'

/** Time after which the next member in rank may probe as well, ms. */
export const PROBE_TURN_MS = 1_000
/** Time during which the probe of a live member blocks the others, ms. */
export const CLAIM_MS = 10_000
/** Time after which an unused probe grant passes to a worker with requests, ms. */
export const UNUSED_GRANT_MS = 100
/** Retry-After of requests refused while a probe is pending, ms. */
export const PROBE_RETRY_MS = 1_000

/** Rank of this member: 0 probes first. */
export function proberRank(peers: readonly Peer[], service: string, epoch: number): number {
  const self = peers.find(peer => peer.self)
  if (self === undefined) return 0
  const own = weight(service, epoch, self.id)
  return peers.filter(peer => !peer.self && weight(service, epoch, peer.id) > own).length
}

function weight(service: string, epoch: number, id: string): string {
  return createHash('sha1').update(`${service}\0${epoch}\0${id}`).digest('hex')
}
