// Ids of requests, as they appear in local replies and in the log. Unique among the replicas and short enough to read out.

export class RequestIds {
  private readonly prefix: string
  private count = 0

  /** `name` is the replica's, `worker` the number of the data worker, `startMs` the time at which it started. */
  constructor(name: string, worker: number, startMs: number) {
    this.prefix = `${name.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 64)}-${worker.toString(36)}${startMs.toString(36)}-`
  }

  next(): string {
    return this.prefix + (++this.count).toString(36)
  }
}
