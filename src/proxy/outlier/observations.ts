// Statistics of a server's responses: latency, share of 5xx, runs of 5xx. Dynamic round robin, the no-response probe and ejection
// read them. Called once per response; only changes numeric fields.

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { noteSuccess } from './ejection.ts'

/** Weight of the newest response in the moving averages. */
const NEWEST = 0.1
/** A share below this is set to 0. It would otherwise shrink forever. */
const NO_SHARE = 0.001

/**
 * Records a response head that arrived `headMs` ms after its request was sent. @returns whether a run of 5xx has reached the
 * length at which noteErrorRun (ejection.ts) judges the server
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
 * Records a response whose head or body cannot be parsed. The server accepts connections and responds, so the count of resets starts
 * again and the server is not ejected. Dynamic round robin counts an error, as for a 502. A run of 5xx neither grows nor ends.
 */
export function noteUnparsable(server: UpstreamServer): void {
  server.answers++
  server.errors++
  server.failures = 0
  server.successes = 0
  server.errorShare = server.errorShare < 0 ? 1 : server.errorShare + (1 - server.errorShare) * NEWEST
}

function noteError(server: UpstreamServer, status: number): boolean {
  // 500 to 504 count as errors of the server, as in oxy's meter (github.com/vulcand/oxy, memmetrics).
  if (status <= 504) server.errors++
  server.errorShare = server.errorShare < 0 ? 1 : server.errorShare + (1 - server.errorShare) * NEWEST
  server.errorRun++
  // The server responds, so the count of resets starts again. A 5xx does not shorten the next ejection.
  server.failures = 0
  server.successes = 0
  // If this run does not eject because all servers fail, only another full run is judged.
  return server.errorLimit > 0 && server.errorRun % server.errorLimit === 0
}
