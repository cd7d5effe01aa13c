// Hosts and the lives of members on them: they start with their disk's content, crash (with or without RST), drain, and start
// again with a new id. Effects of cores are carried out as in cluster/member.ts.

import {
  type Core,
  type CoreEffect,
  type CoreEvent,
  type CoreOptions,
  type Held,
  type LocalState,
  type Message,
  TIMING,
} from '../../cluster/core/state.ts'
import { Violation, Watch } from './invariants.ts'
import { Life } from './life.ts'
import { Network } from './network.ts'
import type { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { type MakeStore, Stores } from './stores.ts'
import { Swarm } from './swarm.ts'
import type { Trace } from './trace.ts'

export type MakeCore = (options: CoreOptions) => Core

export interface WorldOptions {
  readonly hosts: number
  readonly managers: number
  readonly random: Random
  readonly makeCore: MakeCore
  readonly makeStore: MakeStore
  /** For all draws of stores. */
  readonly ofStores: Random
  readonly trace: Trace
  /** Messages are forwarded around cuts by other members, as in gossipsub. */
  readonly relayed: boolean
  /** Clocks may run this much too fast or too slow (0.01: 1 %). */
  readonly drift: number
  /** Hosts that share one name by mistake. */
  readonly oneName: boolean
  /** Transforms messages in transit (encodes and decodes them). */
  readonly carried: (message: Message) => Message
}

interface Host {
  readonly index: number
  readonly name: string
  life: Life | null
  lives: number
  /** Its wall clock against the others', ms. */
  readonly wallMs: number
  disk: Held | null
  /** The disk's content before that. */
  older: Held | null
}

export type DiskAfter = 'kept' | 'older' | 'lost'

/** A write reaches the disk within this time, ms. */
const DISK_MS = 50
/** A draining member waits this long for another leader, ms (member.ts: drain). */
const DRAIN_MS = 1000
const WALL_2026_MS = 1_767_225_600_000

export class World {
  readonly scheduler = new Scheduler()
  readonly hosts: Host[]
  readonly network: Network
  readonly swarm: Swarm
  readonly watch: Watch
  readonly stores: Stores
  readonly trace: Trace
  readonly random: Random
  /** The faults have ended: those still scheduled do not happen. */
  calm = false
  private readonly options: WorldOptions

  constructor(options: WorldOptions) {
    const { hosts, random, trace } = options
    this.options = options
    this.random = random
    this.trace = trace
    this.watch = new Watch(trace)
    this.network = new Network(
      hosts,
      this.scheduler,
      random.fork(),
      options.ofStores.fork(),
      trace,
      options.relayed,
      options.carried,
    )
    this.stores = new Stores({
      scheduler: this.scheduler,
      network: this.network,
      trace,
      random: options.ofStores.fork(),
      makeStore: options.makeStore,
      lives: () => this.running(),
    })
    this.swarm = new Swarm(options.managers, hosts, this.scheduler, random.fork(), trace, () => this.running())
    this.hosts = Array.from({ length: hosts }, (_, index) => ({
      index,
      name: options.oneName && index < 2 ? 'edge-same' : `edge-${index + 1}`,
      life: null,
      lives: 0,
      // Some hosts' clocks are an hour off; only starts of one host may be compared.
      wallMs: random.chance(0.3) ? random.between(-3_600_000, 3_600_000) : random.between(-100, 100),
      disk: null,
      older: null,
    }))
  }

  /** Running lives, suspended ones included. */
  running(): Life[] {
    const lives: Life[] = []
    for (const { life } of this.hosts) if (life !== null) lives.push(life)
    return lives
  }

  note(who: string, what: string): void {
    this.trace.line(this.scheduler.now, who, what)
  }

  /** Schedules a fault in `ms`, unless faults have ended by then. */
  later(ms: number, action: () => void): void {
    this.scheduler.after(ms, () => {
      if (!this.calm) action()
    })
  }

  /** Starts a new life on a host without one. */
  start(index: number): Life {
    const host = this.hosts[index]!
    const { random, options } = this
    if (host.life !== null) throw new Error(`${host.life.label} is running`)
    host.lives++
    const id = `${Math.floor(random.next() * 1_679_616)
      .toString(36)
      .padStart(4, '0')}-${index}-${host.lives}`
    const label = host.lives === 1 ? `edge-${index + 1}` : `edge-${index + 1}.${host.lives}`
    this.trace.name(id, label)
    const startedAt = Math.round(WALL_2026_MS + host.wallMs + this.scheduler.now)
    const life = new Life({
      id,
      name: host.name,
      label,
      host: index,
      startedAt,
      scheduler: this.scheduler,
      random: random.fork(),
      offsetMs: random.between(0, 1_000_000),
      rate: 1 + random.between(-options.drift, options.drift),
      wall: () => Math.round(WALL_2026_MS + host.wallMs + this.scheduler.now),
    })
    const manager = this.swarm.pick(index)
    const local: LocalState = {
      manager: this.swarm.nameOf(manager),
      managerHealthy: manager !== null,
      unreachable: [],
      unreachableAll: false,
      seen: [],
      addresses: [`10.0.0.${index + 1}:7946`],
      relay: [],
    }
    const { disk: held } = host
    const core = options.makeCore({
      id,
      name: host.name,
      startedAt,
      version: '0.0.0',
      local,
      held,
      timing: TIMING,
      random: () => life.random.next(),
      now: life.clock(),
    })
    this.note(label, `starts with ${this.trace.revision(held?.revision ?? null)}`)
    host.life = life
    this.stores.join(life)
    life.start(core, local, {
      effects: (of, event, effects) => this.stepped(of, event, effects),
      store: (of, event) => this.stores.give(of, event),
    })
    this.watch.born(life)
    this.swarm.join(life)
    this.network.join(life)
    return life
  }

  /** Ends a life at once. `silent`: the host vanishes too, and no connection is reset. */
  crash(index: number, silent: boolean, disk: DiskAfter): void {
    const host = this.hosts[index]!
    const { life } = host
    if (life === null) return
    this.note(life.label, silent ? 'vanishes without RST' : 'crashes')
    this.end(host, life, silent)
    if (disk === 'lost') host.disk = null
    if (disk === 'older') host.disk = host.older
  }

  private end(host: Host, life: Life, silent: boolean): void {
    life.alive = false
    host.life = null
    this.network.leave(life, silent)
    // The machine comes back later and answers data for the old life.
    if (silent) this.scheduler.after(this.random.between(8000, 12_000), () => this.network.reset(life))
  }

  /** Drains a life, and ends it when another one leads or after DRAIN_MS, at the earliest after `lingerMs`. */
  drain(index: number, lingerMs: number): void {
    const host = this.hosts[index]!
    const { life } = host
    if (life === null || life.draining) return
    life.draining = true
    life.deliver({ kind: 'drain' })
    const toldAt = this.scheduler.now
    const look = (): void => {
      if (!life.alive) return
      const waited = this.scheduler.now - toldAt
      if (life.hung || waited < lingerMs || (life.core.role === 'leader' && waited < DRAIN_MS)) {
        this.scheduler.after(25, look)
        return
      }
      this.note(life.label, 'ends')
      this.network.broadcast(life, { kind: 'leave' })
      this.end(host, life, false)
    }
    this.scheduler.after(lingerMs, look)
  }

  private stepped(life: Life, event: CoreEvent, effects: readonly CoreEffect[]): void {
    const { trace, scheduler } = this
    if (trace.write !== null && event.kind !== 'tick' && !isPlainBeat(event))
      trace.line(scheduler.now, life.label, trace.event(event))
    for (const effect of effects) this.show(life, effect)
    this.watch.step(life, event, effects)
    for (const effect of effects) this.carryOut(life, effect)
  }

  private show(life: Life, effect: CoreEffect): void {
    const { trace } = this
    if (trace.write === null) return
    const say = (what: string): void => trace.line(this.scheduler.now, life.label, `  ${what}`)
    switch (effect.kind) {
      case 'broadcast':
        if (effect.message.kind !== 'beat') say(`tells all: ${trace.message(effect.message)}`)
        return
      case 'send':
        say(`to ${trace.of(effect.to)}: ${trace.message(effect.message)}`)
        return
      case 'role':
        say(`now a ${effect.role} in term ${trace.term(effect.term)}, leader: ${trace.of(effect.leader)}`)
        return
      case 'pull':
        say(`pulls ${trace.revision(effect.revision)} from ${trace.of(effect.from)}`)
        return
      case 'hold':
        say(`holds ${trace.revision(effect.held.revision)}: ${effect.held.body.slice(0, 12)}`)
        return
      case 'hint':
        say(`is hinted by ${trace.of(effect.from)}: ${effect.keys.join(' ')}`)
        return
      case 'log':
        say(`log ${effect.level}: ${effect.message} ${JSON.stringify(effect.fields)}`)
        return
      case 'members':
        say(`members: ${listOf(life, trace)}`)
        return
    }
  }

  private carryOut(life: Life, effect: CoreEffect): void {
    switch (effect.kind) {
      case 'broadcast':
        this.network.broadcast(life, effect.message)
        return
      case 'send':
        this.network.send(life, effect.to, effect.message)
        return
      case 'pull':
        this.network.pull(life, effect.from, effect.revision, effect.hash)
        return
      case 'hold':
        this.keep(life, effect.held)
        return
      case 'hint':
        this.swarm.hinted(life, effect.keys)
        return
      case 'role':
        // A leader starts fetching when it is elected.
        if (effect.role === 'leader') this.swarm.fetch(life)
        return
      case 'members':
      case 'log':
        return
    }
  }

  private keep(life: Life, held: Held): void {
    const host = this.hosts[life.host]!
    this.scheduler.after(life.random.between(0, DISK_MS), () => {
      if (!life.alive) return
      host.older = host.disk
      host.disk = held
    })
  }

  /** Runs for this time; throws a Violation, also when a core throws. */
  run(ms: number): void {
    this.runUntil(this.scheduler.now + ms)
  }

  runUntil(at: number): void {
    try {
      this.scheduler.runUntil(at)
    } catch (error) {
      if (error instanceof Violation) throw error
      throw new Violation('a core never throws', 'a member', (error as Error).stack ?? String(error))
    }
  }
}

function listOf(life: Life, trace: Trace): string {
  const members = life.core.members().map(({ id, state }) => `${trace.of(id)} ${state}`)
  return members.join(', ')
}

function isPlainBeat(event: CoreEvent): boolean {
  return event.kind === 'message' && event.message.kind === 'beat'
}
