// The facts that the leader's Swarm provider replicates beside the configuration: the managers, and the addresses of the nodes
// that run replicas, so that followers need not call a manager. Plain JSON; validated on receipt. Pure.

import { isIP } from 'node:net'
import { z } from 'zod'
import { parseEndpoint } from '../docker-api/endpoint.ts'
import type { LearnedManager } from './learned-managers.ts'
import { nodeAddressOf } from './roster.ts'
import { findOwnService, type Swarm } from './sibling-replicas.ts'

const MAX_ENTRIES = 256

/** The managers as replicas exchange them. */
export interface KnownManagers {
  /** Learned from the swarm: managers at the addresses of their nodes. */
  readonly managers: readonly LearnedManager[]
  /** Other endpoints (from the options or DNS) whose node is known. */
  readonly identified: readonly LearnedManager[]
  /** Ids of the nodes that are managers. */
  readonly nodes: readonly string[]
}

/** The address of a node that runs a replica. `name` is the replica's --name; in the stack file, the hostname of its node. */
export interface ReplicaAddress {
  readonly name: string
  readonly address: string
}

export interface SharedFacts extends KnownManagers {
  /** Id of the service that the replicas are tasks of; '' when they are tasks of no service in this swarm. */
  readonly service: string
  readonly replicas: readonly ReplicaAddress[]
}

export const NO_SHARED_FACTS: SharedFacts = { managers: [], identified: [], nodes: [], service: '', replicas: [] }

const id = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/)
const manager = z.object({
  endpoint: z.string().max(512).refine(isRemote),
  nodeId: id,
  hostname: z.string().max(1024),
})
const sharedSchema = z.object({
  managers: z.array(manager).max(MAX_ENTRIES),
  identified: z.array(manager).max(MAX_ENTRIES),
  nodes: z.array(id).max(MAX_ENTRIES),
  service: id.or(z.literal('')),
  replicas: z
    .array(z.object({ name: z.string().min(1).max(1024), address: z.string().refine(text => isIP(text) !== 0) }))
    .max(MAX_ENTRIES),
})

/** Validates facts from another replica; null when they are malformed. */
export function parseSharedFacts(value: unknown): SharedFacts | null {
  return sharedSchema.safeParse(value).data ?? null
}

/** Builds facts within the limits of `parseSharedFacts`. Equal facts give equal JSON. */
export function buildSharedFacts(known: KnownManagers, { service, list }: Replicas): SharedFacts {
  const isValid = (one: LearnedManager): boolean => manager.safeParse(one).success
  return {
    managers: known.managers.filter(isValid).slice(0, MAX_ENTRIES),
    identified: known.identified.filter(isValid).slice(0, MAX_ENTRIES),
    nodes: known.nodes.filter(node => id.safeParse(node).success).slice(0, MAX_ENTRIES),
    service,
    replicas: list.slice(0, MAX_ENTRIES),
  }
}

/**
 * The node of a replica is listed this long after its task was last seen, ms: the task may be replaced, or Swarm may not have detected
 * yet that the node is lost.
 */
const KEPT_MS = 60_000

export interface Replicas {
  /** As SharedFacts.service. */
  readonly service: string
  readonly list: readonly ReplicaAddress[]
}

export interface ReplicaNodes {
  /** Updates the list from a read of the swarm; `swarm.tasks` includes starting tasks. */
  read(swarm: Swarm, nowMs: number): Replicas
  /** Replaces the list with that of the leader. */
  adopt(replicas: Replicas, nowMs: number): void
}

/**
 * Tracks the nodes that run replicas: those with a running or starting task of the replicas' own service, and earlier ones that
 * Swarm counts as lost. Swarm no longer lists tasks of a lost node, but its replica may be alive and reachable at this address.
 * The service id from the leader helps a replica whose own task Swarm no longer lists. `loopback`: nodes may be on this
 * machine.
 */
export function createReplicaNodes(ownName: string, ownContainer: string | null, loopback: boolean): ReplicaNodes {
  let service = ''
  const known = new Map<string, { readonly address: string; readonly seenAt: number }>()

  return {
    read(swarm, nowMs) {
      service = findOwnService(swarm, ownName, ownContainer) ?? (swarm.services.has(service) ? service : '')
      if (!id.safeParse(service).success) service = ''
      // Without a service id, addresses from the leader or from disk are kept for a while for nodes that still exist.
      const running = new Set(swarm.tasks.filter(task => task.ServiceID === service).map(task => task.NodeID))
      const nodes = new Set<string>()
      for (const node of swarm.nodes.values()) {
        const name = node.Description.Hostname
        const address = nodeAddressOf(node, loopback)
        const before = known.get(name)
        if (name === '' || address === null) continue
        const seen = running.has(node.ID)
        const kept = before?.address === address && (node.Status.State !== 'ready' || nowMs - before.seenAt < KEPT_MS)
        if (!seen && !kept) continue
        nodes.add(name)
        known.set(name, { address, seenAt: seen ? nowMs : (before?.seenAt ?? nowMs) })
      }
      for (const name of known.keys()) if (!nodes.has(name)) known.delete(name)
      const list = [...known].map(([name, { address }]) => ({ name, address })).sort((a, b) => (a.name < b.name ? -1 : 1))
      return { service, list: list.slice(0, MAX_ENTRIES) }
    },
    adopt(replicas, nowMs) {
      service = replicas.service
      known.clear()
      for (const { name, address } of replicas.list) known.set(name, { address, seenAt: nowMs })
    },
  }
}

/** A unix socket is another manager on every machine, so it is not taken from another replica. */
function isRemote(text: string): boolean {
  const parsed = parseEndpoint(text)
  return parsed.ok && parsed.endpoint.scheme !== 'unix'
}
