// The state that replicas share (learned sessions, breakers, ejections, counts) as tables of entries: what an entry is, in which
// order writes count, and the one interface of all stores. What tables mean is not known here. Order is by hybrid logical clock;
// time to live is counted by each holder on its own monotonic clock, so that members' clocks may differ.

/**
 * Place of a write in the order of all writes (hybrid logical clock; Kulkarni et al., 2014): wall clock in ms, then a count, then
 * the writer's id. The highest wins.
 */
export interface Stamp {
  readonly wall: number
  readonly count: number
  /** Id of the member that wrote it. */
  readonly origin: string
}

/** One entry as it is handed from holder to holder. */
export interface Entry extends Stamp {
  readonly table: string
  readonly key: string
  /** null: it was removed (the grave is kept until its time is over, so that late copies do not bring it back). */
  readonly value: string | null
  /**
   * 0 provisional: first to go when its table is full; 1 confirmed. Oldest first within each.
   */
  readonly rank: 0 | 1
  /** What is left of its life when it was handed over, ms; at least 1. */
  readonly ttlMs: number
}

export const STORE_LIMITS = {
  /** Characters of a table's name, a key, a value. */
  table: 600,
  key: 600,
  value: 8 * 1024,
  /** Life of an entry, ms. */
  ttlMs: 30 * 86_400_000,
  /** Entries of a table unless its owner says otherwise, and of all tables that nobody here owns together. */
  tableEntries: 100_000,
  strayEntries: 4_096,
  /** All entries together. */
  entries: 1_000_000,
  /** Characters of all keys and values together; a learned session takes some 50. */
  characters: 128 * 1024 * 1024,
  /**
   * How far a stamp may be ahead of the cluster's time (cluster-clock.ts), ms. One further ahead is refused and logged. Its writer
   * corrects it once it has the cluster's time; then it is accepted.
   */
  aheadMs: 600_000,
  /**
   * The same while clocks cannot be compared: on its own, and while a connected member (of an earlier version) sends no clock
   * reading. Redis may then hold what replicas with other clocks wrote.
   */
  uncomparedAheadMs: 86_400_000,
} as const

/** Messages a replica sends at most per second, and so the batching interval. */
export const FLUSH_MS = 50

export interface PutOptions {
  readonly ttlMs: number
  /** 1 unless told. */
  readonly rank?: 0 | 1
}

export interface StoreStatus {
  readonly kind: 'gossip' | 'redis'
  readonly entries: number
  /** By table; stray ones (of tables that nobody here owns) are summed under ''. Graves are not counted. */
  readonly tables: Readonly<Record<string, number>>
  readonly counts: StoreCounts
  /** null: gossip only. */
  readonly redis: RedisStatus | null
}

/** Since the start. */
export interface StoreCounts {
  readonly written: number
  /** From others, that won; that were older than what is held; that were refused (malformed, beyond limits, too far ahead). */
  readonly taken: number
  readonly outdated: number
  readonly refused: number
  /** Thrown out because a table was full; because their time was over. */
  readonly evicted: number
  readonly expired: number
  /** Differences found and mended by comparing digests. */
  readonly repaired: number
  readonly batchesSent: number
  readonly batchesReceived: number
  /** Whole states pulled from and given to others. */
  readonly pulls: number
  readonly served: number
}

export interface RedisStatus {
  readonly mode: 'single' | 'sentinel' | 'cluster'
  /** `away`: the replicas go on with their own memory and gossip. */
  readonly state: 'connecting' | 'up' | 'away'
  /** Why it is away, for people; '' when it is up. */
  readonly reason: string
  readonly sinceMs: number
  /** Own writes that wait to be written behind; entries given up because too many waited. */
  readonly waiting: number
  readonly dropped: number
  readonly reseeded: number
}

/** One change that came from elsewhere and won. `value` null: removed or expired at its owner's wish. */
export type Change = Entry

export interface StoreHooks {
  /** Never for own writes, nor for what merely expired. All of one batch in one call. */
  changed(changes: readonly Change[]): void
}

/**
 * A store: memory that answers at once, and whatever spreads it. No method throws for what a peer, a disk or Redis does; put,
 * remove and setTables throw RangeError for what is beyond STORE_LIMITS (a defect of the caller).
 */
export interface SharedStore {
  /** Own write; stamped now, spread at the next flush (at once, if none was within FLUSH_MS). */
  put(table: string, key: string, value: string, options: PutOptions): void
  remove(table: string, key: string): void
  /** null: absent, removed, or its time is over. */
  get(table: string, key: string): Entry | null
  /** All that live, in no order. */
  entries(table: string): Iterable<Entry>
  /**
   * First writer wins: the value that is held under the key everywhere, the own one if nobody was first. With gossip the answer
   * is this member's view, at once; with Redis it is Redis' (SET NX), or this member's view when that does not answer within
   * `waitMs`.
   */
  claim(table: string, key: string, value: string, options: PutOptions & { readonly waitMs: number }): Promise<string>
  /** Tables that this replica owns, with their caps (entries); the whole list each time. Others are kept within strayEntries. */
  setTables(caps: ReadonlyMap<string, number>): void
  /**
   * Resolves when the state of the others has been pulled, or there are none (1 s), or it takes too long: 2 s from the first
   * connection, or 6 s while it keeps coming. Never rejects.
   */
  ready(): Promise<void>
  status(): StoreStatus
  stop(): Promise<void>
}

/** What a store that wraps another (redis.ts) needs of the one within. */
export interface InnerStore extends SharedStore {
  /** Entries from elsewhere (Redis): as if gossip had brought them, but they are not handed on. @returns those that won */
  merge(entries: readonly Entry[]): readonly Entry[]
  /** The cluster's time (cluster-clock.ts), ms since 1970, and the latest stamp that is accepted now. */
  time(): { readonly ms: number; readonly latest: number }
  /** Own writes, as they are stamped; set by the wrapper. */
  onWrite: ((entry: Entry) => void) | null
  /** Everything that lives, graves included. */
  everything(): Iterable<Entry>
}

/** -1, 0, 1: by wall, count, origin. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.wall - b.wall || a.count - b.count || (a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : 0)
}
