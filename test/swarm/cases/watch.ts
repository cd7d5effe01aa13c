// Polls one service's tasks through one manager and records every change of their desired and actual states with its time. Also waits
// for conditions in the swarm's time.

import { until } from '../../until.ts'
import { call, type SwarmTarget, withFilters } from './target.ts'

export interface Task {
  readonly ID: string
  readonly Version: { readonly Index: number }
  readonly CreatedAt: string
  readonly UpdatedAt: string
  readonly ServiceID: string
  readonly Slot?: number
  readonly NodeID?: string
  readonly Status: {
    readonly State: string
    readonly Timestamp: string
    readonly ContainerStatus?: { readonly ContainerID: string }
  }
  readonly DesiredState: string
  readonly NetworksAttachments?: readonly {
    readonly Network: { readonly ID: string; readonly Spec: { readonly Name: string } }
    readonly Addresses: readonly string[]
  }[]
}

export interface Service {
  readonly ID: string
  readonly Version: { readonly Index: number }
  readonly CreatedAt: string
  readonly UpdatedAt: string
  readonly Spec: Record<string, unknown> & {
    readonly Name: string
    readonly Labels: Record<string, string>
    readonly TaskTemplate: Record<string, unknown>
  }
  readonly UpdateStatus?: { readonly State: string }
}

export interface Change {
  /** The swarm's time in ms since the watch began. */
  readonly atMs: number
  readonly task: string
  readonly slot: number | undefined
  readonly desired: string
  readonly state: string
}

/** Waits `ms` of the swarm's time. */
export function sleep(target: SwarmTarget, ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms / target.speed)
  })
}

/** Calls `ask` until the answer is not undefined; fails with `what` after `ms` of the swarm's time. */
export function waitFor<T extends object | true>(
  target: SwarmTarget,
  what: string,
  ms: number,
  ask: () => Promise<T | undefined>,
): Promise<T> {
  // Plus 3 s of real time, because an accelerated swarm still needs CPU time.
  return until<T>(`${what} (${ms} ms of the swarm's time)`, ask, ms / target.speed + 3_000, {
    everyMs: Math.max(5, 50 / target.speed),
  })
}

export async function tasksOf(target: SwarmTarget, service: string, manager = 0): Promise<readonly Task[]> {
  const answer = await call(target.managers[manager] ?? '', 'GET', withFilters('/tasks', { service: [service] }))
  return answer.status === 200 ? (answer.body as Task[]) : []
}

/** Resolves with the running tasks once there are exactly `count`, and none with desired state running that does not run yet. */
export function running(target: SwarmTarget, service: string, count: number): Promise<readonly Task[]> {
  return waitFor(target, `${count} running tasks of ${service}`, 30_000, async () => {
    const wanted = (await tasksOf(target, service)).filter(
      task => task.DesiredState === 'running' || task.DesiredState === 'ready',
    )
    return wanted.length === count && wanted.every(task => task.Status.State === 'running') ? wanted : undefined
  })
}

/** Polls a service's tasks until it is stopped. */
export class TaskWatch {
  readonly changes: Change[] = []
  /** Tasks whose Version.Index decreased between two polls; must stay empty. */
  readonly wentBack: string[] = []
  readonly #target: SwarmTarget
  readonly #service: string
  readonly #startedAt = performance.now()
  readonly #last = new Map<string, { version: number; key: string }>()
  #stopped = false
  readonly #done: Promise<void>

  constructor(target: SwarmTarget, service: string) {
    this.#target = target
    this.#service = service
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  /** The current time in the watch's milliseconds. */
  at(nowMs: number): number {
    return (nowMs - this.#startedAt) * this.#target.speed
  }

  of(task: string): readonly Change[] {
    return this.changes.filter(change => change.task === task)
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const tasks = await tasksOf(this.#target, this.#service).catch(() => [])
      const atMs = this.at(performance.now())
      for (const task of tasks) this.#see(task, atMs)
      for (const id of this.#last.keys()) {
        if (tasks.length > 0 && !tasks.some(task => task.ID === id)) {
          this.#last.delete(id)
          this.changes.push({ atMs, task: id, slot: undefined, desired: 'gone', state: 'gone' })
        }
      }
      await new Promise(resolve => {
        setTimeout(resolve, Math.max(2, 40 / this.#target.speed))
      })
    }
  }

  #see(task: Task, atMs: number): void {
    const key = `${task.DesiredState}/${task.Status.State}`
    const last = this.#last.get(task.ID)
    if (last !== undefined && task.Version.Index < last.version) this.wentBack.push(task.ID)
    this.#last.set(task.ID, { version: task.Version.Index, key })
    if (last?.key === key) return
    this.changes.push({ atMs, task: task.ID, slot: task.Slot, desired: task.DesiredState, state: task.Status.State })
  }
}
