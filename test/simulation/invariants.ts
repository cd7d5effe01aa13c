// Invariants that hold after every step of every member, and invariants of a cluster at rest. Each has a sentence that is
// printed when it is violated.

import {
  type CoreEffect,
  type CoreEvent,
  compareRevisions,
  compareTerms,
  type Held,
  LIMITS,
  type MemberId,
  type Message,
  type Term,
} from '../../cluster/core/state.ts'
import { hashOf } from './content.ts'
import type { Life } from './life.ts'
import type { Trace } from './trace.ts'

/** Thrown when an invariant is violated; ends the run. */
export class Violation extends Error {
  readonly invariant: string
  readonly who: string

  constructor(invariant: string, who: string, details: string) {
    super(details)
    this.invariant = invariant
    this.who = who
  }
}

/** A violated invariant and the member concerned. */
export interface Amiss {
  readonly invariant: string
  readonly who: string
  readonly details: string
}

/** The state of a life at its last step. */
interface Before {
  term: Term
  role: 'leader' | 'follower'
  held: Held | null
  /** Its pull in progress: `revision member`. */
  readonly pulls: string[]
  /** Votes granted to it in the highest term number with any. */
  votes: { number: number; readonly from: Set<MemberId> }
  /** The role and leader that it reported last. */
  reported: string
}

/** The member list's length is checked once in this many steps. */
const LOOK_EVERY = 64

/** Observes every step. */
export class Watch {
  /** A term that must not change, because no member has a reason to campaign; null: it may. */
  frozen: Term | null = null
  private readonly trace: Trace
  private readonly before = new Map<MemberId, Before>()
  /** `number voter` -> candidate. */
  private readonly votes = new Map<string, MemberId>()
  /** Revision -> hash, of everything ever held or announced. */
  private readonly hashes = new Map<string, string>()
  private steps = 0

  constructor(trace: Trace) {
    this.trace = trace
  }

  /** A life starts with what its disk held. */
  born(life: Life): void {
    const { term, role, held } = life.core
    this.before.set(life.id, {
      term,
      role,
      held,
      pulls: [],
      votes: { number: 0, from: new Set() },
      reported: reportOf(role, null),
    })
    if (held !== null) this.oneHash(life, held)
  }

  step(life: Life, event: CoreEvent, effects: readonly CoreEffect[]): void {
    const before = this.before.get(life.id)!
    const { core } = life
    const { role, term, held } = core
    if (event.kind === 'message' && event.message.kind === 'vote!') voteCame(before, event.from, event.message)
    if (role !== before.role || compareTerms(term, before.term) !== 0) this.termAndRole(life, before)
    if (held !== before.held) this.heldChanged(life, before.held)
    const fail = (invariant: string, details: string): never => this.fail(invariant, life, details)
    // Time passed with the event, so it may have become leader in this step.
    const leads = before.role === 'leader' || role === 'leader'
    if (event.kind === 'publish' && !leads && (held !== before.held || effects.some(isOfContent))) {
      fail(
        'a publish of a member that does not lead has no effect',
        `it now holds ${this.trace.revision(held?.revision ?? null)}`,
      )
    }
    if (event.kind === 'pulled') drop(before.pulls, pullKey(event.held.revision, event.from))
    if (event.kind === 'pullFailed') drop(before.pulls, pullKey(event.revision, event.from))
    for (const effect of effects) {
      if (effect.kind === 'send' || effect.kind === 'broadcast') this.sent(life, effect)
      else if (effect.kind === 'pull') {
        if (before.pulls.length > 0) fail('one pull at a time', 'it asks for a body while it waits for one')
        before.pulls.push(pullKey(effect.revision, effect.from))
      } else if (effect.kind === 'hold') {
        this.oneHash(life, effect.held)
        if (effect.source !== null && event.kind === 'publish')
          fail('what is held is from where it says', 'published, but said to be from another')
      }
    }
    const said = effects.findLast(effect => effect.kind === 'role')
    if (said !== undefined) before.reported = reportOf(said.role, said.leader)
    if (before.reported !== reportOf(role, core.leader)) {
      fail(
        'a member tells its replica of every change of role and leader',
        `it said ${before.reported}, it is ${reportOf(role, core.leader)}`,
      )
    }
    if (held !== before.held && effects.findLast(effect => effect.kind === 'hold')?.held !== held) {
      fail('a member tells its replica of every revision that it holds', this.trace.revision(held?.revision ?? null))
    }
    if (++this.steps % LOOK_EVERY === 0) this.listBounded(life)
    before.term = term
    before.role = role
    before.held = held
  }

  private fail(invariant: string, life: Life, details: string): never {
    throw new Violation(invariant, life.label, details)
  }

  private termAndRole(life: Life, before: Before): void {
    const { role, term } = life.core
    const name = (of: Term): string => this.trace.term(of)
    if (compareTerms(term, before.term) < 0) {
      this.fail('the highest known term of a member never falls', life, `from ${name(before.term)} to ${name(term)}`)
    }
    if (role === 'leader' && term.leader !== life.id) {
      this.fail('one leader per term', life, `it leads in term ${name(term)}, which is another's`)
    }
    if (role === 'leader' && before.role !== 'leader') {
      this.voted(life, life.id, term.number, life.id)
      this.majority(life, before.votes.number === term.number ? before.votes.from : new Set())
    }
    if (this.frozen !== null && compareTerms(term, this.frozen) !== 0) {
      const details = `the term was ${name(this.frozen)}, it goes to ${name(term)}`
      this.fail('no member replaces a leader whose heartbeats reach the cluster', life, details)
    }
  }

  private heldChanged(life: Life, before: Held | null): void {
    const { held } = life.core
    const name = this.trace.revision(before?.revision ?? null)
    if (held === null) {
      this.fail('a revision never goes backwards', life, `it held ${name} and now holds nothing`)
      return
    }
    if (before !== null && compareRevisions(held.revision, before.revision) <= 0) {
      this.fail('a revision never goes backwards', life, `from ${name} to ${this.trace.revision(held.revision)}`)
    }
    this.oneHash(life, held)
  }

  private oneHash(life: Life, held: Held): void {
    if (hashOf(held.body) !== held.hash) {
      this.fail('a body has its hash', life, `${this.trace.revision(held.revision)} is held with the hash of another body`)
    }
    this.revisionHash(life, held.revision, held.hash)
  }

  private revisionHash(life: Life, revision: Held['revision'], hash: string): void {
    const key = `${revision.term} ${revision.leader} ${revision.sequence}`
    const known = this.hashes.get(key)
    if (known === undefined) this.hashes.set(key, hash)
    else if (known !== hash) this.fail('one revision has one hash', life, `${this.trace.revision(revision)} has two`)
  }

  private sent(life: Life, effect: Extract<CoreEffect, { kind: 'send' | 'broadcast' }>): void {
    const { message } = effect
    switch (message.kind) {
      case 'vote!':
        if (effect.kind === 'send' && message.granted && !message.pre) this.voted(life, life.id, message.term, effect.to)
        return
      case 'vote?':
        // A candidate has voted for itself.
        if (!message.pre) this.voted(life, life.id, message.term, life.id)
        return
      case 'announce':
        this.revisionHash(life, message.revision, message.hash)
        if (message.term.leader !== life.id)
          this.fail('only a leader announces', life, `in term ${this.trace.term(message.term)}`)
        return
      case 'beat':
        if (message.revision !== null) this.revisionHash(life, message.revision, message.hash)
        if (message.suspects.length > LIMITS.suspects)
          this.fail('messages are bounded', life, `${message.suspects.length} suspects`)
        return
      case 'handover':
      case 'hint':
      case 'leave':
        return
    }
  }

  private voted(life: Life, voter: MemberId, term: number, candidate: MemberId): void {
    const key = `${term} ${voter}`
    const earlier = this.votes.get(key)
    if (earlier === undefined) this.votes.set(key, candidate)
    else if (earlier !== candidate) {
      const details = `in term ${term} for ${this.trace.of(earlier)} and for ${this.trace.of(candidate)}`
      this.fail('a member votes once in a term', life, details)
    }
  }

  /** A leader was elected by more than half of the members that it believes alive. */
  private majority(life: Life, votes: ReadonlySet<MemberId>): void {
    const there = life.core.members().filter(({ state }) => state === 'alive' || state === 'draining')
    const count = there.filter(({ id, self }) => self || votes.has(id)).length
    if (2 * count > there.length) return
    this.fail('a leader has the votes of a majority of those it believes alive', life, `${count} of ${there.length}`)
  }

  private listBounded(life: Life): void {
    const count = life.core.members().length
    if (count > LIMITS.members) this.fail('the list of members is bounded', life, `it holds ${count}`)
  }
}

function reportOf(role: string, leader: MemberId | null): string {
  return `${role} of ${leader}`
}

function pullKey(revision: Held['revision'], from: MemberId): string {
  return `${revision.term} ${revision.leader} ${revision.sequence} ${from}`
}

function voteCame(before: Before, from: MemberId, answer: Extract<Message, { kind: 'vote!' }>): void {
  if (!answer.granted || answer.pre || answer.term < before.votes.number) return
  if (answer.term > before.votes.number) before.votes = { number: answer.term, from: new Set() }
  before.votes.from.add(from)
}

function drop(list: string[], item: string): void {
  const at = list.indexOf(item)
  if (at >= 0) list.splice(at, 1)
}

function isOfContent(effect: CoreEffect): boolean {
  return effect.kind === 'hold' || (effect.kind === 'broadcast' && effect.message.kind === 'announce')
}

/** The leader that all these lives agree on at one term and that is one of them; null: none. */
export function agreedLeader(lives: readonly Life[]): Life | null {
  const first = lives[0]
  if (first === undefined) return null
  const leader = lives.find(life => life.core.role === 'leader')
  if (leader === undefined) return null
  for (const { id, core } of lives) {
    if (core.leader !== leader.id || compareTerms(core.term, leader.core.term) !== 0) return null
    if ((core.role === 'leader') !== (id === leader.id)) return null
  }
  return leader
}

/** The first violated invariant of rest for these lives; null: none. `content`: the hash of the swarm's content. */
export function disquiet(lives: readonly Life[], content: string | null, trace: Trace): Amiss | null {
  if (lives.length === 0) return null
  const leader = agreedLeader(lives)
  if (leader === null) {
    const views = lives.map(({ label, core }) => {
      return `${label}: ${core.role === 'leader' ? 'leads' : `follows ${trace.of(core.leader)}`} (${trace.term(core.term)})`
    })
    return amiss('a quiet cluster has one leader, and all follow it at one term', 'the cluster', views.join(', '))
  }
  if (!leader.local.managerHealthy && lives.some(life => life.local.managerHealthy)) {
    return amiss('who leads has a healthy manager, if any member has one', leader.label, 'it has none')
  }
  const held = leader.core.held
  for (const life of lives) {
    const mine = life.core.held
    const same = held === null ? mine === null : mine !== null && compareRevisions(mine.revision, held.revision) === 0
    if (!same) {
      const details = `it holds ${trace.revision(mine?.revision ?? null)}, the leader ${trace.revision(held?.revision ?? null)}`
      return amiss('in a quiet cluster all hold one revision', life.label, details)
    }
    const target = life.core.target
    if (held !== null && (target === null || compareRevisions(target, held.revision) !== 0)) {
      return amiss('in a quiet cluster all hold one revision', life.label, `it waits for ${trace.revision(target)}`)
    }
    if (content !== null && mine?.hash !== content) {
      return amiss('in a quiet cluster all hold what the swarm tells', life.label, `it holds ${mine?.body.slice(0, 20)}`)
    }
  }
  for (const life of lives) {
    const wrong = listAgainst(life, lives, leader, trace)
    if (wrong !== null) return amiss('in a quiet cluster lists of members agree with reality', life.label, wrong)
  }
  return null
}

function amiss(invariant: string, who: string, details: string): Amiss {
  return { invariant, who, details }
}

/** The difference between one member's list and the lives; null: none. */
function listAgainst(life: Life, lives: readonly Life[], leader: Life, trace: Trace): string | null {
  const listed = new Map(life.core.members().map(member => [member.id, member]))
  const names = new Set<string>()
  for (const other of lives) {
    const member = listed.get(other.id)
    if (member === undefined) return `it does not know ${other.label}`
    if (member.state !== 'alive') return `it takes ${other.label} for ${member.state}`
    if (member.self !== (other === life)) return `it takes ${other.label} for ${member.self ? 'itself' : 'another'}`
    if ((member.role === 'leader') !== (other === leader)) return `it takes ${other.label} for a ${member.role}`
    if (member.managerHealthy !== other.local.managerHealthy) return `it is wrong about the manager of ${other.label}`
    if (names.has(member.name)) return `two of its members are called ${member.name}`
    names.add(member.name)
    listed.delete(other.id)
  }
  for (const member of listed.values()) {
    if (member.state !== 'gone') return `it takes ${trace.of(member.id)}, which is not there, for ${member.state}`
  }
  return null
}
