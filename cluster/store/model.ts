// The shared state (learned sessions, breakers, ejections, counts) as tables of entries: the entry, the order of writes, and
// the interface of every store. The store does not interpret tables. Writes are ordered by a hybrid logical clock (clock.ts).
// Each holder counts times to live on its own monotonic clock, so members' wall clocks may differ.

/**
 * Position of a write in the order of all writes, as in a hybrid logical clock (Kulkarni et al., 2014): wall clock in ms, then
 * a counter, then the writer's id. The highest wins.
 */
export interface Stamp {
  readonly wall: number
  readonly count: number
  /** Id of the member that wrote the entry. */
  readonly origin: string
}

/** An entry as holders exchange it. */
export interface Entry extends Stamp {
  readonly table: string
  readonly key: string
  /** null: removed. The tombstone is kept until its time to live ends, so that late copies do not restore the entry. */
  readonly value: string | null
  /** 0: provisional, evicted first when its table is full. 1: confirmed. Within each rank the oldest entry is evicted first. */
  readonly rank: 0 | 1
  /** Time to live left when the entry was sent, ms; at least 1. */
  readonly ttlMs: number
}

export const STORE_LIMITS = {
  /** Characters of a table's name, a key, a value. */
  table: 600,
  key: 600,
  value: 8 * 1024,
  /** Longest time to live of an entry, ms. */
  ttlMs: 30 * 86_400_000,
  /** Entries of a table whose owner sets no cap, and of all tables together that this replica does not own. */
  tableEntries: 100_000,
  unownedEntries: 4_096,
  /** Entries of all tables. */
  entries: 1_000_000,
  /** Characters of all keys and values. A learned session takes about 50. */
  characters: 128 * 1024 * 1024,
  /**
   * How far a stamp may be ahead of the cluster's time (cluster-clock.ts), ms. A write further ahead is refused and logged. Its
   * writer corrects the stamp once it has the cluster's time; then the write is accepted.
   */
  aheadMs: 600_000,
  /**
   * The same limit while clocks cannot be compared: with no other member, and while a connected member of an earlier version
   * sends no clock reading. Redis may then hold writes of replicas with other clocks.
   */
  uncomparedAheadMs: 86_400_000,
} as const

/** Interval at which own writes are batched and sent, ms. */
export const FLUSH_MS = 50

export interface PutOptions {
  readonly ttlMs: number
  /** Default: 1. */
  readonly rank?: 0 | 1
}

export interface StoreStatus {
  readonly kind: 'gossip' | 'redis'
  readonly entries: number
  /** Live entries by table. Entries of tables that this replica does not own are summed under ''. Tombstones are not counted. */
  readonly tables: Readonly<Record<string, number>>
  readonly counts: StoreCounts
  /** null: gossip only. */
  readonly redis: RedisStatus | null
}

/** Totals since the start. */
export interface StoreCounts {
  readonly written: number
  /** Writes of other members: taken; older than the held entry; refused (malformed, beyond limits, stamped too far ahead). */
  readonly taken: number
  readonly outdated: number
  readonly refused: number
  /** Entries removed because a table was full; because their time to live ended. */
  readonly evicted: number
  readonly expired: number
  /** Entries repaired by anti-entropy. */
  readonly repaired: number
  readonly batchesSent: number
  readonly batchesReceived: number
  /** Whole states taken from other members; served to them. */
  readonly pulls: number
  readonly served: number
}

export interface RedisStatus {
  readonly mode: 'single' | 'sentinel' | 'cluster'
  /** `away`: the replica uses its own memory and gossip. */
  readonly state: 'connecting' | 'up' | 'away'
  /** Why Redis is away, for logs and the status; '' while it is up. */
  readonly reason: string
  readonly sinceMs: number
  /** Own writes waiting to be written; entries dropped because too many waited. */
  readonly waiting: number
  readonly dropped: number
  readonly reseeded: number
}

/** A write of another member that won. `value` is null for a removal. */
export type Change = Entry

export interface StoreHooks {
  /** Called once per batch. Not called for own writes and expired entries. */
  changed(changes: readonly Change[]): void
}

/**
 * A store answers from memory and replicates writes in the background. No method throws because of a peer, a disk or Redis.
 * `put`, `remove` and `setTables` throw RangeError for arguments beyond STORE_LIMITS (a defect of the caller).
 */
export interface SharedStore {
  /** Stamps the write now. It is sent at the next flush, or at once when the last flush is at least FLUSH_MS ago. */
  put(table: string, key: string, value: string, options: PutOptions): void
  remove(table: string, key: string): void
  /** null: absent, removed or expired. */
  get(table: string, key: string): Entry | null
  /** Live entries, in no order. */
  entries(table: string): Iterable<Entry>
  /**
   * The first writer wins. Returns the value held under the key, or the given one when there was none. With gossip the result
   * is this member's view, at once. With Redis it is Redis's (SET NX), or this member's view when Redis does not answer within
   * `waitMs`.
   */
  claim(table: string, key: string, value: string, options: PutOptions & { readonly waitMs: number }): Promise<string>
  /**
   * Sets the tables that this replica owns, with their caps in entries; the whole list each time. The entries of all other
   * tables share one cap (unownedEntries).
   */
  setTables(caps: ReadonlyMap<string, number>): void
  /**
   * Resolves when the state of another member has been taken; after 1 s without a peer; or after a bound: 2 s from the first
   * connection, 6 s while a transfer is in progress. Never rejects.
   */
  ready(): Promise<void>
  status(): StoreStatus
  stop(): Promise<void>
}

/** The interface of a store that another one (redis/store.ts) wraps. */
export interface InnerStore extends SharedStore {
  /**
   * Merges entries from Redis as gossip merges those of a peer, but does not forward them.
   * @returns the entries that won
   */
  merge(entries: readonly Entry[]): readonly Entry[]
  /** The cluster's time (cluster-clock.ts), ms since 1970, and the latest stamp that is accepted now. */
  time(): { readonly ms: number; readonly latest: number }
  /** Called with every own write once it is stamped. Set by the wrapping store. */
  onWrite: ((entry: Entry) => void) | null
  /** All entries that have not expired, tombstones included. */
  allEntries(): Iterable<Entry>
}

/** Compares by wall clock, counter, then origin. Negative: `a` is older. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.wall - b.wall || a.count - b.count || (a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : 0)
}
