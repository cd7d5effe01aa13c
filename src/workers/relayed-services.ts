// The services that this replica cannot reach itself, as its data workers report them: since when, why, and the peer that takes
// their requests. A service is relayed as long as one worker reports it. No I/O; the clock is a parameter.

import type { RelayReport } from '../admin/admin-source.ts'
import type { FromWorker } from './messages.ts'

type ReachMessage = Extract<FromWorker, { kind: 'serviceReach' }>

interface Entry {
  readonly workers: Set<number>
  readonly startMs: number
  /** Requests of the service that were relayed before `startMs`. */
  readonly before: number
  cause: string
  through: string
}

/** The change that a message causes: `relayed` and `reachable` once per service, `peerChanged` for another peer. */
export type RelayChange =
  | { readonly kind: 'relayed' | 'peerChanged'; readonly cause: string; readonly through: string }
  | { readonly kind: 'reachable'; readonly forMs: number; readonly requests: number }

export class RelayedServices {
  private readonly entries = new Map<string, Entry>()
  private readonly now: () => number
  private readonly relayedOut: (service: string) => number

  /** `now` returns monotonic ms; `relayedOut` the number of relayed requests of a service so far. */
  constructor(now: () => number, relayedOut: (service: string) => number) {
    this.now = now
    this.relayedOut = relayedOut
  }

  /** @returns null if the message changes nothing */
  note(worker: number, { service, reachable, cause, through }: ReachMessage): RelayChange | null {
    const entry = this.entries.get(service)
    if (reachable) return entry === undefined ? null : this.withdraw(worker, service, entry)
    if (entry === undefined) {
      const before = this.relayedOut(service)
      this.entries.set(service, { workers: new Set([worker]), startMs: this.now(), before, cause, through })
      return { kind: 'relayed', cause, through }
    }
    entry.workers.add(worker)
    if (through === '' || through === entry.through) return null
    entry.cause = cause
    entry.through = through
    return { kind: 'peerChanged', cause, through }
  }

  /** Drops the reports of a worker that has ended. @returns the services that are reachable again: no other worker reports them */
  forgetWorker(worker: number): [string, RelayChange][] {
    return [...this.entries].flatMap(([service, entry]): [string, RelayChange][] => {
      const change = this.withdraw(worker, service, entry)
      return change === null ? [] : [[service, change]]
    })
  }

  /** Drops unknown services. @returns whether there were any */
  keepOnly(isKnown: (service: string) => boolean): boolean {
    const before = this.entries.size
    for (const service of this.entries.keys()) if (!isKnown(service)) this.entries.delete(service)
    return this.entries.size < before
  }

  /** Cause of each service that is relayed now. */
  causes(): [string, string][] {
    return [...this.entries].map(([service, { cause }]) => [service, cause])
  }

  reports(): Map<string, RelayReport> {
    const now = this.now()
    return new Map(
      [...this.entries].map(([service, { through, startMs, cause }]) => [
        service,
        { service, through, sinceMs: Math.round(now - startMs), cause },
      ]),
    )
  }

  private withdraw(worker: number, service: string, entry: Entry): RelayChange | null {
    if (!entry.workers.delete(worker) || entry.workers.size > 0) return null
    this.entries.delete(service)
    return { kind: 'reachable', forMs: Math.round(this.now() - entry.startMs), requests: this.relayedOut(service) - entry.before }
  }
}
