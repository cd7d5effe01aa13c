// The learned sessions of one service in one worker: the server of each session, and the changes that control must share with
// other replicas.
// The table refers to servers by number. Numbers outlive snapshots: if another replica shares sessions on a server that this
// replica does not have yet, the sessions are kept until the snapshot with the server arrives. Time is passed in.

import type { LearnedSessions } from '../../config/model.ts'
import { keepsSessions } from '../balancing/eligible.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { KeyHash, keyFor } from './key-hash.ts'
import { type KeySource, keySource, type SessionKeys } from './session-key.ts'
import { type Rank, SessionTable } from './session-table.ts'

/**
 * Words of a row: halves of the key, index of the server, seconds to live, flags. The same as SESSION_ROW in workers/messages.ts.
 */
export const ROW = 5
/**
 * Flags of a row: the session is confirmed; only its expiry changed, not its server; its server was chosen by hash because no
 * replica had shared one.
 */
export const CONFIRMED = 1
export const KEPT_ALIVE = 2
export const BOUND_BY_HASH = 4

/** Sessions as they are exchanged between workers, control and replicas. */
export interface SessionRows {
  readonly servers: readonly string[]
  readonly rows: Uint32Array
}

/** Limit of the server numbers, including servers that are not in the configuration (any more). */
const MAX_SERVERS = 16_384
const MAX_SERVER_LENGTH = 512
/** A session that is used again within this part of its time to live keeps its position in the eviction order. */
const TOUCH_SLACK = 1 / 64
/** Limit of the expired sessions of each rank removed at once. */
const EXPIRE_BATCH = 1000
/** Another replica may have a new server this much earlier, ms. Its sessions do not move within this time. */
const PROPAGATION_MS = 2000

export class ServiceSessions {
  readonly hash: KeyHash
  /** Hashes under the other accepted keys. */
  readonly otherHashes: readonly KeyHash[]
  readonly source: KeySource
  readonly table: SessionTable
  config: LearnedSessions
  /** Rows to be shared, ROW words each. */
  pending = 0
  #rows = new Uint32Array(64 * ROW)
  #lifeS = 0
  #slackS = 0
  /**
   * By number: ids ('' if the number is free), servers if they are in the configuration, and the time since which unknown ones
   * are awaited (ms).
   */
  readonly #ids: string[] = []
  readonly #servers: (UpstreamServer | null)[] = []
  readonly #unknownSinceMs: number[] = []
  readonly #numbers = new Map<string, number>()
  readonly #free: number[] = []
  /** While rows are taken: server number to index in the message. */
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

  /** Applies new settings. @returns false if the source of the keys has changed, so that a new object is needed */
  update(config: LearnedSessions): boolean {
    const { from, name } = keySource(config)
    if (from !== this.source.from || name !== this.source.name) return false
    if (config.size !== this.config.size) this.table.resize(config.size)
    this.config = config
    this.#setTtl(config.ttlMs)
    return true
  }

  /** Sets the current servers. */
  setServers(servers: readonly UpstreamServer[]): void {
    this.#servers.fill(null)
    for (const server of servers) {
      const number = this.#numberOf(server.id)
      server.sessionNumber = number
      this.#unknownSinceMs[number] = Number.NEGATIVE_INFINITY
      // A task may have several servers: the first one gets its sessions.
      this.#servers[number] ??= server
    }
    this.#release()
  }

  /** The server of an entry; null if it is not in the configuration. */
  serverOf(entry: number): UpstreamServer | null {
    return this.#servers[this.table.server(entry)] ?? null
  }

  /** True if the server of an entry is not in the configuration, but may be soon. */
  mayAppear(entry: number, nowMs: number): boolean {
    const number = this.table.server(entry)
    return this.#servers[number] === null && nowMs - this.#unknownSinceMs[number]! < PROPAGATION_MS
  }

  /**
   * Binds a session to a server: its first request, or a move. `made`: the application has just created it there. @returns the
   * entry
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
   * Copies a session that is known under another accepted key (`entry`) to the key in use: same server, same expiry. @returns the
   * new entry
   */
  rename(entry: number, high: number, low: number, nowS: number): number {
    const { table } = this
    const renamed = table.insert(high, low, table.server(entry), table.expiry(entry), table.rank(entry))
    // Shared as chosen by hash: a binding that another replica has made under this key wins.
    this.#queueRow(renamed, nowS, BOUND_BY_HASH)
    return renamed
  }

  /**
   * Binds the session of a request that `server` has answered, because it had no server to stay on. @returns false if another
   * request has bound it meanwhile
   */
  bindUnlessBound(high: number, low: number, server: UpstreamServer, nowMs: number): boolean {
    const nowS = (nowMs / 1000) | 0
    const entry = this.table.find(high, low, nowS)
    const bound = entry < 0 ? null : this.serverOf(entry)
    if (bound !== null && (bound === server || mayKeepSessions(bound, this.config.drain, nowMs))) return false
    this.bind(entry, high, low, server, nowS)
    return true
  }

  /** Counts a further request of a session that went to its server. */
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

  /** Applies the rows of other replicas. They win over local ones. */
  applyRemote({ servers, rows }: SessionRows, nowS: number, nowMs: number): void {
    const { table } = this
    const most = this.#expiry(nowS)
    // Released before numbers are assigned to these rows: a number without an entry in the table counts as unused.
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

  /** Removes some of the expired sessions. */
  expire(nowMs: number): void {
    this.table.expire((nowMs / 1000) | 0, EXPIRE_BATCH)
  }

  /** The rows to be shared, which are then taken as shared; null if there are none. */
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

  /** The expiry of a session used now, in seconds of the worker's clock: never early, at most a second late. */
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

  /** The number of a server in rows of others; -1 if there are too many unknown servers. */
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

  /** Frees the numbers of servers that are gone and have no sessions. */
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

/** True if a server keeps its sessions, also at weight 0. A draining server does only with `drain: keep`. */
export function mayKeepSessions(server: UpstreamServer, drain: LearnedSessions['drain'], nowMs: number): boolean {
  return keepsSessions(server, null, nowMs) || (drain === 'keep' && server.healthy && server.ejectedUntilMs <= nowMs)
}
