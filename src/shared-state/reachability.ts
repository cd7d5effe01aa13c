// Which members reach a server that another replica cannot reach. A replica that is cut off from a server relays the requests of
// its sessions there through a member that has answered (proxy/peers/relays.ts), so the sessions stay on the server. A worker asks
// as soon as a connect takes longer than it should. Workers of other members probe by themselves and answer only after a successful
// connect, so nothing is answered for a dead server. The table has one entry per server for the last query, and one per server and
// answering member.

import { TokenBucket } from '../../cluster/rate-limit.ts'
import type { Change, Entry } from '../../cluster/store/model.ts'
import { STORE_LIMITS } from '../../cluster/store/model.ts'
import type { Snapshot } from '../config/model.ts'
import { printable } from '../util/printable.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import type { SharedStateHost, SharedStatePart } from './part.ts'
import { ServerTable, serverKey } from './server-table.ts'

/** The values of the two kinds of entries: a query (key: service, server), an answer (key: service, server, member). */
const QUERY = 'asked'
const ANSWER = 'here'
const QUERY_TTL_MS = 3000
/**
 * A replica that cannot reach a server repeats its query at least once a minute; an answer outlives two lost queries. It is removed
 * as soon as its writer cannot reach the server either.
 */
const ANSWER_TTL_MS = 150_000
/** Shortest interval between two answers about one server, ms. */
const ANSWER_REPEAT_MS = 500
/** Characters reserved for a member's id in a key. */
const MAX_ID = 100
/** One answer is enough. In a large cluster about this many members answer. */
const MAX_ANSWERS = 8
/** Queries: burst, and rate per second. */
const QUERIES = { burst: 32, perSecond: 10 }
/** Causes of an ejection that mean that the server cannot be reached. */
const CONNECT_CAUSES: ReadonlySet<string> = new Set(['refused', 'unreachable', 'timeout', 'silence'])

export class SharedReachability implements SharedStatePart {
  private readonly host: SharedStateHost
  private readonly table: ServerTable
  /** Servers that this replica has answered for, by key, with the time (monotonic ms). */
  private readonly answered = new Map<string, number>()
  private readonly queries = new TokenBucket(QUERIES.burst, QUERIES.perSecond)

  constructor(host: SharedStateHost) {
    this.host = host
    this.table = new ServerTable(host, 'reach', MAX_ANSWERS + 1, 20_000)
  }

  tables(snapshot: Snapshot): Iterable<readonly [table: string, cap: number]> {
    return [this.table.withCap(snapshot)]
  }

  apply(snapshot: Snapshot): void {
    this.table.apply(snapshot)
    this.table.prune(this.answered)
  }

  fromWorker(_index: number, message: SharedFromWorker): void {
    if (message.kind !== 'reachQuery' && message.kind !== 'reachAnswer' && message.kind !== 'ejection') return
    const key = serverKey(message.service, message.server)
    if (key.length + MAX_ID > STORE_LIMITS.key || this.table.find(key) === null) return
    const nowMs = this.host.now()
    const others = this.host.peers().length - 1
    if (message.kind === 'ejection') {
      if (message.out && CONNECT_CAUSES.has(message.cause) && this.answered.delete(key)) this.table.remove(this.answerKey(key))
    } else if (message.kind === 'reachQuery') {
      if (others > 0 && this.queries.take(nowMs)) this.table.put(key, QUERY, QUERY_TTL_MS)
    } else if (nowMs - (this.answered.get(key) ?? Number.NEGATIVE_INFINITY) >= ANSWER_REPEAT_MS) {
      if (Math.random() * others >= MAX_ANSWERS || !this.table.mayWrite()) return
      this.answered.set(key, nowMs)
      this.table.put(this.answerKey(key), ANSWER, ANSWER_TTL_MS)
    }
  }

  changed(changes: readonly Change[]): void {
    for (const change of changes) if (this.table.owns(change)) this.onRemoteEntry(change)
  }

  seed(post: (message: ToWorker) => void): void {
    const { selfId } = this.table
    for (const { key, value, origin, ttlMs } of this.table.entries()) {
      if (value !== ANSWER || origin === selfId || !key.endsWith(`\0${origin}`)) continue
      const found = this.table.find(key.slice(0, -origin.length - 1))
      if (found !== null) post({ kind: 'peerReach', ...found, by: origin, forMs: Math.min(ANSWER_TTL_MS, ttlMs) })
    }
  }

  members(): void {}

  stop(): void {}

  private answerKey(key: string): string {
    return `${key}\0${this.table.selfId}`
  }

  /** Passes another member's query or its own answer on to the workers; ignores everything else. */
  private onRemoteEntry({ key, value, origin, ttlMs }: Entry): void {
    const isAnswer = key.endsWith(`\0${origin}`)
    const found = this.table.find(isAnswer ? key.slice(0, -origin.length - 1) : key)
    if (found === null || (isAnswer ? value !== null && value !== ANSWER : value !== QUERY)) return
    if (!this.table.mayPost()) return
    if (isAnswer) {
      this.host.post({ kind: 'peerReach', ...found, by: origin, forMs: value === null ? 0 : Math.min(ANSWER_TTL_MS, ttlMs) })
      return
    }
    const by = this.table.nameOf(origin) ?? printable(origin)
    this.host.post({ kind: 'remoteEjection', ...found, cause: QUERY, forMs: 0, times: 1, by })
  }
}
