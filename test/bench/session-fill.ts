// Fills replicas with sessions that the application creates, through all replicas in turn, until each has all sessions.

import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchReplica } from './cluster-replicas.ts'
import { CONNECTIONS, loadSessions, placeAfter, type SessionFile } from './sessions-load.ts'

const SECONDS_EACH = 1
const WITHIN_MS = 60_000
const LOOK_MS = 100

/** Throws if the replicas do not have all sessions within a minute. */
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
    // Sessions whose requests were in flight when the load ended are created again.
    made += Math.max(0, requests - CONNECTIONS)
  }
  let held: number[] = []
  while (performance.now() < deadline) {
    held = await Promise.all(replicas.map(sessionsOf))
    if (held.every(count => count >= all)) return
    await sleep(LOOK_MS)
  }
  throw new Error(`the replicas have ${held.join(', ')} of ${all} sessions after ${WITHIN_MS / 1000} s`)
}

/** Uses each session once more, through one replica, so that the announcements of second requests are over. */
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

/** The number of learned sessions in a replica's store. */
export async function sessionsOf(replica: BenchReplica): Promise<number> {
  const state = await replica.page('state', 5000)
  return Object.values(state?.sessions ?? {}).reduce((sum, count) => sum + count, 0)
}
