// A constant flow of new sessions over three replicas: measures the bytes that gossip sends for each, and the time until the workers of
// all replicas use the session. The application creates the session on a server that one replica chose among 24; another replica
// without the session's entry chooses by itself, and uses another server 23 times out of 24. Each session is requested once, through
// both other replicas at the same moment, at a random age: a second request would see the effects of the first.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../until.ts'
import type { BenchReplica } from './cluster-replicas.ts'
import type { Sample } from './known-after.ts'
import { SessionClient } from './session-client.ts'
import { sessionsOf } from './session-fill.ts'
import { LEARNED_HOST } from './state-world.ts'

/** New sessions per second. */
const GOSSIP_RATE = 1000
/** A rate at which batches follow each other without a pause. */
export const SPREAD_RATE = 300
/** Interval in ms at which sessions are started in groups. */
const BUNCH_MS = 10
const SETTLE_MS = 3000
/** Time in ms between a session's first answer and its next request. */
const COMES_BACK_MS = 500
/** The golden ratio's fraction: multiples of it modulo 1 are evenly distributed, without a pattern. */
const GOLDEN = (Math.sqrt(5) - 1) / 2

export interface GossipCost {
  readonly sessions: number
  /** In the order of the tests. */
  readonly perSecond: number
  /** Bytes that each replica sent, minus those sent at rest in the same time: for sessions with one request, and with two. */
  readonly once: readonly number[]
  readonly twice: readonly number[]
  /** Bytes per second that each replica sends at rest. */
  readonly atRest: readonly number[]
}

/** Creates sessions with one request, then as many with a second request through the same replica; `seconds` for each kind. */
export async function gossipCost(replicas: readonly BenchReplica[], seconds: number): Promise<GossipCost> {
  const client = new SessionClient(LEARNED_HOST)
  try {
    await sleep(SETTLE_MS)
    const idle = await sentWhile(replicas, () => sleep(seconds * 1000))
    const atRest = idle.bytes.map(bytes => (bytes / idle.ms) * 1000)
    const measured = async (comesBack: boolean): Promise<{ readonly bytes: number[]; readonly perSecond: number }> => {
      let perSecond = 0
      const sent = await sentWhile(replicas, async () => {
        perSecond = await newSessions(replicas, client, seconds, comesBack)
        // Includes the last batches and repeated messages.
        await sleep(SETTLE_MS)
      })
      return { bytes: sent.bytes.map((bytes, i) => bytes - (atRest[i]! * sent.ms) / 1000), perSecond }
    }
    const once = await measured(false)
    const twice = await measured(true)
    const sessions = GOSSIP_RATE * seconds
    const held = await Promise.all(replicas.map(sessionsOf))
    if (held.some(count => count < 2 * sessions))
      throw new Error(`the replicas hold ${held.join(', ')} of ${2 * sessions} sessions`)
    return { sessions, perSecond: Math.min(once.perSecond, twice.perSecond), once: once.bytes, twice: twice.bytes, atRest }
  } finally {
    client.close()
  }
}

async function newSessions(
  replicas: readonly BenchReplica[],
  client: SessionClient,
  seconds: number,
  comesBack: boolean,
): Promise<number> {
  let failed = 0
  const { count, perSecond } = await flow(GOSSIP_RATE, seconds, async number => {
    const id = newId()
    const learner = replicas[number % replicas.length]!
    const { status } = await client.make(learner, id)
    if (status !== 200) failed++
    if (!comesBack) return
    await sleep(COMES_BACK_MS)
    if ((await client.use(learner, id)).status !== 200) failed++
  })
  if (failed > 0) throw new Error(`${failed} requests of ${count} new sessions failed`)
  return perSecond
}

async function sentWhile(
  replicas: readonly BenchReplica[],
  run: () => Promise<unknown>,
): Promise<{ readonly bytes: number[]; readonly ms: number }> {
  const since = performance.now()
  const before = await Promise.all(replicas.map(bytesSent))
  await run()
  const after = await Promise.all(replicas.map(bytesSent))
  return { bytes: after.map((bytes, i) => bytes - before[i]!), ms: performance.now() - since }
}

async function bytesSent(replica: BenchReplica): Promise<number> {
  let bytes: number | null = null
  // The replica may close a connection that was idle for some seconds just as it is used again.
  await until(
    `${replica.name} to report its sent bytes`,
    async () => {
      bytes = (await replica.page('cluster'))?.counts.bytesSent ?? null
      return bytes !== null
    },
    30_000,
    { everyMs: 25 },
  )
  return bytes ?? 0
}

/** Requests each session at an age from 0 to `maxAgeMs`. */
export async function spreadSamples(replicas: readonly BenchReplica[], seconds: number, maxAgeMs: number): Promise<Sample[]> {
  const client = new SessionClient(LEARNED_HOST)
  const samples: Sample[] = []
  try {
    await flow(SPREAD_RATE, seconds, async number => {
      const id = newId()
      const learner = replicas[number % replicas.length]!
      const made = await client.make(learner, id)
      const learned = performance.now()
      if (made.status !== 200) throw new Error(`a request for a new session failed\n${learner.logTail()}`)
      await sleep(((number * GOLDEN) % 1) * maxAgeMs)
      const ageMs = performance.now() - learned
      const others = replicas.filter(replica => replica !== learner)
      const answers = await Promise.all(others.map(replica => client.use(replica, id)))
      if (answers.some(({ status }) => status !== 200)) throw new Error('a request of a new session failed')
      samples.push({ ageMs, known: answers.every(({ server }) => server === made.server) })
    })
  } finally {
    client.close()
  }
  return samples
}

function newId(): string {
  return randomBytes(16).toString('hex')
}

/** Calls `each` at a fixed rate per second, independent of running calls; resolves when all have ended. Throws the first error. */
async function flow(
  perSecond: number,
  seconds: number,
  each: (number: number) => Promise<void>,
): Promise<{ readonly count: number; readonly perSecond: number }> {
  const since = performance.now()
  const all = perSecond * seconds
  const running: Promise<void>[] = []
  const failures: unknown[] = []
  while (running.length < all && failures.length === 0) {
    const due = Math.min(all, Math.floor(((performance.now() - since) * perSecond) / 1000))
    while (running.length < due) running.push(each(running.length).catch(error => void failures.push(error)))
    await sleep(BUNCH_MS)
  }
  const elapsedMs = performance.now() - since
  await Promise.all(running)
  if (failures.length > 0) throw failures[0]
  return { count: all, perSecond: (all / elapsedMs) * 1000 }
}
