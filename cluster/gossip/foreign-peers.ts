// Foreign peers: processes of no cluster or of another one that answer where a peer is expected, for example after a secret was
// changed in one step, or because an address leads to another cluster. Listed in the status. Only addresses that this member
// dials are recorded, so inbound connections add none; bounded. Pure: the clock is handed in.

export interface ForeignPeer {
  /** `host:port` as dialled. */
  readonly address: string
  /** Time since it was found, ms. */
  readonly sinceMs: number
  /** `secret`: the handshake failed. `cluster`: it holds a secret of this cluster but belongs to a cluster of another name. */
  readonly kind: 'secret' | 'cluster'
  /** For display. */
  readonly reason: string
}

export const WRONG_SECRET = 'it holds no secret of this cluster, or is not a Skein member'
/** Maximum number of entries. */
export const MAX_FOREIGN_PEERS = 64
/** Refusals before an address is listed: a peer that stops during a handshake refuses it once. */
const REFUSED_TIMES = 2
/** An entry is dropped after this time; longer than the longest dial interval (dialer.ts), ms. */
const FORGET_MS = 150_000

interface Entry {
  readonly since: number
  readonly kind: ForeignPeer['kind']
  readonly reason: string
  last: number
  times: number
}

export class ForeignPeers {
  readonly #entries = new Map<string, Entry>()

  /** The handshake failed. @returns true when the address is listed */
  refused(address: string, nowMs: number, reason = WRONG_SECRET): boolean {
    const { times } = this.#note(address, 'secret', reason, nowMs)
    return times >= REFUSED_TIMES
  }

  /** It belongs to another cluster. @param reason names that cluster */
  otherCluster(address: string, reason: string, nowMs: number): void {
    this.#note(address, 'cluster', reason, nowMs)
  }

  /** A member, or this member itself, answered at this address. */
  answered(address: string): void {
    this.#entries.delete(address)
  }

  /** Drops all other addresses. */
  keepOnly(addresses: readonly string[]): void {
    const kept = new Set(addresses)
    for (const address of this.#entries.keys()) if (!kept.has(address)) this.#entries.delete(address)
  }

  /** Oldest first. */
  list(nowMs: number): readonly ForeignPeer[] {
    const found: ForeignPeer[] = []
    for (const [address, { since, last, kind, reason, times }] of this.#entries) {
      if (nowMs - last > FORGET_MS) this.#entries.delete(address)
      else if (kind === 'cluster' || times >= REFUSED_TIMES)
        found.push({ address, sinceMs: Math.round(nowMs - since), kind, reason })
    }
    return found
  }

  #note(address: string, kind: ForeignPeer['kind'], reason: string, nowMs: number): Entry {
    const before = this.#entries.get(address)
    if (before !== undefined && before.reason === reason && nowMs - before.last <= FORGET_MS) {
      before.last = nowMs
      before.times++
      return before
    }
    const entry = { since: nowMs, kind, reason, last: nowMs, times: 1 }
    if (before === undefined && this.#entries.size >= MAX_FOREIGN_PEERS) this.list(nowMs)
    if (before !== undefined || this.#entries.size < MAX_FOREIGN_PEERS) this.#entries.set(address, entry)
    return entry
  }
}
