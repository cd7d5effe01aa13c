// A replica joins a cluster with 100,000 sessions: measures the time until its store has all of them, and whether its worker uses them
// from its first answer on. The application created the sessions, so a worker without the table would choose another server 23 times
// out of 24.

import { setTimeout as sleep } from 'node:timers/promises'
import { BenchReplica, settled } from './cluster-replicas.ts'
import { SessionClient } from './session-client.ts'
import { fillSessions } from './session-fill.ts'
import { type SessionFile, writeSessions } from './sessions-load.ts'
import type { SessionCluster } from './state-cluster.ts'
import { LEARNED_HOST } from './state-world.ts'

const SESSIONS = 100_000
const WITHIN_MS = 30_000
const PAUSE_MS = 5
/** Wait after the fill, because replicas compare their state for some time after so many new sessions. */
const SETTLE_MS = 6000
/** Number of sessions that are requested through the newcomer. */
const PROBES = 200

export interface Join {
  /** Time in ms from its first connection to a member until its store has all sessions. */
  readonly storeMs: number
  /** Time in ms from the same moment until it answers requests; negative: it answered before. */
  readonly answersMs: number
  /** Time in ms from the start of its process until its store has all sessions. */
  readonly startToStoreMs: number
  /** Requests of known sessions through it from its first answer on, and the number of those that another server answered. */
  readonly sent: number
  readonly astray: number
}

export async function newcomers(
  { replicas, world }: SessionCluster,
  directory: string,
  runs: number,
  progress: (text: string) => void,
): Promise<Join[]> {
  const sessions = writeSessions(directory, SESSIONS)
  await fillSessions(replicas, LEARNED_HOST, sessions, directory)
  await sleep(SETTLE_MS)
  const joins: Join[] = []
  for (let run = 0; run < runs; run++) {
    const owners = await ownersOf(replicas[0]!, sessions, run)
    const newcomer = await BenchReplica.create(`newcomer${run + 1}`, world.setting)
    newcomer.peers = replicas.map(({ place, gossip }) => `${place.reach}:${gossip}`)
    try {
      joins.push(await join(newcomer, owners))
      progress(`newcomer: run ${run + 1} of ${runs}: ${joins.at(-1)?.storeMs.toFixed(0)} ms`)
    } finally {
      await newcomer.stop()
    }
    await settled(replicas)
  }
  return joins
}

interface Probed {
  readonly sent: number
  readonly astray: number
  /** The time (performance.now()) of its first answer. */
  readonly firstAnswer: number
}

/** Some sessions and their servers, different ones in each run. */
async function ownersOf(replica: BenchReplica, { ids }: SessionFile, run: number): Promise<Map<string, string>> {
  const client = new SessionClient(LEARNED_HOST)
  const owners = new Map<string, string>()
  for (let probe = 0; probe < PROBES; probe++) {
    const id = ids[(probe * 487 + run * 31) % ids.length]!
    owners.set(id, (await client.use(replica, id)).server)
  }
  client.close()
  return owners
}

async function join(newcomer: BenchReplica, owners: ReadonlyMap<string, string>): Promise<Join> {
  const started = performance.now()
  newcomer.start()
  const probing = probe(newcomer, owners)
  let joined = 0
  let held = 0
  while (held === 0) {
    const now = performance.now()
    const entries = (await newcomer.page('state'))?.store.entries ?? 0
    if (now - started > WITHIN_MS)
      throw new Error(`${newcomer.name} holds ${entries} entries after ${WITHIN_MS / 1000} s\n${newcomer.logTail()}`)
    if (joined === 0 && ((await newcomer.page('cluster'))?.connections.length ?? 0) > 0) joined = now
    if (entries >= SESSIONS) held = performance.now()
    await sleep(PAUSE_MS)
  }
  const { sent, astray, firstAnswer } = await probing
  return { storeMs: held - joined, answersMs: firstAnswer - joined, startToStoreMs: held - started, sent, astray }
}

/** Requests each session once, one after another, as soon as the newcomer answers. */
async function probe(newcomer: BenchReplica, owners: ReadonlyMap<string, string>): Promise<Probed> {
  const client = new SessionClient(LEARNED_HOST)
  let [sent, astray, firstAnswer] = [0, 0, 0]
  for (const [id, owner] of owners) {
    const deadline = performance.now() + WITHIN_MS
    let { status, server } = await client.use(newcomer, id)
    while (status !== 200 && performance.now() < deadline && newcomer.alive) {
      await sleep(PAUSE_MS)
      ;({ status, server } = await client.use(newcomer, id))
    }
    if (sent++ === 0) firstAnswer = performance.now()
    if (server !== owner) astray++
    await sleep(PAUSE_MS)
  }
  client.close()
  return { sent, astray, firstAnswer }
}
