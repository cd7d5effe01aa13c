// Which tasks of some services were there and well, and until when, as Swarm said while a scenario ran; and with that the verdict
// on clients that were answered by another task than before.

import { setTimeout as delay } from 'node:timers/promises'
import type { SessionChange } from './load/sessions.ts'
import { type SwarmTask, tasksOf } from './swarm.ts'

const POLL_MS = 200
/** Docker's default host name: so many digits of the container's id. */
const HOSTNAME_DIGITS = 12

/** Of one task, by its host name; ms since the epoch. */
export interface TaskLife {
  /** The last time at which Swarm said that it runs and is to run. */
  readonly wellUntil: number
  /** Swarm has said that it is no longer to run. */
  readonly ended: boolean
}

export type TaskLives = ReadonlyMap<string, TaskLife>

/** Polls tasks until it is closed. */
export class TaskWatch {
  private readonly seen = new Map<string, TaskLife>()
  private readonly services: readonly string[]
  private stopped = false
  private readonly loop: Promise<void>

  /** `services`: ids. */
  constructor(services: readonly string[]) {
    this.services = services
    this.loop = this.poll()
  }

  /** Once more, then no more. */
  async close(): Promise<TaskLives> {
    this.stopped = true
    await this.loop
    await this.look()
    return this.seen
  }

  private async poll(): Promise<void> {
    while (!this.stopped) {
      // a manager that is away for a moment makes tasks well for a shorter time, never for a longer one
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

/** Enters what Swarm said when it was asked at `askedAt`. */
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
  /** Changes away from a task that was there and well. */
  readonly breaks: readonly SessionChange[]
  /** A client that sent through all edges at once as its task went was sent to two places in that moment. */
  readonly splits: number
  /** Changes away from a task that Swarm had ended, or that was not running. */
  readonly moves: number
  /** Sessions that moved at all, and the most moves of any one. */
  readonly movedSessions: number
  readonly mostMoves: number
}

/**
 * Two places at once are no break if the task from which the client came had ended: edges that meet a session in the same moment
 * with different views of what is there end with one owner, but each may have sent a request by then. Otherwise: a change is a
 * break if the session's task was there and well when the other one answered; a move if it was not. What Swarm ended between two
 * looks at it counts as ended at the first of them.
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
  // a task that Swarm has never shown cannot have been ended
  return life === undefined || !life.ended || at <= life.wellUntil
}
