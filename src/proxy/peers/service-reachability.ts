// Whether the servers of a service can be reached from this replica. Pure: reads what ejection and health checks recorded. A server
// that refuses connections, drains or answers with errors is reachable; one whose connects time out, or that stopped responding, is not.

import type { FailureCause, UpstreamServer } from '../upstream/upstream-server.ts'

/**
 * `usable`: at least one server may be reachable. `none`: the service has no server to reach. Otherwise no server is reachable, for
 * this cause.
 */
export type Reachability = 'usable' | 'none' | FailureCause

/** `nowMs` is monotonic. */
export function serviceReachability(servers: readonly UpstreamServer[], nowMs: number): Reachability {
  let cause: FailureCause | null = null
  let responds = false
  for (const server of servers) {
    if (server.draining || server.weight <= 0) continue
    if (!server.healthy) {
      if (server.checkUnreachable) cause ??= 'unreachable'
      else responds = true
    } else if (server.ejectedUntilMs <= nowMs || acceptsConnections(server)) return 'usable'
    else if (server.ejectedFor === 'refused') responds = true
    else cause ??= server.ejectedFor
  }
  return cause ?? (responds ? 'usable' : 'none')
}

/** It accepts connections, or no connect has shown yet that it does not. */
function acceptsConnections({ ejectedFor }: UpstreamServer): boolean {
  return ejectedFor === 'reset' || ejectedFor === 'late' || ejectedFor === 'errors' || ejectedFor === 'doubt'
}
