// Watches a breaker as each replica's admin API shows it, every few milliseconds, and tells every change with its time. Asked
// from inside the containers' networks, where alone that API listens.

import type { ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import type { BreakerReport } from '../../src/admin/admin-source.ts'
import { until } from '../until.ts'
import type { Replicas } from './cluster.ts'
import { adminPage, spawnInside } from './inside.ts'
import type { LabNode } from './topology.ts'

const POLL_MS = 5
const SILENCE_MS = 1000
const OPEN_MS = 10_000

/** A breaker's state as one replica showed it from `atMs` (since the epoch) on. */
export interface BreakerSighting {
  readonly atMs: number
  readonly state: BreakerReport['state']
  /** Name of the replica that changed it. */
  readonly by: string
  readonly prober: string
  readonly because: BreakerReport['because']
}

/** Must be closed. */
export class BreakerWatch {
  private readonly children: ChildProcess[] = []
  private readonly seen = new Map<LabNode, BreakerSighting[]>()

  /** Resolves once every replica has shown the breaker of the service; its name in the configuration must contain `service`. */
  static async open(replicas: Replicas, service: string): Promise<BreakerWatch> {
    const watch = new BreakerWatch()
    for (const [edge, { pid }] of replicas) {
      const sightings: BreakerSighting[] = []
      watch.seen.set(edge, sightings)
      const child = spawnInside(pid, import.meta.filename, [service])
      watch.children.push(child)
      child.on('message', (sighting: BreakerSighting) => sightings.push(sighting))
    }
    try {
      await until('the breaker of every replica', () => [...watch.seen.values()].every(({ length }) => length > 0), OPEN_MS, {
        everyMs: 100,
      })
    } catch (error) {
      watch.close()
      throw error
    }
    return watch
  }

  /** Everything that one replica has shown, in order. */
  sightings(edge: LabNode): readonly BreakerSighting[] {
    return this.seen.get(edge) ?? []
  }

  /** Of each replica when it first showed this state after `since` (ms since the epoch); null: not yet. */
  firstTimes(state: BreakerReport['state'], since: number): (number | null)[] {
    return [...this.seen.values()].map(
      sightings => sightings.find(sighting => sighting.state === state && sighting.atMs >= since)?.atMs ?? null,
    )
  }

  /** Until all replicas have shown the state after `since`; their times. @throws after `timeoutMs`, with what each shows */
  async everywhere(state: BreakerReport['state'], since: number, timeoutMs: number): Promise<number[]> {
    return until(
      `the breaker to be ${state} on every replica`,
      () => {
        const times = this.firstTimes(state, since).filter(time => time !== null)
        if (times.length === this.seen.size) return times
        throw new Error(this.describe())
      },
      timeoutMs,
      { everyMs: 20 },
    )
  }

  describe(): string {
    return [...this.seen].map(([edge, sightings]) => `${edge.name}: ${sightings.map(({ state }) => state).join(' ')}`).join(', ')
  }

  close(): void {
    for (const child of this.children) if (child.connected) child.disconnect()
  }
}

/** The child's loop: tells every change, until the parent is gone. */
async function watchOne(service: string): Promise<void> {
  process.on('disconnect', () => process.exit(0))
  let told = ''
  for (;;) {
    const reports = await adminPage<BreakerReport[]>('/api/breakers', SILENCE_MS)
    const found = reports?.find(report => report.service.includes(service))
    if (found !== undefined) {
      const { state, by, prober, because } = found
      const text = JSON.stringify({ state, by, prober })
      if (text !== told) process.send?.({ atMs: Date.now(), state, by, prober, because } satisfies BreakerSighting)
      told = text
    }
    await delay(POLL_MS)
  }
}

if (import.meta.main) void watchOne(process.argv[2] ?? '')
