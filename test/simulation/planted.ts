// Faults planted in a core by wrapping the step functions of its parts. The simulation must detect each one: a fault that goes
// undetected shows that its invariant is worthless.

import { NOTHING, type Step } from '../../cluster/core/context.ts'
import { createCore, PARTS, type Parts } from '../../cluster/core/core.ts'
import { compareTerms } from '../../cluster/core/state.ts'
import { decodeStore } from '../../cluster/store/codec.ts'
import { StoreCore } from '../../cluster/store/core.ts'
import { hashText } from '../../cluster/store/digest.ts'
import type { MakeStore } from './stores.ts'
import type { MakeCore } from './world.ts'

const { membership, election, replication } = PARTS

/** A voter forgets its vote. */
const voteTwice: Step = (world, event) => {
  if (event.kind === 'message' && event.message.kind === 'vote?') {
    world.election.votedIn = 0
    world.election.votedFor = null
  }
  return election(world, event)
}

/** Every received revision is installed, whatever is held. */
const takeOlder: Step = (world, event) => {
  const { held } = world.replication
  const arrives = event.kind === 'pulled' || (event.kind === 'message' && event.message.kind === 'announce')
  if (!arrives) return replication(world, event)
  world.replication.held = null
  const effects = replication(world, event)
  world.replication.held ??= held
  return effects
}

/** Every vote request is granted although the leader is alive, as without pre-vote. */
const noPreVote: Step = (world, event) => {
  const { leader, role } = world.election
  if (event.kind !== 'message' || event.message.kind !== 'vote?' || role === 'leader') return election(world, event)
  world.election.leader = null
  const effects = election(world, event)
  if (world.election.role === 'follower') world.election.leader ??= leader
  return effects
}

/** A leader ignores leaders of a higher term. */
const twoLeaders: Step = (world, event) => {
  const higher =
    event.kind === 'message' && 'term' in event.message && typeof event.message.term === 'object'
      ? compareTerms(event.message.term, world.election.term) > 0
      : false
  return higher && world.election.role === 'leader' ? NOTHING : election(world, event)
}

/** A silent leader is never suspected. */
const patience: Step = (world, event) => {
  const peer = world.election.leader === null ? undefined : world.membership.peers.get(world.election.leader)
  if (peer !== undefined) peer.suspectAt = Number.POSITIVE_INFINITY
  return membership(world, event)
}

/** A publication counts although the member does not lead. */
const anybodyPublishes: Step = (world, event) => {
  const { role } = world.election
  if (event.kind !== 'publish') return replication(world, event)
  world.election.role = 'leader'
  const effects = [...replication(world, { kind: 'tick' }), ...replication(world, event)]
  world.election.role = role
  return effects
}

/** A leader without a manager keeps leading. */
const keepsTheLead: Step = (world, event) => {
  world.election.outrankedSince = null
  return election(world, event)
}

/** Heartbeats contain no revision, so missed announcements are never repaired. */
const noRepair: Step = (world, event) =>
  event.kind === 'message' && event.message.kind === 'beat' ? NOTHING : replication(world, event)

export const FAULTS: Readonly<Record<string, Partial<Parts>>> = {
  'vote-twice': { election: voteTwice },
  'take-older': { replication: takeOlder },
  'no-pre-vote': { election: noPreVote },
  'two-leaders': { election: twoLeaders },
  'never-suspect-leader': { membership: patience },
  'anybody-publishes': { replication: anybodyPublishes },
  'keeps-the-lead': { election: keepsTheLead },
  'no-repair': { replication: noRepair },
}

/** Of two writes with equal time and count the later arrival wins. */
const tieByArrival: MakeStore = options =>
  new StoreCore({
    ...options,
    rules: { compare: (a, b) => a.wall - b.wall || a.count - b.count || (a.origin === b.origin ? 0 : 1) },
  })

/** Digests cover keys, not values. */
const blindDigest: MakeStore = options => new StoreCore({ ...options, rules: { hash: ({ key }) => hashText(key) } })

/** Removals leave no tombstones. */
const noGrave: MakeStore = options => new StoreCore({ ...options, rules: { tombstoneMs: () => 0 } })

/** The later arrival always wins. */
const lastArrival: MakeStore = options => new StoreCore({ ...options, rules: { compare: () => 1 } })

/** Digest comparisons are never answered. */
const noComparison: MakeStore = options => {
  const core = new StoreCore(options)
  const step = core.step.bind(core)
  core.step = (event, at) => {
    if (event.kind === 'message') {
      const decoded = decodeStore(event.data)
      if (decoded.ok && decoded.message.kind === 'roots') return
    }
    step(event, at)
  }
  return core
}

/** Members do not compare clocks. */
const ownClocks: MakeStore = options => {
  const core = new StoreCore(options)
  const step = core.step.bind(core)
  core.step = (event, at) => {
    if (event.kind !== 'clock') step(event, at)
  }
  return core
}

export const STORE_FAULTS: Readonly<Record<string, MakeStore>> = {
  'store-tie-by-arrival': tieByArrival,
  'store-blind-digest': blindDigest,
  'store-no-tombstone': noGrave,
  'store-last-arrival': lastArrival,
  'store-no-comparison': noComparison,
  'store-own-clocks': ownClocks,
}

export interface Makers {
  readonly makeCore: MakeCore
  readonly makeStore: MakeStore
}

/** Without a fault. */
export const SOUND: Makers = { makeCore: createCore, makeStore: options => new StoreCore(options) }

/** Cores or stores with the fault of this name. */
export function planted(fault: string): Makers {
  const parts = FAULTS[fault]
  if (parts !== undefined) return { ...SOUND, makeCore: options => createCore(options, parts) }
  const makeStore = STORE_FAULTS[fault]
  if (makeStore !== undefined) return { ...SOUND, makeStore }
  throw new Error(`--plant ${fault}: expected one of ${[...Object.keys(FAULTS), ...Object.keys(STORE_FAULTS)].join(', ')}`)
}
