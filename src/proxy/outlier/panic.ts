// The panic threshold: how many of a service's servers may be out at a time. Where most servers seem bad, the fault is rather
// with the one who judges (a broken network of its own, a request that no server can answer, a peer that talks nonsense), or
// those who are left would break down under the load of all. So what is uncertain (5xx runs, resets, doubts, what others say)
// ejects at most half of the servers that could be used, those that are out for other reasons counted in, and never the only one.
// A connect of one's own that failed is certain: such a server is of no use even in panic, and is ejected beyond the half.
// Nothing is lost by that: when nobody else is left, balancers use ejected servers all the same (eligible.ts).

import type { UpstreamServer } from '../upstream/upstream-server.ts'

/** May `server`, which is in, be taken out at `nowMs` for what is not certain? One that belongs to no service may. */
export function mayEject(server: UpstreamServer, nowMs: number): boolean {
  if (server.pool === null) return true
  const { servers } = server.pool
  let usable = 0
  let out = 1
  for (let i = 0; i < servers.length; i++) {
    const one = servers[i]!
    if (!one.healthy || one.draining) continue
    // A server of weight 0 cannot take over new clients. Its own sessions may move to all other servers.
    if (one.weight <= 0 && server.weight > 0) continue
    usable++
    if (one !== server && one.ejectedUntilMs > nowMs) out++
  }
  return out * 2 <= usable
}

/** It has answered of late and nothing has failed since: a request that comes back from elsewhere is well placed there. */
export function isProven(server: UpstreamServer, nowMs: number): boolean {
  return (
    server.errorShare >= 0 &&
    server.failures === 0 &&
    server.ejectedUntilMs <= nowMs &&
    server.healthy &&
    !server.draining &&
    server.weight > 0
  )
}

/** There is another server that requests could go to instead. */
export function hasProvenOther(server: UpstreamServer, nowMs: number): boolean {
  if (server.pool === null) return false
  const { servers } = server.pool
  for (let i = 0; i < servers.length; i++) if (servers[i] !== server && isProven(servers[i]!, nowMs)) return true
  return false
}

/**
 * Less than half of the service's other servers fail as well, by the last answer (all may have begun to fail a moment ago)
 * or by half of those of late. Those that are out, or have not answered yet, say nothing; if that goes for all of them there is
 * nothing to compare with.
 */
export function othersDoBetter(server: UpstreamServer, nowMs: number): boolean {
  if (server.pool === null) return false
  const { servers } = server.pool
  let failing = 0
  let judged = 0
  for (let i = 0; i < servers.length; i++) {
    const one = servers[i]!
    if (one === server || one.errorShare < 0 || one.ejectedUntilMs > nowMs || one.draining || !one.healthy) continue
    judged++
    if (one.errorShare >= 0.5 || one.errorRun > 0) failing++
  }
  return failing * 2 < judged
}
