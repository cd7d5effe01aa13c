// What an answer says of the server that gave it: how long it took, and whether it was the server's own failure. Dynamic round
// robin and the silence rule read it; ejection hears that the server lives. Called once per response, so it only moves numbers.

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { noteSuccess } from './ejection.ts'

/** Share of the newest answer in the means. */
const NEWEST = 0.1
/** Below this a share counts as none: it would shrink for ever. */
const NO_SHARE = 0.001

/**
 * A response head with `status` came `headMs` milliseconds after its request had been sent. True where a run of 5xx has become so
 * long that noteErrorRun (ejection.ts) should judge the server.
 */
export function noteAnswer(server: UpstreamServer, status: number, headMs: number): boolean {
  server.latencyMs =
    server.answers === 0 && server.latencyMs === 0 ? headMs : server.latencyMs + (headMs - server.latencyMs) * NEWEST
  server.answers++
  if (status >= 500 && status <= 599) return noteError(server, status)
  server.errorRun = 0
  if (server.errorShare !== 0) server.errorShare = server.errorShare < NO_SHARE ? 0 : server.errorShare * (1 - NEWEST)
  noteSuccess(server)
  return false
}

/**
 * Notes an answer whose head or body could not be read. The server accepts connections and answers, so a run of resets ends and
 * the server is not ejected. For dynamic round robin it is an error like a 502. A run of 5xx neither grows nor ends.
 */
export function noteUnparsable(server: UpstreamServer): void {
  server.answers++
  server.errors++
  server.failures = 0
  server.successes = 0
  server.errorShare = server.errorShare < 0 ? 1 : server.errorShare + (1 - server.errorShare) * NEWEST
}

function noteError(server: UpstreamServer, status: number): boolean {
  // As oxy's meter: 500 to 504 are the server's fault.
  if (status <= 504) server.errors++
  server.errorShare = server.errorShare < 0 ? 1 : server.errorShare + (1 - server.errorShare) * NEWEST
  server.errorRun++
  // It answers, so resets in a row are over; but it is no answer to forgive it anything for.
  server.failures = 0
  server.successes = 0
  // Where a run does not eject (all are bad), only another run asks again.
  return server.errorLimit > 0 && server.errorRun % server.errorLimit === 0
}
