// The life cycle of emulated tasks: pending, assigned, preparing, ready, starting, running. After the desired state leaves `running`,
// about three seconds pass before the process gets SIGTERM. The TaskRunner runs the processes.

import type { AddressPools } from './address-pool.ts'
import type { Timers } from './clock.ts'
import type { NetworkAttachment, NodeObject, ServiceObject, TaskObject, TaskState, TaskStatus } from './docker-objects.ts'
import { hasEnded, networkTargets } from './docker-objects.ts'
import { chooseNode } from './placement.ts'
import type { Raft } from './raft.ts'
import { createContainerId, type Store } from './store.ts'
import { describeTask, type RunnableTask, type TaskRunner } from './task-runner.ts'
import type { Timing } from './timing.ts'

const retainedPerSlot = 5

export class Tasks {
  readonly #store: Store
  readonly #raft: Raft
  readonly #timers: Timers
  readonly #timing: Timing
  readonly #runner: TaskRunner | null
  readonly #pools: AddressPools
  readonly #running = new Map<string, RunnableTask>()
  /** Called when a task has ended although its desired state is `running`. */
  onFailure: (task: TaskObject) => void = () => {}

  constructor(store: Store, raft: Raft, timers: Timers, timing: Timing, runner: TaskRunner | null, pools: AddressPools) {
    this.#store = store
    this.#raft = raft
    this.#timers = timers
    this.#timing = timing
    this.#runner = runner
    this.#pools = pools
  }

  /** Creates a task. With `ready` it is prepared and waits for `promote`. */
  create(service: ServiceObject, slot: number | null, node: string | null, desired: 'running' | 'ready'): TaskObject {
    const { Runtime: _, ...spec } = service.Spec.TaskTemplate
    const attachments: NetworkAttachment[] = networkTargets(service.Spec).flatMap(target => {
      const network = this.#store.networks.get(target)
      return network === undefined ? [] : [{ Network: network, Addresses: [this.#pools.allocate(network)] }]
    })
    const task = this.#store.insert(this.#store.tasks, {
      Labels: {},
      Spec: spec,
      ServiceID: service.ID,
      ...(slot === null ? {} : { Slot: slot }),
      ...(node === null ? {} : { NodeID: node }),
      Status: this.#status('pending', 'pending task scheduling'),
      DesiredState: desired,
      ...(attachments.length === 0 ? {} : { NetworksAttachments: attachments }),
    })
    this.#trimHistory(task)
    void this.#prepare(task.ID)
    return task
  }

  /** Lets a task that was created with desired state `ready` run. */
  promote(id: string): void {
    if (this.#store.tasks.get(id)?.DesiredState === 'ready')
      this.#store.update(this.#store.tasks, id, { DesiredState: 'running' })
  }

  /** Ends a task: `shutdown` keeps it as history, `remove` deletes it afterwards. */
  retire(id: string, desired: 'shutdown' | 'remove'): void {
    const task = this.#store.tasks.get(id)
    if (task === undefined || task.DesiredState === 'remove' || task.DesiredState === desired) return
    const before = task.DesiredState
    this.#store.update(this.#store.tasks, id, { DesiredState: desired })
    if (hasEnded(task.Status.State)) {
      if (desired === 'remove') this.#timers.after(this.#timing.forgetMs, () => this.#forget(id))
    } else if (before !== 'shutdown') void this.#end(id)
  }

  /** Sets the tasks of a node that is down to desired state `shutdown`, without ending processes that still run there. */
  abandon(nodeId: string): void {
    for (const task of this.on(nodeId)) {
      if (task.DesiredState === 'running' || task.DesiredState === 'ready') {
        this.#store.update(this.#store.tasks, task.ID, { DesiredState: 'shutdown' })
      }
    }
  }

  /** Ends the tasks that were abandoned while their node was down, once the node is back. */
  reclaim(nodeId: string): void {
    for (const task of this.on(nodeId)) {
      if (task.DesiredState === 'shutdown' || task.DesiredState === 'remove') void this.#end(task.ID)
    }
  }

  /** Kills the processes of a node, or cuts their link, without any report to the swarm. */
  stopProcesses(nodeId: string, how: 'kill' | 'vanish'): void {
    for (const task of this.on(nodeId)) {
      const process = this.#running.get(task.ID)
      if (process === undefined) continue
      if (how === 'kill') this.#runner?.kill(process)
      else this.#runner?.vanish?.(process)
    }
  }

  /** Ends the task's process, like `docker kill`. */
  kill(id: string): void {
    const process = this.#running.get(id)
    if (process === undefined) return
    this.#runner?.kill(process)
    this.#exited(id, 137)
  }

  /** The tasks of a node whose processes have not ended. */
  on(nodeId: string): readonly TaskObject[] {
    return [...this.#store.tasks.values()].filter(task => task.NodeID === nodeId && !hasEnded(task.Status.State))
  }

  /** Kills every process, when the swarm is closed. */
  killAll(): void {
    for (const process of this.#running.values()) this.#runner?.kill(process)
    this.#running.clear()
  }

  async #prepare(id: string): Promise<void> {
    const { assignMs, prepareMs, createMs } = this.#timing
    await this.#wait(assignMs)
    const node = this.#place(id)
    if (node === null) {
      this.#setStatus(id, 'pending', 'pending task scheduling', 'no suitable node')
      await this.#store.until(
        () => this.#store.tasks.get(id) === undefined || this.#wanted(id) === false || this.#place(id) !== null,
      )
      if (!this.#wanted(id)) return this.#drop(id)
      return this.#prepare(id)
    }
    if (!this.#wanted(id)) return this.#drop(id)
    this.#store.update(this.#store.tasks, id, {
      NodeID: node.ID,
      Status: this.#status('assigned', 'scheduler assigned task to node'),
    })
    await this.#wait(prepareMs)
    if (!this.#wanted(id)) return this.#drop(id)
    this.#setStatus(id, 'preparing', 'preparing')
    await this.#wait(createMs)
    if (!this.#wanted(id)) return this.#drop(id)
    this.#setStatus(id, 'ready', 'prepared')
    await this.#store.until(() => this.#store.tasks.get(id)?.DesiredState !== 'ready')
    if (!this.#wanted(id)) return this.#drop(id)
    await this.#start(id, node)
  }

  async #start(id: string, node: NodeObject): Promise<void> {
    const container = { ContainerID: createContainerId(), PID: 0, ExitCode: 0 }
    const task = this.#store.update(this.#store.tasks, id, {
      Status: { ...this.#status('starting', 'starting'), ContainerStatus: container },
    })
    if (task === undefined) return
    const process = describeTask(task, this.#store.services.get(task.ServiceID), node)
    this.#running.set(id, process)
    await this.#wait(this.#timing.startMs)
    try {
      await this.#runner?.start(process, exitCode => this.#exited(id, exitCode))
    } catch (error) {
      this.#running.delete(id)
      return this.#fail(id, 'failed', String(error), 1)
    }
    const started = this.#store.tasks.get(id)
    if (started === undefined || hasEnded(started.Status.State)) return
    this.#emit(id, 'create')
    this.#emit(id, 'start')
    const ports = this.#hostPorts(started)
    this.#store.update(this.#store.tasks, id, {
      Status: {
        ...this.#status('running', 'started'),
        ContainerStatus: { ...container, PID: 1000 + (Number.parseInt(container.ContainerID.slice(0, 4), 16) % 30_000) },
        PortStatus: ports.length === 0 ? {} : { Ports: ports },
      },
    })
  }

  async #end(id: string): Promise<void> {
    const { noticeMs, terminateMs, reapMs, forgetMs } = this.#timing
    const process = this.#running.get(id)
    if (process === undefined) return // Not started: #prepare drops it at its next step.
    await this.#timers.sleep(noticeMs)
    const task = this.#store.tasks.get(id)
    // The engine writes the status again at this point, with exit code -1, while the process still runs.
    if (task?.Status.ContainerStatus !== undefined) {
      const ContainerStatus = { ...task.Status.ContainerStatus, ExitCode: -1 }
      this.#store.update(this.#store.tasks, id, {
        Status: { ...task.Status, Timestamp: this.#store.timestamp(), ContainerStatus },
      })
    }
    await this.#timers.sleep(terminateMs - noticeMs)
    if (this.#running.get(id) === process) await this.#terminate(process)
    await this.#wait(reapMs)
    const ended = this.#store.tasks.get(id)
    if (ended === undefined) return
    if (!hasEnded(ended.Status.State)) {
      const status = ended.Status.ContainerStatus
      this.#store.update(this.#store.tasks, id, {
        Status: {
          ...this.#status('shutdown', 'shutdown'),
          ...(status === undefined ? {} : { ContainerStatus: { ...status, PID: 0, ExitCode: 0 } }),
        },
      })
    }
    if (ended.DesiredState !== 'remove') return
    await this.#wait(forgetMs)
    this.#forget(id)
  }

  async #terminate(process: RunnableTask): Promise<void> {
    this.#running.delete(process.id)
    this.#emit(process.id, 'kill', { signal: '15' })
    const grace = this.#store.tasks.get(process.id)?.Spec.ContainerSpec?.StopGracePeriod ?? 10_000_000_000
    const ended = this.#runner?.terminate(process).catch(() => {}) ?? Promise.resolve()
    let killed = (): void => {}
    const kill = new Promise<void>(resolve => {
      killed = this.#timers.after(grace / 1e6, () => {
        this.#runner?.kill(process)
        resolve()
      })
    })
    await Promise.race([ended, kill])
    killed()
    this.#emit(process.id, 'die', { exitCode: '0' })
    this.#emit(process.id, 'stop')
  }

  #exited(id: string, exitCode: number): void {
    if (!this.#running.delete(id)) return
    this.#emit(id, 'die', { exitCode: String(exitCode) })
    const message = exitCode === 0 ? 'finished' : 'started'
    this.#fail(
      id,
      exitCode === 0 ? 'complete' : 'failed',
      exitCode === 0 ? undefined : `task: non-zero exit (${exitCode})`,
      exitCode,
      message,
    )
  }

  #fail(
    id: string,
    state: 'failed' | 'complete',
    err: string | undefined,
    exitCode: number,
    message = 'starting container failed',
  ): void {
    const task = this.#store.tasks.get(id)
    if (task === undefined) return
    const container = task.Status.ContainerStatus
    const failed = this.#store.update(this.#store.tasks, id, {
      Status: {
        ...this.#status(state, message, err),
        ...(container === undefined ? {} : { ContainerStatus: { ...container, PID: 0, ExitCode: exitCode } }),
      },
    })
    if (failed === undefined || failed.DesiredState !== 'running') return
    this.#store.update(this.#store.tasks, id, { DesiredState: 'shutdown' })
    this.onFailure(failed)
  }

  /** Ends a task whose process never started. */
  #drop(id: string): void {
    const task = this.#store.tasks.get(id)
    if (task === undefined) return
    if (task.DesiredState === 'remove') this.#forget(id)
    else this.#setStatus(id, 'shutdown', 'shutdown')
  }

  #forget(id: string): void {
    const task = this.#store.tasks.get(id)
    if (task === undefined) return
    for (const attachment of task.NetworksAttachments ?? []) this.#pools.release(attachment)
    this.#store.remove(this.#store.tasks, id)
  }

  #trimHistory(latest: TaskObject): void {
    const past = [...this.#store.tasks.values()].filter(
      task =>
        task.ServiceID === latest.ServiceID &&
        (latest.Slot === undefined ? task.NodeID === latest.NodeID : task.Slot === latest.Slot) &&
        hasEnded(task.Status.State),
    )
    for (const task of past.slice(0, Math.max(0, past.length - retainedPerSlot + 1))) this.#forget(task.ID)
  }

  #place(id: string): NodeObject | null {
    const task = this.#store.tasks.get(id)
    return task === undefined ? null : chooseNode(this.#store, task)
  }

  #wanted(id: string): boolean {
    const desired = this.#store.tasks.get(id)?.DesiredState
    return desired === 'running' || desired === 'ready'
  }

  #hostPorts(task: TaskObject) {
    const ports = this.#store.services.get(task.ServiceID)?.Spec.EndpointSpec?.Ports ?? []
    return ports.filter(port => port.PublishMode === 'host')
  }

  /** Publishes an event of the task's container, which only its own node delivers. */
  #emit(id: string, action: string, more: Readonly<Record<string, string>> = {}): void {
    const task = this.#store.tasks.get(id)
    const container = task?.Status.ContainerStatus?.ContainerID
    if (task?.NodeID === undefined || container === undefined) return
    this.#store.emitContainer(task.NodeID, action, container, {
      'com.docker.swarm.node.id': task.NodeID,
      'com.docker.swarm.service.id': task.ServiceID,
      'com.docker.swarm.service.name': this.#store.services.get(task.ServiceID)?.Spec.Name ?? '',
      'com.docker.swarm.task.id': id,
      ...more,
    })
  }

  #setStatus(id: string, state: TaskState, message: string, err?: string): void {
    this.#store.update(this.#store.tasks, id, { Status: this.#status(state, message, err) })
  }

  #status(state: TaskState, message: string, err?: string): TaskStatus {
    return {
      Timestamp: this.#store.timestamp(),
      State: state,
      Message: message,
      ...(err === undefined ? {} : { Err: err }),
      PortStatus: {},
    }
  }

  /** Waits for `ms`, then until there is a leader: a swarm without a leader makes no progress. */
  async #wait(ms: number): Promise<void> {
    await this.#timers.sleep(ms)
    await this.#raft.untilLeader()
  }
}
