// How long a real swarm takes for what, in milliseconds of its own time: measured on Docker 20.10 with the cases of
// test/swarm/cases, which run against the emulator and against real daemons alike.

export interface Timing {
  /** Creation (pending) to the scheduler's choice of a node (assigned). */
  readonly assignMs: number
  /** Assigned to the node's first word of it (preparing). */
  readonly prepareMs: number
  /** Preparing to prepared (ready): create the container, set up its network. */
  readonly createMs: number
  /** Starting to running, beside what the process itself takes. */
  readonly startMs: number
  /** A service's new spec to the update's first sign (UpdateStatus, the first task told to leave). */
  readonly updateStartMs: number
  /** Desired state leaves `running`, until the node has heard of it and says so. */
  readonly noticeMs: number
  /** Desired state leaves `running`, until SIGTERM reaches the process: the lead that a proxy has to stop sending. */
  readonly terminateMs: number
  /** Process gone to `shutdown` in the API. */
  readonly reapMs: number
  /** `shutdown` of a task that is to be removed, until it is gone from the API. */
  readonly forgetMs: number
  /** Death of the leading manager to the next leader; every manager hangs for it. */
  readonly electionMs: number
  /** A manager that comes back, until it answers. */
  readonly catchUpMs: number
  /** A node whose daemon is dead, until the swarm calls it down. */
  readonly nodeDeadMs: number
  /** A node that lost its link, until the swarm calls it down. */
  readonly nodeUnreachableMs: number
  /** What the engine gives a call about the swarm before it fails it. */
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
