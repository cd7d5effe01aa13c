// A store without peers: the memory of a replica on its own. The same store as a member's, with nobody to talk to.

import { GossipStore } from './gossip.ts'
import type { InnerStore } from './model.ts'

/** `now` is monotonic ms, `wall` the wall clock. */
export function memoryStore(origin: string, now = () => performance.now(), wall = () => Date.now()): InnerStore {
  return new GossipStore({ origin, network: null, log: null, now, wall })
}
