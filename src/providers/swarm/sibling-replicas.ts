// Finds the other replicas without a cluster: the swarm lists the tasks of Skein's own service, so each replica sees which
// replicas share the managers with it. Pure except for ownContainerId.

import { readFileSync } from 'node:fs'
import type { DockerNode, DockerService, DockerTask } from '../docker-api/schemas.ts'

/** A label of the stack file's service, for replicas whose container id cannot be found. */
const REPLICA_LABEL = 'skein.replica'

export interface Siblings {
  readonly members: readonly string[]
  readonly self: string
}

export interface Swarm {
  /** Active tasks. */
  readonly tasks: readonly DockerTask[]
  readonly services: ReadonlyMap<string, DockerService>
  readonly nodes: ReadonlyMap<string, DockerNode>
}

/**
 * The replicas by node name (with the task id where a node runs several), sorted, and this replica's own name among them; null
 * when this replica is no task of this swarm.
 */
export function findSiblings(swarm: Swarm, ownName: string, ownContainer: string | null): Siblings | null {
  const own = findOwnTask(swarm, ownName, ownContainer)
  if (own === undefined) return null
  const hostOf = (task: DockerTask): string => hostnameOf(swarm, task)
  const siblings = swarm.tasks.filter(task => task.ServiceID === own.ServiceID)
  const replicasPerNode = new Map<string, number>()
  for (const task of siblings) replicasPerNode.set(hostOf(task), (replicasPerNode.get(hostOf(task)) ?? 0) + 1)
  const nameOf = (task: DockerTask): string =>
    replicasPerNode.get(hostOf(task)) === 1 ? hostOf(task) : `${hostOf(task)}/${task.ID}`
  return { members: siblings.map(nameOf).sort(), self: nameOf(own) }
}

/** Id of the service that this replica is a task of; null when it is no task of this swarm. */
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
 * Id of the container that this process runs in, or null. Docker mounts the container's hosts file from a directory named by
 * it.
 */
export function ownContainerId(mountInfo: string = '/proc/self/mountinfo'): string | null {
  try {
    return /\/containers\/([0-9a-f]{64})\/(?:hosts|hostname|resolv\.conf)\b/.exec(readFileSync(mountInfo, 'utf8'))?.[1] ?? null
  } catch {
    return null
  }
}
