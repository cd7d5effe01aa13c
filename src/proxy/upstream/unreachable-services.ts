// Services of which no server was ever reached from this replica: it is on none of their networks, or a firewall is between. To
// wait for such a server is in vain, so requests are refused at once. Probes go on (server-watch.ts); the first connect that
// succeeds, or a new server, ends this state.

import type { RuntimeService } from '../runtime.ts'
import type { UpstreamServer } from './upstream-server.ts'

/** With this many unreachable servers the whole service counts as unreachable. */
export const UNREACHABLE_SAMPLE = 8

/**
 * True if no server of the service was ever reached and all of them (of many: UNREACHABLE_SAMPLE) are known to be unreachable, and each has
 * been in the configuration for longer than `graceMs`: a new server may need a moment until every node has a route to it.
 * Monotonic ms.
 */
export function isServiceUnreachable({ servers }: Pick<RuntimeService, 'servers'>, nowMs: number, graceMs: number): boolean {
  let usable = 0
  let lost = 0
  for (const server of servers) {
    if (server.reached || nowMs - server.addedMs < graceMs) return false
    if (server.draining || server.weight <= 0) continue
    usable++
    if (isLost(server, nowMs)) lost++
  }
  return usable > 0 && lost >= Math.min(usable, UNREACHABLE_SAMPLE)
}

/** Connects to it time out or find no route. A server that refuses connects has been reached. */
function isLost(server: UpstreamServer, nowMs: number): boolean {
  if (!server.healthy) return server.checkUnreachable
  const { ejectedFor } = server
  return server.ejectedUntilMs > nowMs && (ejectedFor === 'timeout' || ejectedFor === 'unreachable')
}
