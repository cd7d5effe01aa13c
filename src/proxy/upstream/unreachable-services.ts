// Services of which no server was ever reached from this replica: it is on none of their networks, or a firewall blocks the way. Their
// requests fail at once instead of waiting. Probes continue (server-watch.ts); the first successful connect, or a new server, ends
// this state.

import type { RuntimeService } from '../runtime-service.ts'
import type { UpstreamServer } from './upstream-server.ts'

/** Unreachable servers after which the whole service counts as unreachable. */
export const UNREACHABLE_SAMPLE = 8

/**
 * True if no server of the service was ever reached, each has been configured for `graceMs` (nodes need a moment until they have a
 * route to a new server), and enough are known to be unreachable: all, or UNREACHABLE_SAMPLE of a larger service. Monotonic ms.
 */
export function isServiceUnreachable({ servers }: Pick<RuntimeService, 'servers'>, nowMs: number, graceMs: number): boolean {
  let usable = 0
  let unreachable = 0
  for (const server of servers) {
    if (server.reached || nowMs - server.addedMs < graceMs) return false
    if (server.draining || server.weight <= 0) continue
    usable++
    if (isUnreachable(server, nowMs)) unreachable++
  }
  return usable > 0 && unreachable >= Math.min(usable, UNREACHABLE_SAMPLE)
}

/** Connects time out or find no route. A server that refuses connections is reachable. */
function isUnreachable(server: UpstreamServer, nowMs: number): boolean {
  if (!server.healthy) return server.checkUnreachable
  const { ejectedFor } = server
  return server.ejectedUntilMs > nowMs && (ejectedFor === 'timeout' || ejectedFor === 'unreachable')
}
