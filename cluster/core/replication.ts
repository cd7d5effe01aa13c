// Replication of the configuration. The leader assigns a revision to each configuration that it publishes. Small bodies travel in
// the announcement; large ones are pulled from any member that holds them. Heartbeats carry revisions, so members that missed an
// announcement pull too. A member never installs an older revision than the one it holds. Pure.

import { fitsInline } from './clamp.ts'
import {
  type CoreContext,
  log,
  NOTHING,
  type PartEffect,
  type PartEvent,
  type ReplicationState,
  type RevisionRef,
} from './context.ts'
import { displayName } from './display-names.ts'
import { isUp, type Peer } from './peer.ts'
import { compareRevisions, compareTerms, type Held, type MemberId, type Message, type Revision } from './state.ts'

/** After this time without a leader a member pulls newer revisions from any peer, ms. */
const LEADERLESS_PULL_MS = 1000
/** A new leader waits this long for a higher revision that a peer holds before it publishes, ms. */
const PUBLISH_WAIT_MS = 1000
/** The network ends every pull in time. If it does not, the pull is abandoned after this time, ms. */
const PULL_TIMEOUT_MS = 90_000
/** Delay before a member whose pull failed is asked again, ms. It doubles with every failure up to MAX_BACKOFF_MS. */
const BACKOFF_MS = 100
const MAX_BACKOFF_MS = 3000
/**
 * About this many members pull from the leader at once. In a larger cluster the others wait until more peers hold the revision.
 */
const DIRECT_PULLERS = 8
const MIN_DEFER_MS = 150
const MAX_DEFER_MS = 600
/** Peers that a member sends a heartbeat to after a pull. */
const INFORMED_PEERS = 3

export function createReplication(held: Held | null, now: number): ReplicationState {
  return {
    held,
    announced: null,
    announcedBy: null,
    pull: null,
    backoffUntil: new Map(),
    nextPullAt: now,
    failures: 0,
    pending: null,
    published: null,
    leaderSince: now,
    wasLeader: false,
    conflict: null,
  }
}

/** The highest revision known of the leader: what it announced, or what is held if that is not lower. */
export function targetOf(context: CoreContext): Revision | null {
  const { held, announced } = context.replication
  if (context.election.role === 'leader' || announced === null) return held?.revision ?? null
  return isAbove(announced.revision, held) ? announced.revision : (held?.revision ?? null)
}

export function stepReplication(context: CoreContext, event: PartEvent): readonly PartEffect[] {
  syncRole(context)
  const done = handle(context, event)
  const more = advance(context)
  return done.length === 0 ? more : more.length === 0 ? done : [...done, ...more]
}

function handle(context: CoreContext, event: PartEvent): readonly PartEffect[] {
  switch (event.kind) {
    case 'message':
      if (event.message.kind === 'beat') return onHeartbeat(context, event.from, event.message)
      if (event.message.kind === 'announce') return onAnnouncement(context, event.from, event.message)
      return NOTHING
    case 'publish':
      if (context.election.role !== 'leader') return NOTHING
      context.replication.pending = { hash: event.hash, body: event.body }
      return NOTHING
    case 'pulled':
      return onPulled(context, event.from, event.held)
    case 'pullFailed':
      return onPullFailed(context, event.from, event.revision)
    default:
      return NOTHING
  }
}

function syncRole(context: CoreContext): void {
  const { replication, election, now } = context
  const leading = election.role === 'leader'
  if (leading !== replication.wasLeader) {
    replication.wasLeader = leading
    replication.leaderSince = now
    replication.pending = null
    replication.published = null
  }
  if (election.leader !== null && replication.announcedBy !== election.leader) {
    replication.announcedBy = election.leader
    replication.announced = null
  }
}

// ---- learning of revisions ----

function onHeartbeat(context: CoreContext, from: MemberId, heartbeat: Extract<Message, { kind: 'beat' }>): readonly PartEffect[] {
  const { replication, election } = context
  const peer = context.membership.peers.get(from)
  if (peer === undefined || peer.heartbeat !== heartbeat || heartbeat.revision === null) return NOTHING
  if (election.leader === from) return noteLeaderRevision(context, { revision: heartbeat.revision, hash: heartbeat.hash })
  // Another peer holds the announced revision: no further wait is needed.
  if (replication.announced !== null && holdsRevision(peer, replication.announced))
    replication.nextPullAt = Math.min(replication.nextPullAt, context.now)
  return NOTHING
}

function onAnnouncement(
  context: CoreContext,
  from: MemberId,
  message: Extract<Message, { kind: 'announce' }>,
): readonly PartEffect[] {
  const { election } = context
  const { revision, hash, body } = message
  const isLeaders = election.role === 'follower' && election.leader === from && compareTerms(message.term, election.term) === 0
  if (!isLeaders || revision.term !== election.term.number || revision.leader !== from) return NOTHING
  if (body !== null && isAbove(revision, context.replication.held)) {
    context.replication.announced = { revision, hash }
    return install(context, { revision, hash, body }, from)
  }
  return noteLeaderRevision(context, { revision, hash })
}

/** Records that the leader holds this revision. */
function noteLeaderRevision(context: CoreContext, wanted: RevisionRef): readonly PartEffect[] {
  const { replication, membership, options, now } = context
  const { announced, held } = replication
  const isNew = announced === null || compareRevisions(announced.revision, wanted.revision) < 0
  if (isNew) {
    replication.announced = wanted
    replication.failures = 0
    // Spreads the pulls so that not all members ask the leader at once.
    const others = membership.alive
    const deferred = others > DIRECT_PULLERS && options.random() >= DIRECT_PULLERS / others
    replication.nextPullAt = deferred ? now + MIN_DEFER_MS + options.random() * (MAX_DEFER_MS - MIN_DEFER_MS) : now
  }
  if (held === null || compareRevisions(held.revision, wanted.revision) !== 0 || held.hash === wanted.hash) return NOTHING
  if (replication.conflict !== null && compareRevisions(replication.conflict, wanted.revision) === 0) return NOTHING
  replication.conflict = wanted.revision
  return [
    log(
      'warn',
      fieldsOf(wanted.revision),
      'the leader has different content for the revision held here; keeping the content held',
    ),
  ]
}

function holdsRevision(peer: Peer, wanted: RevisionRef): boolean {
  const { revision, hash } = peer.heartbeat
  return isUp(peer) && revision !== null && hash === wanted.hash && compareRevisions(revision, wanted.revision) === 0
}

function isAbove(revision: Revision, held: Held | null): boolean {
  return held === null || compareRevisions(revision, held.revision) > 0
}

// ---- installing and publishing ----

function install(context: CoreContext, held: Held, source: MemberId | null): PartEffect[] {
  const { replication } = context
  replication.held = held
  replication.backoffUntil.clear()
  replication.failures = 0
  const from = source === null ? 'this member' : displayName(context, source)
  return [{ kind: 'hold', held, source }, log('debug', { ...fieldsOf(held.revision), from }, 'installed a new revision')]
}

/** `forceNew`: assigns a new number even if the same content is held. */
function publish(context: CoreContext, hash: string, body: string, forceNew: boolean): readonly PartEffect[] {
  const { replication, election, options } = context
  const { held } = replication
  replication.published = { hash, body }
  if (held?.hash === hash && !forceNew) return NOTHING
  const { number, leader } = election.term
  const last = held !== null && held.revision.term === number && held.revision.leader === leader ? held.revision.sequence : 0
  const revision = { term: number, leader: options.id, sequence: last + 1 }
  const inline = fitsInline(body)
  return [
    ...install(context, { revision, hash, body }, null),
    {
      kind: 'broadcast',
      message: { kind: 'announce', term: election.term, revision, hash, size: body.length, body: inline ? body : null },
    },
  ]
}

// ---- pulling ----

/**
 * The revision to pull: the leader's. Without a leader for LEADERLESS_PULL_MS, or on the leader itself, the highest one of any
 * peer.
 */
function missingRevision(context: CoreContext): RevisionRef | null {
  const { replication, election, now } = context
  if (election.role === 'follower' && election.leader !== null) {
    return replication.announced !== null && isAbove(replication.announced.revision, replication.held)
      ? replication.announced
      : null
  }
  if (election.role === 'follower' && now - election.leaderlessSince < LEADERLESS_PULL_MS) return null
  let best: RevisionRef | null = null
  for (const peer of context.membership.peers.values()) {
    const { revision, hash } = peer.heartbeat
    if (revision === null || !isUp(peer) || !isAbove(revision, replication.held)) continue
    // Revisions of the leader's own term cannot come from a peer.
    if (election.role === 'leader' && compareTerms({ number: revision.term, leader: revision.leader }, election.term) >= 0)
      continue
    if (best === null || compareRevisions(revision, best.revision) > 0) best = { revision, hash }
  }
  return best
}

/** Starts a pull that is due, or a publication that waited for one. */
function advance(context: CoreContext): readonly PartEffect[] {
  const { replication, election, now } = context
  const { pull } = replication
  if (pull !== null && now >= pull.until) abandonPull(context, pull.from)
  // A member with nothing to publish waits for the pull in progress.
  if (replication.pending === null && replication.published === null && replication.pull !== null) return NOTHING
  const want = missingRevision(context)
  if (
    election.role === 'leader' &&
    replication.pending !== null &&
    (want === null || now - replication.leaderSince >= PUBLISH_WAIT_MS)
  ) {
    const { hash, body } = replication.pending
    replication.pending = null
    return publish(context, hash, body, want !== null)
  }
  // A peer that joined holds a later revision of another leader. The content that this leader reads is current, so it is
  // published again above that.
  const { published } = replication
  if (published !== null && replication.pending === null && context.local.managerHealthy) {
    if (want !== null || published.hash !== replication.held?.hash)
      return publish(context, published.hash, published.body, want !== null)
  }
  if (want === null || replication.pull !== null || now < replication.nextPullAt) return NOTHING
  const from = chooseSource(context, want)
  if (from === null) return NOTHING
  replication.pull = { ...want, from, until: now + PULL_TIMEOUT_MS }
  return [{ kind: 'pull', from, revision: want.revision, hash: want.hash }]
}

/** A random peer that holds the revision; peers with a connection are preferred. Null: none may be asked now. */
function chooseSource(context: CoreContext, want: RevisionRef): MemberId | null {
  const { replication, election, membership, now, options } = context
  let chosen: MemberId | null = null
  let chances = 0
  let sawConnected = false
  for (const peer of membership.peers.values()) {
    if (!isUp(peer) || (replication.backoffUntil.get(peer.id) ?? 0) > now) continue
    const isLeader = peer.id === election.leader && replication.announced?.hash === want.hash
    if (!isLeader && !holdsRevision(peer, want)) continue
    const isConnected = membership.connected.has(peer.id)
    if (sawConnected && !isConnected) continue
    if (isConnected && !sawConnected) chances = 0
    sawConnected = isConnected
    chances++
    if (options.random() * chances < 1) chosen = peer.id
  }
  return chosen
}

function onPulled(context: CoreContext, from: MemberId, held: Held): readonly PartEffect[] {
  const { replication } = context
  const asked = replication.pull
  if (asked !== null && asked.from === from && compareRevisions(asked.revision, held.revision) === 0) replication.pull = null
  if (!isAbove(held.revision, replication.held)) return NOTHING
  return [...install(context, held, from), ...informPeers(context, held)]
}

/** In a large cluster, sends a heartbeat to a few peers without the revision: it shows that this member holds it now. */
function informPeers(context: CoreContext, held: Held): PartEffect[] {
  const { membership, options } = context
  if (membership.alive <= DIRECT_PULLERS) return []
  const lacking: MemberId[] = []
  for (const peer of membership.peers.values()) {
    if (isUp(peer) && !holdsRevision(peer, held) && peer.id !== context.election.leader) lacking.push(peer.id)
  }
  const connected = lacking.filter(id => membership.connected.has(id))
  const from = connected.length >= INFORMED_PEERS ? connected : lacking
  const effects: PartEffect[] = []
  for (let informed = 0; informed < INFORMED_PEERS && from.length > 0; informed++) {
    const [to] = from.splice(Math.floor(options.random() * from.length), 1)
    if (to !== undefined) effects.push({ kind: 'heartbeat', to })
  }
  return effects
}

function onPullFailed(context: CoreContext, from: MemberId, revision: Revision): readonly PartEffect[] {
  const { pull } = context.replication
  if (pull !== null && pull.from === from && compareRevisions(pull.revision, revision) === 0) abandonPull(context, from)
  return NOTHING
}

function abandonPull(context: CoreContext, from: MemberId): void {
  const { replication, now, options } = context
  const backoff = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(replication.failures, 10))
  replication.pull = null
  replication.failures++
  if (replication.backoffUntil.size > context.membership.peers.size) replication.backoffUntil.clear()
  replication.backoffUntil.set(from, now + backoff * (1 + options.random()))
  // Another peer may be asked soon; this one only after its back-off.
  replication.nextPullAt = now + Math.min(backoff, BACKOFF_MS / 2)
}

function fieldsOf(revision: Revision): Record<string, string | number> {
  return { term: revision.term, sequence: revision.sequence }
}
