// The end of every seed: a cluster that has come to rest, in a clean network (at most 5 ms between any two), is given one single
// harm, and has to come to rest again within the bound that the project promises for it. What it took is recorded.

import { heartbeatInterval } from '../../cluster/core/membership.ts'
import { compareRevisions, TIMING } from '../../cluster/core/state.ts'
import { bodyOf, hashOf } from './content.ts'
import { type Amiss, agreedLeader, disquiet, Violation } from './invariants.ts'
import type { Life } from './life.ts'
import { FULL_CONNECTION } from './network.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

/** The promises (design, section 1; issue 4), ms of virtual time. */
export const PROMISED = {
  /** The leader's process dies: its connections are reset. */
  crash: 1000,
  /** The leader hangs, or its host vanishes, or it is cut off. */
  hang: 2000,
  vanish: 2000,
  partition: 2000,
  /** It has no manager any more, another member has. */
  managerless: 2000,
  drain: 1000,
  /** From the change at the managers to the same content everywhere. */
  change: 1000,
  /** From its start until a newcomer follows and holds what all hold. */
  join: 1500,
  /** Its manager tells of the past; followers' managers do not: hint, another manager, a fetch. */
  stale: 3000,
} as const

export type Finale =
  | keyof typeof PROMISED
  | 'follower returns'
  | 'follower crashes'
  | 'roll'
  | 'one way'
  | 'leader unheard'
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
  'leader unheard',
  'split',
  'stale',
]

/**
 * A follower that is away for less than this does not doubt the others yet: three beats of theirs, less the one it is waiting
 * for.
 */
const SHORT_MS = (TIMING.missedHeartbeats - 1) * TIMING.heartbeatMs * 0.95

/** How fine times are taken, ms. */
const GRAIN_MS = 5
const STABLE_MS = 3000
/** What was sent before the end of all harm has arrived, or never will, after so long. */
const REST_MS = 1700

/**
 * After the last harm a cluster must be at rest within so long, ms: members that vanished are noticed after three missed
 * beats and the time of suspicion; connections are dialled again within 1.5 s; then there may be an election and a pull.
 */
export function settleMs(members: number): number {
  return TIMING.missedHeartbeats * heartbeatInterval(members, TIMING) + TIMING.suspectMs + 3000
}

/** What the swarm tells, as far as any member can reach a manager; null: none can. */
function contentHash(world: World, lives: readonly Life[]): string | null {
  return lives.some(life => life.local.managerHealthy) ? hashOf(bodyOf(world.swarm.version)) : null
}

/** Runs until nothing has been amiss for REST_MS, at most `withinMs`. @returns how long it was before that, ms */
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
      throw new Violation(wrong.invariant, wrong.who, `${wrong.details}; ${Math.round(withinMs)} ms after the last harm`)
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

/** With no faults and no drains the leader never changes, and nothing else goes amiss. */
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
 * After so long at rest all stores must hold the same, ms: for 15 s the clocks of members that are gone count for the cluster's
 * time; then comparisons go round, one peer every five seconds or so.
 */
export function agreeMs(members: number): number {
  return 15_000 + (members > FULL_CONNECTION ? 90_000 : 30_000)
}

/** Runs until all stores hold the same. @returns how long it took, ms */
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

/** All hold the value written last, whatever their clocks say. */
export function lastWordsCount(world: World, withinMs: number): void {
  const value = world.stores.lastWords(ms => world.run(ms))
  const startedAt = world.scheduler.now
  for (;;) {
    const wrong = world.stores.missesLastWord(value, world.running())
    if (wrong === null) return
    if (world.scheduler.now - startedAt >= withinMs)
      throw new Violation('in a quiet cluster the last write counts', wrong.who, wrong.details)
    world.run(200)
  }
}

/** Waits for `done`; a violation of `invariant` after `withinMs`. @returns what it took, ms */
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

/** Those that are not `old` follow one of them. */
function replaced(world: World, old: Life, invariant: string, withinMs: number): number {
  return within(world, withinMs, invariant, () => agreedLeader(world.running().filter(life => life !== old)) !== null)
}

export interface Ending {
  readonly finale: Finale
  /** What it took, ms; null: nothing to be measured. */
  readonly tookMs: number | null
}

export function pickFinale(random: Random): Finale {
  return random.pick(FINALES)
}

/**
 * Plays one finale in a cluster at rest. Where it cannot be played (no other member, no manager to lose) the content changes
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
  // Of two members each is a majority of those that it believes alive as soon as it doubts the other.
  if (finale === 'follower returns' || finale === 'one way' || finale === 'leader unheard') return others.length > 1
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
    // Whoever comes back changes nothing.
    const now = agreedLeader(world.running().filter(life => life !== leader))
    world.note(leader.label, 'goes on')
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
    world.note(leader.label, 'is back')
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
    // A disk may hold what only those knew who are gone: who leads must then lead above that, in a new term.
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
    // It is heard, hears nobody, and would stand if it could.
    const life = random.pick(others)
    world.note(life.label, 'does not hear the others')
    world.watch.frozen = leader.core.term
    cut(world, life, [leader, ...others], true, false)
    world.run(random.between(200, SHORT_MS))
    world.network.heal()
    settle(world, settleMs(others.length + 1))
    world.watch.frozen = null
    return null
  },
  'leader unheard': (world, leader, others, random) => {
    // All but one hear the leader: what that one thinks of it changes nothing.
    const life = random.pick(others)
    world.note(life.label, 'does not hear the leader')
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
    // Where not everybody is connected to everybody, neighbours are.
    const near = [...all].sort((a, b) => a.host - b.host)
    const apart = (all.length > FULL_CONNECTION ? near : random.shuffled(all)).slice(0, count)
    const parts = [apart, all.filter(life => !apart.includes(life))]
    world.note('network', `falls apart: ${parts.map(part => part.map(life => life.label).join(' ')).join(' | ')}`)
    for (const life of apart) cut(world, life, parts[1]!, true, true)
    world.run(settleMs(all.length))
    for (const part of parts) {
      const wrong = disquiet(part, contentHash(world, part), world.trace)
      if (wrong === null) continue
      throw new Violation(`in each part of a network that fell apart, ${wrong.invariant}`, wrong.who, wrong.details)
    }
    if (random.chance(0.5)) world.swarm.change()
    world.run(random.between(0, 2000))
    world.note('network', 'is whole again')
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
    const invariant = `when the leader's manager is stale, all hold what other managers tell within ${PROMISED.stale} ms`
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
    // As `docker service update` does: one after the other, each is told and waited for.
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

/** Cuts the paths between a member and others: what it would hear, what it says. */
function cut(world: World, life: Life, others: readonly Life[], hears: boolean, heard: boolean): void {
  for (const other of others) {
    if (other === life) continue
    if (hears) world.network.setCut(other.host, life.host, true)
    if (heard) world.network.setCut(life.host, other.host, true)
  }
}
