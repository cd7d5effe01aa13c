// The store of a replica that is in no cluster: the same store as a member's, without a network.

import { GossipStore } from './gossip.ts'
import type { InnerStore } from './model.ts'

/**
 * @param now monotonic ms
 * @param wall wall clock, ms
 */
export function memoryStore(origin: string, now = () => performance.now(), wall = () => Date.now()): InnerStore {
  return new GossipStore({ origin, network: null, log: null, now, wall })
}
