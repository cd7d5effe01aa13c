// Decides when to dial which address: quickly at first, then with back-off and jitter. It never dials this member itself or a
// member that is connected under any address. For a member with several addresses, the next one is tried while the previous
// dial hangs. Pure: the clock, the randomness and the outcome of each dial are handed in.

import type { MemberId } from '../core/state.ts'

const MIN_RETRY_MS = 200
const MAX_RETRY_MS = 5_000
/** Retry delay for an address of this member or of another cluster, which may be reassigned. */
const NOT_A_PEER_RETRY_MS = 30_000
/** Maximum delay between dials of an address that refuses the handshake: not a member, or another secret. */
const MAX_REFUSED_RETRY_MS = 60_000
/** Failure count is reduced to this when an address that did not answer refuses for the first time. */
const MAX_FAILURES_BEFORE_REFUSAL = 3
/** Delay before the next address of a member while a dial to it hangs. */
const NEXT_ADDRESS_MS = 250
const MAX_CONCURRENT_DIALS = 16
/** In a large cluster, a member with this many connections dials further addresses only slowly. */
export const ENOUGH_CONNECTIONS = 8
const EXPLORE_INTERVAL_MS = 1_000

export type DialOutcome =
  | { readonly kind: 'member'; readonly id: MemberId }
  /** The address belongs to this member or to another cluster. */
  | { readonly kind: 'notPeer' }
  | { readonly kind: 'failed' }
  /** The peer ended the connection during the handshake: another secret, or not a member. */
  | { readonly kind: 'refused' }

export interface DialerState {
  /** Members to be connected to, with their addresses, best first. */
  readonly wanted: ReadonlyMap<MemberId, readonly string[]>
  /** Addresses where members may be found. */
  readonly targets: readonly string[]
  readonly connected: ReadonlySet<MemberId>
  /** There are more members than a full mesh takes. */
  readonly large: boolean
  /** Known members, connected or not; gossip reaches them. */
  readonly isMember: (id: MemberId) => boolean
}

export interface Dialer {
  /** Addresses to dial now. Call `finished` for each. */
  next(state: DialerState, nowMs: number): readonly string[]
  finished(address: string, outcome: DialOutcome, nowMs: number): void
  /** The connection to this member has closed: dial again soon. */
  connectionLost(id: MemberId, nowMs: number): void
  /** Records that the address belongs to this member, according to its heartbeats. */
  setOwner(address: string, id: MemberId): void
}

interface Address {
  owner: MemberId | null
  failures: number
  /** The outcome of the last dial. */
  last: DialOutcome['kind'] | null
  notBefore: number
  dialledAt: number
  dialling: boolean
}

/** @param random from 0 up to 1 */
export function dialer(random: () => number): Dialer {
  const known = new Map<string, Address>()
  let exploredAt = Number.NEGATIVE_INFINITY

  function entryOf(address: string): Address {
    let entry = known.get(address)
    if (entry === undefined) {
      entry = { owner: null, failures: 0, last: null, notBefore: 0, dialledAt: Number.NEGATIVE_INFINITY, dialling: false }
      known.set(address, entry)
    }
    return entry
  }

  function forgetUnused(state: DialerState): void {
    const used = new Set(state.targets)
    for (const addresses of state.wanted.values()) for (const address of addresses) used.add(address)
    for (const [address, entry] of known) if (!used.has(address) && !entry.dialling) known.delete(address)
  }

  /** The next address of a member to dial; null: none is due, or one was dialled within NEXT_ADDRESS_MS. */
  function addressToDial(addresses: readonly string[], nowMs: number): string | null {
    const entries = addresses.map(address => ({ address, entry: entryOf(address) }))
    if (entries.some(({ entry }) => entry.dialling && nowMs - entry.dialledAt < NEXT_ADDRESS_MS)) return null
    const ready = entries.filter(({ entry }) => !entry.dialling && entry.notBefore <= nowMs)
    ready.sort((a, b) => a.entry.failures - b.entry.failures)
    return ready[0]?.address ?? null
  }

  /**
   * With enough connections in a large cluster, one address without a known member is tried per EXPLORE_INTERVAL_MS: after a
   * partition the other part can only be found there.
   */
  function targetsOf(state: DialerState, nowMs: number): readonly string[] {
    const enough = state.large && state.connected.size >= ENOUGH_CONNECTIONS
    if (enough && nowMs - exploredAt < EXPLORE_INTERVAL_MS) return []
    const ready = state.targets.filter(address => {
      const { dialling, notBefore, owner } = entryOf(address)
      if (dialling || notBefore > nowMs) return false
      return owner === null || !(state.connected.has(owner) || (enough && state.isMember(owner)))
    })
    if (!enough) return ready
    exploredAt = nowMs
    return ready.length === 0 ? [] : [ready[Math.floor(random() * ready.length)]!]
  }

  return {
    next(state, nowMs) {
      if (known.size > 64 + 2 * (state.targets.length + state.wanted.size * 8)) forgetUnused(state)
      let dialling = 0
      for (const entry of known.values()) if (entry.dialling) dialling++
      const chosen = new Set<string>()
      for (const [id, addresses] of state.wanted) {
        if (state.connected.has(id)) continue
        const address = addressToDial(addresses, nowMs)
        if (address !== null) chosen.add(address)
      }
      for (const address of targetsOf(state, nowMs)) chosen.add(address)
      const now = [...chosen].slice(0, Math.max(0, MAX_CONCURRENT_DIALS - dialling))
      for (const address of now) {
        const entry = entryOf(address)
        entry.dialling = true
        entry.dialledAt = nowMs
      }
      return now
    },

    finished(address, outcome, nowMs) {
      const entry = entryOf(address)
      entry.dialling = false
      const before = entry.last
      entry.last = outcome.kind
      if (outcome.kind === 'member') {
        entry.owner = outcome.id
        entry.failures = 0
        entry.notBefore = nowMs + MIN_RETRY_MS * (0.5 + random())
        return
      }
      // Failed dials during a restart of the peer must not delay the second refusal, which makes it visible (foreign-peers.ts).
      if (outcome.kind === 'refused' && before === 'failed')
        entry.failures = Math.min(entry.failures, MAX_FAILURES_BEFORE_REFUSAL)
      entry.failures++
      const most = outcome.kind === 'refused' ? MAX_REFUSED_RETRY_MS : MAX_RETRY_MS
      const backOff = Math.min(most, MIN_RETRY_MS * 2 ** Math.min(entry.failures - 1, 10))
      const wait = outcome.kind === 'notPeer' ? NOT_A_PEER_RETRY_MS : backOff
      entry.notBefore = nowMs + wait * (0.5 + random() / 2)
    },

    connectionLost(id, nowMs) {
      for (const entry of known.values()) {
        if (entry.owner !== id) continue
        entry.failures = 0
        entry.notBefore = nowMs + MIN_RETRY_MS * random()
      }
    },

    setOwner(address, id) {
      entryOf(address).owner = id
    },
  }
}
