// Keeps the tasks of an emulated swarm as the service specs require: the number of replicas, one task per node for global services,
// none on drained or dead nodes, and a new task for a failed one after the restart delay. updater.ts does rolling updates.

import type { Timers } from './clock.ts'
import type { ServiceObject, TaskObject } from './docker-objects.ts'
import { hasEnded } from './docker-objects.ts'
import { satisfies } from './placement.ts'
import type { Store } from './store.ts'
import type { Tasks } from './tasks.ts'

const restartDelayMs = 5_000

export class Orchestrator {
  readonly #store: Store
  readonly #tasks: Tasks
  readonly #timers: Timers

  constructor(store: Store, tasks: Tasks, timers: Timers) {
    this.#store = store
    this.#tasks = tasks
    this.#timers = timers
    tasks.onFailure = task => this.#restart(task)
  }

  /** Adds and removes tasks until the service has the number in its spec. */
  reconcile(serviceId: string): void {
    const service = this.#store.services.get(serviceId)
    if (service === undefined) return
    if (service.Spec.Mode?.Global !== undefined) this.#reconcileGlobal(service)
    else this.#reconcileReplicated(service, service.Spec.Mode?.Replicated?.Replicas ?? 1)
  }

  reconcileAll(): void {
    for (const id of this.#store.services.keys()) this.reconcile(id)
  }

  /** Removes all tasks of a removed service, including their history. */
  remove(serviceId: string): void {
    for (const task of this.#all(serviceId)) this.#tasks.retire(task.ID, 'remove')
  }

  /** Moves the tasks of a node to other nodes: each is replaced as in a rolling update, all at once. */
  evacuate(nodeId: string): void {
    for (const task of this.#tasks.on(nodeId)) {
      if (hasEnded(task.DesiredState)) continue
      this.#tasks.retire(task.ID, 'shutdown')
      if (task.Slot !== undefined) this.#replace(task)
    }
  }

  /** The tasks whose desired state is `running` or `ready`. */
  wanted(serviceId: string): readonly TaskObject[] {
    return this.#all(serviceId).filter(task => !hasEnded(task.DesiredState))
  }

  #all(serviceId: string): readonly TaskObject[] {
    return [...this.#store.tasks.values()].filter(task => task.ServiceID === serviceId)
  }

  #reconcileReplicated(service: ServiceObject, replicas: number): void {
    const slots = new Map<number, TaskObject[]>()
    for (const task of this.wanted(service.ID)) slots.set(task.Slot ?? 0, [...(slots.get(task.Slot ?? 0) ?? []), task])
    const surplus = [...slots.keys()].sort((a, b) => b - a).slice(0, Math.max(0, slots.size - replicas))
    for (const slot of surplus) for (const task of slots.get(slot) ?? []) this.#tasks.retire(task.ID, 'remove')
    for (let slot = 1, missing = replicas - slots.size; missing > 0; slot++) {
      if (slots.has(slot)) continue
      this.#tasks.create(service, slot, null, 'running')
      missing--
    }
  }

  #reconcileGlobal(service: ServiceObject): void {
    const constraints = service.Spec.TaskTemplate.Placement?.Constraints ?? []
    const present = new Set(this.wanted(service.ID).map(task => task.NodeID))
    for (const node of this.#store.nodes.values()) {
      const usable = node.Spec.Availability === 'active' && node.Status.State === 'ready' && satisfies(node, constraints)
      if (usable && !present.has(node.ID)) this.#tasks.create(service, null, node.ID, 'running')
    }
    for (const task of this.wanted(service.ID)) {
      const node = this.#store.nodes.get(task.NodeID ?? '')
      if (node !== undefined && !satisfies(node, constraints)) this.#tasks.retire(task.ID, 'shutdown')
    }
  }

  /** Creates a task in the same slot, which is prepared at once and started when the old task's process has ended. */
  #replace(old: TaskObject): void {
    const service = this.#store.services.get(old.ServiceID)
    if (service === undefined || old.Slot === undefined) return
    const next = this.#tasks.create(service, old.Slot, null, 'ready')
    const dead = this.#store.nodes.get(old.NodeID ?? '')?.Status.State === 'down'
    void this.#store
      .until(() => dead || hasEnded(this.#store.tasks.get(old.ID)?.Status.State ?? 'shutdown'))
      .then(() => this.#tasks.promote(next.ID))
  }

  #restart(failed: TaskObject): void {
    const service = this.#store.services.get(failed.ServiceID)
    const policy = failed.Spec.RestartPolicy
    if (service === undefined || policy?.Condition === 'none') return
    if (policy?.Condition === 'on-failure' && failed.Status.State === 'complete') return
    const next = this.#tasks.create(
      service,
      failed.Slot ?? null,
      failed.Slot === undefined ? (failed.NodeID ?? null) : null,
      'ready',
    )
    this.#timers.after(policy?.Delay === undefined ? restartDelayMs : policy.Delay / 1e6, () => this.#tasks.promote(next.ID))
  }
}
