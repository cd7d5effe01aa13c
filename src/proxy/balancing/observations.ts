// What an answer says of the server that gave it: how long it took, and whether it was the server's own failure. Dynamic round
// robin and the silence rule read it; ejection hears that the server lives. Called once per response, so it only moves numbers.

import type { UpstreamServer } from '../upstream-server.ts'
import { noteSuccess } from './ejection.ts'

/** Share of the newest answer in the mean. */
const NEWEST = 0.1

/** A response head with `status` came `headMs` milliseconds after its request had been sent. */
export function noteAnswer(server: UpstreamServer, status: number, headMs: number): void {
  server.latencyMs =
    server.answers === 0 && server.latencyMs === 0 ? headMs : server.latencyMs + (headMs - server.latencyMs) * NEWEST
  server.answers++
  // As oxy's meter: 500 to 504 are the server's fault.
  if (status >= 500 && status <= 504) server.errors++
  noteSuccess(server)
}
