// The interface between emulated tasks and the processes that stand for them: the demo starts small HTTP servers, tests start
// servers of their own or nothing.

import type { NodeObject, ServiceObject, TaskObject } from './docker-objects.ts'

/** The data of a task that a runner gets. */
export interface RunnableTask {
  readonly id: string
  readonly service: string
  /** The name: `web.1`, or `web.<node>` for a global service. */
  readonly name: string
  readonly node: string
  /** The task's address on each of its networks, without prefix length. */
  readonly addresses: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  /** `ForceUpdate` of the task's spec, which grows with every forced roll. */
  readonly generation: number
}

/** Runs the processes of tasks. */
export interface TaskRunner {
  /**
   * Resolves when the process has started (it may not listen yet); rejects if it cannot start. `onExit` is called if it ends without
   * `terminate` or `kill`.
   */
  start(task: RunnableTask, onExit: (exitCode: number) => void): Promise<void>
  /** Sends SIGTERM; resolves when the process has ended. */
  terminate(task: RunnableTask): Promise<void>
  /** Sends SIGKILL: the process and all its connections end at once. */
  kill(task: RunnableTask): void
  /** Simulates that the node's link is down: connections are neither answered nor reset. */
  vanish?(task: RunnableTask): void
}

/** The data of a task for a runner. */
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
