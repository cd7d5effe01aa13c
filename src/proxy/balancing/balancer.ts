// The one door to the balancers: by the name a service's configuration gives. A balancer belongs to one service in one worker and
// outlives snapshots. It never allocates while it picks. Callers hand in a new array whenever the set of servers or a weight has
// changed.

import type { BalancerMethod } from '../../config/model.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { DynamicRoundRobin } from './dynamic-round-robin.ts'
import { PowerOfTwo } from './power-of-two.ts'
import { Rendezvous } from './rendezvous.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

export interface Balancer {
  /**
   * The server for a new request, never one of those in `tried`; null if none may be used. Ejected servers are chosen only when
   * nobody else is left. `key` matters to rendezvous only; `nowMs` is monotonic.
   */
  pick(
    servers: readonly UpstreamServer[],
    tried: readonly UpstreamServer[] | null,
    key: string,
    nowMs: number,
  ): UpstreamServer | null
}

/** `random` gives numbers from 0 up to, not including, 1; hand in a seeded one for a test that repeats itself. */
export function createBalancer(method: BalancerMethod, random: () => number = Math.random): Balancer {
  switch (method) {
    case 'wrr':
      return new WeightedRoundRobin(random())
    case 'drr':
      return new DynamicRoundRobin(random())
    case 'p2c':
      return new PowerOfTwo(random)
    case 'rendezvous':
      return new Rendezvous()
  }
}
