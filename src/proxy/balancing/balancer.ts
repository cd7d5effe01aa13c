// The balancing methods by the name that a service's configuration gives. A balancer belongs to one service in one worker and
// outlives snapshots. Picking allocates nothing. Callers pass a new array whenever the set of servers or a weight has changed.

import type { BalancerMethod } from '../../config/model.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { DynamicRoundRobin } from './dynamic-round-robin.ts'
import { PowerOfTwo } from './power-of-two.ts'
import { Rendezvous } from './rendezvous.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

export interface Balancer {
  /**
   * The server for a new request, never one of `tried`; null if none may be used. Ejected servers are picked only when no other
   * is left. Only rendezvous reads `key`. `nowMs` is monotonic.
   */
  pick(
    servers: readonly UpstreamServer[],
    tried: readonly UpstreamServer[] | null,
    key: string,
    nowMs: number,
  ): UpstreamServer | null
}

/** `random` returns numbers in [0, 1). Tests pass a seeded one. */
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
