// Rolling updates of an emulated service, as Swarm's updater does them: `parallelism` slots at a time, stop-first or start-first, a
// delay after each, a monitoring period at the end. The update pauses if a new task fails to start. A newer update supersedes an
// older one.

import { isDeepStrictEqual } from 'node:util'
import type { Timers } from './clock.ts'
import type { ServiceObject, TaskObject, UpdateStatus } from './docker-objects.ts'
import { hasEnded } from './docker-objects.ts'
import type { Orchestrator } from './orchestrator.ts'
import type { Raft } from './raft.ts'
import type { Store } from './store.ts'
import type { Tasks } from './tasks.ts'
import type { Timing } from './timing.ts'

const defaultMonitorMs = 5_000

export class Updater {
  readonly #store: Store
  readonly #tasks: Tasks
  readonly #orchestrator: Orchestrator
  readonly #raft: Raft
  readonly #timers: Timers
  readonly #timing: Timing
  /** The current run of each service; an older run ends when it finds another one here. */
  readonly #runs = new Map<string, symbol>()

  constructor(store: Store, tasks: Tasks, orchestrator: Orchestrator, raft: Raft, timers: Timers, timing: Timing) {
    this.#store = store
    this.#tasks = tasks
    this.#orchestrator = orchestrator
    this.#raft = raft
    this.#timers = timers
    this.#timing = timing
  }

  /**
   * Replaces the tasks that do not match the service's spec; resolves when done, paused or superseded. Does nothing if no task is out
   * of date.
   */
  async run(serviceId: string): Promise<void> {
    const run = Symbol(serviceId)
    this.#runs.set(serviceId, run)
    const service = this.#store.services.get(serviceId)
    if (service === undefined) return
    const dirty = this.#orchestrator.wanted(serviceId).filter(task => isOutOfDate(task, service))
    if (dirty.length === 0) return
    // The changed spec is visible shortly before the update status; meanwhile `settled` must not resolve.
    await this.#timers.sleep(this.#timing.updateStartMs)
    if (this.#runs.get(serviceId) !== run) return
    const startedAt = this.#store.timestamp()
    this.#setStatus(serviceId, { State: 'updating', StartedAt: startedAt, Message: 'update in progress' })
    const config = service.Spec.UpdateConfig
    const queue = [...dirty].sort((a, b) => (a.ID < b.ID ? -1 : 1))
    const workers = config?.Parallelism === 0 ? queue.length : (config?.Parallelism ?? 1)
    let failed: TaskObject | null = null
    const work = async (): Promise<void> => {
      for (let old = queue.shift(); old !== undefined; old = queue.shift()) {
        await this.#raft.untilLeader()
        if (this.#runs.get(serviceId) !== run || failed !== null) return
        const next = await this.#replace(service, old)
        const state = this.#store.tasks.get(next)?.Status.State
        if (state === 'failed' || state === 'rejected') failed = this.#store.tasks.get(next) ?? null
        if (queue.length > 0) await this.#timers.sleep((config?.Delay ?? 0) / 1e6)
      }
    }
    await Promise.all(Array.from({ length: Math.min(workers, queue.length) }, work))
    if (failed === null) await this.#timers.sleep(config?.Monitor === undefined ? defaultMonitorMs : config.Monitor / 1e6)
    await this.#raft.untilLeader()
    if (this.#runs.get(serviceId) !== run || !this.#store.services.has(serviceId)) return
    if (failed !== null) {
      const Message = `update paused due to failure or early termination of task ${(failed as TaskObject).ID}`
      this.#setStatus(serviceId, { State: 'paused', StartedAt: startedAt, Message })
    } else {
      const CompletedAt = this.#store.timestamp()
      this.#setStatus(serviceId, { State: 'completed', StartedAt: startedAt, CompletedAt, Message: 'update completed' })
    }
  }

  /** Replaces one task and waits until the new one runs or fails; returns the identifier of the new one. */
  async #replace(service: ServiceObject, old: TaskObject): Promise<string> {
    const startFirst = service.Spec.UpdateConfig?.Order === 'start-first' && old.Slot !== undefined
    const node = old.Slot === undefined ? (old.NodeID ?? null) : null
    const settled = (id: string) => (): boolean => {
      const task = this.#store.tasks.get(id)
      return task === undefined || task.Status.State === 'running' || hasEnded(task.Status.State) || hasEnded(task.DesiredState)
    }
    if (startFirst) {
      const next = this.#tasks.create(service, old.Slot ?? null, node, 'running')
      await this.#store.until(settled(next.ID))
      if (this.#store.tasks.get(next.ID)?.Status.State === 'running') this.#tasks.retire(old.ID, 'shutdown')
      return next.ID
    }
    this.#tasks.retire(old.ID, 'shutdown')
    const next = this.#tasks.create(service, old.Slot ?? null, node, 'ready')
    await this.#store.until(() => hasEnded(this.#store.tasks.get(old.ID)?.Status.State ?? 'shutdown'))
    this.#tasks.promote(next.ID)
    await this.#store.until(settled(next.ID))
    return next.ID
  }

  #setStatus(serviceId: string, status: UpdateStatus): void {
    const old = this.#store.services.get(serviceId)
    const updated = this.#store.update(this.#store.services, serviceId, { UpdateStatus: status })
    if (updated === undefined) return
    this.#store.emit('service', 'update', serviceId, {
      name: updated.Spec.Name,
      'updatestate.new': status.State,
      ...(old?.UpdateStatus === undefined ? {} : { 'updatestate.old': old.UpdateStatus.State }),
    })
  }
}

/** Whether the task was created from another task template than the service has now. */
export function isOutOfDate(task: TaskObject, service: ServiceObject): boolean {
  const { Runtime: _, ...wanted } = service.Spec.TaskTemplate
  return !isDeepStrictEqual(task.Spec, wanted)
}
