// Decides which address to dial when: fast at first, then with back-off and jitter; never itself, never a member that is
// connected already, under whatever address; of a member with several addresses the next is tried while the first still hangs.
// Pure; the clock, the randomness and the outcome of each dial are handed in.

import type { MemberId } from '../core/state.ts'

const FIRST_RETRY_MS = 200
const LAST_RETRY_MS = 5_000
/** An address that led to this member itself, or into another cluster, may one day belong to somebody else. */
const MISTAKEN_RETRY_MS = 30_000
/** Longest delay between dials of an address that refuses the handshake: it is no member, or holds another secret. */
const LAST_REFUSED_MS = 60_000
/** Failures counted, at most, when an address that did not answer refuses for the first time. */
const FAILURES_BEFORE_REFUSED = 3
/** While one address of a member hangs, the next is tried after so long. */
const NEXT_ADDRESS_MS = 250
const MOST_AT_ONCE = 16
/** With so many connections a member that has more than a small cluster around it need not look for further ones. */
export const ENOUGH_CONNECTIONS = 8
const LOOK_FURTHER_MS = 1_000

export type DialOutcome =
  | { readonly kind: 'member'; readonly id: MemberId }
  /** It is this member, or one of another cluster. */
  | { readonly kind: 'mistaken' }
  | { readonly kind: 'failed' }
  /** The peer ended the connection during the handshake: it holds another secret, or is no member. */
  | { readonly kind: 'refused' }

export interface DialerState {
  /** Members to be connected with, and where each may be found, best first. */
  readonly wanted: ReadonlyMap<MemberId, readonly string[]>
  /** Addresses at which somebody may be. */
  readonly targets: readonly string[]
  readonly connected: ReadonlySet<MemberId>
  /** Whether the members known are more than a full mesh takes. */
  readonly large: boolean
  /** Members that are part of the cluster, connected or not: the gossip reaches them. */
  readonly isMember: (id: MemberId) => boolean
}

export interface Dialer {
  /** Addresses to dial now; each is to be answered by `done`. */
  next(state: DialerState, nowMs: number): readonly string[]
  done(address: string, outcome: DialOutcome, nowMs: number): void
  /** This connection has closed: dial again soon. */
  lost(id: MemberId, nowMs: number): void
  /** Beats tell whose these addresses are. */
  belongs(address: string, id: MemberId): void
}

interface Address {
  owner: MemberId | null
  failures: number
  /** How the last dial ended. */
  last: DialOutcome['kind'] | null
  notBefore: number
  dialledAt: number
  dialling: boolean
}

/** @param random from 0 up to 1 */
export function dialer(random: () => number): Dialer {
  const known = new Map<string, Address>()
  let lookedAt = Number.NEGATIVE_INFINITY

  function at(address: string): Address {
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

  /** The next address of a member that may be dialled, unless one was dialled a moment ago. */
  function ofMember(addresses: readonly string[], nowMs: number): string | null {
    const entries = addresses.map(address => ({ address, entry: at(address) }))
    if (entries.some(({ entry }) => entry.dialling && nowMs - entry.dialledAt < NEXT_ADDRESS_MS)) return null
    const ready = entries.filter(({ entry }) => !entry.dialling && entry.notBefore <= nowMs)
    ready.sort((a, b) => a.entry.failures - b.entry.failures)
    return ready[0]?.address ?? null
  }

  /**
   * Who has enough connections in a large cluster looks on, but slowly, and only where no member of it is known to be: after a
   * partition the other part can be found nowhere else.
   */
  function targetsOf(state: DialerState, nowMs: number): readonly string[] {
    const enough = state.large && state.connected.size >= ENOUGH_CONNECTIONS
    if (enough && nowMs - lookedAt < LOOK_FURTHER_MS) return []
    const ready = state.targets.filter(address => {
      const { dialling, notBefore, owner } = at(address)
      if (dialling || notBefore > nowMs) return false
      return owner === null || !(state.connected.has(owner) || (enough && state.isMember(owner)))
    })
    if (!enough) return ready
    lookedAt = nowMs
    return ready.length === 0 ? [] : [ready[Math.floor(random() * ready.length)]!]
  }

  return {
    next(state, nowMs) {
      if (known.size > 64 + 2 * (state.targets.length + state.wanted.size * 8)) forgetUnused(state)
      let under = 0
      for (const entry of known.values()) if (entry.dialling) under++
      const chosen = new Set<string>()
      for (const [id, addresses] of state.wanted) {
        if (state.connected.has(id)) continue
        const address = ofMember(addresses, nowMs)
        if (address !== null) chosen.add(address)
      }
      for (const address of targetsOf(state, nowMs)) chosen.add(address)
      const now = [...chosen].slice(0, Math.max(0, MOST_AT_ONCE - under))
      for (const address of now) {
        const entry = at(address)
        entry.dialling = true
        entry.dialledAt = nowMs
      }
      return now
    },

    done(address, outcome, nowMs) {
      const entry = at(address)
      entry.dialling = false
      const before = entry.last
      entry.last = outcome.kind
      if (outcome.kind === 'member') {
        entry.owner = outcome.id
        entry.failures = 0
        entry.notBefore = nowMs + FIRST_RETRY_MS * (0.5 + random())
        return
      }
      // The dials of a peer that was being restarted must not delay the second refusal, from which on it is shown (strangers.ts).
      if (outcome.kind === 'refused' && before === 'failed') entry.failures = Math.min(entry.failures, FAILURES_BEFORE_REFUSED)
      entry.failures++
      const most = outcome.kind === 'refused' ? LAST_REFUSED_MS : LAST_RETRY_MS
      const backOff = Math.min(most, FIRST_RETRY_MS * 2 ** Math.min(entry.failures - 1, 10))
      const wait = outcome.kind === 'mistaken' ? MISTAKEN_RETRY_MS : backOff
      entry.notBefore = nowMs + wait * (0.5 + random() / 2)
    },

    lost(id, nowMs) {
      for (const entry of known.values()) {
        if (entry.owner !== id) continue
        entry.failures = 0
        entry.notBefore = nowMs + FIRST_RETRY_MS * random()
      }
    },

    belongs(address, id) {
      at(address).owner = id
    },
  }
}
