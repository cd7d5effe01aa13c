// What the leader's provider tells the others' beyond the configuration: the managers, and the own addresses of the nodes that run
// replicas, so that followers need not ask any manager. Travels as plain JSON, and is hostile until checked. Pure.

import { isIP } from 'node:net'
import { z } from 'zod'
import { parseEndpoint } from './endpoint.ts'
import type { LearnedManager } from './learned-store.ts'
import { findOwnService, type Swarm } from './peers.ts'
import { nodeAddressOf } from './roster.ts'

const MOST = 256

/** The managers, as far as one replica can tell another. */
export interface KnownManagers {
  /** Learned from the swarm itself: the managers at their nodes' own addresses. */
  readonly managers: readonly LearnedManager[]
  /** Other endpoints (of the options, by DNS) of which the node is known. */
  readonly identified: readonly LearnedManager[]
  /** Ids of the nodes that are managers. */
  readonly nodes: readonly string[]
}

/** The own address of a node that runs a replica; `name` is the replica's (--name) in the stack file: its node's host name. */
export interface ReplicaAddress {
  readonly name: string
  readonly address: string
}

export interface SwarmShared extends KnownManagers {
  /** Id of the service that the replicas are tasks of; '' when they are tasks of none in this swarm. */
  readonly service: string
  readonly replicas: readonly ReplicaAddress[]
}

export const NOTHING_SHARED: SwarmShared = { managers: [], identified: [], nodes: [], service: '', replicas: [] }

const id = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/)
const manager = z.object({
  endpoint: z.string().max(512).refine(isRemote),
  nodeId: id,
  hostname: z.string().max(1024),
})
const sharedSchema = z.object({
  managers: z.array(manager).max(MOST),
  identified: z.array(manager).max(MOST),
  nodes: z.array(id).max(MOST),
  service: id.or(z.literal('')),
  replicas: z
    .array(z.object({ name: z.string().min(1).max(1024), address: z.string().refine(text => isIP(text) !== 0) }))
    .max(MOST),
})

/** Another replica's word, checked; null when it is not what this file writes. */
export function readShared(value: unknown): SwarmShared | null {
  return sharedSchema.safeParse(value).data ?? null
}

/** Cut to what `readShared` takes; equal knowledge gives equal JSON. */
export function writeShared(known: KnownManagers, service: string, replicas: readonly ReplicaAddress[]): SwarmShared {
  const good = (one: LearnedManager): boolean => manager.safeParse(one).success
  return {
    managers: known.managers.filter(good).slice(0, MOST),
    identified: known.identified.filter(good).slice(0, MOST),
    nodes: known.nodes.filter(node => id.safeParse(node).success).slice(0, MOST),
    service,
    replicas: replicas.slice(0, MOST),
  }
}

/**
 * The nodes that run replicas, by name: those of the active tasks of the replicas' own service, and those known before whose node
 * Swarm holds for lost: it counts its tasks no longer, but its replica may well live on and be reached at just this address.
 * `before.service` helps a replica that Swarm itself has given up, and that cannot find its own task any more.
 */
export function replicaAddresses(
  swarm: Swarm,
  ownName: string,
  ownContainer: string | null,
  before: { readonly service: string; readonly replicas: readonly ReplicaAddress[] },
  loopback: boolean,
): { readonly service: string; readonly replicas: readonly ReplicaAddress[] } {
  const found = findOwnService(swarm, ownName, ownContainer)
  const service = found ?? (swarm.services.has(before.service) ? before.service : '')
  if (!id.safeParse(service).success) return { service: '', replicas: [] }
  const known = new Set(before.replicas.map(({ name, address }) => `${name} ${address}`))
  const running = new Set(swarm.tasks.filter(task => task.ServiceID === service).map(task => task.NodeID))
  const replicas = new Map<string, string>()
  for (const node of swarm.nodes.values()) {
    const name = node.Description.Hostname
    const address = nodeAddressOf(node, loopback)
    if (name === '' || address === null) continue
    const lost = node.Status.State !== 'ready' && known.has(`${name} ${address}`)
    if (running.has(node.ID) || lost) replicas.set(name, address)
  }
  return {
    service,
    replicas: [...replicas]
      .map(([name, address]) => ({ name, address }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .slice(0, MOST),
  }
}

/** A socket is another manager on every machine, so none is taken from another one. */
function isRemote(text: string): boolean {
  const parsed = parseEndpoint(text)
  return parsed.ok && parsed.endpoint.scheme !== 'unix'
}
