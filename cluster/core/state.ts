// What the members of a cluster know and say: plain data, shared by the pure parts (membership, election, replication, hints) and
// by the shell that carries it (gossip/, cluster.ts). What the configuration means is not known here: it is an opaque text, the
// *body*. Times are milliseconds of a monotonic clock of the member's own; no clock of another member is ever compared with it.

import type { ClockReading } from '../store/cluster-clock.ts'

/**
 * A member's identity: its libp2p peer id, made anew at every start, so that a member never speaks with the votes of its past.
 */
export type MemberId = string

/**
 * A term: its number, and who was elected in it. Two components of a partition may elect at the same number, so a number alone
 * would name two leaders; the pair (a ballot, as Paxos has it) names one. Ordered by number, then by leader. `{0, ''}` is before
 * all.
 */
export interface Term {
  readonly number: number
  readonly leader: MemberId | ''
}

/** A configuration's place in the order: its leader's term, then the sequence within it. */
export interface Revision {
  readonly term: number
  readonly leader: MemberId | ''
  readonly sequence: number
}

/** A configuration as a member holds it. */
export interface Held {
  readonly revision: Revision
  /** SHA-256 of the body, hex. */
  readonly hash: string
  readonly body: string
}

/** What a replica tells its peers of itself; everything that its surroundings (src/) decide. */
export interface LocalState {
  /** The manager that it reads from, for people (`m1 (agent://10.0.0.1:7999)`); null: none. */
  readonly manager: string | null
  /** That manager is well. Without one a member does not stand for election while another member has one. */
  readonly managerHealthy: boolean
  /** Services none of whose servers it can reach (sorted, at most LIMITS.unreachable). */
  readonly unreachable: readonly string[]
  /** More than fit in `unreachable`: it may not be able to reach any. */
  readonly unreachableAll: boolean
  /** Keys of swarm events seen of late from its own manager (at most LIMITS.seen, newest last); see hints.ts. */
  readonly seen: readonly string[]
  /** `host:port` under which the cluster port may be reached, best first (at most LIMITS.addresses). */
  readonly addresses: readonly string[]
  /** `host:port` under which the relay port may be reached, best first; empty: it relays nothing. */
  readonly relay: readonly string[]
  /**
   * Options that shape the configuration which this replica would publish as the leader, as texts by name (at most LIMITS.options);
   * absent: the member's version does not announce them. They are not interpreted here.
   */
  readonly options?: Readonly<Record<string, string>> | undefined
  /**
   * Addresses of its interfaces with their prefix lengths (`10.0.1.7/24`), without the loopback's: the networks that it is on.
   * Complete, or absent where there are more than LIMITS.networks or the member's version does not announce them.
   */
  readonly networks?: readonly string[] | undefined
}

export type MemberState = 'alive' | 'suspect' | 'draining' | 'gone'

/** A member as another sees it. */
export interface Member extends LocalState {
  readonly id: MemberId
  /** For people: the node's host name; `name~id` where two bear one name. */
  readonly name: string
  readonly state: MemberState
  /** Holder's clock, ms: since when it is in this state. */
  readonly since: number
  /** Wall clock of its start, ms since 1970, by its own clock: which of two of one name is the newer. For people otherwise. */
  readonly startedAt: number
  readonly version: string
  readonly role: 'leader' | 'follower'
  /** The highest term that it knows. */
  readonly term: Term
  /** What it routes by; null: nothing yet. */
  readonly revision: Revision | null
  readonly hash: string
  readonly self: boolean
}

/** Sent by every member, the leader LEADER_BEAT_MS apart, others at an interval that grows with the cluster. */
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
  /** Ms until its next heartbeat at the latest, so that others know when to suspect it. */
  readonly nextMs: number
  /** Members that it suspects or knows to be gone (at most LIMITS.suspects): a second opinion. */
  readonly suspects: readonly MemberId[]
  readonly local: LocalState
}

/** All that crosses the network between members, but for pulled bodies. */
export type Message =
  | Heartbeat
  /**
   * A new configuration of the leader; `body` when it is small (at most LIMITS.inlineBody characters), otherwise it is to be
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
  /**
   * Asks for a vote. `pre`: only whether one would be given; nothing is remembered. `consent`: the leader has asked the candidate
   * to stand.
   */
  | {
      readonly kind: 'vote?'
      readonly term: number
      readonly pre: boolean
      readonly consent: boolean
      readonly revision: Revision | null
    }
  /** The answer, with the highest term that the voter knows. */
  | { readonly kind: 'vote!'; readonly term: number; readonly pre: boolean; readonly granted: boolean; readonly known: Term }
  /** From the leader to the member that shall follow it: stand at once. */
  | { readonly kind: 'handover'; readonly term: Term }
  /** To the leader: events that my manager told and your heartbeats do not show. */
  | { readonly kind: 'hint'; readonly keys: readonly string[] }
  /** The last word of a member that ends. */
  | { readonly kind: 'leave' }
  /** Shared state (store/): opaque here, base64 of at most LIMITS.store bytes; store/ has a codec and checks of its own. */
  | { readonly kind: 'store'; readonly data: string }

/**
 * Message as carried: version of the protocol, name of the cluster, and a number that only grows within a member's life (replayWindow
 * are dropped).
 */
export interface Envelope {
  readonly v: 1
  readonly cluster: string
  readonly n: number
  /** The sender's clocks (store/cluster-clock.ts); absent from members of older versions. */
  readonly clock?: ClockReading | undefined
  readonly message: Message
}

/** Bounds on what a message may hold; one that goes beyond is malformed. */
export const LIMITS = {
  /** Bytes of an encoded envelope. */
  message: 64 * 1024,
  /** Characters of a body that travels in its announcement. */
  inlineBody: 16 * 1024,
  /** Bytes of a body, pulled and unpacked. */
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
  /** Characters of a name, an address, a key. */
  text: 256,
  /** A term may be so much higher than the highest known, at most; beyond it is nonsense (or malice). */
  termJump: 1_000_000,
} as const

/** Durations of the protocol, ms. A simulation or a test may hand in others. */
export interface Timing {
  /** Between two heartbeats of the leader. */
  readonly leaderHeartbeatMs: number
  /** Between two heartbeats of others in a small cluster; grows with the number of members (see heartbeatInterval in membership.ts). */
  readonly heartbeatMs: number
  /** A member is suspect after so many missed heartbeats ... */
  readonly missedHeartbeats: number
  /** ... and gone after being suspect for so long without a second opinion. */
  readonly suspectMs: number
  /** Forgotten after being gone for so long. */
  readonly forgetMs: number
  /** Election time-out: from min to max, drawn anew each time. */
  readonly electionMinMs: number
  readonly electionMaxMs: number
  /** A member that starts waits so long to hear from others before it stands. */
  readonly joinMs: number
  /** A leader without a healthy manager, while another member has one, hands over after so long. */
  readonly transferDelayMs: number
  /** A follower's event that the leader does not show after so long becomes a hint. */
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

// ---- the core: everything above the network as one pure machine (core.ts) ----

export type CoreEvent =
  /** Time has passed; given at least every 50 ms and before any other event that comes later than that. */
  | { readonly kind: 'tick' }
  /** Decoded and within LIMITS; `from` is authenticated by the network. */
  | { readonly kind: 'message'; readonly from: MemberId; readonly message: Message }
  /** A connection to a member is there, or has closed. */
  | { readonly kind: 'connected'; readonly peer: MemberId }
  | { readonly kind: 'disconnected'; readonly peer: MemberId }
  | { readonly kind: 'local'; readonly local: LocalState }
  /** Keys of events that its own manager has just told (follower and leader alike). */
  | { readonly kind: 'eventsSeen'; readonly keys: readonly string[] }
  /** New content of this replica's providers; counts only while it leads. Ignored when hash is that of what is held. */
  | { readonly kind: 'publish'; readonly hash: string; readonly body: string }
  /** What `pull` asked for has come and is good. */
  | { readonly kind: 'pulled'; readonly from: MemberId; readonly held: Held }
  | { readonly kind: 'pullFailed'; readonly from: MemberId; readonly revision: Revision }
  /** The replica is about to end: hand over if leading, tell the others. */
  | { readonly kind: 'drain' }

export type CoreEffect =
  | { readonly kind: 'broadcast'; readonly message: Message }
  | { readonly kind: 'send'; readonly to: MemberId; readonly message: Message }
  /** This member's role, or whom it follows, has changed. `leader` is null while there is none. */
  | { readonly kind: 'role'; readonly role: 'leader' | 'follower'; readonly term: Term; readonly leader: MemberId | null }
  /** Get the body of this revision from this member; answered by `pulled` or `pullFailed`. One at a time. */
  | { readonly kind: 'pull'; readonly from: MemberId; readonly revision: Revision; readonly hash: string }
  /** From now on this is held: route by it, keep it on disk. `source`: the member it came from; null: published by itself. */
  | { readonly kind: 'hold'; readonly held: Held; readonly source: MemberId | null }
  /** The list of members (or what is known of one beyond its beat's time) has changed. */
  | { readonly kind: 'members' }
  /** Followers say that these events were missed: look again. */
  | { readonly kind: 'hint'; readonly keys: readonly string[]; readonly from: MemberId }
  /** For the log; `message` is for people, fields name members by name. */
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
  /** What was kept on disk, if anything. */
  readonly held: Held | null
  readonly timing: Timing
  /** From 0 up to 1; the only randomness there is. */
  readonly random: () => number
  /** The clock's value at the start, ms. */
  readonly now: number
}

/** One member's mind. `step` is given the clock's value and never reads one; effects are to be carried out in order. */
export interface Core {
  step(event: CoreEvent, now: number): readonly CoreEffect[]
  /** Of all members known, this one's included, sorted by name, then id; `gone` ones until they are forgotten. */
  members(): readonly Member[]
  readonly role: 'leader' | 'follower'
  readonly term: Term
  readonly leader: MemberId | null
  readonly held: Held | null
  /** The highest revision that the leader has told of (equals held's when up to date); null: none. */
  readonly target: Revision | null
}

/** -1, 0, 1: by term, leader, sequence. */
export function compareRevisions(a: Revision, b: Revision): number {
  return a.term - b.term || compareText(a.leader, b.leader) || a.sequence - b.sequence
}

/** -1, 0, 1: by number, then leader. */
export function compareTerms(a: Term, b: Term): number {
  return a.number - b.number || compareText(a.leader, b.leader)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
