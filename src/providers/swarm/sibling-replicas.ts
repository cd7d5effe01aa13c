// The other replicas, before gossip tells them of each other: the swarm itself lists the tasks of Skein's own service, so every
// replica can see who shares the managers with it. Pure but for ownContainerId. Spec: design, section 5 (assignment).

import { readFileSync } from 'node:fs'
import type { DockerNode, DockerService, DockerTask } from '../docker-api/schemas.ts'

/** The service of the stack file that runs the replicas says so, for replicas whose container id cannot be found. */
const REPLICA_LABEL = 'skein.replica'

export interface Peers {
  readonly members: readonly string[]
  readonly self: string
}

/** What was read of the swarm. */
export interface Swarm {
  /** Active ones. */
  readonly tasks: readonly DockerTask[]
  readonly services: ReadonlyMap<string, DockerService>
  readonly nodes: ReadonlyMap<string, DockerNode>
}

/**
 * The replicas by the names of their nodes (with the task's id where a node runs several), sorted, and this one's own name
 * among them; null when this replica does not run as a task of this swarm.
 */
export function findSiblings(swarm: Swarm, ownName: string, ownContainer: string | null): Peers | null {
  const own = findOwnTask(swarm, ownName, ownContainer)
  if (own === undefined) return null
  const hostOf = (task: DockerTask): string => hostnameOf(swarm, task)
  const peers = swarm.tasks.filter(task => task.ServiceID === own.ServiceID)
  const crowd = new Map<string, number>()
  for (const task of peers) crowd.set(hostOf(task), (crowd.get(hostOf(task)) ?? 0) + 1)
  const nameOf = (task: DockerTask): string => (crowd.get(hostOf(task)) === 1 ? hostOf(task) : `${hostOf(task)}/${task.ID}`)
  return { members: peers.map(nameOf).sort(), self: nameOf(own) }
}

/** The id of the service that this replica is a task of; null when it is none in this swarm. */
export function findOwnService(swarm: Swarm, ownName: string, ownContainer: string | null): string | null {
  return findOwnTask(swarm, ownName, ownContainer)?.ServiceID ?? null
}

function findOwnTask(swarm: Swarm, ownName: string, ownContainer: string | null): DockerTask | undefined {
  const { tasks, services } = swarm
  return (
    tasks.find(task => ownContainer !== null && task.Status.ContainerStatus?.ContainerID === ownContainer) ??
    tasks.find(
      task => services.get(task.ServiceID)?.Spec.Labels[REPLICA_LABEL] !== undefined && hostnameOf(swarm, task) === ownName,
    )
  )
}

function hostnameOf({ nodes }: Swarm, task: DockerTask): string {
  return nodes.get(task.NodeID)?.Description.Hostname ?? task.NodeID
}

/**
 * The id of the container this process runs in, or null: Docker mounts the container's own hosts file from a directory named by
 * it.
 */
export function ownContainerId(mountInfo: string = '/proc/self/mountinfo'): string | null {
  try {
    return /\/containers\/([0-9a-f]{64})\/(?:hosts|hostname|resolv\.conf)\b/.exec(readFileSync(mountInfo, 'utf8'))?.[1] ?? null
  } catch {
    return null
  }
}
