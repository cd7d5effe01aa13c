// The demo's keys: each breaks something, or repairs it, and prints what happens.

import type { EmulatedSwarm } from '../emulator/swarm.ts'
import type { Fleet } from './fleet.ts'
import { keyHelp } from './instructions.ts'
import type { Observer } from './observer.ts'
import type { Replica } from './replicas.ts'
import type { Screen } from './screen.ts'

export interface KeysContext {
  readonly swarm: EmulatedSwarm
  readonly fleet: Fleet
  readonly observer: Observer
  readonly screen: Screen
  end(): void
}

const minTasks = 1
const maxTasks = 8

export class Keys {
  readonly #context: KeysContext
  /** The replica that was killed while it led and has not been started since. */
  #killedLeader: Replica | null = null

  constructor(context: KeysContext) {
    this.#context = context
  }

  async press(key: string): Promise<void> {
    const { swarm, fleet, observer, screen } = this.#context
    const replica = fleet.replicas[Number(key) - 1]
    if (key === 'q' || key === '\u0003') return this.#context.end()
    if (replica !== undefined) return replica.alive ? this.#kill(replica) : this.#start(replica)
    if (key === 'l' && fleet.replicas.length > 0) return this.#killLeader()
    if (key === 'm' || key === 'f') return this.#killOrReviveManager(key)
    if (key === 'r') {
      swarm.roll('whoami')
      return screen.event('rolling whoami, one task after another; each exits immediately on SIGTERM')
    }
    if (key === '+' || key === '-') {
      const count = Math.max(minTasks, Math.min(maxTasks, swarm.tasks('whoami').length + (key === '+' ? 1 : -1)))
      swarm.scale('whoami', count)
      return screen.event(`whoami scaled to ${count}`)
    }
    if (key === 's') for (const line of observer.summary()) screen.event(line)
    else screen.print(keyHelp)
  }

  /** Kills the leading replica, or starts the one that was killed this way before. */
  async #killLeader(): Promise<void> {
    const { fleet, screen } = this.#context
    if (this.#killedLeader?.alive === false) return this.#start(this.#killedLeader)
    const leader = await fleet.leader()
    if (leader === null) return screen.event('the replicas are electing a leader; try again in a moment')
    if (!leader.alive) return
    this.#killedLeader = leader
    return this.#kill(leader, leader)
  }

  async #kill(replica: Replica, knownLeader?: Replica): Promise<void> {
    const { fleet, screen } = this.#context
    const { name } = replica.plan
    const led = (knownLeader ?? (await fleet.leader())) === replica
    const since = performance.now()
    fleet.kill(replica)
    const again = `press ${name.replace(/^.*-/, '')}${led ? ' or l' : ''} to start it again`
    screen.event(`${name}${led ? ', the leader,' : ''} killed (${again})`)
    if (!led) return
    this.#killedLeader = replica
    const next = await fleet.successor(since)
    if (next === null) return screen.event('no replica is left, or the replicas do not agree on a leader')
    const { leader, afterMs } = next
    screen.event(
      `${leader.name} leads now, in term ${leader.term}: all remaining replicas reported it ${Math.round(afterMs)} ms after the kill`,
    )
  }

  async #start(replica: Replica): Promise<void> {
    const { fleet, screen } = this.#context
    const { name } = replica.plan
    screen.event(`${name} starting`)
    screen.event((await fleet.launch(replica)) ? `${name} serves` : `${name} does not serve`)
  }

  /** Kills the leading manager (m) or a follower (f); if a manager is dead already, revives it. */
  async #killOrReviveManager(key: 'm' | 'f'): Promise<void> {
    const { swarm, screen } = this.#context
    const dead = swarm.managerStates().find(manager => manager.state === 'down')
    if (dead !== undefined) {
      await swarm.reviveManager(dead.name)
      return screen.event(`manager ${dead.name} is back`)
    }
    const leader = swarm.leader()
    const followers = swarm.managerStates().filter(manager => manager.state === 'up' && manager.name !== leader)
    const victim = key === 'm' ? leader : followers[0]?.name
    if (victim === null || victim === undefined) return screen.event('the managers are electing a leader; try again in a moment')
    await swarm.killManager(victim)
    screen.event(
      key === 'm'
        ? `manager ${victim}, the leader, killed: no manager answers for 10 s, and requests continue (press m to revive it)`
        : `manager ${victim}, a follower, killed: its replica moves to another manager (press f to revive it)`,
    )
  }
}

/** Reads single keys from a terminal, if there is one; returns the function that stops it. */
export function listenToKeys(pressed: (key: string) => void): () => void {
  const { stdin } = process
  if (stdin.isTTY !== true) return () => {}
  const read = (chunk: Buffer): void => {
    for (const key of chunk.toString('utf8')) pressed(key)
  }
  stdin.setRawMode(true)
  stdin.on('data', read)
  stdin.resume()
  return () => {
    stdin.off('data', read)
    stdin.setRawMode(false)
    stdin.pause()
  }
}
