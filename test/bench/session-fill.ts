// Fills replicas with sessions that the application makes, through all of them in turn, until each holds all.

import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchReplica } from './cluster-replicas.ts'
import { CONNECTIONS, loadSessions, placeAfter, type SessionFile } from './sessions-load.ts'

const SECONDS_EACH = 1
const WITHIN_MS = 60_000
const LOOK_MS = 100

/** Throws when they do not hold all within a minute. */
export async function fillSessions(
  replicas: readonly BenchReplica[],
  host: string,
  sessions: SessionFile,
  directory: string,
): Promise<void> {
  const deadline = performance.now() + WITHIN_MS
  const all = sessions.ids.length
  let made = 0
  for (let turn = 0; made < all && performance.now() < deadline; turn++) {
    const { web: port } = replicas[turn % replicas.length]!
    const load = { port, host, what: 'make', seconds: SECONDS_EACH, from: made } as const
    const { requests, errors } = await loadSessions(load, sessions, directory)
    if (errors > 0) throw new Error(`${errors} of ${requests} requests failed while sessions were made`)
    // Those that were on their way when the load ended are made once more.
    made += Math.max(0, requests - CONNECTIONS)
  }
  let held: number[] = []
  while (performance.now() < deadline) {
    held = await Promise.all(replicas.map(sessionsOf))
    if (held.every(count => count >= all)) return
    await sleep(LOOK_MS)
  }
  throw new Error(`the replicas hold ${held.join(', ')} of ${all} sessions after ${WITHIN_MS / 1000} s`)
}

/** Each session is used once more, through one replica: what is told only of its second request has been told. */
export async function useAll(replica: BenchReplica, host: string, sessions: SessionFile, directory: string): Promise<void> {
  const deadline = performance.now() + WITHIN_MS
  for (let used = 0; used < sessions.ids.length; ) {
    if (performance.now() > deadline) throw new Error(`${used} requests in ${WITHIN_MS / 1000} s, expected one for each session`)
    const load = { port: replica.web, host, what: 'use', seconds: SECONDS_EACH, from: placeAfter(used, sessions) } as const
    const { requests, errors } = await loadSessions(load, sessions, directory)
    if (errors > 0) throw new Error(`${errors} of ${requests} requests failed while sessions were used`)
    used += Math.max(0, requests - CONNECTIONS)
  }
}

/** Learned sessions that a replica's store holds; its data workers are told of them as they come. */
export async function sessionsOf(replica: BenchReplica): Promise<number> {
  const state = await replica.page('state', 5000)
  return Object.values(state?.sessions ?? {}).reduce((sum, count) => sum + count, 0)
}
