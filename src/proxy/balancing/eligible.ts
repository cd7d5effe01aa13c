// Whether a server may get a request. Called in the inner loop of every balancer, so it allocates nothing.
// Ejection is advisory: when no other server is left, balancers repeat the search with IGNORE_EJECTION as the time. A server that
// fails its active check or drains is never used. A server of weight 0 gets no new client and keeps its sessions.

import type { UpstreamServer } from '../upstream/upstream-server.ts'

/** Passed as `nowMs`, this makes every ejection expired. */
export const IGNORE_EJECTION = Number.POSITIVE_INFINITY

/** True if `server` may get a new request at `nowMs` (monotonic ms) and is not in `tried`. */
export function isEligible(server: UpstreamServer, tried: readonly UpstreamServer[] | null, nowMs: number): boolean {
  return server.weight > 0 && keepsSessions(server, tried, nowMs)
}

/** The same for a request whose session is on `server`: the weight does not matter, because it distributes new clients only. */
export function keepsSessions(server: UpstreamServer, tried: readonly UpstreamServer[] | null, nowMs: number): boolean {
  return server.healthy && !server.draining && server.ejectedUntilMs <= nowMs && (tried === null || !tried.includes(server))
}

/** True if it keeps its sessions once it is reachable: another replica may reach it now. */
export function couldBeReached(server: UpstreamServer): boolean {
  return keepsSessions(server, null, IGNORE_EJECTION) || isUnreached(server)
}

/** True if the active check cannot connect to it. */
export function isUnreached(server: UpstreamServer): boolean {
  return !server.healthy && server.checkUnreachable && !server.draining
}

/**
 * The servers that no replica reports as unreachable; all servers if none is reported. If two replicas each cannot reach a server
 * that the other can, sessions would otherwise move back and forth between the two servers.
 */
export function reachableEverywhere(servers: readonly UpstreamServer[], nowMs: number): readonly UpstreamServer[] {
  for (let i = 0; i < servers.length; i++) {
    if (servers[i]!.unreachableElsewhereUntilMs > nowMs)
      return servers.filter(server => server.unreachableElsewhereUntilMs <= nowMs)
  }
  return servers
}
