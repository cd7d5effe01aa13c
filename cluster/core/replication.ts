// Which configuration this member holds: what the leader publishes spreads to all, by announcement when small, by pulls from
// whoever has it when not, and by every beat for those who missed it. Never an older one than what is held. Pure. Spec: design,
// section 6 (replication).

import { fitsInline } from './clamp.ts'
import { log, NOTHING, type PartEffect, type PartEvent, type World } from './context.ts'
import { displayName } from './display-names.ts'
import { isUp, type Peer } from './membership.ts'
import { compareRevisions, compareTerms, type Held, type MemberId, type Message, type Revision } from './state.ts'

/** Without a leader for so long, a member takes what others have, ms. */
const COLD_MS = 1000
/** A new leader that knows of something higher than what it holds waits for it so long before it publishes, ms. */
const GATE_MS = 1000
/** A pull is always answered in time by the network; should it not be, it is given up after this, ms. */
const PATIENCE_MS = 90_000
/** A member whose pull failed is not asked again for this long; doubles with every failure, up to the most, ms. */
const BACKOFF_MS = 100
const MOST_BACKOFF_MS = 3000
/** So many may pull from one member at once; in a larger cluster the others wait to hear who else has it. */
const FIRST = 8
const SECOND_MS = 150
const LAST_MS = 600
/** Whoever has pulled it tells so many. */
const TELL = 3

/** What is to be had. */
interface Wanted {
  readonly revision: Revision
  readonly hash: string
}

export interface ReplicationState {
  held: Held | null
  /** What the leader (of `toldBy`) has told of last. */
  told: Wanted | null
  toldBy: MemberId | null
  pull: (Wanted & { readonly from: MemberId; readonly until: number }) | null
  /** Not to be asked before. */
  readonly waits: Map<MemberId, number>
  /** No pull begins before this. */
  pullAt: number
  failures: number
  /** As leader: what shall be published as soon as something higher has been pulled, or has not. */
  pending: { readonly hash: string; readonly body: string } | null
  /** As leader: what it has published last, whether or not that was held already; null: it has not read yet. */
  own: { readonly hash: string; readonly body: string } | null
  ledSince: number
  leading: boolean
  /** The revision of which two contents were seen; told of once. */
  conflict: Revision | null
}

export function createReplication(held: Held | null, now: number): ReplicationState {
  return {
    held,
    told: null,
    toldBy: null,
    pull: null,
    waits: new Map(),
    pullAt: now,
    failures: 0,
    pending: null,
    own: null,
    ledSince: now,
    leading: false,
    conflict: null,
  }
}

/** The highest revision that the leader has told of; what is held when that is not higher. */
export function targetOf(world: World): Revision | null {
  const { held, told } = world.replication
  if (world.election.role === 'leader' || told === null) return held?.revision ?? null
  return isAbove(told.revision, held) ? told.revision : (held?.revision ?? null)
}

export function stepReplication(world: World, event: PartEvent): readonly PartEffect[] {
  noticeRole(world)
  const done = handle(world, event)
  const more = proceed(world)
  return done.length === 0 ? more : more.length === 0 ? done : [...done, ...more]
}

function handle(world: World, event: PartEvent): readonly PartEffect[] {
  switch (event.kind) {
    case 'message':
      if (event.message.kind === 'beat') return heardBeat(world, event.from, event.message)
      if (event.message.kind === 'announce') return announced(world, event.from, event.message)
      return NOTHING
    case 'publish':
      if (world.election.role !== 'leader') return NOTHING
      world.replication.pending = { hash: event.hash, body: event.body }
      return NOTHING
    case 'pulled':
      return pulled(world, event.from, event.held)
    case 'pullFailed':
      return pullFailed(world, event.from, event.revision)
    default:
      return NOTHING
  }
}

function noticeRole(world: World): void {
  const { replication, election, now } = world
  const leading = election.role === 'leader'
  if (leading !== replication.leading) {
    replication.leading = leading
    replication.ledSince = now
    replication.pending = null
    replication.own = null
  }
  if (election.leader !== null && replication.toldBy !== election.leader) {
    replication.toldBy = election.leader
    replication.told = null
  }
}

// ---- hearing of revisions ----

function heardBeat(world: World, from: MemberId, beat: Extract<Message, { kind: 'beat' }>): readonly PartEffect[] {
  const { replication, election } = world
  const peer = world.membership.peers.get(from)
  if (peer === undefined || peer.beat !== beat || beat.revision === null) return NOTHING
  if (election.leader === from) return note(world, { revision: beat.revision, hash: beat.hash })
  // Another one has what is looked for: no need to wait any longer.
  if (replication.told !== null && has(peer, replication.told)) replication.pullAt = Math.min(replication.pullAt, world.now)
  return NOTHING
}

function announced(world: World, from: MemberId, message: Extract<Message, { kind: 'announce' }>): readonly PartEffect[] {
  const { election } = world
  const { revision, hash, body } = message
  const isLeaders = election.role === 'follower' && election.leader === from && compareTerms(message.term, election.term) === 0
  if (!isLeaders || revision.term !== election.term.number || revision.leader !== from) return NOTHING
  if (body !== null && isAbove(revision, world.replication.held)) {
    world.replication.told = { revision, hash }
    return hold(world, { revision, hash, body }, from)
  }
  return note(world, { revision, hash })
}

/** The leader has this one. */
function note(world: World, wanted: Wanted): readonly PartEffect[] {
  const { replication, membership, options, now } = world
  const { told, held } = replication
  const isNew = told === null || compareRevisions(told.revision, wanted.revision) < 0
  if (isNew) {
    replication.told = wanted
    replication.failures = 0
    // Not everybody asks the leader at once.
    const others = membership.alive
    const later = others > FIRST && options.random() >= FIRST / others
    replication.pullAt = later ? now + SECOND_MS + options.random() * (LAST_MS - SECOND_MS) : now
  }
  if (held === null || compareRevisions(held.revision, wanted.revision) !== 0 || held.hash === wanted.hash) return NOTHING
  if (replication.conflict !== null && compareRevisions(replication.conflict, wanted.revision) === 0) return NOTHING
  replication.conflict = wanted.revision
  return [log('warn', fieldsOf(wanted.revision), 'the leader has another content under the revision held here: this one is kept')]
}

function has(peer: Peer, wanted: Wanted): boolean {
  const { revision, hash } = peer.beat
  return isUp(peer) && revision !== null && hash === wanted.hash && compareRevisions(revision, wanted.revision) === 0
}

function isAbove(revision: Revision, held: Held | null): boolean {
  return held === null || compareRevisions(revision, held.revision) > 0
}

// ---- holding ----

function hold(world: World, held: Held, source: MemberId | null): PartEffect[] {
  const { replication } = world
  replication.held = held
  replication.waits.clear()
  replication.failures = 0
  const from = source === null ? 'this member' : displayName(world, source)
  return [{ kind: 'hold', held, source }, log('debug', { ...fieldsOf(held.revision), from }, 'holds a new revision')]
}

/** `anew`: under a number of its own even if just this is held. */
function publish(world: World, hash: string, body: string, anew: boolean): readonly PartEffect[] {
  const { replication, election, options } = world
  const { held } = replication
  replication.own = { hash, body }
  if (held?.hash === hash && !anew) return NOTHING
  const { number, leader } = election.term
  const last = held !== null && held.revision.term === number && held.revision.leader === leader ? held.revision.sequence : 0
  const revision = { term: number, leader: options.id, sequence: last + 1 }
  const inline = fitsInline(body)
  return [
    ...hold(world, { revision, hash, body }, null),
    {
      kind: 'broadcast',
      message: { kind: 'announce', term: election.term, revision, hash, size: body.length, body: inline ? body : null },
    },
  ]
}

// ---- pulling ----

/** What this member should have and has not: of the leader; of anybody when it leads itself or nobody has led for long. */
function wanted(world: World): Wanted | null {
  const { replication, election, now } = world
  if (election.role === 'follower' && election.leader !== null) {
    return replication.told !== null && isAbove(replication.told.revision, replication.held) ? replication.told : null
  }
  if (election.role === 'follower' && now - election.leaderlessSince < COLD_MS) return null
  let best: Wanted | null = null
  for (const peer of world.membership.peers.values()) {
    const { revision, hash } = peer.beat
    if (revision === null || !isUp(peer) || !isAbove(revision, replication.held)) continue
    // Of its own term only the leader itself knows the revisions.
    if (election.role === 'leader' && compareTerms({ number: revision.term, leader: revision.leader }, election.term) >= 0)
      continue
    if (best === null || compareRevisions(revision, best.revision) > 0) best = { revision, hash }
  }
  return best
}

/** Begins what is due: a pull, or a publication that waited for one. */
function proceed(world: World): readonly PartEffect[] {
  const { replication, election, now } = world
  const { pull } = replication
  if (pull !== null && now >= pull.until) giveUp(world, pull.from)
  // A member that has nothing to say looks for one thing at a time.
  if (replication.pending === null && replication.own === null && replication.pull !== null) return NOTHING
  const want = wanted(world)
  if (election.role === 'leader' && replication.pending !== null && (want === null || now - replication.ledSince >= GATE_MS)) {
    const { hash, body } = replication.pending
    replication.pending = null
    return publish(world, hash, body, want !== null)
  }
  // Somebody has brought along what another leader said earlier: what this one goes on reading is true now, and said again.
  const { own } = replication
  if (own !== null && replication.pending === null && world.local.managerHealthy) {
    if (want !== null || own.hash !== replication.held?.hash) return publish(world, own.hash, own.body, want !== null)
  }
  if (want === null || replication.pull !== null || now < replication.pullAt) return NOTHING
  const from = source(world, want)
  if (from === null) return NOTHING
  replication.pull = { ...want, from, until: now + PATIENCE_MS }
  return [{ kind: 'pull', from, revision: want.revision, hash: want.hash }]
}

/** One of those who have it, by lot; those with a connection rather than others. */
function source(world: World, want: Wanted): MemberId | null {
  const { replication, election, membership, now, options } = world
  let chosen: MemberId | null = null
  let chances = 0
  let near = false
  for (const peer of membership.peers.values()) {
    if (!isUp(peer) || (replication.waits.get(peer.id) ?? 0) > now) continue
    const isLeader = peer.id === election.leader && replication.told?.hash === want.hash
    if (!isLeader && !has(peer, want)) continue
    const isNear = membership.connected.has(peer.id)
    if (near && !isNear) continue
    if (isNear && !near) chances = 0
    near = isNear
    chances++
    if (options.random() * chances < 1) chosen = peer.id
  }
  return chosen
}

function pulled(world: World, from: MemberId, held: Held): readonly PartEffect[] {
  const { replication } = world
  const asked = replication.pull
  if (asked !== null && asked.from === from && compareRevisions(asked.revision, held.revision) === 0) replication.pull = null
  if (!isAbove(held.revision, replication.held)) return NOTHING
  return [...hold(world, held, from), ...tell(world, held)]
}

/** In a large cluster, those who do not have it yet hear from those who do. */
function tell(world: World, held: Held): PartEffect[] {
  const { membership, options } = world
  if (membership.alive <= FIRST) return []
  const lacking: MemberId[] = []
  for (const peer of membership.peers.values()) {
    if (isUp(peer) && !has(peer, held) && peer.id !== world.election.leader) lacking.push(peer.id)
  }
  const near = lacking.filter(id => membership.connected.has(id))
  const from = near.length >= TELL ? near : lacking
  const effects: PartEffect[] = []
  for (let told = 0; told < TELL && from.length > 0; told++) {
    const [to] = from.splice(Math.floor(options.random() * from.length), 1)
    if (to !== undefined) effects.push({ kind: 'beat', to })
  }
  return effects
}

function pullFailed(world: World, from: MemberId, revision: Revision): readonly PartEffect[] {
  const { pull } = world.replication
  if (pull !== null && pull.from === from && compareRevisions(pull.revision, revision) === 0) giveUp(world, from)
  return NOTHING
}

function giveUp(world: World, from: MemberId): void {
  const { replication, now, options } = world
  const backoff = Math.min(MOST_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(replication.failures, 10))
  replication.pull = null
  replication.failures++
  if (replication.waits.size > world.membership.peers.size) replication.waits.clear()
  replication.waits.set(from, now + backoff * (1 + options.random()))
  // Another one may be asked soon; this one only after its wait.
  replication.pullAt = now + Math.min(backoff, BACKOFF_MS / 2)
}

function fieldsOf(revision: Revision): Record<string, string | number> {
  return { term: revision.term, sequence: revision.sequence }
}
