// Data types of the cluster protocol, shared by the core (membership, election, replication, hints) and the code that runs it
// (gossip/, member.ts). The configuration is an opaque text here, the *body*. Times are milliseconds of the member's own
// monotonic clock and are never compared with another member's clock.

/**
 * A member's identity: its libp2p peer id, generated at every start, so that votes cast by or for an earlier process do not count
 * for the restarted one.
 */
export type MemberId = string

/** The clock readings in a member's messages (store/cluster-clock.ts). */
export interface ClockReading {
  /** The cluster's time as computed by that member, ms since 1970. */
  readonly time: number
  /** Its wall clock minus that time, ms; 0 while it uses its own clock. */
  readonly off: number
  /** Its time is the median of three clocks or more. */
  readonly agreed?: boolean | undefined
}

/**
 * A term: its number and the member elected in it. Two components of a partition may elect in the same number, so a number
 * alone could denote two leaders; the pair (a ballot, as in Paxos) denotes one. Ordered by number, then by leader. `{0, ''}`
 * precedes all terms.
 */
export interface Term {
  readonly number: number
  readonly leader: MemberId | ''
}

/** The position of a configuration: the leader's term, then the sequence within it. */
export interface Revision {
  readonly term: number
  readonly leader: MemberId | ''
  readonly sequence: number
}

/** A configuration that a member holds. */
export interface Held {
  readonly revision: Revision
  /** SHA-256 of the body, hex. */
  readonly hash: string
  readonly body: string
}

/** What a replica reports about itself in its heartbeats. Its values come from src/. */
export interface LocalState {
  /** The manager that it reads from, for display (`m1 (agent://10.0.0.1:7999)`); null: none. */
  readonly manager: string | null
  /** That manager is healthy. A member without one does not campaign while another member has one. */
  readonly managerHealthy: boolean
  /** Services of which it can reach no server (sorted, at most LIMITS.unreachable). */
  readonly unreachable: readonly string[]
  /** There are more than fit in `unreachable`: it may not reach any service. */
  readonly unreachableAll: boolean
  /** Keys of recent swarm events from its own manager (newest last, at most LIMITS.seen); see hints.ts. */
  readonly seen: readonly string[]
  /** `host:port` of the cluster port, best first (at most LIMITS.addresses). */
  readonly addresses: readonly string[]
  /** `host:port` of the relay port, best first; empty: it does not relay. */
  readonly relay: readonly string[]
  /**
   * Options that shape the configuration that this replica would publish as the leader: values by name (at most
   * LIMITS.options). Absent: the member's version does not report them. Not interpreted here.
   */
  readonly options?: Readonly<Record<string, string>> | undefined
  /**
   * Networks that it is on: its interface addresses with prefix lengths (`10.0.1.7/24`), without loopback. Complete; absent
   * when there are more than LIMITS.networks, or when the member's version does not report them.
   */
  readonly networks?: readonly string[] | undefined
  /** Digest of the secret state that it holds (secrets/), hex; absent: the member's version has none. */
  readonly secretState?: string | undefined
}

export type MemberState = 'alive' | 'suspect' | 'draining' | 'gone'

/** A member in another member's view. */
export interface Member extends LocalState {
  readonly id: MemberId
  /** For display: the node's host name; `name~id` when two members share it. */
  readonly name: string
  readonly state: MemberState
  /** When it entered this state, ms of the viewing member's clock. */
  readonly since: number
  /** Wall clock at its start, ms since 1970, by its own clock. Decides which of two processes of one name is newer. */
  readonly startedAt: number
  readonly version: string
  readonly role: 'leader' | 'follower'
  /** The highest term that it has seen. */
  readonly term: Term
  /** The revision that it routes by; null: none yet. */
  readonly revision: Revision | null
  readonly hash: string
  readonly self: boolean
}

/**
 * Sent by every member: by the leader every `leaderHeartbeatMs`, by others at an interval that grows with the cluster. `beat`
 * on the wire.
 */
export interface Heartbeat {
  readonly kind: 'beat'
  readonly name: string
  readonly startedAt: number
  readonly version: string
  readonly role: 'leader' | 'follower'
  readonly term: Term
  readonly draining: boolean
  readonly revision: Revision | null
  readonly hash: string
  /** Time until its next heartbeat at the latest, ms. Receivers suspect it when three are missing. */
  readonly nextMs: number
  /** Members that it suspects or saw leave recently (at most LIMITS.suspects). */
  readonly suspects: readonly MemberId[]
  readonly local: LocalState
}

/** All messages between members. Pulled bodies have a stream of their own (gossip/body-transfer.ts). */
export type Message =
  | Heartbeat
  /**
   * A new configuration of the leader. `body` is present when it has at most LIMITS.inlineBody characters; otherwise it is
   * pulled.
   */
  | {
      readonly kind: 'announce'
      readonly term: Term
      readonly revision: Revision
      readonly hash: string
      readonly size: number
      readonly body: string | null
    }
  /** Requests a vote. `pre`: a pre-vote, which records nothing. `consent`: the leader asked the candidate to campaign. */
  | {
      readonly kind: 'vote?'
      readonly term: number
      readonly pre: boolean
      readonly consent: boolean
      readonly revision: Revision | null
    }
  /** The response, with the highest term that the voter has seen. */
  | { readonly kind: 'vote!'; readonly term: number; readonly pre: boolean; readonly granted: boolean; readonly known: Term }
  /** From the leader to the transferee: campaign at once (leadership transfer). */
  | { readonly kind: 'handover'; readonly term: Term }
  /** To the leader: keys of events that the sender saw and the leader's heartbeats do not contain. */
  | { readonly kind: 'hint'; readonly keys: readonly string[] }
  /** The last message of a member that stops. */
  | { readonly kind: 'leave' }
  /** Shared state (store/): base64 of at most LIMITS.store bytes, decoded and checked by store/codec.ts. */
  | { readonly kind: 'store'; readonly data: string }

/**
 * A message on the wire: protocol version, cluster name, and a sequence number that only grows while the sender's process lives
 * (replay-window.ts rejects replays).
 */
export interface Envelope {
  readonly v: 1
  readonly cluster: string
  readonly n: number
  /** The sender's clocks (store/cluster-clock.ts). Absent from members of older versions. */
  readonly clock?: ClockReading | undefined
  readonly message: Message
}

/** Bounds on message content. A message beyond them is malformed. */
export const LIMITS = {
  /** Bytes of an encoded envelope. */
  message: 64 * 1024,
  /** Characters of a body inside its announcement. */
  inlineBody: 16 * 1024,
  /** Bytes of a pulled body, decompressed. */
  body: 64 * 1024 * 1024,
  members: 256,
  suspects: 32,
  unreachable: 64,
  seen: 32,
  addresses: 8,
  hint: 32,
  options: 16,
  networks: 24,
  /** Bytes of a store message before base64. */
  store: 45 * 1024,
  /** Characters of a name, an address or a key. */
  text: 256,
  /** A term number may exceed the highest one seen by at most this much; beyond it the message is ignored. */
  termJump: 1_000_000,
} as const

/** Durations of the protocol, ms. Tests and the simulator may use others. */
export interface Timing {
  /** Interval between two heartbeats of the leader. */
  readonly leaderHeartbeatMs: number
  /** Interval between two heartbeats of a follower in a small cluster; see heartbeatInterval in membership.ts. */
  readonly heartbeatMs: number
  /** A member is suspect after this many missed heartbeats. */
  readonly missedHeartbeats: number
  /** A suspect member is gone after this time without a second opinion. */
  readonly suspectMs: number
  /** A gone member is forgotten after this time. */
  readonly forgetMs: number
  /** Election time-out: drawn between min and max each time. */
  readonly electionMinMs: number
  readonly electionMaxMs: number
  /** A starting member waits this long for heartbeats of others before it campaigns. */
  readonly joinMs: number
  /** A leader without a healthy manager, while another member has one, transfers leadership after this time. */
  readonly transferDelayMs: number
  /** An event of a follower that the leader's heartbeats do not contain after this time becomes a hint. */
  readonly hintMs: number
}

export const TIMING: Timing = {
  leaderHeartbeatMs: 250,
  heartbeatMs: 1000,
  missedHeartbeats: 3,
  suspectMs: 2000,
  forgetMs: 60_000,
  electionMinMs: 100,
  electionMaxMs: 300,
  joinMs: 800,
  transferDelayMs: 300,
  hintMs: 1000,
}

// ---- the core: everything above the network as one pure state machine (core.ts) ----

export type CoreEvent =
  /** Time has passed. Given at least every 50 ms, and before any other event that comes later than that. */
  | { readonly kind: 'tick' }
  /** Decoded and within LIMITS; `from` was authenticated by the network. */
  | { readonly kind: 'message'; readonly from: MemberId; readonly message: Message }
  /** The first connection to a member was opened, or the last one closed. */
  | { readonly kind: 'connected'; readonly peer: MemberId }
  | { readonly kind: 'disconnected'; readonly peer: MemberId }
  | { readonly kind: 'local'; readonly local: LocalState }
  /** Keys of events that this replica's own manager has just reported. */
  | { readonly kind: 'eventsSeen'; readonly keys: readonly string[] }
  /** New content of this replica's providers. Ignored unless this member leads. */
  | { readonly kind: 'publish'; readonly hash: string; readonly body: string }
  /** The pull succeeded and the body was checked. */
  | { readonly kind: 'pulled'; readonly from: MemberId; readonly held: Held }
  | { readonly kind: 'pullFailed'; readonly from: MemberId; readonly revision: Revision }
  /** The replica is about to stop: transfer leadership if leading, and announce it to the other members. */
  | { readonly kind: 'drain' }

export type CoreEffect =
  | { readonly kind: 'broadcast'; readonly message: Message }
  | { readonly kind: 'send'; readonly to: MemberId; readonly message: Message }
  /** This member's role or its leader has changed. `leader` is null while there is none. */
  | { readonly kind: 'role'; readonly role: 'leader' | 'follower'; readonly term: Term; readonly leader: MemberId | null }
  /** Pull the body of this revision from this member; answered by `pulled` or `pullFailed`. One at a time. */
  | { readonly kind: 'pull'; readonly from: MemberId; readonly revision: Revision; readonly hash: string }
  /** Route by this revision and keep it on disk. `source`: the member it came from; null: published by this member. */
  | { readonly kind: 'hold'; readonly held: Held; readonly source: MemberId | null }
  /** The list of members, or reported data of one, has changed. */
  | { readonly kind: 'members' }
  /** Followers report events that this leader may have missed: read again. */
  | { readonly kind: 'hint'; readonly keys: readonly string[]; readonly from: MemberId }
  /** A log line; fields contain member names, not ids. */
  | {
      readonly kind: 'log'
      readonly level: 'debug' | 'info' | 'warn'
      readonly fields: Readonly<Record<string, string | number>>
      readonly message: string
    }

export interface CoreOptions {
  readonly id: MemberId
  readonly name: string
  readonly startedAt: number
  readonly version: string
  readonly local: LocalState
  /** The configuration kept on disk, if any. */
  readonly held: Held | null
  readonly timing: Timing
  /** From 0 up to 1; the only source of randomness. */
  readonly random: () => number
  /** The clock's value at the start, ms. */
  readonly now: number
}

/** One member's core. `step` takes the clock's value; effects are to be carried out in order. */
export interface Core {
  step(event: CoreEvent, now: number): readonly CoreEffect[]
  /** All known members including this one, sorted by name, then id. Gone ones are listed until they are forgotten. */
  members(): readonly Member[]
  readonly role: 'leader' | 'follower'
  readonly term: Term
  readonly leader: MemberId | null
  readonly held: Held | null
  /** The highest revision known of the leader (equal to held's when up to date); null: none. */
  readonly target: Revision | null
}

/** Negative, 0 or positive: by term, leader, sequence. */
export function compareRevisions(a: Revision, b: Revision): number {
  return a.term - b.term || compareText(a.leader, b.leader) || a.sequence - b.sequence
}

/** Negative, 0 or positive: by number, then leader. */
export function compareTerms(a: Term, b: Term): number {
  return a.number - b.number || compareText(a.leader, b.leader)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
