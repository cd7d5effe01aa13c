// The seam between an emulated task and what really runs for it: the demo starts small HTTP servers, tests what they like, or
// nothing at all.

import type { NodeObject, ServiceObject, TaskObject } from './docker-objects.ts'

/** What a runner is told of a task. */
export interface RunnableTask {
  readonly id: string
  readonly service: string
  /** `web.1`, or `web.<node>` for a global service. */
  readonly name: string
  readonly node: string
  /** The task's own address on each of its networks, without prefix length. */
  readonly addresses: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  /** ForceUpdate of the task's spec: grows with every forced roll. */
  readonly generation: number
}

/** Gives tasks something that runs. Without one, tasks run as names only. */
export interface TaskRunner {
  /**
   * Resolves when the process has started (it may not listen yet); rejects when it cannot start. `onExit`: it ended by
   * itself.
   */
  start(task: RunnableTask, onExit: (exitCode: number) => void): Promise<void>
  /** SIGTERM; resolves when the process has ended. */
  terminate(task: RunnableTask): Promise<void>
  /** SIGKILL: gone at once, with all its connections. */
  kill(task: RunnableTask): void
  /** Its node's link is down: connections neither answer nor break. */
  vanish?(task: RunnableTask): void
}

/** The task in a runner's words. */
export function describeTask(task: TaskObject, service: ServiceObject | undefined, node: NodeObject): RunnableTask {
  const name = service?.Spec.Name ?? ''
  const env = (task.Spec.ContainerSpec?.Env ?? []).map(entry => {
    const equals = entry.indexOf('=')
    return equals < 0 ? ([entry, ''] as const) : ([entry.slice(0, equals), entry.slice(equals + 1)] as const)
  })
  return {
    id: task.ID,
    service: name,
    name: `${name}.${task.Slot ?? node.Description.Hostname}`,
    node: node.Description.Hostname,
    addresses: (task.NetworksAttachments ?? []).flatMap(attachment =>
      attachment.Addresses.map(address => address.replace(/\/.*/, '')),
    ),
    env: Object.fromEntries(env),
    labels: service?.Spec.Labels ?? {},
    generation: task.Spec.ForceUpdate ?? 0,
  }
}
