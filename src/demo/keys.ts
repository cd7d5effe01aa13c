// What the demo's keys do: each breaks something, or brings it back, and says what is to be seen.

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

const fewestTasks = 1
const mostTasks = 8

export class Keys {
  readonly #context: KeysContext
  /** The replica that was killed as the leader (key l) and has not been started since. */
  #fallen: Replica | null = null

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
      return screen.tell('rolling whoami, one task after another; each dies at once on SIGTERM')
    }
    if (key === '+' || key === '-') {
      const count = Math.max(fewestTasks, Math.min(mostTasks, swarm.tasks('whoami').length + (key === '+' ? 1 : -1)))
      swarm.scale('whoami', count)
      return screen.tell(`whoami scaled to ${count}`)
    }
    if (key === 's') for (const line of observer.summary()) screen.tell(line)
    else screen.print(keyHelp)
  }

  /** The leading replica dies; if the one that was killed so is dead still it comes back. */
  async #killLeader(): Promise<void> {
    const { fleet, screen } = this.#context
    if (this.#fallen?.alive === false) return this.#start(this.#fallen)
    const leader = await fleet.leader()
    if (leader === null) return screen.tell('the replicas are electing a leader; try again in a moment')
    if (!leader.alive) return
    this.#fallen = leader
    return this.#kill(leader, leader)
  }

  async #kill(replica: Replica, knownLeader?: Replica): Promise<void> {
    const { fleet, screen } = this.#context
    const { name } = replica.plan
    const led = (knownLeader ?? (await fleet.leader())) === replica
    const since = performance.now()
    fleet.kill(replica)
    const again = `press ${name.replace(/^.*-/, '')}${led ? ' or l' : ''} to start it again`
    screen.tell(`${name}${led ? ', the leader,' : ''} killed (${again})`)
    if (!led) return
    this.#fallen = replica
    const next = await fleet.successor(since)
    if (next === null) return screen.tell('no replica is left to lead, or they do not agree on one')
    const { leader, afterMs } = next
    screen.tell(
      `${leader.name} leads now, in term ${leader.term}: all that are left knew it ${Math.round(afterMs)} ms after the kill`,
    )
  }

  async #start(replica: Replica): Promise<void> {
    const { fleet, screen } = this.#context
    const { name } = replica.plan
    screen.tell(`${name} starting`)
    screen.tell((await fleet.launch(replica)) ? `${name} serves` : `${name} does not serve`)
  }

  /** The leader (m) or a follower (f) dies; if one is dead already it comes back. */
  async #killOrReviveManager(key: 'm' | 'f'): Promise<void> {
    const { swarm, screen } = this.#context
    const dead = swarm.managerStates().find(manager => manager.state === 'down')
    if (dead !== undefined) {
      await swarm.reviveManager(dead.name)
      return screen.tell(`manager ${dead.name} is back`)
    }
    const leader = swarm.leader()
    const followers = swarm.managerStates().filter(manager => manager.state === 'up' && manager.name !== leader)
    const victim = key === 'm' ? leader : followers[0]?.name
    if (victim === null || victim === undefined) return screen.tell('the managers are electing a leader; try again in a moment')
    await swarm.killManager(victim)
    screen.tell(
      key === 'm'
        ? `manager ${victim}, the leader, killed: for 10 s no manager answers, and requests go on (press m to revive it)`
        : `manager ${victim}, a follower, killed: its replica moves to another (press f to revive it)`,
    )
  }
}

/** Single keys, where there is a terminal; returns what ends it. */
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
