// What the API of an emulated node reads from and asks of its swarm, and the form of its answers. Below server.ts and routes.ts, which
// both need it.

import type { Timers } from './clock.ts'
import type { NodeObject, ServiceObject, ServiceSpec, SwarmNetwork } from './docker-objects.ts'
import type { Raft } from './raft.ts'
import type { Store, Tables } from './store.ts'
import type { Timing } from './timing.ts'

export interface SwarmAccess {
  readonly store: Store
  readonly raft: Raft
  readonly timers: Timers
  readonly timing: Timing
  readonly clusterId: string
  /** The state that this node answers from; an old copy if it is stale. */
  tables(): Tables
  /** Whether this node's event streams deliver no events of the swarm. */
  suppressesEvents(): boolean
  createService(spec: ServiceSpec): ServiceObject
  replaceSpec(id: string, spec: ServiceSpec): ServiceObject
  removeService(name: string): void
  setAvailability(name: string, availability: NodeObject['Spec']['Availability']): void
  setNodeSpec(name: string, labels: Readonly<Record<string, string>>): void
  createNetwork(name: string, subnet: string): SwarmNetwork
}

export interface Reply {
  readonly status: number
  readonly body: unknown
}
