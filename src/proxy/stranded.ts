// Services that no server of has ever been reached from here: an edge that is on none of their networks, a firewall between. A
// request that waits for such a service waits in vain, so it is refused at once. Probes go on (server-watch.ts); the first connect
// that stands, or a new server, ends it.

import type { RuntimeService } from './runtime.ts'
import type { UpstreamServer } from './upstream-server.ts'

/** So many servers that cannot be reached speak for all of a service. */
export const ENOUGH = 8

/**
 * True if no server of the service was ever reached and all of them (of many: ENOUGH) are known to be cut off, each for longer
 * than `graceMs`: what is new may need a moment until every node has a way to it. Monotonic ms.
 */
export function isStranded({ servers }: Pick<RuntimeService, 'servers'>, nowMs: number, graceMs: number): boolean {
  let usable = 0
  let lost = 0
  for (const server of servers) {
    if (server.reached || nowMs - server.knownMs < graceMs) return false
    if (server.draining || server.weight <= 0) continue
    usable++
    if (isLost(server, nowMs)) lost++
  }
  return usable > 0 && lost >= Math.min(usable, ENOUGH)
}

/** A connect found no way to it. One that refuses connects has been reached. */
function isLost(server: UpstreamServer, nowMs: number): boolean {
  if (!server.healthy) return server.checkUnreachable
  const { ejectedFor } = server
  return server.ejectedUntilMs > nowMs && (ejectedFor === 'timeout' || ejectedFor === 'unreachable')
}
