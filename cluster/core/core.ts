// The core of one member: membership, election, replication and hints over one clock. Pure: `step` takes an event and the time,
// and returns effects to carry out in order. member.ts runs it on the network, test/simulation runs whole clusters of it.

import { clampLocal, clampText } from './clamp.ts'
import { type CoreContext, NOTHING, type PartEffect, type PartEvent, type Step } from './context.ts'
import { listMembers } from './display-names.ts'
import { createElection, stepElection } from './election.ts'
import { createHints, seenOf, stepHints } from './hints.ts'
import { createMembership, heartbeatSent, MIN_PAUSE_MS, nextHeartbeatMs, stepMembership, suspectsOf } from './membership.ts'
import { createReplication, stepReplication, targetOf } from './replication.ts'
import {
  type Core,
  type CoreEffect,
  type CoreEvent,
  type CoreOptions,
  type Heartbeat,
  LIMITS,
  type LocalState,
  type MemberId,
  type Message,
  type Term,
} from './state.ts'

/** The step functions of the parts, in the order in which they process an event. The simulator wraps them to plant faults. */
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
  return new ClusterCore(options, { ...PARTS, ...parts })
}

class ClusterCore implements Core {
  readonly #context: CoreContext
  readonly #steps: readonly Step[]
  /** The clock's last value, and the offset added to it because it went back, ms. */
  #last: number
  #clockOffset = 0
  #reported: { role: 'leader' | 'follower'; term: Term; leader: MemberId | null }

  constructor(options: CoreOptions, parts: Parts) {
    const own = { ...options, name: clampText(options.name) || '?', version: clampText(options.version) }
    this.#context = {
      now: options.now,
      options: own,
      local: clampLocal(options.local),
      membership: createMembership(options.now),
      election: createElection(own),
      replication: createReplication(options.held, options.now),
      hints: createHints(),
    }
    this.#steps = [parts.membership, parts.election, parts.replication, parts.hints]
    this.#last = options.now
    const { role, term, leader } = this.#context.election
    this.#reported = { role, term, leader }
  }

  get role(): 'leader' | 'follower' {
    return this.#context.election.role
  }

  get term(): Term {
    return this.#context.election.term
  }

  get leader(): MemberId | null {
    return this.#context.election.leader
  }

  get held() {
    return this.#context.replication.held
  }

  get target() {
    return targetOf(this.#context)
  }

  members() {
    return listMembers(this.#context, this.#clockOffset)
  }

  step(event: CoreEvent, now: number): readonly CoreEffect[] {
    const context = this.#context
    if (now < this.#last) this.#clockOffset += this.#last - now
    const gapMs = now - this.#last
    this.#last = now
    context.now = now + this.#clockOffset
    let out: CoreEffect[] | null = null
    if (gapMs > MIN_PAUSE_MS) out = this.#runParts({ kind: 'resumed', gapMs }, out)
    if (event.kind === 'local') {
      const local = clampLocal(event.local)
      if (sameLocal(local, context.local)) return this.#finish(out)
      context.local = local
    } else if (event.kind === 'message' && !isPlausibleTerm(event.message, context.election.highestTerm)) return this.#finish(out)
    return this.#finish(this.#runParts(event, out))
  }

  /** Runs the event through every part, in order. */
  #runParts(event: PartEvent, before: CoreEffect[] | null): CoreEffect[] | null {
    let out = before
    for (const step of this.#steps) {
      for (const effect of step(this.#context, event)) {
        out ??= []
        this.#add(out, effect)
      }
    }
    return out
  }

  #add(out: CoreEffect[], effect: PartEffect): void {
    if (effect.kind !== 'heartbeat') {
      out.push(effect)
      return
    }
    if (effect.to !== null) {
      out.push({ kind: 'send', to: effect.to, message: this.#heartbeat() })
      return
    }
    // Several reasons for a heartbeat in one step produce one broadcast: the last one, which has the newest state.
    const earlier = out.findIndex(other => other.kind === 'broadcast' && other.message.kind === 'beat')
    if (earlier >= 0) out.splice(earlier, 1)
    out.push({ kind: 'broadcast', message: this.#heartbeat() })
    heartbeatSent(this.#context)
  }

  #finish(out: CoreEffect[] | null): readonly CoreEffect[] {
    const { role, term, leader } = this.#context.election
    const reported = this.#reported
    const changed = role !== reported.role || leader !== reported.leader || (leader !== null && term !== reported.term)
    if (!changed && out === null) return NOTHING as readonly CoreEffect[]
    const effects = out ?? []
    if (changed) {
      this.#reported = { role, term, leader }
      effects.push({ kind: 'role', role, term, leader })
    }
    // One `members` effect per step is enough. It comes last, after the state that it reports has changed.
    const count = effects.length
    const rest: CoreEffect[] = effects.filter(effect => effect.kind !== 'members')
    if (rest.length < count || changed) rest.push({ kind: 'members' })
    return rest
  }

  #heartbeat(): Heartbeat {
    const context = this.#context
    const { options, election, membership, replication } = context
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
      nextMs: Math.ceil(nextHeartbeatMs(context)),
      suspects: suspectsOf(context),
      local: { ...context.local, seen: seenOf(context) },
    }
  }
}

/**
 * Rejects terms more than LIMITS.termJump above the highest one seen: they are corrupt or forged, and would exhaust the
 * numbers.
 */
function isPlausibleTerm(message: Message, highestTerm: number): boolean {
  const highest = highestTerm + LIMITS.termJump
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
