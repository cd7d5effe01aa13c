// Who reaches a server that another replica cannot reach: so that a session stays on it, a replica that is cut off from that
// server alone hands the session's requests to a member that has said so (proxy/relay/relays.ts). A worker asks as soon as a
// connect takes longer than it should; whoever hears of trouble has looked by itself, and answers only when a connect stood: of a
// server that is dead nobody speaks. One entry per server, the last word counts.

import type { Change, Entry } from '../../cluster/store/model.ts'
import { STORE_LIMITS } from '../../cluster/store/model.ts'
import type { Snapshot } from '../config/model.ts'
import { printable } from '../printable.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import type { SharingHost, SharingPart } from './part.ts'
import { TokenBucket } from './token-bucket.ts'

const TABLE = 'reach'
/** The two values of an entry. */
const ASKED = 'asked'
const HERE = 'here'
const ASKED_MS = 3000
/**
 * Who cannot reach a server says so once a minute at least, and is answered: an answer outlives two that are lost. It is taken
 * back as soon as it is not true any more.
 */
const HERE_MS = 150_000
const HERE_AGAIN_MS = 1000
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
    return [[TABLE, Math.min(10_000, 256 + 2 * servers)]]
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
    if (message.kind !== 'asked' && message.kind !== 'found' && message.kind !== 'ejection') return
    const key = keyOf(message.service, message.server)
    if (key.length > STORE_LIMITS.key || this.serverOf(key) === null) return
    const { store } = this.host
    const nowMs = this.host.now()
    const others = this.host.peers().length - 1
    if (message.kind === 'ejection') {
      if (!message.out || !NO_WAY.has(message.cause) || !this.said.delete(key)) return
      const entry = store.get(TABLE, key)
      // Another member's word stands by itself.
      if (entry === null || entry.value !== HERE || entry.origin === this.selfId) store.remove(TABLE, key)
    } else if (message.kind === 'asked') {
      // Alone there is nobody to answer.
      if (others > 0 && this.asks.take(nowMs)) store.put(TABLE, key, ASKED, { ttlMs: ASKED_MS })
    } else if (nowMs - (this.said.get(key) ?? Number.NEGATIVE_INFINITY) >= HERE_AGAIN_MS) {
      if (Math.random() * others >= ANSWERS || !this.writes.take(nowMs)) return
      this.said.set(key, nowMs)
      store.put(TABLE, key, HERE, { ttlMs: HERE_MS })
    }
  }

  changed(changes: readonly Change[]): void {
    for (const change of changes) if (change.table === TABLE) this.hear(change)
  }

  seed(post: (message: ToWorker) => void): void {
    for (const entry of this.host.store.entries(TABLE)) {
      const found = this.serverOf(entry.key)
      if (found === null || entry.value !== HERE || entry.origin === this.selfId) continue
      post({ kind: 'reached', ...found, by: entry.origin, forMs: Math.min(HERE_MS, entry.ttlMs) })
    }
  }

  members(): void {}

  stop(): void {}

  private get selfId(): string {
    return this.host.peers().find(({ self }) => self)?.id ?? ''
  }

  /** What another member has written; what is neither of the two values says nothing. */
  private hear({ key, value, origin, ttlMs }: Entry): void {
    const found = this.serverOf(key)
    if (found === null || (value !== null && value !== ASKED && value !== HERE) || !this.words.take(this.host.now())) return
    if (value === ASKED) {
      const by = this.host.peers().find(({ id }) => id === origin)?.name ?? printable(origin)
      this.host.post({ kind: 'outlier', ...found, cause: 'doubt', forMs: 0, times: 1, by })
    } else {
      const forMs = value === null ? 0 : Math.min(HERE_MS, ttlMs)
      this.host.post({ kind: 'reached', ...found, by: origin, forMs })
    }
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
