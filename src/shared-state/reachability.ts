// Who reaches a server that another replica cannot reach: so that a session stays on it, a replica that is cut off from that
// server alone hands the session's requests to a member that has said so (proxy/relay/relays.ts). A worker asks as soon as a
// connect takes longer than it should; whoever hears of trouble has looked by itself, and answers only when a connect stood: of a
// server that is dead nobody speaks. Entries of the store: one per server for the last question, one per server and member that
// answers.

import { TokenBucket } from '../../cluster/rate-limit.ts'
import type { Change, Entry } from '../../cluster/store/model.ts'
import { STORE_LIMITS } from '../../cluster/store/model.ts'
import type { Snapshot } from '../config/model.ts'
import { printable } from '../util/printable.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import type { SharingHost, SharingPart } from './part.ts'

const TABLE = 'reach'
/** The two values: of an entry under service and server, and of one under service, server and member. */
const ASKED = 'asked'
const HERE = 'here'
const ASKED_MS = 3000
/**
 * Who cannot reach a server says so once a minute at least, and is answered: an answer outlives two that are lost. It is taken
 * back as soon as it is not true any more.
 */
const HERE_MS = 150_000
const HERE_AGAIN_MS = 500
/** Characters of a member's id, with room to spare. */
const MOST_ID = 100
/** One answer is enough: of a large cluster about so many speak. */
const ANSWERS = 8
/** Writes to the store, and words to workers: at once, and per second. */
const ASKS = { burst: 32, perSecond: 10 }
const WRITES = { burst: 64, perSecond: 20 }
const WORDS = { burst: 512, perSecond: 100 }
/** Causes of an ejection that say that there is no way. */
const NO_WAY: ReadonlySet<string> = new Set(['refused', 'unreachable', 'timeout', 'silence'])

export class ReachSharing implements SharingPart {
  private readonly host: SharingHost
  /** What was said by this replica: servers by key of the table, and when (monotonic ms). */
  private readonly said = new Map<string, number>()
  private readonly asks = new TokenBucket(ASKS.burst, ASKS.perSecond)
  private readonly writes = new TokenBucket(WRITES.burst, WRITES.perSecond)
  private readonly words = new TokenBucket(WORDS.burst, WORDS.perSecond)
  /** Ids of active servers by service. */
  private servers: ReadonlyMap<string, ReadonlySet<string>> = new Map()

  constructor(host: SharingHost) {
    this.host = host
  }

  tables(snapshot: Snapshot): Iterable<readonly [table: string, cap: number]> {
    const servers = Object.values(snapshot.services).reduce((sum, service) => sum + service.servers.length, 0)
    return [[TABLE, Math.min(20_000, 256 + (ANSWERS + 1) * servers)]]
  }

  apply(snapshot: Snapshot): void {
    this.servers = new Map(
      Object.values(snapshot.services).map(({ name, servers }) => [
        name,
        new Set(servers.filter(({ state }) => state === 'active').map(({ id }) => id)),
      ]),
    )
    for (const key of [...this.said.keys()]) if (this.serverOf(key) === null) this.said.delete(key)
  }

  fromWorker(_index: number, message: SharedFromWorker): void {
    if (message.kind !== 'reachQuery' && message.kind !== 'reachAnswer' && message.kind !== 'ejection') return
    const key = keyOf(message.service, message.server)
    if (key.length + MOST_ID > STORE_LIMITS.key || this.serverOf(key) === null) return
    const { store } = this.host
    const nowMs = this.host.now()
    const others = this.host.peers().length - 1
    if (message.kind === 'ejection') {
      if (message.out && NO_WAY.has(message.cause) && this.said.delete(key)) store.remove(TABLE, `${key}\0${this.selfId}`)
    } else if (message.kind === 'reachQuery') {
      // Alone there is nobody to answer.
      if (others > 0 && this.asks.take(nowMs)) store.put(TABLE, key, ASKED, { ttlMs: ASKED_MS })
    } else if (nowMs - (this.said.get(key) ?? Number.NEGATIVE_INFINITY) >= HERE_AGAIN_MS) {
      if (Math.random() * others >= ANSWERS || !this.writes.take(nowMs)) return
      this.said.set(key, nowMs)
      store.put(TABLE, `${key}\0${this.selfId}`, HERE, { ttlMs: HERE_MS })
    }
  }

  changed(changes: readonly Change[]): void {
    for (const change of changes) if (change.table === TABLE) this.hear(change)
  }

  seed(post: (message: ToWorker) => void): void {
    for (const { key, value, origin, ttlMs } of this.host.store.entries(TABLE)) {
      if (value !== HERE || origin === this.selfId || !key.endsWith(`\0${origin}`)) continue
      const found = this.serverOf(key.slice(0, -origin.length - 1))
      if (found !== null) post({ kind: 'peerReach', ...found, by: origin, forMs: Math.min(HERE_MS, ttlMs) })
    }
  }

  members(): void {}

  stop(): void {}

  private get selfId(): string {
    return this.host.peers().find(({ self }) => self)?.id ?? ''
  }

  /** What another member has written; what is neither a question nor the writer's own answer says nothing. */
  private hear({ key, value, origin, ttlMs }: Entry): void {
    const own = key.endsWith(`\0${origin}`)
    const found = this.serverOf(own ? key.slice(0, -origin.length - 1) : key)
    if (found === null || (own ? value !== null && value !== HERE : value !== ASKED)) return
    if (!this.words.take(this.host.now())) return
    if (own) {
      this.host.post({ kind: 'peerReach', ...found, by: origin, forMs: value === null ? 0 : Math.min(HERE_MS, ttlMs) })
      return
    }
    const by = this.host.peers().find(({ id }) => id === origin)?.name ?? printable(origin)
    this.host.post({ kind: 'remoteEjection', ...found, cause: ASKED, forMs: 0, times: 1, by })
  }

  /** The server that a key names; null: there is none. */
  private serverOf(key: string): { readonly service: string; readonly server: string } | null {
    const at = key.indexOf('\0')
    const service = key.slice(0, at)
    const server = key.slice(at + 1)
    return at > 0 && this.servers.get(service)?.has(server) === true ? { service, server } : null
  }
}

function keyOf(service: string, server: string): string {
  return `${service}\0${server}`
}
