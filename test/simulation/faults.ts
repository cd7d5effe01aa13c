// Random faults, drawn from the seed. Each seed weights the kinds differently (some often, some never), so that many of
// thousands of seeds combine the same kinds in quick succession. `heal` ends all faults.

import type { Random } from './random.ts'
import type { DiskAfter, World } from './world.ts'

type Fault = (world: World, random: Random) => void

const SLOWEST_MS = 700
const LONGEST_JUMP_MS = 20_000

/** Mostly short, sometimes longer than every time-out. */
function lastingMs(random: Random): number {
  return random.chance(0.7) ? random.between(100, 3000) : random.between(3000, 15_000)
}

function anyHost(world: World, random: Random): number {
  return random.below(world.hosts.length)
}

/** A random host; the leader's in half of the cases. */
function someHost(world: World, random: Random): number {
  const leaders = world.running().filter(life => life.core.role === 'leader')
  return leaders.length > 0 && random.chance(0.5) ? random.pick(leaders).host : anyHost(world, random)
}

function diskAfter(random: Random): DiskAfter {
  const p = random.next()
  return p < 0.6 ? 'kept' : p < 0.8 ? 'older' : 'lost'
}

function crash(world: World, random: Random): void {
  const host = someHost(world, random)
  if (world.hosts[host]!.life === null) return
  world.crash(host, random.chance(0.3), diskAfter(random))
  if (random.chance(0.85)) startLater(world, host, random.chance(0.5) ? random.between(50, 1000) : lastingMs(random))
}

function crashSeveral(world: World, random: Random): void {
  const count = 1 + random.below(world.hosts.length)
  for (const host of random.shuffled(world.hosts).slice(0, count)) {
    world.crash(host.index, random.chance(0.3), diskAfter(random))
    startLater(world, host.index, random.between(50, 4000))
  }
}

function startLater(world: World, host: number, afterMs: number): void {
  world.later(afterMs, () => {
    if (world.hosts[host]!.life === null) world.start(host)
  })
}

function drain(world: World, random: Random): void {
  const host = someHost(world, random)
  if (world.hosts[host]!.life === null) return
  world.note(`host ${host + 1}`, 'will be drained')
  world.drain(host, random.between(0, 2000))
  const restart = (): void => {
    if (world.hosts[host]!.life === null) world.start(host)
    else world.later(300, restart)
  }
  world.later(random.between(500, 5000), restart)
}

function hang(world: World, random: Random): void {
  const life = world.hosts[someHost(world, random)]!.life
  if (life === null || life.hung) return
  const ms = lastingMs(random)
  world.note(life.label, `hangs for ${Math.round(ms)} ms`)
  life.hung = true
  world.later(ms, () => {
    if (!life.alive || !life.hung) return
    world.note(life.label, 'resumes')
    life.resume()
  })
}

function slow(world: World, random: Random): void {
  const life = world.hosts[someHost(world, random)]!.life
  if (life === null) return
  life.slowMs = random.between(60, SLOWEST_MS)
  world.note(life.label, `is slow: ${Math.round(life.slowMs)} ms`)
  world.later(lastingMs(random), () => {
    life.slowMs = 0
  })
}

function jump(world: World, random: Random): void {
  const life = world.hosts[someHost(world, random)]!.life
  if (life === null) return
  const ms = random.chance(0.5) ? random.between(100, 2000) : random.between(2000, LONGEST_JUMP_MS)
  world.note(life.label, `its clock jumps by ${Math.round(ms)} ms`)
  life.jump(ms)
}

/** Partitions the hosts into two or three groups. */
function partition(world: World, random: Random): void {
  const groups = random.chance(0.8) ? 2 : 3
  const group = world.hosts.map(() => random.below(groups))
  world.note('network', `partitioned: ${group.map((of, host) => `${host + 1}:${'abc'[of]}`).join(' ')}`)
  cutWhile(world, lastingMs(random), (from, to) => group[from] !== group[to])
}

/** One host receives nothing, or its messages are lost, or both. */
function isolate(world: World, random: Random): void {
  const host = someHost(world, random)
  const [receives, sends] = random.pick([
    [false, false],
    [true, false],
    [false, true],
  ] as const)
  world.note(`host ${host + 1}`, `inbound ${receives ? 'works' : 'is cut'}, outbound ${sends ? 'works' : 'is cut'}`)
  cutWhile(world, lastingMs(random), (from, to) => (from === host && !sends) || (to === host && !receives))
  if (random.chance(0.5)) cutFromManagers(world, host, lastingMs(random))
}

/** Cuts single paths in one direction each. */
function cutPaths(world: World, random: Random): void {
  const p = random.between(0.05, 0.4)
  const cut = world.hosts.map(() => world.hosts.map(() => random.chance(p)))
  const count = cut.flat().filter(Boolean).length
  world.note('network', `${count} paths are cut, one way each`)
  cutWhile(world, lastingMs(random), (from, to) => cut[from]![to]!)
}

function cutWhile(world: World, ms: number, isCut: (from: number, to: number) => boolean): void {
  const { network, hosts } = world
  const epochs: [from: number, to: number, epoch: number][] = []
  for (const { index: from } of hosts) {
    for (const { index: to } of hosts) {
      if (from === to || !isCut(from, to)) continue
      network.setCut(from, to, true)
      epochs.push([from, to, network.path(from, to).epoch])
    }
  }
  world.later(ms, () => {
    world.note('network', 'paths are restored')
    for (const [from, to, epoch] of epochs) if (network.path(from, to).epoch === epoch) network.setCut(from, to, false)
  })
}

/** Paths of some or all hosts lose, duplicate, delay and reorder messages. */
function noise(world: World, random: Random): void {
  const only = random.chance(0.5) ? someHost(world, random) : null
  const loss = random.chance(0.6) ? random.between(0, 0.4) : 0
  const duplicates = random.chance(0.5) ? random.between(0, 0.3) : 0
  const delayMs = random.chance(0.5) ? random.between(1, 250) : 1
  const jitterMs = random.chance(0.5) ? random.between(0, 500) : 1
  const of = only === null ? 'all paths' : `the paths of host ${only + 1}`
  const chances = `loss ${loss.toFixed(2)}, twice ${duplicates.toFixed(2)}`
  const figures = `delay ${Math.round(delayMs)}-${Math.round(delayMs + jitterMs)} ms, ${chances}`
  world.note('network', `${of}: ${figures}`)
  for (const { index: from } of world.hosts) {
    for (const { index: to } of world.hosts) {
      if (only === null || from === only || to === only) {
        Object.assign(world.network.path(from, to), { loss, duplicates, delayMs, jitterMs })
      }
    }
  }
  world.later(lastingMs(random), () => {
    for (const path of world.network.paths.flat()) Object.assign(path, { loss: 0, duplicates: 0, delayMs: 1, jitterMs: 2 })
  })
}

function managerDies(world: World, random: Random): void {
  const { swarm } = world
  const all = random.chance(0.15)
  const ms = lastingMs(random)
  for (const i of swarm.managers.keys()) {
    if (!all && i !== 0 && random.chance(0.7)) continue
    if (!swarm.managers[i]!.healthy) continue
    swarm.set(i, false)
    world.later(ms, () => swarm.set(i, true))
  }
}

function managerStale(world: World, random: Random): void {
  const { swarm } = world
  const manager = random.below(swarm.managers.length)
  swarm.setStale(manager, true)
  world.later(lastingMs(random), () => swarm.setStale(manager, false))
}

function managersOutOfReach(world: World, random: Random): void {
  cutFromManagers(world, someHost(world, random), lastingMs(random))
}

function cutFromManagers(world: World, host: number, ms: number): void {
  world.swarm.setReachable(host, false)
  world.later(ms, () => world.swarm.setReachable(host, true))
}

function change(world: World): void {
  world.swarm.change()
}

/** A fetch in progress finishes after its member stopped leading: its content must be ignored. */
function latePublish(world: World, random: Random): void {
  const life = world.hosts[anyHost(world, random)]!.life
  if (life !== null && life.core.role !== 'leader') world.swarm.fetch(life)
}

const FAULTS: readonly Fault[] = [
  crash,
  crash,
  crashSeveral,
  drain,
  hang,
  hang,
  slow,
  jump,
  partition,
  partition,
  isolate,
  isolate,
  cutPaths,
  noise,
  noise,
  managerDies,
  managerStale,
  managersOutOfReach,
  latePublish,
]

/** Fills the next `ms` of virtual time with faults. */
export function harm(world: World, random: Random, ms: number): void {
  const taste = FAULTS.map(() => (random.chance(0.35) ? 0 : random.between(0.1, 1)))
  const total = taste.reduce((sum, weight) => sum + weight, 0)
  const pick = (): Fault => {
    let at = random.next() * total
    for (const [i, weight] of taste.entries()) {
      at -= weight
      if (at < 0) return FAULTS[i]!
    }
    return crash
  }
  const pauseMs = random.pick([400, 1000, 2500])
  for (let at = 0; at < ms; at += pauseMs * random.between(0.1, 2)) {
    const fault = pick()
    world.later(at, () => fault(world, random))
  }
  const changeMs = random.pick([300, 1500, 5000])
  for (let at = 0; at < ms; at += changeMs * random.between(0.1, 2)) world.later(at, () => change(world))
}

/**
 * Ends all faults: paths are clean, suspended members resume. Most hosts without a life start one; at least one host has one.
 * Managers are healthy; in some seeds some or all hosts reach none.
 */
export function heal(world: World, random: Random): void {
  world.note('network', 'all faults end')
  world.calm = true
  world.network.heal()
  const { swarm } = world
  for (const i of swarm.managers.keys()) {
    swarm.setStale(i, false)
    swarm.set(i, true)
  }
  const unlucky = random.chance(0.15) ? random.between(0.2, 1) : 0
  for (const { index } of world.hosts) swarm.setReachable(index, !random.chance(unlucky))
  const missing = random.chance(0.3) ? 0.3 : 0
  for (const host of world.hosts) {
    const { life } = host
    if (life !== null) {
      life.slowMs = 0
      life.resume()
      if (life.draining) world.crash(host.index, false, 'kept')
    }
    if (host.life === null && !random.chance(missing)) world.start(host.index)
  }
  if (world.running().length === 0) world.start(0)
}
