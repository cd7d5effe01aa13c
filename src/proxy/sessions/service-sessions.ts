// The learned sessions of one service in one worker: which server each belongs to, and what of it others are to be told. Servers
// stand in the table by number; numbers outlive snapshots, so that a server that others know already has its sessions when the
// snapshot with it comes. Pure but for the key it is made with: time is handed in.

import type { LearnedSessions } from '../../config/model.ts'
import { keepsSessions } from '../balancing/eligible.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { KeyHash, keyFor } from './key-hash.ts'
import { type KeySource, keySource, type SessionKeys } from './session-key.ts'
import { type Rank, SessionTable } from './session-table.ts'

/** Words of a row: key's halves, server's index, seconds to live, flags. As SESSION_ROW in workers/messages.ts. */
export const ROW = 5
/**
 * Flags of a row: confirmed; only kept alive, which says nothing new of its server; nobody was known to have it, so that it went
 * where its hash says.
 */
export const CONFIRMED = 1
export const KEPT_ALIVE = 2
export const BOUND_BY_HASH = 4

/** Sessions as they are handed from holder to holder. */
export interface SessionRows {
  readonly servers: readonly string[]
  readonly rows: Uint32Array
}

/** Servers that are not known here, or no longer, whose sessions are kept. */
const MAX_SERVERS = 16_384
const MAX_SERVER_LENGTH = 512
/** A session that is used again within this part of its time to live keeps its place among those that would go first. */
const TOUCH_SLACK = 1 / 64
/** Sessions that are over, removed at a time, of each rank. */
const EXPIRE_BATCH = 1000
/** Others may know a server this much longer than this replica, ms: until then its sessions are not taken away from it. */
const PROPAGATION_MS = 2000

export class ServiceSessions {
  readonly hash: KeyHash
  /** Hashes under the other accepted keys, under which sessions may be known. */
  readonly otherHashes: readonly KeyHash[]
  readonly source: KeySource
  readonly table: SessionTable
  config: LearnedSessions
  /** Rows to be told, ROW words each. */
  pending = 0
  #rows = new Uint32Array(64 * ROW)
  #lifeS = 0
  #slackS = 0
  /** By number: ids ('' where the number is free), the servers if they are known here, and since when they are awaited (ms). */
  readonly #ids: string[] = []
  readonly #servers: (UpstreamServer | null)[] = []
  readonly #unknownSinceMs: number[] = []
  readonly #numbers = new Map<string, number>()
  readonly #free: number[] = []
  /** For the rows of one message: server's number to its index in it. */
  readonly #indexes = new Map<number, number>()

  constructor(config: LearnedSessions, keys: SessionKeys, service: string, seed = (Math.random() * 2 ** 32) | 0) {
    this.config = config
    this.#setTtl(config.ttlMs)
    this.source = keySource(config)
    const hashUnder = (key: string): KeyHash => new KeyHash(keyFor(key, service, this.source.from, this.source.name))
    this.hash = hashUnder(keys.current)
    this.otherHashes = keys.others.map(hashUnder)
    this.table = new SessionTable(config.size, seed)
  }

  /** Takes over other settings; false if keys come from elsewhere now, so that all of it begins anew. */
  update(config: LearnedSessions): boolean {
    const { from, name } = keySource(config)
    if (from !== this.source.from || name !== this.source.name) return false
    if (config.size !== this.config.size) this.table.resize(config.size)
    this.config = config
    this.#setTtl(config.ttlMs)
    return true
  }

  /** The servers there are now. */
  setServers(servers: readonly UpstreamServer[]): void {
    this.#servers.fill(null)
    for (const server of servers) {
      const number = this.#numberOf(server.id)
      server.sessionNumber = number
      this.#unknownSinceMs[number] = Number.NEGATIVE_INFINITY
      // A task may be several servers: the first one has its sessions.
      this.#servers[number] ??= server
    }
    this.#release()
  }

  /** The server of an entry; null if it is not known here. */
  serverOf(entry: number): UpstreamServer | null {
    return this.#servers[this.table.server(entry)] ?? null
  }

  /** The server of an entry is not known here, but may be in a moment. */
  mayAppear(entry: number, nowMs: number): boolean {
    const number = this.table.server(entry)
    return this.#servers[number] === null && nowMs - this.#unknownSinceMs[number]! < PROPAGATION_MS
  }

  /**
   * A session's first request went to a server, or it moves there; `made`: the application there has just made it.
   * @returns its entry
   */
  bind(entry: number, high: number, low: number, server: UpstreamServer, nowS: number, made = false): number {
    const { table } = this
    const expiry = this.#expiry(nowS)
    if (entry < 0) {
      const added = table.insert(high, low, server.sessionNumber, expiry, 0)
      this.#queueRow(added, nowS, made ? 0 : BOUND_BY_HASH)
      return added
    }
    table.setServer(entry, server.sessionNumber)
    table.touch(entry, expiry)
    table.confirm(entry)
    table.setSharedExpiry(entry, expiry)
    this.#queueRow(entry, nowS, 0)
    return entry
  }

  /**
   * A session that is known under another accepted key (`entry`) is known under the one in use too: at the same server, for the
   * rest of its life. @returns its entry
   */
  rename(entry: number, high: number, low: number, nowS: number): number {
    const { table } = this
    const renamed = table.insert(high, low, table.server(entry), table.expiry(entry), table.rank(entry))
    // As a guess: a binding that another replica has made under this key wins.
    this.#queueRow(renamed, nowS, BOUND_BY_HASH)
    return renamed
  }

  /**
   * A request whose session had no server that it could stay on was answered by `server`. @returns whether the session is bound
   * to it; not if another request has found another one in the meantime
   */
  bindUnlessBound(high: number, low: number, server: UpstreamServer, nowMs: number): boolean {
    const nowS = (nowMs / 1000) | 0
    const entry = this.table.find(high, low, nowS)
    const bound = entry < 0 ? null : this.serverOf(entry)
    if (bound !== null && (bound === server || mayKeepSessions(bound, this.config.drain, nowMs))) return false
    this.bind(entry, high, low, server, nowS)
    return true
  }

  /** Another request of a session went to its server. */
  use(entry: number, nowS: number): void {
    const { table } = this
    const expiry = this.#expiry(nowS)
    const first = table.rank(entry) === 0
    if (expiry !== table.expiry(entry)) table.touch(entry, expiry, this.#slackS)
    if (first) table.confirm(entry)
    if (!first && (expiry - table.sharedExpiry(entry)) * 4000 <= this.config.ttlMs) return
    table.setSharedExpiry(entry, expiry)
    this.#queueRow(entry, nowS, KEPT_ALIVE)
  }

  /** What others say: their word counts. */
  applyRemote({ servers, rows }: SessionRows, nowS: number, nowMs: number): void {
    const { table } = this
    const most = this.#expiry(nowS)
    // Before any number is given out for these rows, since until they are in the table nothing shows that it is needed.
    if (this.#numbers.size + servers.length > MAX_SERVERS) this.#release()
    const numbers = servers.map(id => this.#foreignNumber(id, nowMs))
    for (let at = 0; at + ROW <= rows.length; at += ROW) {
      const number = numbers[rows[at + 2]!] ?? -1
      const expiry = Math.min(most, nowS + rows[at + 3]!)
      if (number < 0 || expiry <= nowS) continue
      const high = rows[at]! | 0
      const low = rows[at + 1]! | 0
      const rank: Rank = (rows[at + 4]! & CONFIRMED) === 0 ? 0 : 1
      const entry = table.find(high, low, nowS)
      if (entry < 0) {
        table.insert(high, low, number, expiry, rank)
        continue
      }
      if (table.server(entry) !== number) table.setServer(entry, number)
      if (expiry > table.expiry(entry)) table.touch(entry, expiry)
      if (expiry > table.sharedExpiry(entry)) table.setSharedExpiry(entry, expiry)
      if (rank === 1) table.confirm(entry)
    }
  }

  /** Removes some of those that are over. */
  expire(nowMs: number): void {
    this.table.expire((nowMs / 1000) | 0, EXPIRE_BATCH)
  }

  /** What is to be told, which then counts as told; null when there is nothing. */
  takePending(): SessionRows | null {
    if (this.pending === 0) return null
    const rows = this.#rows.slice(0, this.pending * ROW)
    const servers: string[] = []
    this.#indexes.clear()
    for (let at = 2; at < rows.length; at += ROW) {
      const number = rows[at]!
      let index = this.#indexes.get(number)
      if (index === undefined) {
        index = servers.length
        servers.push(this.#ids[number]!)
        this.#indexes.set(number, index)
      }
      rows[at] = index
    }
    this.pending = 0
    return { servers, rows }
  }

  /** Seconds on the worker's clock at which a session that was just used is over: never early, at most a second late. */
  #expiry(nowS: number): number {
    return nowS + this.#lifeS
  }

  #setTtl(ttlMs: number): void {
    this.#lifeS = Math.ceil(ttlMs / 1000) + 1
    this.#slackS = Math.floor((ttlMs / 1000) * TOUCH_SLACK)
  }

  #queueRow(entry: number, nowS: number, flags: number): void {
    const { table } = this
    let at = this.pending * ROW
    if (at === this.#rows.length) {
      const more = new Uint32Array(at * 2)
      more.set(this.#rows)
      this.#rows = more
    }
    const rows = this.#rows
    rows[at++] = table.high(entry)
    rows[at++] = table.low(entry)
    rows[at++] = table.server(entry)
    rows[at++] = table.expiry(entry) - nowS
    rows[at] = table.rank(entry) | flags
    this.pending++
  }

  /** -1: there are too many that nobody here knows. */
  #foreignNumber(id: string, nowMs: number): number {
    const known = this.#numbers.get(id)
    if (known !== undefined) return known
    if (this.#numbers.size >= MAX_SERVERS || id === '' || id.length > MAX_SERVER_LENGTH) return -1
    const number = this.#numberOf(id)
    this.#unknownSinceMs[number] = nowMs
    return number
  }

  #numberOf(id: string): number {
    const known = this.#numbers.get(id)
    if (known !== undefined) return known
    const number = this.#free.pop() ?? this.#ids.length
    this.#ids[number] = id
    this.#servers[number] = null
    this.#unknownSinceMs[number] = Number.NEGATIVE_INFINITY
    this.#numbers.set(id, number)
    return number
  }

  /** Numbers of servers that are gone, and have no session any more, are free. */
  #release(): void {
    for (let number = 0; number < this.#ids.length; number++) {
      const id = this.#ids[number]!
      if (id === '' || this.#servers[number] !== null || this.table.uses(number) > 0 || this.#isPending(number)) continue
      this.#numbers.delete(id)
      this.#ids[number] = ''
      this.#free.push(number)
    }
  }

  #isPending(number: number): boolean {
    for (let row = 0; row < this.pending; row++) if (this.#rows[row * ROW + 2] === number) return true
    return false
  }
}

/** True if a server may keep its sessions, also at weight 0. One that drains may only if `drain` is set. */
export function mayKeepSessions(server: UpstreamServer, drain: LearnedSessions['drain'], nowMs: number): boolean {
  return keepsSessions(server, null, nowMs) || (drain === 'keep' && server.healthy && server.ejectedUntilMs <= nowMs)
}
