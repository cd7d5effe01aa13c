// The final phase of every seed: a cluster at rest in a clean network (at most 5 ms between any two members) suffers one fault
// and must be at rest again within the promised bound. The time taken is recorded.

import { heartbeatInterval } from '../../cluster/core/membership.ts'
import { compareRevisions, TIMING } from '../../cluster/core/state.ts'
import { bodyOf, hashOf } from './content.ts'
import { type Amiss, agreedLeader, disquiet, Violation } from './invariants.ts'
import type { Life } from './life.ts'
import { FULL_CONNECTION } from './network.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

/** Promised bounds, ms of virtual time. */
export const PROMISED = {
  /** The leader's process is killed; its connections are reset. */
  crash: 1000,
  /** The leader hangs, its host vanishes, or it is partitioned. */
  hang: 2000,
  vanish: 2000,
  partition: 2000,
  /** The leader has no manager any more while another member has one. */
  managerless: 2000,
  drain: 1000,
  /** From a change at the managers to the same content on all members. */
  change: 1000,
  /** From its start until a new member follows and holds the common configuration. */
  join: 1500,
  /** The leader's manager is stale, those of followers are not: hint, another manager, a fetch. */
  stale: 3000,
} as const

export type Finale =
  | keyof typeof PROMISED
  | 'follower returns'
  | 'follower crashes'
  | 'roll'
  | 'one way'
  | 'leader unreceived'
  | 'split'

const FINALES: readonly Finale[] = [
  'crash',
  'hang',
  'vanish',
  'partition',
  'managerless',
  'drain',
  'change',
  'join',
  'follower returns',
  'follower crashes',
  'roll',
  'one way',
  'leader unreceived',
  'split',
  'stale',
]

/** A follower cut off for less than this does not suspect others: three of their heartbeat intervals, minus the current one. */
const SHORT_MS = (TIMING.missedHeartbeats - 1) * TIMING.heartbeatMs * 0.95

/** Resolution of measured times, ms. */
const GRAIN_MS = 5
const STABLE_MS = 3000
/** Messages sent before the end of all faults have arrived or are lost after this time. */
const REST_MS = 1700

/**
 * Bound for reaching rest after the last fault, ms: vanished members are detected after three missed heartbeats and the
 * suspicion time, connections are dialled again within 1.5 s, then an election and a pull may follow.
 */
export function settleMs(members: number): number {
  return TIMING.missedHeartbeats * heartbeatInterval(members, TIMING) + TIMING.suspectMs + 3000
}

/** Hash of the swarm's content if any member can reach a manager; null: none can. */
function contentHash(world: World, lives: readonly Life[]): string | null {
  return lives.some(life => life.local.managerHealthy) ? hashOf(bodyOf(world.swarm.version)) : null
}

/** Runs until no invariant of rest is violated for REST_MS, within `withinMs`. @returns the time until then, ms */
export function settle(world: World, withinMs: number): number {
  const startedAt = world.scheduler.now
  let restSince = startedAt
  let wrong = amiss(world)
  while (world.scheduler.now - restSince < REST_MS) {
    world.run(wrong === null ? 200 : 20)
    wrong = amiss(world)
    if (wrong === null) continue
    restSince = world.scheduler.now
    if (restSince - startedAt >= withinMs) {
      throw new Violation(wrong.invariant, wrong.who, `${wrong.details}; ${Math.round(withinMs)} ms after the last fault`)
    }
  }
  return restSince - startedAt
}

function amiss(world: World): Amiss | null {
  const lives = world.running()
  if (!world.swarm.atRest) {
    return { invariant: 'members settle on a manager', who: 'the cluster', details: 'one is still looking for its own' }
  }
  return disquiet(lives, contentHash(world, lives), world.trace)
}

/** Without faults and drains the leader stays, and all invariants of rest hold. */
export function staysQuiet(world: World, ms: number): void {
  const leader = agreedLeader(world.running())
  world.watch.frozen = leader?.core.term ?? null
  const until = world.scheduler.now + ms
  while (world.scheduler.now < until) {
    world.run(250)
    const lives = world.running()
    const wrong = disquiet(lives, contentHash(world, lives), world.trace)
    if (wrong !== null)
      throw new Violation(wrong.invariant, wrong.who, `${wrong.details}; it was quiet before and nothing happened`)
  }
  world.watch.frozen = null
}

/**
 * Bound for equal stores in a cluster at rest, ms: clocks of gone members count for 15 s, then members compare with one peer
 * about every five seconds.
 */
export function agreeMs(members: number): number {
  return 15_000 + (members > FULL_CONNECTION ? 90_000 : 30_000)
}

/** Runs until all stores are equal. @returns the time taken, ms */
export function agree(world: World, withinMs: number): number {
  const startedAt = world.scheduler.now
  for (;;) {
    const wrong = world.stores.differing(world.running())
    const took = world.scheduler.now - startedAt
    if (wrong === null) return took
    if (took >= withinMs) {
      throw new Violation(
        'in a quiet cluster all stores hold the same',
        wrong.who,
        `${wrong.details}; ${Math.round(took)} ms later`,
      )
    }
    world.run(200)
  }
}

/** All members hold the value written last, whatever their clocks. */
export function lastWordsCount(world: World, withinMs: number): void {
  const value = world.stores.lastWrites(ms => world.run(ms))
  const startedAt = world.scheduler.now
  for (;;) {
    const wrong = world.stores.missesLastWord(value, world.running())
    if (wrong === null) return
    if (world.scheduler.now - startedAt >= withinMs)
      throw new Violation('in a quiet cluster the last write counts', wrong.who, wrong.details)
    world.run(200)
  }
}

/** Waits for `done`; a violation of `invariant` after `withinMs`. @returns the time taken, ms */
function within(world: World, withinMs: number, invariant: string, done: () => boolean): number {
  const startedAt = world.scheduler.now
  while (!done()) {
    if (world.scheduler.now - startedAt >= withinMs) {
      const views = world.running().map(life => {
        const { core, label } = life
        const does = core.role === 'leader' ? 'leads' : `follows ${world.trace.of(core.leader)}`
        return `${label}${life.hung ? ' (hangs)' : ''}: ${does}`
      })
      throw new Violation(invariant, 'the cluster', views.join(', '))
    }
    world.run(GRAIN_MS)
  }
  return world.scheduler.now - startedAt
}

/** All lives except `old` follow one of them. */
function replaced(world: World, old: Life, invariant: string, withinMs: number): number {
  return within(world, withinMs, invariant, () => agreedLeader(world.running().filter(life => life !== old)) !== null)
}

export interface Ending {
  readonly finale: Finale
  /** Time taken, ms; null: nothing to measure. */
  readonly tookMs: number | null
}

export function pickFinale(random: Random): Finale {
  return random.pick(FINALES)
}

/**
 * Plays one finale in a cluster at rest. When it is impossible (no other member, no manager to lose) the content changes
 * instead.
 */
export function play(world: World, wanted: Finale, random: Random): Ending {
  const lives = world.running()
  const leader = agreedLeader(lives)!
  const others = lives.filter(life => life !== leader)
  const finale = isPossible(world, wanted, leader, others) ? wanted : 'change'
  world.note('finale', finale)
  const tookMs = PLAYS[finale](world, leader, others, random)
  settle(world, settleMs(lives.length))
  staysQuiet(world, STABLE_MS)
  return { finale, tookMs }
}

function isPossible(world: World, finale: Finale, leader: Life, others: readonly Life[]): boolean {
  if (finale === 'join') return world.hosts.some(host => host.life === null) || others.length > 0
  if (finale === 'stale') return others.some(life => hasOtherManager(life, leader))
  if (finale === 'managerless') return others.some(life => life.local.managerHealthy) && leader.local.managerHealthy
  // With two members, each is a majority of the live members as soon as it suspects the other.
  if (finale === 'follower returns' || finale === 'one way' || finale === 'leader unreceived') return others.length > 1
  return finale === 'change' || others.length > 0
}

function hasOtherManager(life: Life, leader: Life): boolean {
  const { manager } = life.local
  return manager !== null && leader.local.manager !== null && manager !== leader.local.manager
}

type Play = (world: World, leader: Life, others: readonly Life[], random: Random) => number | null

const PLAYS: Readonly<Record<Finale, Play>> = {
  crash(world, leader) {
    world.crash(leader.host, false, 'kept')
    return replaced(world, leader, `when the leader crashes, all follow another within ${PROMISED.crash} ms`, PROMISED.crash)
  },
  vanish(world, leader) {
    world.crash(leader.host, true, 'kept')
    return replaced(world, leader, `when the leader vanishes, all follow another within ${PROMISED.vanish} ms`, PROMISED.vanish)
  },
  hang(world, leader, _others, random) {
    world.note(leader.label, 'hangs')
    leader.hung = true
    const took = replaced(world, leader, `when the leader hangs, all follow another within ${PROMISED.hang} ms`, PROMISED.hang)
    world.run(random.between(0, 8000))
    // Its return changes nothing.
    const now = agreedLeader(world.running().filter(life => life !== leader))
    world.note(leader.label, 'resumes')
    leader.resume()
    within(world, 1000, 'a leader that hung follows when it goes on', () => agreedLeader(world.running()) === now)
    return took
  },
  partition(world, leader, others, random) {
    world.note(leader.label, 'is cut off')
    cut(world, leader, others, true, true)
    const took = replaced(
      world,
      leader,
      `when the leader is cut off, all follow another within ${PROMISED.partition} ms`,
      PROMISED.partition,
    )
    world.run(random.between(0, 20_000))
    world.note(leader.label, 'is reconnected')
    world.network.heal()
    return took
  },
  managerless(world, leader) {
    world.swarm.setReachable(leader.host, false)
    const invariant = `a leader without a manager is replaced by one that has one within ${PROMISED.managerless} ms`
    return within(world, PROMISED.managerless, invariant, () => {
      const now = agreedLeader(world.running())
      return now !== null && now !== leader && now.local.managerHealthy
    })
  },
  drain(world, leader) {
    world.note(leader.label, 'drains')
    world.drain(leader.host, 2000)
    return replacedAmongAll(world, leader, `a leader that drains has handed over within ${PROMISED.drain} ms`, PROMISED.drain)
  },
  change(world, _leader, _others, random) {
    world.run(random.between(0, 500))
    world.swarm.change()
    const lives = world.running()
    const hash = contentHash(world, lives)
    if (hash === null) return null
    return within(world, PROMISED.change, `a change is held by all within ${PROMISED.change} ms`, () =>
      lives.every(life => life.core.held?.hash === hash),
    )
  },
  join(world, leader, others) {
    const free = world.hosts.find(host => host.life === null)
    const host = free?.index ?? others[0]!.host
    if (free === undefined) {
      world.crash(host, false, 'lost')
      settle(world, settleMs(others.length + 1))
    }
    // A disk may hold a revision that only gone members knew, and the leader would need a new term above it.
    const { disk } = world.hosts[host]!
    const known = leader.core.held
    if (disk !== null && known !== null && compareRevisions(disk.revision, known.revision) > 0) world.hosts[host]!.disk = null
    world.watch.frozen = leader.core.term
    const life = world.start(host)
    const invariant = `a newcomer follows and holds what all hold within ${PROMISED.join} ms`
    const took = within(world, PROMISED.join, invariant, () => {
      return agreedLeader(world.running()) === leader && life.core.held?.hash === leader.core.held?.hash
    })
    world.watch.frozen = null
    return took
  },
  'follower returns': (world, leader, others, random) => {
    const life = random.pick(others)
    const ms = random.between(200, SHORT_MS)
    world.note(life.label, `is cut off for ${Math.round(ms)} ms`)
    world.watch.frozen = leader.core.term
    cut(world, life, [leader, ...others], random.chance(0.8), true)
    world.run(ms)
    world.network.heal()
    settle(world, settleMs(others.length + 1))
    world.watch.frozen = null
    return null
  },
  'one way': (world, leader, others, random) => {
    // Its messages arrive, it receives none, and it would campaign if it could.
    const life = random.pick(others)
    world.note(life.label, 'receives nothing from the others')
    world.watch.frozen = leader.core.term
    cut(world, life, [leader, ...others], true, false)
    world.run(random.between(200, SHORT_MS))
    world.network.heal()
    settle(world, settleMs(others.length + 1))
    world.watch.frozen = null
    return null
  },
  'leader unreceived': (world, leader, others, random) => {
    // Only one member does not receive the leader: its view changes nothing.
    const life = random.pick(others)
    world.note(life.label, 'receives nothing from the leader')
    world.watch.frozen = leader.core.term
    cut(world, life, [leader], true, false)
    world.run(random.between(1000, 10_000))
    world.network.heal()
    settle(world, settleMs(others.length + 1))
    world.watch.frozen = null
    return null
  },
  split(world, leader, others, random) {
    const all = [leader, ...others]
    const count = 1 + random.below(all.length - 1)
    // Where not all are connected with all, split between neighbours.
    const near = [...all].sort((a, b) => a.host - b.host)
    const apart = (all.length > FULL_CONNECTION ? near : random.shuffled(all)).slice(0, count)
    const parts = [apart, all.filter(life => !apart.includes(life))]
    world.note('network', `partitioned: ${parts.map(part => part.map(life => life.label).join(' ')).join(' | ')}`)
    for (const life of apart) cut(world, life, parts[1]!, true, true)
    world.run(settleMs(all.length))
    for (const part of parts) {
      const wrong = disquiet(part, contentHash(world, part), world.trace)
      if (wrong === null) continue
      throw new Violation(`in each part of a partitioned network,  ${wrong.invariant}`, wrong.who, wrong.details)
    }
    if (random.chance(0.5)) world.swarm.change()
    world.run(random.between(0, 2000))
    world.note('network', 'partition heals')
    world.network.heal()
    return null
  },
  stale(world, leader) {
    const { swarm } = world
    const manager = swarm.managers.findIndex(({ name }) => name === leader.local.manager)
    swarm.setStale(manager, true)
    swarm.change()
    const lives = world.running()
    const hash = hashOf(bodyOf(swarm.version))
    const invariant = `when the leader's manager is stale, all hold the content of other managers within ${PROMISED.stale} ms`
    const took = within(world, PROMISED.stale, invariant, () => lives.every(life => life.core.held?.hash === hash))
    swarm.setStale(manager, false)
    return took
  },
  'follower crashes': (world, leader, others, random) => {
    const life = random.pick(others)
    world.watch.frozen = leader.core.term
    world.crash(life.host, random.chance(0.5), 'kept')
    settle(world, settleMs(others.length + 1))
    world.watch.frozen = null
    return null
  },
  roll(world, leader, others) {
    // Like `docker service update`: one after the other is drained, awaited and restarted.
    for (const life of [...others.slice(0, 4), leader]) {
      world.drain(life.host, 300)
      within(world, 3000, 'a member that drains ends within 3 s', () => !life.alive)
      world.run(500)
      world.start(life.host)
      world.run(1000)
    }
    return null
  },
}

function replacedAmongAll(world: World, old: Life, invariant: string, withinMs: number): number {
  return within(world, withinMs, invariant, () => {
    const now = agreedLeader(world.running())
    return now !== null && now !== old
  })
}

/** Cuts the paths between a member and others: inbound (`receives`), outbound (`sends`). */
function cut(world: World, life: Life, others: readonly Life[], receives: boolean, sends: boolean): void {
  for (const other of others) {
    if (other === life) continue
    if (receives) world.network.setCut(other.host, life.host, true)
    if (sends) world.network.setCut(life.host, other.host, true)
  }
}
