// Learned sessions between data workers and the store: a session learned by one worker is sent to all others, here and on other
// replicas. The store has one table per service, from the session's key (64 bits, base64url) to its server's id. Workers do not
// use the store, and the store does not contain the application's session ids.

import type { Change, Entry } from '../../cluster/store/model.ts'
import type { LearnedSessions, Snapshot } from '../config/model.ts'
import { BOUND_BY_HASH, CONFIRMED, KEPT_ALIVE } from '../proxy/sessions/service-sessions.ts'
import { SESSION_ROW, type SessionsMessage, type SharedFromWorker, type ToWorker } from '../workers/messages.ts'
import type { SharedStateHost, SharedStatePart } from './part.ts'
import { SessionBatch } from './session-batch.ts'

const PREFIX = 'session/'
/** Rows of one message to workers; a worker applies a message in one turn. */
const ROWS_PER_MESSAGE = 4096
const KEY = /^[A-Za-z0-9_-]{11}$/
/** Default wait of a claim for Redis, ms. */
const CLAIM_MS = 100

export class SharedSessions implements SharedStatePart {
  private readonly host: SharedStateHost
  private readonly claimMs: number
  private services: ReadonlyMap<string, LearnedSessions> = new Map()

  /** @param claimMs longest wait of a claim for Redis */
  constructor(host: SharedStateHost, claimMs = CLAIM_MS) {
    this.host = host
    this.claimMs = claimMs
  }

  *tables(snapshot: Snapshot): Iterable<readonly [table: string, cap: number]> {
    for (const [name, { learn }] of Object.entries(snapshot.services)) if (learn !== null) yield [PREFIX + name, learn.size]
  }

  apply(snapshot: Snapshot): void {
    const before = this.services
    const learned = Object.entries(snapshot.services).flatMap(([name, { learn }]) =>
      learn === null ? [] : [[name, learn] as const],
    )
    this.services = new Map(learned)
    for (const [name, { from, name: key }] of learned) {
      const known = before.get(name)
      // Send the sessions in the store when a service is configured, and when its key source changes: workers then start an empty
      // table, and the store may have sessions from an earlier use of this source.
      if (known?.from !== from || known.name !== key) this.postAll(name, message => this.host.post(message))
    }
  }

  fromWorker(index: number, message: SharedFromWorker): void {
    if (message.kind === 'sessions') this.learn(index, message)
    else if (message.kind === 'claim') void this.claim(index, message)
  }

  changed(changes: readonly Change[]): void {
    const byTable = new Map<string, SessionBatch>()
    for (const change of changes) {
      const { table, key, value } = change
      if (value === null || !KEY.test(key) || !table.startsWith(PREFIX)) continue
      let rows = byTable.get(table)
      if (rows === undefined) {
        if (!this.services.has(table.slice(PREFIX.length))) continue
        rows = new SessionBatch(table.slice(PREFIX.length))
        byTable.set(table, rows)
      }
      addEntry(rows, change)
      if (rows.count >= ROWS_PER_MESSAGE) this.host.post(rows.take())
    }
    for (const rows of byTable.values()) if (rows.count > 0) this.host.post(rows.take())
  }

  seed(post: (message: ToWorker) => void): void {
    for (const name of this.services.keys()) this.postAll(name, post)
  }

  members(): void {}
  stop(): void {}

  /** Number of sessions by service. */
  counts(): Readonly<Record<string, number>> {
    const { tables } = this.host.store.status()
    return Object.fromEntries(
      [...this.services.keys()].map(name => [name, Object.hasOwn(tables, PREFIX + name) ? tables[PREFIX + name]! : 0]),
    )
  }

  /** Stores what a worker has learned and sends it to the other workers. */
  private learn(index: number, message: SessionsMessage): void {
    const { service: name, servers, rows } = message
    const service = this.services.get(name)
    if (service === undefined) return
    const { store } = this.host
    const table = PREFIX + name
    const moved = new SessionBatch(name)
    const sender = new SessionBatch(name)
    for (let at = 0; at + SESSION_ROW <= rows.length; at += SESSION_ROW) {
      const server = servers[rows[at + 2]!]!
      const flags = rows[at + 4]!
      const key = keyOf(rows[at]!, rows[at + 1]!)
      const held = store.get(table, key)
      if (held !== null && held.value !== server) {
        // A worker that only keeps a session alive, or bound it by hash, has not received the newer binding yet: that binding is
        // sent to it. A worker that moves a session moves it for all workers. The message goes to that worker too, because it may
        // have received an older binding meanwhile.
        if ((flags & (KEPT_ALIVE | BOUND_BY_HASH)) !== 0) {
          addEntry(sender, held)
          rows[at + 3] = 0
          continue
        }
        moved.add(rows[at]!, rows[at + 1]!, server, rows[at + 3]!, flags)
      }
      const rank = (flags & CONFIRMED) !== 0 || held?.rank === 1 ? 1 : 0
      store.put(table, key, server, { ttlMs: Math.min(service.ttlMs, rows[at + 3]! * 1000), rank })
    }
    this.host.post(message, index)
    if (moved.count > 0) this.host.post(moved.take())
    if (sender.count > 0) this.host.postTo(index, sender.take())
  }

  /** The first claim gets the session. All workers receive the result, then the claiming worker continues. */
  private async claim(index: number, message: Extract<SharedFromWorker, { kind: 'claim' }>): Promise<void> {
    const { ticket, service: name, high, low, server } = message
    const service = this.services.get(name)
    let owner = server
    if (service !== undefined) {
      const { ttlMs } = service
      owner = await this.host.store.claim(PREFIX + name, keyOf(high, low), server, { ttlMs, rank: 0, waitMs: this.claimMs })
      const rows = new SessionBatch(name)
      rows.add(high, low, owner, Math.ceil(ttlMs / 1000), 0)
      this.host.post(rows.take())
    }
    this.host.postTo(index, { kind: 'claimed', ticket, server: owner })
  }

  /** Sends the whole table of a service, the longest unused sessions first, because they are evicted first. */
  private postAll(name: string, post: (message: ToWorker) => void): void {
    const entries = [...this.host.store.entries(PREFIX + name)].filter(({ key, value }) => value !== null && KEY.test(key))
    entries.sort((a, b) => a.ttlMs - b.ttlMs)
    for (let at = 0; at < entries.length; at += ROWS_PER_MESSAGE) {
      const rows = new SessionBatch(name)
      for (const entry of entries.slice(at, at + ROWS_PER_MESSAGE)) addEntry(rows, entry)
      post(rows.take())
    }
  }
}

const bytes = Buffer.alloc(8)

/** Key of a session in the store. */
export function keyOf(high: number, low: number): string {
  bytes.writeUInt32BE(high, 0)
  bytes.writeUInt32BE(low, 4)
  return bytes.toString('base64url')
}

function addEntry(rows: SessionBatch, { key, value, ttlMs, rank }: Entry): void {
  bytes.write(key, 'base64url')
  rows.add(bytes.readUInt32BE(0), bytes.readUInt32BE(4), value!, Math.ceil(ttlMs / 1000), rank === 1 ? CONFIRMED : 0)
}
