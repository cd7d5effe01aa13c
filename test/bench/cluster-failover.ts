// How long a cluster of three real replicas is without a leader that all survivors name: after a crash (SIGKILL), after a hang
// (SIGSTOP, and then SIGCONT: it must step down). Survivors are asked at GET /api/cluster every few milliseconds, so figures are
// upper bounds.

import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../until.ts'
import type { Progress } from './cluster-parts.ts'
import { type BenchReplica, settled } from './cluster-replicas.ts'

const WITHIN_MS = 15_000
/** Between an answer and the next question to the same replica. */
const PAUSE_MS = 5
/** The harm falls anywhere between two beats. */
const SPREAD_MS = 1000

/** Milliseconds from the kill to every survivor naming one new leader, one for each run. */
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
  /** From SIGSTOP to every other replica naming one new leader. */
  readonly newLeaderMs: number[]
  /** From SIGCONT to the old leader following the new one. */
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

/** Asks each replica in a loop of its own until all name one leader other than `old`; milliseconds since `since`. */
async function untilAllName(replicas: readonly BenchReplica[], old: string, since: number): Promise<number> {
  const named = new Map<BenchReplica, { readonly id: string; readonly at: number }>()
  const agree = (): boolean => named.size === replicas.length && new Set([...named.values()].map(({ id }) => id)).size === 1
  const ask = async (replica: BenchReplica): Promise<void> => {
    while (!agree()) {
      const at = performance.now()
      if (at - since > WITHIN_MS) throw new Error(`no new leader that all name within ${WITHIN_MS / 1000} s`)
      const id = (await replica.page('cluster'))?.leader?.id
      if (id === undefined || id === old) named.delete(replica)
      else if (named.get(replica)?.id !== id) named.set(replica, { id, at: performance.now() })
      await sleep(PAUSE_MS)
    }
  }
  await Promise.all(replicas.map(ask))
  return Math.max(...[...named.values()].map(({ at }) => at)) - since
}
