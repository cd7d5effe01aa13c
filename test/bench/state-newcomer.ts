// A replica that joins a cluster of 100,000 sessions: how long until its store holds all of them, and whether its worker answers
// by them from its first answer on. Sessions were made by the application, so what a worker would choose without the table is
// another server (23 times of 24).

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
/** So many sessions in so short a time leave the replicas comparing what they hold for a while. */
const SETTLE_MS = 6000
/** Sessions that are asked for through the newcomer. */
const PROBES = 200

export interface Join {
  /** From its first connection to another member until its store holds all, ms. */
  readonly storeMs: number
  /** From the same moment until it answers requests; negative: it answered before. */
  readonly answersMs: number
  /** From the start of its process until its store holds all, ms. */
  readonly startToStoreMs: number
  /** Requests of known sessions through it, from its first answer on, and those that another server answered. */
  readonly asked: number
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
  readonly asked: number
  readonly astray: number
  /** performance.now() of its first answer. */
  readonly firstAnswer: number
}

/** Some sessions and their servers; others in each run. */
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
      throw new Error(`${newcomer.name} holds ${entries} entries after ${WITHIN_MS / 1000} s\n${newcomer.lastWords()}`)
    if (joined === 0 && ((await newcomer.page('cluster'))?.connections.length ?? 0) > 0) joined = now
    if (entries >= SESSIONS) held = performance.now()
    await sleep(PAUSE_MS)
  }
  const { asked, astray, firstAnswer } = await probing
  return { storeMs: held - joined, answersMs: firstAnswer - joined, startToStoreMs: held - started, asked, astray }
}

/** Asks for each session once, one after another, from the moment that it answers. */
async function probe(newcomer: BenchReplica, owners: ReadonlyMap<string, string>): Promise<Probed> {
  const client = new SessionClient(LEARNED_HOST)
  let [asked, astray, firstAnswer] = [0, 0, 0]
  for (const [id, owner] of owners) {
    const deadline = performance.now() + WITHIN_MS
    let { status, server } = await client.use(newcomer, id)
    while (status !== 200 && performance.now() < deadline && newcomer.alive) {
      await sleep(PAUSE_MS)
      ;({ status, server } = await client.use(newcomer, id))
    }
    if (asked++ === 0) firstAnswer = performance.now()
    if (server !== owner) astray++
    await sleep(PAUSE_MS)
  }
  client.close()
  return { asked, astray, firstAnswer }
}
