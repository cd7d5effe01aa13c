// Can the servers of a service be reached from here? Pure: what ejection and health checks have noted of them in, an answer out.
// A server that refuses, drains or answers badly is reached all the same; one that lets connects time out, or has fallen silent,
// is not.

import type { FailureCause, UpstreamServer } from '../upstream/upstream-server.ts'

/**
 * `usable`: at least one may be reached, or nobody knows better. `none`: there is no server to reach, and so nothing to say.
 * Otherwise none can be reached, and this is why.
 */
export type Reachability = 'usable' | 'none' | FailureCause

/** How it stands at `nowMs` (monotonic). */
export function serviceReachability(servers: readonly UpstreamServer[], nowMs: number): Reachability {
  let cause: FailureCause | null = null
  let answers = false
  for (const server of servers) {
    if (server.draining || server.weight <= 0) continue
    if (!server.healthy) {
      if (server.checkUnreachable) cause ??= 'unreachable'
      else answers = true
    } else if (server.ejectedUntilMs <= nowMs || isReached(server)) return 'usable'
    else if (server.ejectedFor === 'refused') answers = true
    else cause ??= server.ejectedFor
  }
  return cause ?? (answers ? 'usable' : 'none')
}

/** It takes connections, or nobody has shown yet that it does not. */
function isReached({ ejectedFor }: UpstreamServer): boolean {
  return ejectedFor === 'reset' || ejectedFor === 'late' || ejectedFor === 'errors' || ejectedFor === 'doubt'
}
