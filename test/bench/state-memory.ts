// Measures the memory of a learned session: real data workers in a separate process receive 100,000 sessions, as control sends sessions
// of other replicas; and the control thread's store. This file is that process too (`node --expose-gc state-memory.ts WORKER
// SESSIONS`); its last line is one JSON object.

import { randomBytes } from 'node:crypto'
import { dirname, extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Snapshot } from '../../src/config/model.ts'
import { createCounters } from '../../src/proxy/counters.ts'
import { SharedState } from '../../src/shared-state/shared-state.ts'
import { createLog } from '../../src/util/log.ts'
import { SESSION_ROW, type SessionsMessage, type ToWorker } from '../../src/workers/messages.ts'
import { snapshotOf, testOptions } from '../integration/harness.ts'
import { start, tail } from './processes.ts'
import { type Place, SESSION_COOKIE, TABLE_SIZE } from './state-world.ts'

export interface MemoryPerSession {
  readonly sessions: number
  /** Bytes of heap and buffers of one data worker. */
  readonly perWorker: number
  /** Bytes by which the process's resident memory grew, per session and worker. */
  readonly resident: number
  /** Bytes of the control thread's heap and buffers. */
  readonly control: number
}

const SESSIONS = 100_000
/** Several workers, because the resident memory of one would be lost in noise. */
const WORKERS = 4
const BATCH = 5000
const SERVERS = 24
const TTL_SECONDS = 3600
const WITHIN_MS = 60_000
const SETTLE_MS = 1500
/** Lower bound of a plausible result in bytes: the size of the key alone. */
const LEAST_BYTES = 8

export async function measureMemory({ directory, skein }: Place): Promise<MemoryPerSession> {
  const log = join(directory, 'memory.log')
  const worker = join(dirname(skein), 'workers', `worker${extname(skein)}`)
  const { child } = start(process.execPath, ['--expose-gc', fileURLToPath(import.meta.url), worker, `${SESSIONS}`], log)
  const deadline = performance.now() + WITHIN_MS
  while (child.exitCode === null && child.signalCode === null) {
    if (performance.now() > deadline) throw new Error(`the data workers did not take the sessions\n${tail(log)}`)
    await sleep(50)
  }
  const last = tail(log).split('\n').at(-1) ?? ''
  if (child.exitCode !== 0 || !last.startsWith('{')) throw new Error(`the data workers could not be weighed:\n${tail(log)}`)
  const weighed = JSON.parse(last) as MemoryPerSession
  for (const [what, bytes] of [
    ['data worker', weighed.perWorker],
    ['store', weighed.control],
  ] as const) {
    if (bytes < LEAST_BYTES) throw new Error(`the ${what} holds ${bytes.toFixed(1)} bytes per session: it did not take them`)
  }
  return weighed
}

function snapshot(learns: boolean): Snapshot {
  const learn = { from: 'cookie', name: SESSION_COOKIE, ttlMs: TTL_SECONDS * 1000, size: TABLE_SIZE, drain: 'move' } as const
  const servers = Array.from({ length: SERVERS }, (_, i) => 8000 + i)
  return snapshotOf({ app: { servers, learn: learns ? learn : null } })
}

/** Sessions in the form of messages between control and workers, in batches. */
function batches(count: number): SessionsMessage[] {
  const servers = Object.values(snapshot(true).services)[0]!.servers.map(({ id }) => id)
  const messages: SessionsMessage[] = []
  for (let first = 0; first < count; first += BATCH) {
    const size = Math.min(BATCH, count - first)
    const rows = new Uint32Array(size * SESSION_ROW)
    const keys = new Uint32Array(randomBytes(size * 8).buffer.slice(0))
    for (let i = 0; i < size; i++) rows.set([keys[2 * i]!, keys[2 * i + 1]!, i % SERVERS, TTL_SECONDS, 1], i * SESSION_ROW)
    messages.push({ kind: 'sessions', service: 'app', servers, rows })
  }
  return messages
}

interface Weighed {
  readonly heapUsed: number
  readonly external: number
}

class WeighedWorker {
  private readonly worker: Worker

  constructor(file: string) {
    const workerData = { index: 0, options: testOptions(), counters: createCounters(1), file }
    this.worker = new Worker(new URL('./state-memory-worker.ts', import.meta.url), { workerData })
  }

  /** Resolves when the worker has processed all earlier messages. */
  async apply(learns: boolean): Promise<void> {
    await this.answered({ kind: 'snapshot', snapshot: snapshot(learns), slots: new Map([['app', 1]]) }, 'applied')
  }

  post(message: ToWorker): void {
    this.worker.postMessage(message)
  }

  async weigh(): Promise<number> {
    const { heapUsed, external } = (await this.answered({ kind: 'weigh' }, 'weighed')) as Weighed
    return heapUsed + external
  }

  private answered(message: ToWorker | { readonly kind: 'weigh' }, kind: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const onMessage = (answer: { readonly kind: string }): void => {
        if (answer.kind !== kind) return
        this.worker.off('message', onMessage)
        resolve(answer)
      }
      this.worker.on('message', onMessage).once('error', reject)
      this.worker.postMessage(message)
    })
  }
}

async function weighWorkers(file: string, count: number): Promise<Pick<MemoryPerSession, 'perWorker' | 'resident'>> {
  const messages = batches(count)
  const workers = Array.from({ length: WORKERS }, () => new WeighedWorker(file))
  await Promise.all(workers.map(worker => worker.apply(false)))
  const before = await Promise.all(workers.map(worker => worker.weigh()))
  await sleep(SETTLE_MS)
  const residentBefore = process.memoryUsage.rss()
  await Promise.all(workers.map(worker => worker.apply(true)))
  for (const message of messages) for (const worker of workers) worker.post(message)
  await Promise.all(workers.map(worker => worker.apply(true)))
  const after = await Promise.all(workers.map(worker => worker.weigh()))
  await sleep(SETTLE_MS)
  const resident = (process.memoryUsage.rss() - residentBefore) / WORKERS / count
  const grown = after.map((bytes, i) => (bytes - before[i]!) / count)
  return { perWorker: Math.max(...grown), resident }
}

async function weighControl(count: number): Promise<number> {
  const messages = batches(count)
  const sharing = new SharedState({
    name: 'bench',
    store: { kind: 'gossip', redis: null },
    log: createLog({ level: 'silent', format: 'json' }),
    post: () => {},
    postTo: () => {},
  })
  const weigh = (): number => {
    globalThis.gc?.()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const before = weigh()
  sharing.apply(snapshot(true))
  for (const message of messages) sharing.fromWorker(0, message)
  await sleep(SETTLE_MS)
  const grown = (weigh() - before) / count
  await sharing.stop()
  return grown
}

if (process.argv[1] === import.meta.filename) {
  const [, , file = '', count = ''] = process.argv
  const control = await weighControl(Number(count))
  const weighed = { sessions: Number(count), control, ...(await weighWorkers(file, Number(count))) }
  process.stdout.write(`${JSON.stringify(weighed)}\n`, () => process.exit(0))
}
