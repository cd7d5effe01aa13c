// What the leader's provider tells the others' beyond the configuration: the managers, and the own addresses of the nodes that
// run replicas, so that followers need not ask any manager. Travels as plain JSON, and is hostile until checked. Pure.

import { isIP } from 'node:net'
import { z } from 'zod'
import { parseEndpoint } from '../docker-api/endpoint.ts'
import type { LearnedManager } from './learned-managers.ts'
import { nodeAddressOf } from './roster.ts'
import { findOwnService, type Swarm } from './sibling-replicas.ts'

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

export interface SharedFacts extends KnownManagers {
  /** Id of the service that the replicas are tasks of; '' when they are tasks of none in this swarm. */
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
  managers: z.array(manager).max(MOST),
  identified: z.array(manager).max(MOST),
  nodes: z.array(id).max(MOST),
  service: id.or(z.literal('')),
  replicas: z
    .array(z.object({ name: z.string().min(1).max(1024), address: z.string().refine(text => isIP(text) !== 0) }))
    .max(MOST),
})

/** Another replica's word, checked; null when it is not what this file writes. */
export function parseSharedFacts(value: unknown): SharedFacts | null {
  return sharedSchema.safeParse(value).data ?? null
}

/** Cut to what `parseSharedFacts` takes; equal knowledge gives equal JSON. */
export function buildSharedFacts(known: KnownManagers, { service, list }: Replicas): SharedFacts {
  const good = (one: LearnedManager): boolean => manager.safeParse(one).success
  return {
    managers: known.managers.filter(good).slice(0, MOST),
    identified: known.identified.filter(good).slice(0, MOST),
    nodes: known.nodes.filter(node => id.safeParse(node).success).slice(0, MOST),
    service,
    replicas: list.slice(0, MOST),
  }
}

/**
 * A replica's node is kept for so long after its task was last seen: it may be rolled, or Swarm may find out that the node is
 * lost, ms.
 */
const KEPT_MS = 60_000

export interface Replicas {
  /** Id of the service that the replicas are tasks of; ''. */
  readonly service: string
  readonly list: readonly ReplicaAddress[]
}

export interface ReplicaNodes {
  /** What was read from the swarm, including tasks that are starting. */
  read(swarm: Swarm, nowMs: number): Replicas
  /** What the leader says. */
  adopt(replicas: Replicas, nowMs: number): void
}

/**
 * The nodes that run replicas: those of the tasks, running or starting, of the replicas' own service, and those known before that
 * Swarm holds for lost. Swarm no longer counts such a node's tasks, but its replica may live on and be reached at this address. The
 * service that the leader names helps a replica that Swarm itself has given up, and that cannot find its own task any more.
 * `loopback`: nodes may be on this machine.
 */
export function createReplicaNodes(ownName: string, ownContainer: string | null, loopback: boolean): ReplicaNodes {
  let service = ''
  const known = new Map<string, { readonly address: string; readonly seenAt: number }>()

  return {
    read(swarm, nowMs) {
      service = findOwnService(swarm, ownName, ownContainer) ?? (swarm.services.has(service) ? service : '')
      if (!id.safeParse(service).success) service = ''
      // Without the service, the addresses from the leader or the disk are kept for a while for nodes that still exist.
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
      return { service, list: list.slice(0, MOST) }
    },
    adopt(replicas, nowMs) {
      service = replicas.service
      known.clear()
      for (const { name, address } of replicas.list) known.set(name, { address, seenAt: nowMs })
    },
  }
}

/** A socket is another manager on every machine, so none is taken from another one. */
function isRemote(text: string): boolean {
  const parsed = parseEndpoint(text)
  return parsed.ok && parsed.endpoint.scheme !== 'unix'
}
