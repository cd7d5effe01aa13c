// Records until when each task of some services was healthy, as Swarm reported it during a scenario. With these records it judges
// clients that were answered by another task than before.

import { setTimeout as delay } from 'node:timers/promises'
import type { SessionChange } from './load/sessions.ts'
import { type SwarmTask, tasksOf } from './swarm.ts'

const POLL_MS = 200
/** The length of Docker's default host name, the first digits of the container's id. */
const HOSTNAME_DIGITS = 12

/** The record of one task; times in ms since the epoch. */
export interface TaskLife {
  /** The last time at which Swarm reported the task as running and desired to run. */
  readonly wellUntil: number
  /** Whether Swarm has reported another desired state than running. */
  readonly ended: boolean
}

export type TaskLives = ReadonlyMap<string, TaskLife>

/** Polls the tasks until it is closed. */
export class TaskWatch {
  private readonly seen = new Map<string, TaskLife>()
  private readonly services: readonly string[]
  private stopped = false
  private readonly loop: Promise<void>

  /** `services` are ids. */
  constructor(services: readonly string[]) {
    this.services = services
    this.loop = this.poll()
  }

  /** Polls once more and stops. */
  async close(): Promise<TaskLives> {
    this.stopped = true
    await this.loop
    await this.look()
    return this.seen
  }

  private async poll(): Promise<void> {
    while (!this.stopped) {
      // If a manager does not answer, the recorded healthy times become shorter, never longer.
      await this.look().catch(() => {})
      await delay(POLL_MS)
    }
  }

  private async look(): Promise<void> {
    for (const service of this.services) {
      const askedAt = Date.now()
      note(this.seen, await tasksOf(service), askedAt)
    }
  }
}

/** Records the tasks that Swarm reported to a request sent at `askedAt`. */
export function note(seen: Map<string, TaskLife>, tasks: readonly SwarmTask[], askedAt: number): void {
  for (const { DesiredState, Status } of tasks) {
    const container = Status.ContainerStatus?.ContainerID ?? ''
    if (container === '') continue
    const host = container.slice(0, HOSTNAME_DIGITS)
    const before = seen.get(host)
    if (DesiredState !== 'running') seen.set(host, { wellUntil: before?.wellUntil ?? 0, ended: true })
    else if (Status.State === 'running') seen.set(host, { wellUntil: askedAt, ended: false })
    else if (before === undefined) seen.set(host, { wellUntil: 0, ended: false })
  }
}

export interface SessionVerdict {
  /** Changes away from a task that was healthy. */
  readonly breaks: readonly SessionChange[]
  /** Clients that sent through all edges at once while their task ended, and were sent to two tasks. */
  readonly splits: number
  /** Changes away from a task that Swarm had ended or that did not run. */
  readonly moves: number
  /** The number of sessions that moved, and the highest number of moves of one session. */
  readonly movedSessions: number
  readonly mostMoves: number
}

/**
 * A change is a break if the session's task was healthy when the other task answered, otherwise a move. Two tasks at once are a split,
 * not a break, if the client's previous task had ended: edges that get a session at the same moment with different views of the tasks
 * agree on one owner, but each may have sent a request before. A task that Swarm ended between two polls counts as ended at the first
 * of them.
 */
export function judgeSessions(changes: readonly SessionChange[], lives: TaskLives): SessionVerdict {
  const breaks: SessionChange[] = []
  const moves = new Map<number, number>()
  let splits = 0
  for (const change of changes) {
    if (change.before !== change.from && !wasWell(lives, change.before, change.answeredAt)) splits += 1
    else if (wasWell(lives, change.from, change.answeredAt)) breaks.push(change)
    else moves.set(change.session, (moves.get(change.session) ?? 0) + 1)
  }
  const counts = [...moves.values()]
  return {
    breaks,
    splits,
    moves: counts.reduce((sum, count) => sum + count, 0),
    movedSessions: counts.length,
    mostMoves: Math.max(0, ...counts),
  }
}

function wasWell(lives: TaskLives, host: string, at: number): boolean {
  const life = lives.get(host)
  // A task that Swarm never reported cannot have been ended.
  return life === undefined || !life.ended || at <= life.wellUntil
}
