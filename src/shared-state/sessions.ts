// Learned sessions between data workers and the store: what one worker learns, all others (here and on other replicas) get. The
// store holds one table per service, from the session's key (64 bits, base64url) to its server's id. Workers never see the store,
// and the store never sees what the application calls a session.

import type { Change, Entry } from '../../cluster/store/model.ts'
import type { LearnedSessions, Snapshot } from '../config/model.ts'
import { BOUND_BY_HASH, CONFIRMED, KEPT_ALIVE } from '../proxy/sessions/service-sessions.ts'
import { SESSION_ROW, type SessionsMessage, type SharedFromWorker, type ToWorker } from '../workers/messages.ts'
import type { SharingHost, SharingPart } from './part.ts'
import { SessionRowsBuilder } from './session-batch.ts'

const PREFIX = 'session/'
/** Rows of one message to workers, which take it in one go. */
const SLICE = 4096
const KEY = /^[A-Za-z0-9_-]{11}$/
/** How long a claim waits for Redis, ms, where nobody says. */
const CLAIM_MS = 100

export class SessionSharing implements SharingPart {
  private readonly host: SharingHost
  private readonly claimMs: number
  private services: ReadonlyMap<string, LearnedSessions> = new Map()

  /** `claimMs`: how long a claim may wait for Redis. */
  constructor(host: SharingHost, claimMs = CLAIM_MS) {
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
      // What others have told of it before it was known here; or workers begin anew, perhaps with keys that there were before.
      if (known?.from !== from || known.name !== key) this.tellAll(name, message => this.host.post(message))
    }
  }

  fromWorker(index: number, message: SharedFromWorker): void {
    if (message.kind === 'sessions') this.learn(index, message)
    else if (message.kind === 'claim') void this.claim(index, message)
  }

  changed(changes: readonly Change[]): void {
    const byTable = new Map<string, SessionRowsBuilder>()
    for (const change of changes) {
      const { table, key, value } = change
      if (value === null || !KEY.test(key) || !table.startsWith(PREFIX)) continue
      let rows = byTable.get(table)
      if (rows === undefined) {
        if (!this.services.has(table.slice(PREFIX.length))) continue
        rows = new SessionRowsBuilder(table.slice(PREFIX.length))
        byTable.set(table, rows)
      }
      addEntry(rows, change)
      if (rows.count >= SLICE) this.host.post(rows.take())
    }
    for (const rows of byTable.values()) if (rows.count > 0) this.host.post(rows.take())
  }

  seed(post: (message: ToWorker) => void): void {
    for (const name of this.services.keys()) this.tellAll(name, post)
  }

  members(): void {}
  stop(): void {}

  /** Sessions by service. */
  counts(): Readonly<Record<string, number>> {
    const { tables } = this.host.store.status()
    return Object.fromEntries(
      [...this.services.keys()].map(name => [name, Object.hasOwn(tables, PREFIX + name) ? tables[PREFIX + name]! : 0]),
    )
  }

  /** What a worker has learned goes to the store and to the other workers. */
  private learn(index: number, message: SessionsMessage): void {
    const { service: name, servers, rows } = message
    const service = this.services.get(name)
    if (service === undefined) return
    const { store } = this.host
    const table = PREFIX + name
    const all = new SessionRowsBuilder(name)
    const sender = new SessionRowsBuilder(name)
    for (let at = 0; at + SESSION_ROW <= rows.length; at += SESSION_ROW) {
      const server = servers[rows[at + 2]!]!
      const flags = rows[at + 4]!
      const key = keyOf(rows[at]!, rows[at + 1]!)
      const held = store.get(table, key)
      if (held !== null && held.value !== server) {
        // Who only keeps a session alive has not heard yet that it has moved, nor who takes it for new that it is not (the
        // application has made it in another worker's answer a moment ago). Who moves it, moves it for all, himself included: he
        // may have heard of the one before in between.
        if ((flags & (KEPT_ALIVE | BOUND_BY_HASH)) !== 0) {
          addEntry(sender, held)
          rows[at + 3] = 0
          continue
        }
        all.add(rows[at]!, rows[at + 1]!, server, rows[at + 3]!, flags)
      }
      const rank = (flags & CONFIRMED) !== 0 || held?.rank === 1 ? 1 : 0
      store.put(table, key, server, { ttlMs: Math.min(service.ttlMs, rows[at + 3]! * 1000), rank })
    }
    this.host.post(message, index)
    if (all.count > 0) this.host.post(all.take())
    if (sender.count > 0) this.host.postTo(index, sender.take())
  }

  /** Who is first has the session; all workers hear it, and the one that asked that it may go on. */
  private async claim(index: number, message: Extract<SharedFromWorker, { kind: 'claim' }>): Promise<void> {
    const { ticket, service: name, high, low, server } = message
    const service = this.services.get(name)
    let owner = server
    if (service !== undefined) {
      const { ttlMs } = service
      owner = await this.host.store.claim(PREFIX + name, keyOf(high, low), server, { ttlMs, rank: 0, waitMs: this.claimMs })
      const rows = new SessionRowsBuilder(name)
      rows.add(high, low, owner, Math.ceil(ttlMs / 1000), 0)
      this.host.post(rows.take())
    }
    this.host.postTo(index, { kind: 'claimed', ticket, server: owner })
  }

  /** The whole table of a service, the longest unused first, so that they are the first to go. */
  private tellAll(name: string, post: (message: ToWorker) => void): void {
    const entries = [...this.host.store.entries(PREFIX + name)].filter(({ key, value }) => value !== null && KEY.test(key))
    entries.sort((a, b) => a.ttlMs - b.ttlMs)
    for (let at = 0; at < entries.length; at += SLICE) {
      const rows = new SessionRowsBuilder(name)
      for (const entry of entries.slice(at, at + SLICE)) addEntry(rows, entry)
      post(rows.take())
    }
  }
}

const bytes = Buffer.alloc(8)

/** A session's key as the store has it. */
export function keyOf(high: number, low: number): string {
  bytes.writeUInt32BE(high, 0)
  bytes.writeUInt32BE(low, 4)
  return bytes.toString('base64url')
}

function addEntry(rows: SessionRowsBuilder, { key, value, ttlMs, rank }: Entry): void {
  bytes.write(key, 'base64url')
  rows.add(bytes.readUInt32BE(0), bytes.readUInt32BE(4), value!, Math.ceil(ttlMs / 1000), rank === 1 ? CONFIRMED : 0)
}
