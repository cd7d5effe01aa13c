// Measures how long a cluster of three real replicas has no leader that all survivors report: after a crash (SIGKILL), and after a
// hang (SIGSTOP, then SIGCONT, after which the old leader must step down). GET /api/cluster of the survivors is polled every few
// milliseconds, so the figures are upper bounds.

import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../until.ts'
import type { Progress } from './cluster-parts.ts'
import { type BenchReplica, settled } from './cluster-replicas.ts'

const WITHIN_MS = 15_000
/** Time in ms between an answer and the next request to the same replica. */
const PAUSE_MS = 5
/** Maximum random delay in ms, so that faults are spread over the interval between two heartbeats. */
const SPREAD_MS = 1000

/** Milliseconds from the kill until every survivor reports the same new leader, one value for each run. */
export async function crashes(replicas: readonly BenchReplica[], runs: number, progress: Progress): Promise<number[]> {
  const taken: number[] = []
  for (let run = 0; run < runs; run++) {
    const leader = await settled(replicas)
    const old = (await leader.page('cluster'))?.self ?? ''
    await sleep(Math.random() * SPREAD_MS)
    const since = performance.now()
    leader.kill()
    taken.push(
      await untilAllName(
        replicas.filter(one => one !== leader),
        old,
        since,
      ),
    )
    leader.start()
    progress('leader crash', run + 1, runs, taken)
  }
  await settled(replicas)
  return taken
}

export interface Hangs {
  /** Milliseconds from SIGSTOP until every other replica reports the same new leader. */
  readonly newLeaderMs: number[]
  /** Milliseconds from SIGCONT until the old leader follows the new one. */
  readonly stepDownMs: number[]
}

export async function hangs(replicas: readonly BenchReplica[], runs: number, progress: Progress): Promise<Hangs> {
  const newLeaderMs: number[] = []
  const stepDownMs: number[] = []
  for (let run = 0; run < runs; run++) {
    const leader = await settled(replicas)
    const old = (await leader.page('cluster'))?.self ?? ''
    await sleep(Math.random() * SPREAD_MS)
    const others = replicas.filter(one => one !== leader)
    const since = performance.now()
    leader.signal('SIGSTOP')
    try {
      newLeaderMs.push(await untilAllName(others, old, since))
      await sleep(SPREAD_MS)
    } finally {
      leader.signal('SIGCONT')
    }
    const woken = performance.now()
    await until(
      `${leader.name} steps down after SIGCONT`,
      async () => {
        const view = await leader.page('cluster')
        return view !== null && view.role === 'follower' && view.leader !== null && view.leader.id !== old
      },
      WITHIN_MS,
      { everyMs: 25 },
    )
    stepDownMs.push(performance.now() - woken)
    progress('leader hang', run + 1, runs, newLeaderMs)
  }
  return { newLeaderMs, stepDownMs }
}

/** Polls each replica until all report the same leader other than `old`; resolves with the milliseconds since `since`. */
async function untilAllName(replicas: readonly BenchReplica[], old: string, since: number): Promise<number> {
  const named = new Map<BenchReplica, { readonly id: string; readonly at: number }>()
  const agree = (): boolean => named.size === replicas.length && new Set([...named.values()].map(({ id }) => id)).size === 1
  const ask = async (replica: BenchReplica): Promise<void> => {
    while (!agree()) {
      const at = performance.now()
      if (at - since > WITHIN_MS) throw new Error(`no new leader that all replicas report within ${WITHIN_MS / 1000} s`)
      const id = (await replica.page('cluster'))?.leader?.id
      if (id === undefined || id === old) named.delete(replica)
      else if (named.get(replica)?.id !== id) named.set(replica, { id, at: performance.now() })
      await sleep(PAUSE_MS)
    }
  }
  await Promise.all(replicas.map(ask))
  return Math.max(...[...named.values()].map(({ at }) => at)) - since
}
