// One member's mind: membership, election, replication and hints over one clock, as a pure machine. `step` is told what
// happened and when, and answers with what is to be done. cluster.ts carries it to the network; test/simulation runs whole
// clusters of it.

import { fitLocal, fitText } from './clamp.ts'
import { NOTHING, type PartEffect, type PartEvent, type Step, type World } from './context.ts'
import { listMembers } from './display-names.ts'
import { createElection, stepElection } from './election.ts'
import { createHints, seenOf, stepHints } from './hints.ts'
import { beatSaid, createMembership, nextBeatMs, PAUSE_MS, stepMembership, suspectsOf } from './membership.ts'
import { createReplication, stepReplication, targetOf } from './replication.ts'
import {
  type Beat,
  type Core,
  type CoreEffect,
  type CoreEvent,
  type CoreOptions,
  LIMITS,
  type LocalState,
  type MemberId,
  type Message,
  type Term,
} from './state.ts'

/** The step functions of the parts, in the order in which they see an event. A simulation may wrap them to plant faults. */
export interface Parts {
  readonly membership: Step
  readonly election: Step
  readonly replication: Step
  readonly hints: Step
}

export const PARTS: Parts = {
  membership: stepMembership,
  election: stepElection,
  replication: stepReplication,
  hints: stepHints,
}

export function createCore(options: CoreOptions, parts?: Partial<Parts>): Core {
  return new Mind(options, { ...PARTS, ...parts })
}

class Mind implements Core {
  readonly #world: World
  readonly #steps: readonly Step[]
  /** The clock's last value, and what is added to it because it once went back, ms. */
  #last: number
  #skew = 0
  #told: { role: 'leader' | 'follower'; term: Term; leader: MemberId | null }

  constructor(options: CoreOptions, parts: Parts) {
    const own = { ...options, name: fitText(options.name) || '?', version: fitText(options.version) }
    this.#world = {
      now: options.now,
      options: own,
      local: fitLocal(options.local),
      membership: createMembership(options.now),
      election: createElection(own),
      replication: createReplication(options.held, options.now),
      hints: createHints(),
    }
    this.#steps = [parts.membership, parts.election, parts.replication, parts.hints]
    this.#last = options.now
    const { role, term, leader } = this.#world.election
    this.#told = { role, term, leader }
  }

  get role(): 'leader' | 'follower' {
    return this.#world.election.role
  }

  get term(): Term {
    return this.#world.election.term
  }

  get leader(): MemberId | null {
    return this.#world.election.leader
  }

  get held() {
    return this.#world.replication.held
  }

  get target() {
    return targetOf(this.#world)
  }

  members() {
    return listMembers(this.#world, this.#skew)
  }

  step(event: CoreEvent, now: number): readonly CoreEffect[] {
    const world = this.#world
    if (now < this.#last) this.#skew += this.#last - now
    const gapMs = now - this.#last
    this.#last = now
    world.now = now + this.#skew
    let out: CoreEffect[] | null = null
    if (gapMs > PAUSE_MS) out = this.#pass({ kind: 'resumed', gapMs }, out)
    if (event.kind === 'local') {
      const local = fitLocal(event.local)
      if (sameLocal(local, world.local)) return this.#finish(out)
      world.local = local
    } else if (event.kind === 'message' && !isWithinReach(event.message, world.election.floor)) return this.#finish(out)
    return this.#finish(this.#pass(event, out))
  }

  /** Gives the event to each part. */
  #pass(event: PartEvent, before: CoreEffect[] | null): CoreEffect[] | null {
    let out = before
    for (const step of this.#steps) {
      for (const effect of step(this.#world, event)) {
        out ??= []
        this.#add(out, effect)
      }
    }
    return out
  }

  #add(out: CoreEffect[], effect: PartEffect): void {
    if (effect.kind !== 'beat') {
      out.push(effect)
      return
    }
    if (effect.to !== null) {
      out.push({ kind: 'send', to: effect.to, message: this.#beat() })
      return
    }
    // Several reasons to speak in one step make one beat: the last, which knows most.
    const earlier = out.findIndex(other => other.kind === 'broadcast' && other.message.kind === 'beat')
    if (earlier >= 0) out.splice(earlier, 1)
    out.push({ kind: 'broadcast', message: this.#beat() })
    beatSaid(this.#world)
  }

  #finish(out: CoreEffect[] | null): readonly CoreEffect[] {
    const { role, term, leader } = this.#world.election
    const told = this.#told
    const changed = role !== told.role || leader !== told.leader || (leader !== null && term !== told.term)
    if (!changed && out === null) return NOTHING as readonly CoreEffect[]
    const effects = out ?? []
    if (changed) {
      this.#told = { role, term, leader }
      effects.push({ kind: 'role', role, term, leader })
    }
    // One word of changed members is enough, and comes last.
    const count = effects.length
    const rest: CoreEffect[] = effects.filter(effect => effect.kind !== 'members')
    if (rest.length < count || changed) rest.push({ kind: 'members' })
    return rest
  }

  #beat(): Beat {
    const world = this.#world
    const { options, election, membership, replication } = world
    const held = replication.held
    return {
      kind: 'beat',
      name: options.name,
      startedAt: options.startedAt,
      version: options.version,
      role: election.role,
      term: election.term,
      draining: membership.draining,
      revision: held?.revision ?? null,
      hash: held?.hash ?? '',
      nextMs: Math.ceil(nextBeatMs(world)),
      suspects: suspectsOf(world),
      local: { ...world.local, seen: seenOf(world) },
    }
  }
}

/** Terms far above all that is known are nonsense, or malice. */
function isWithinReach(message: Message, floor: number): boolean {
  const highest = floor + LIMITS.termJump
  switch (message.kind) {
    case 'beat':
      return message.term.number <= highest && (message.revision === null || message.revision.term <= highest)
    case 'announce':
      return message.term.number <= highest && message.revision.term <= highest
    case 'vote?':
      return message.term <= highest && (message.revision === null || message.revision.term <= highest)
    case 'vote!':
      return message.term <= highest && message.known.number <= highest
    case 'handover':
      return message.term.number <= highest
    default:
      return true
  }
}

function sameLocal(a: LocalState, b: LocalState): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
