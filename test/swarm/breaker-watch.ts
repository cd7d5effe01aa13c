// Polls the state of a breaker in each replica's admin API every few milliseconds, and records every change with its time. The
// requests come from inside the containers' networks, the only place where that API listens.

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

/** The state of a breaker that one replica reported from `atMs` (since the epoch) on. */
export interface BreakerSighting {
  readonly atMs: number
  readonly state: BreakerReport['state']
  /** The name of the replica that changed the state. */
  readonly by: string
  readonly prober: string
  readonly because: BreakerReport['because']
}

/** A watch on all replicas. The caller must close it. */
export class BreakerWatch {
  private readonly children: ChildProcess[] = []
  private readonly seen = new Map<LabNode, BreakerSighting[]>()

  /** Resolves once every replica has reported the breaker of the service, whose name in the configuration contains `service`. */
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

  /** All states that one replica has reported, in order. */
  sightings(edge: LabNode): readonly BreakerSighting[] {
    return this.seen.get(edge) ?? []
  }

  /** For each replica the time when it first reported this state after `since` (ms since the epoch); null: not yet. */
  firstTimes(state: BreakerReport['state'], since: number): (number | null)[] {
    return [...this.seen.values()].map(
      sightings => sightings.find(sighting => sighting.state === state && sighting.atMs >= since)?.atMs ?? null,
    )
  }

  /** Waits until all replicas have reported the state after `since`; resolves with their times. @throws after `timeoutMs`, with their states */
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

/** The loop of the child process: sends every change until the parent ends. */
async function watchOne(service: string): Promise<void> {
  process.on('disconnect', () => process.exit(0))
  let last = ''
  for (;;) {
    const reports = await adminPage<BreakerReport[]>('/api/breakers', SILENCE_MS)
    const found = reports?.find(report => report.service.includes(service))
    if (found !== undefined) {
      const { state, by, prober, because } = found
      const text = JSON.stringify({ state, by, prober })
      if (text !== last) process.send?.({ atMs: Date.now(), state, by, prober, because } satisfies BreakerSighting)
      last = text
    }
    await delay(POLL_MS)
  }
}

if (import.meta.main) void watchOne(process.argv[2] ?? '')
