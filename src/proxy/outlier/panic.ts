// The panic threshold: how many servers of a service may be ejected at once. If most servers look bad, the cause is more likely
// this replica's network, a request that no server can handle, or a faulty peer; or the remaining servers would be overloaded.
// Uncertain causes (runs of 5xx, resets, suspicion, reports of others) eject at most half of the usable servers, counting those
// that are out for other reasons, and never the only one. A failed connect of this worker is certain and ejects beyond the half.
// Balancers still use ejected servers when no other is left (eligible.ts).

import type { UpstreamServer } from '../upstream/upstream-server.ts'

/** True if an uncertain cause may eject `server`, which is in, at `nowMs`. A server without a pool may always be ejected. */
export function mayEject(server: UpstreamServer, nowMs: number): boolean {
  if (server.pool === null) return true
  const { servers } = server.pool
  let usable = 0
  let out = 1
  for (let i = 0; i < servers.length; i++) {
    const one = servers[i]!
    if (!one.healthy || one.draining) continue
    // A server of weight 0 takes no new clients, so it cannot replace `server`. Sessions of a server of weight 0 may move to any
    // other.
    if (one.weight <= 0 && server.weight > 0) continue
    usable++
    if (one !== server && one.ejectedUntilMs > nowMs) out++
  }
  return out * 2 <= usable
}

/** True if the server has responded and nothing has failed since: a good target for a request that is moved. */
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

/** True if the pool has another proven server. */
export function hasProvenOther(server: UpstreamServer, nowMs: number): boolean {
  if (server.pool === null) return false
  const { servers } = server.pool
  for (let i = 0; i < servers.length; i++) if (servers[i] !== server && isProven(servers[i]!, nowMs)) return true
  return false
}

/**
 * True if fewer than half of the other servers fail too, judged by the last response (all may have begun to fail a moment ago) or
 * by the share of 5xx. Servers that are out or have not responded yet are not counted; without any counted server there is
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
