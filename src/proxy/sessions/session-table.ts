// A hash table of sessions by 64-bit key, about 40 bytes per entry, without objects and without allocation per request. The
// entries are in one typed array that grows up to the size of the table; an open-addressing index leads to them.
// Two lists keep the order of use, one for provisional entries (used once) and one for confirmed entries, as in a segmented LRU.
// A provisional entry never evicts a confirmed one: a client that sends a new id with every request displaces only ids that were
// never used again. An entry that is used again soon may keep its position, which saves cache misses on its neighbours, and is
// moved when it would be evicted.

/** Words of an entry. NEXT also links the free entries. */
const STRIDE = 8
const HIGH = 0
const LOW = 1
const SERVER = 2
const EXPIRY = 3
const SHARED_EXPIRY = 4
const PREV = 5
const NEXT = 6
/** Rank (one bit), and the expiry (s) that the entry had when it got its position in the list. */
const POSITION = 7

const FIRST_CAPACITY = 256
/** This part of a full table (a right shift) is reserved for provisional entries, so that new sessions can be confirmed. */
const PROVISIONAL_SHIFT = 5
/** Limit of the entries removed at once after the size was reduced. Removing a million takes a third of a second. */
const TRIM_BATCH = 1000

/** Limit of the recently used entries moved to the end before one is evicted. */
const MAX_SKIPPED = 8

export type Rank = 0 | 1

export class SessionTable {
  /** Live entries, and entries evicted because the table was full. */
  count = 0
  evicted = 0
  #size: number
  #capacity = 0
  #entries = new Int32Array(0)
  /** Slot to entry plus one; 0: free. At least twice as many slots as entries. */
  #index = new Int32Array(0)
  #mask = 0
  #free = -1
  /** Both ends of the lists by rank; the oldest entry is the least recently used. */
  readonly #oldest: [number, number] = [-1, -1]
  readonly #newest: [number, number] = [-1, -1]
  readonly #counts: [number, number] = [0, 0]
  /** Entries by server number. */
  #uses = new Int32Array(16)
  readonly #seed: number

  /** `size`: maximum of the entries. `seed` (32 bits) must stay secret, which prevents constructed collisions. */
  constructor(size: number, seed: number) {
    this.#size = Math.max(1, size)
    this.#seed = seed | 0
    this.#grow()
  }

  /** The entry of a key that is alive at `now` (s); -1 if there is none. It is valid until the next change of the table. */
  find(high: number, low: number, now: number): number {
    const entries = this.#entries
    for (let slot = this.#home(high, low); ; slot = (slot + 1) & this.#mask) {
      const entry = this.#index[slot]! - 1
      if (entry < 0) return -1
      const at = entry * STRIDE
      if (entries[at + LOW] !== low || entries[at + HIGH] !== high) continue
      if (entries[at + EXPIRY]! > now) return entry
      this.remove(entry)
      return -1
    }
  }

  server(entry: number): number {
    return this.#entries[entry * STRIDE + SERVER]!
  }

  rank(entry: number): Rank {
    return (this.#entries[entry * STRIDE + POSITION]! & 1) === 0 ? 0 : 1
  }

  /** Expiry, s. */
  expiry(entry: number): number {
    return this.#entries[entry * STRIDE + EXPIRY]!
  }

  /** Expiry that other replicas have, s. */
  sharedExpiry(entry: number): number {
    return this.#entries[entry * STRIDE + SHARED_EXPIRY]!
  }

  high(entry: number): number {
    return this.#entries[entry * STRIDE + HIGH]!
  }

  low(entry: number): number {
    return this.#entries[entry * STRIDE + LOW]!
  }

  /** Number of entries of a server. */
  uses(server: number): number {
    return this.#uses[server] ?? 0
  }

  /** Inserts a key that is not in the table. A full table evicts the least recently used entry, a provisional one first. */
  insert(high: number, low: number, server: number, expiry: number, rank: Rank): number {
    if (this.count >= this.#size) this.#evict()
    if (this.#free < 0) this.#grow()
    const entry = this.#free
    const at = entry * STRIDE
    const entries = this.#entries
    this.#free = entries[at + NEXT]!
    entries[at + HIGH] = high
    entries[at + LOW] = low
    entries[at + SERVER] = server
    entries[at + EXPIRY] = expiry
    entries[at + SHARED_EXPIRY] = expiry
    let slot = this.#home(high, low)
    while (this.#index[slot] !== 0) slot = (slot + 1) & this.#mask
    this.#index[slot] = entry + 1
    this.count++
    this.#use(server, 1)
    this.#append(entry, rank)
    if (rank === 1) this.#boundConfirmed()
    return entry
  }

  /** Counts a use: sets the expiry and moves the entry to the end of its list, unless it was moved less than `slack` s ago. */
  touch(entry: number, expiry: number, slack = 0): void {
    const at = entry * STRIDE
    this.#entries[at + EXPIRY] = expiry
    const place = this.#entries[at + POSITION]!
    if (slack > 0 && expiry - (place >> 1) < slack) return
    this.#toEnd(entry)
  }

  setSharedExpiry(entry: number, expiry: number): void {
    this.#entries[entry * STRIDE + SHARED_EXPIRY] = expiry
  }

  confirm(entry: number): void {
    if (this.rank(entry) === 1) return
    this.#unlink(entry)
    this.#append(entry, 1)
    this.#boundConfirmed()
  }

  setServer(entry: number, server: number): void {
    const at = entry * STRIDE
    this.#use(this.#entries[at + SERVER]!, -1)
    this.#entries[at + SERVER] = server
    this.#use(server, 1)
  }

  remove(entry: number): void {
    const entries = this.#entries
    const at = entry * STRIDE
    this.#unindex(entry)
    this.#unlink(entry)
    this.#use(entries[at + SERVER]!, -1)
    entries[at + NEXT] = this.#free
    this.#free = entry
    this.count--
  }

  /** Removes at most `most` expired entries per rank, least recently used first, and trims the table to its size. */
  expire(now: number, most: number): void {
    this.#trim()
    for (const rank of [0, 1] as const) {
      for (let left = most; left > 0; left--) {
        const entry = this.#oldest[rank]
        if (entry < 0) break
        if (this.expiry(entry) <= now) this.remove(entry)
        // The positions of later entries are not earlier than this one's.
        else if (this.#entries[entry * STRIDE + POSITION]! >> 1 > now || !this.#moveIfUsed(entry)) break
      }
    }
  }

  /** Changes the size. Some of the surplus is removed at once, the rest by `expire`. */
  resize(size: number): void {
    this.#size = Math.max(1, size)
    this.#trim()
  }

  /** Size of the arrays, bytes. */
  get bytes(): number {
    return this.#entries.byteLength + this.#index.byteLength + this.#uses.byteLength
  }

  #home(high: number, low: number): number {
    let hash = Math.imul(low ^ this.#seed, 0x85ebca6b) ^ high
    hash = Math.imul(hash ^ (hash >>> 15) ^ this.#seed, 0xc2b2ae35)
    return (hash ^ (hash >>> 16)) & this.#mask
  }

  #evict(): void {
    if (this.#boundConfirmed()) return
    this.#removeOldest(this.#oldest[0] >= 0 ? 0 : 1)
  }

  /** Evicts the least recently used entry of a rank. */
  #removeOldest(rank: Rank): void {
    for (let left = MAX_SKIPPED; left > 0 && this.#moveIfUsed(this.#oldest[rank]); left--);
    this.remove(this.#oldest[rank])
    this.evicted++
  }

  /** Moves an entry that was used since it got its position to the end. False if it was not used. */
  #moveIfUsed(entry: number): boolean {
    const at = entry * STRIDE
    if (this.#entries[at + EXPIRY]! <= this.#entries[at + POSITION]! >> 1) return false
    this.#toEnd(entry)
    return true
  }

  #toEnd(entry: number): void {
    const rank = this.rank(entry)
    if (this.#newest[rank] === entry) {
      const at = entry * STRIDE
      this.#entries[at + POSITION] = (this.#entries[at + EXPIRY]! << 1) | rank
      return
    }
    this.#unlink(entry)
    this.#append(entry, rank)
  }

  #trim(): void {
    for (let left = TRIM_BATCH; left > 0; left--) {
      if (this.#boundConfirmed()) continue
      if (this.count <= this.#size) return
      this.#evict()
    }
  }

  /** Evicts a confirmed entry if confirmed ones take the share reserved for provisional ones. */
  #boundConfirmed(): boolean {
    const most = this.#size - (this.#size >> PROVISIONAL_SHIFT)
    if (this.#counts[1] <= most) return false
    this.#removeOldest(1)
    return true
  }

  #use(server: number, by: number): void {
    if (server >= this.#uses.length) {
      const more = new Int32Array(Math.max(server + 1, this.#uses.length * 2))
      more.set(this.#uses)
      this.#uses = more
    }
    this.#uses[server]! += by
  }

  #append(entry: number, rank: Rank): void {
    const entries = this.#entries
    const at = entry * STRIDE
    const last = this.#newest[rank]
    entries[at + POSITION] = (entries[at + EXPIRY]! << 1) | rank
    entries[at + PREV] = last
    entries[at + NEXT] = -1
    if (last < 0) this.#oldest[rank] = entry
    else entries[last * STRIDE + NEXT] = entry
    this.#newest[rank] = entry
    this.#counts[rank]++
  }

  #unlink(entry: number): void {
    const entries = this.#entries
    const at = entry * STRIDE
    const rank = this.rank(entry)
    const prev = entries[at + PREV]!
    const next = entries[at + NEXT]!
    if (prev < 0) this.#oldest[rank] = next
    else entries[prev * STRIDE + NEXT] = next
    if (next < 0) this.#newest[rank] = prev
    else entries[next * STRIDE + PREV] = prev
    this.#counts[rank]--
  }

  /** Moves later entries of the run up, so that no search ends early (Knuth, vol. 3, 6.4, algorithm R). */
  #unindex(entry: number): void {
    const index = this.#index
    const mask = this.#mask
    let hole = this.#home(this.high(entry), this.low(entry))
    while (index[hole] !== entry + 1) hole = (hole + 1) & mask
    for (let slot = (hole + 1) & mask; index[slot] !== 0; slot = (slot + 1) & mask) {
      const other = index[slot]! - 1
      const home = this.#home(this.high(other), this.low(other))
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue
      index[hole] = other + 1
      hole = slot
    }
    index[hole] = 0
  }

  /** Doubles the capacity, up to the size, and rebuilds the index. */
  #grow(): void {
    const before = this.#capacity
    const capacity = Math.min(this.#size, Math.max(FIRST_CAPACITY, before * 2))
    const entries = new Int32Array(capacity * STRIDE)
    entries.set(this.#entries)
    for (let entry = capacity - 1; entry >= before; entry--) {
      entries[entry * STRIDE + NEXT] = this.#free
      this.#free = entry
    }
    this.#entries = entries
    this.#capacity = capacity
    let slots = 16
    while (slots < capacity * 2) slots *= 2
    this.#mask = slots - 1
    const old = this.#index
    this.#index = new Int32Array(slots)
    for (let i = 0; i < old.length; i++) {
      const entry = old[i]! - 1
      if (entry < 0) continue
      let slot = this.#home(this.high(entry), this.low(entry))
      while (this.#index[slot] !== 0) slot = (slot + 1) & this.#mask
      this.#index[slot] = entry + 1
    }
  }
}
