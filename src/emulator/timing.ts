// Durations of a swarm's actions, in milliseconds of its own time: measured on Docker 20.10 with the cases of test/swarm/cases, which
// run against the emulator and against real daemons.

export interface Timing {
  /** From creation (pending) to the scheduler's choice of a node (assigned). */
  readonly assignMs: number
  /** From assigned to the node's first report (preparing). */
  readonly prepareMs: number
  /** From preparing to ready: create the container, set up its network. */
  readonly createMs: number
  /** From starting to running, without the start of the process itself. */
  readonly startMs: number
  /** From a service's new spec to the begin of the update (UpdateStatus, the first task with desired state shutdown). */
  readonly updateStartMs: number
  /** From the desired state leaving `running` to the node's report of it. */
  readonly noticeMs: number
  /** From the desired state leaving `running` to SIGTERM: the time in which a proxy can stop sending requests. */
  readonly terminateMs: number
  /** From the end of the process to `shutdown` in the API. */
  readonly reapMs: number
  /** From `shutdown` to the removal from the API, for a task that is to be removed. */
  readonly forgetMs: number
  /** From the death of the leading manager to the next leader; every manager hangs meanwhile. */
  readonly electionMs: number
  /** From the start of a revived manager to its first answer. */
  readonly catchUpMs: number
  /** From the death of a node's daemon until the swarm marks the node as down. */
  readonly nodeDeadMs: number
  /** From the loss of a node's link until the swarm marks the node as down. */
  readonly nodeUnreachableMs: number
  /** Time limit of a call about the swarm, after which the engine answers with an error. */
  readonly callMs: number
}

export const realTiming: Timing = {
  assignMs: 60,
  prepareMs: 120,
  createMs: 450,
  startMs: 250,
  updateStartMs: 5,
  noticeMs: 130,
  terminateMs: 3_050,
  reapMs: 300,
  forgetMs: 250,
  electionMs: 10_000,
  catchUpMs: 2_000,
  nodeDeadMs: 15_000,
  nodeUnreachableMs: 11_000,
  callMs: 20_000,
}
