// Addresses at which a peer is expected and something answers that is not of this cluster: after a secret was changed in one step,
// or where another cluster is reached. Shown in the status. Holds only addresses that this member dials itself, so connections
// from outside add nothing; bounded. Pure; the clock is handed in.

export interface ForeignPeer {
  /** `host:port` as dialled. */
  readonly address: string
  /** Found for so long, ms. */
  readonly sinceMs: number
  /** `secret`: the handshake failed. `cluster`: it holds a secret of ours and belongs to a cluster of another name. */
  readonly kind: 'secret' | 'cluster'
  /** For people. */
  readonly reason: string
}

export const WRONG_SECRET = 'it holds none of our secrets, or is no member of a cluster'
/** Entries, at most. */
export const MAX_FOREIGN_PEERS = 64
/** A peer that stops in the middle of a handshake looks like one that refuses it, but only once. */
const REFUSED_TIMES = 2
/** Longer than the longest interval between two dials of an address (dialer.ts). */
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

  /** The handshake failed. @returns true when it is in the list */
  refused(address: string, nowMs: number, reason = WRONG_SECRET): boolean {
    const { times } = this.#note(address, 'secret', reason, nowMs)
    return times >= REFUSED_TIMES
  }

  /** It belongs to another cluster. @param reason names that cluster */
  otherCluster(address: string, reason: string, nowMs: number): void {
    this.#note(address, 'cluster', reason, nowMs)
  }

  /** A member, or this member itself, is at this address. */
  answered(address: string): void {
    this.#entries.delete(address)
  }

  /** Forgets all other addresses. */
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
