// Common half of the shared tables about single servers (ejections.ts, reachability.ts): keys, the servers that the current
// configuration contains, and rate limits, so that neither a flapping network here nor a hostile member floods the store or the
// workers.

import { TokenBucket } from '../../cluster/rate-limit.ts'
import type { Entry } from '../../cluster/store/model.ts'
import type { Snapshot } from '../config/model.ts'
import type { SharedStateHost } from './part.ts'

/** Writes to the store and messages to workers: burst, and rate per second. */
const WRITES = { burst: 64, perSecond: 20 }
const MESSAGES = { burst: 512, perSecond: 100 }
/** Entries that fit beside those of known servers. */
const SPARE_ENTRIES = 256

export interface ServerRef {
  readonly service: string
  readonly server: string
}

export class ServerTable {
  private readonly host: SharedStateHost
  private readonly name: string
  private readonly entriesPerServer: number
  private readonly maxEntries: number
  private readonly writes = new TokenBucket(WRITES.burst, WRITES.perSecond)
  private readonly messages = new TokenBucket(MESSAGES.burst, MESSAGES.perSecond)
  /** Ids of active servers by service. */
  private servers: ReadonlyMap<string, ReadonlySet<string>> = new Map()

  constructor(host: SharedStateHost, name: string, entriesPerServer: number, maxEntries: number) {
    this.host = host
    this.name = name
    this.entriesPerServer = entriesPerServer
    this.maxEntries = maxEntries
  }

  /** The table with its cap for this configuration. */
  withCap(snapshot: Snapshot): readonly [table: string, cap: number] {
    const servers = Object.values(snapshot.services).reduce((sum, service) => sum + service.servers.length, 0)
    return [this.name, Math.min(this.maxEntries, SPARE_ENTRIES + this.entriesPerServer * servers)]
  }

  apply(snapshot: Snapshot): void {
    this.servers = new Map(
      Object.values(snapshot.services).map(({ name, servers }) => [
        name,
        new Set(servers.filter(({ state }) => state === 'active').map(({ id }) => id)),
      ]),
    )
  }

  /** Ids of the active servers of a service. */
  serversOf(service: string): Iterable<string> {
    return this.servers.get(service) ?? []
  }

  /** The active server that a key names; null: there is none. */
  find(key: string): ServerRef | null {
    const at = key.indexOf('\0')
    const service = key.slice(0, at)
    const server = key.slice(at + 1)
    return at > 0 && this.servers.get(service)?.has(server) === true ? { service, server } : null
  }

  /** Deletes the keys whose server is no longer in the configuration. */
  prune(keys: { keys(): Iterable<string>; delete(key: string): boolean }): void {
    for (const key of [...keys.keys()]) if (this.find(key) === null) keys.delete(key)
  }

  /** Whether a write fits into the rate limit. */
  mayWrite(): boolean {
    return this.writes.take(this.host.now())
  }

  /** Whether a message to workers about another member's entry fits into the rate limit. */
  mayPost(): boolean {
    return this.messages.take(this.host.now())
  }

  get(key: string): Entry | null {
    return this.host.store.get(this.name, key)
  }

  entries(): Iterable<Entry> {
    return this.host.store.entries(this.name)
  }

  put(key: string, value: string, ttlMs: number): void {
    this.host.store.put(this.name, key, value, { ttlMs })
  }

  remove(key: string): void {
    this.host.store.remove(this.name, key)
  }

  owns({ table }: Entry): boolean {
    return table === this.name
  }

  get selfId(): string {
    return this.host.peers().find(({ self }) => self)?.id ?? ''
  }

  get selfName(): string {
    return this.host.peers().find(({ self }) => self)?.name ?? ''
  }

  /** Name of a member; null: it is not a known member. */
  nameOf(id: string): string | null {
    return this.host.peers().find(peer => peer.id === id)?.name ?? null
  }
}

/** Key of an entry about a server. */
export function serverKey(service: string, server: string): string {
  return `${service}\0${server}`
}
