// Who may be given a new request. One question, asked in every balancer's inner loop, so it allocates nothing.
// Ejection is a preference, never a sentence: when nobody else is left a balancer asks again with IGNORE_EJECTION as the time.
// A server that failed its active check or drains is never used. One of weight 0 gets no new client; sessions that are on it stay.

import type { UpstreamServer } from '../upstream/upstream-server.ts'

/** Given as `nowMs` this makes every ejection a thing of the past. */
export const IGNORE_EJECTION = Number.POSITIVE_INFINITY

/** True if `server` may get a new request at `nowMs` (monotonic ms) and is not among those already tried for it. */
export function isEligible(server: UpstreamServer, tried: readonly UpstreamServer[] | null, nowMs: number): boolean {
  return server.weight > 0 && keepsSessions(server, tried, nowMs)
}

/** The same for a request whose session is on `server` already: the weight, which shares out new clients, does not matter. */
export function keepsSessions(server: UpstreamServer, tried: readonly UpstreamServer[] | null, nowMs: number): boolean {
  return server.healthy && !server.draining && server.ejectedUntilMs <= nowMs && (tried === null || !tried.includes(server))
}

/** True if it would keep its sessions once it can be reached: another replica may reach it now. */
export function couldBeReached(server: UpstreamServer): boolean {
  return keepsSessions(server, null, IGNORE_EJECTION) || isUnreached(server)
}

/** The active check could not even connect to it. */
export function isUnreached(server: UpstreamServer): boolean {
  return !server.healthy && server.checkUnreachable && !server.draining
}

/**
 * Those of them that all replicas can reach, as far as is known; all of them where none is disputed. Where two replicas each lack
 * a server that the other can reach, a session of theirs would otherwise be moved to and fro for as long as that lasts.
 */
export function reachableEverywhere(servers: readonly UpstreamServer[], nowMs: number): readonly UpstreamServer[] {
  for (let i = 0; i < servers.length; i++) {
    if (servers[i]!.unreachableElsewhereUntilMs > nowMs)
      return servers.filter(server => server.unreachableElsewhereUntilMs <= nowMs)
  }
  return servers
}
