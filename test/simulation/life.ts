// One life of a member: its core, its clock, and its event loop, like the runtime in cluster/member.ts: a tick at least every
// 50 ms, and before any event that comes later than that. A suspended life finds its queue afterwards; a slow one reads its
// queue late.

import type { ClockReading, Core, CoreEffect, CoreEvent, LocalState, MemberId } from '../../cluster/core/state.ts'
import type { StoreEvent } from '../../cluster/store/core.ts'
import type { Connection } from './network.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

const TICK_MS = 50
/** The receive queue's bound while a life does not read, as in sockets. */
const MOST_WAITING = 4000

export interface LifeOptions {
  readonly id: MemberId
  /** The member's name. */
  readonly name: string
  /** The life's name in the trace. */
  readonly label: string
  readonly host: number
  readonly startedAt: number
  readonly scheduler: Scheduler
  readonly random: Random
  /** Offset and speed (1: exact) of its clock against virtual time. */
  readonly offsetMs: number
  readonly rate: number
  /** The wall clock of its host, ms. */
  readonly wall: () => number
}

/** The destination of a life's effects. */
export interface Ears {
  readonly effects: (life: Life, event: CoreEvent, effects: readonly CoreEffect[]) => void
  /** Events for its store. */
  readonly store: (life: Life, event: StoreEvent) => void
}

export class Life {
  readonly id: MemberId
  readonly name: string
  readonly label: string
  readonly host: number
  readonly startedAt: number
  /** Its random numbers, also used by the core. */
  readonly random: Random
  readonly connections = new Map<MemberId, Connection>()
  core!: Core
  local!: LocalState
  alive = true
  draining = false
  /** Suspended: receives no events. */
  hung = false
  /** Reads its queue only at this interval, ms; 0: at once. */
  slowMs = 0
  /** Total jump of its wall clock, ms. */
  wallJumpMs = 0
  private readonly hostWall: () => number
  private readonly scheduler: Scheduler
  private readonly rate: number
  private offsetMs: number
  private lastTick = Number.NEGATIVE_INFINITY
  private readonly inbox: (readonly [CoreEvent, ClockReading | null])[] = []
  /** The clock reading sent with each message. */
  reading!: () => ClockReading
  private onEffects!: Ears['effects']
  private onStore!: Ears['store']

  constructor(options: LifeOptions) {
    this.id = options.id
    this.name = options.name
    this.label = options.label
    this.host = options.host
    this.startedAt = options.startedAt
    this.random = options.random
    this.scheduler = options.scheduler
    this.offsetMs = options.offsetMs
    this.rate = options.rate
    this.hostWall = options.wall
  }

  start(core: Core, local: LocalState, to: Ears): void {
    this.core = core
    this.local = local
    this.onEffects = to.effects
    this.onStore = to.store
    this.scheduler.after(this.random.between(0, TICK_MS), () => this.turn())
  }

  /** Its own clock, ms. */
  clock(): number {
    return this.offsetMs + this.scheduler.now * this.rate
  }

  wall(): number {
    return this.hostWall() + this.wallJumpMs
  }

  jump(byMs: number): void {
    this.offsetMs += byMs
  }

  /** Delivers an event now, or when it reads its queue. */
  deliver(event: CoreEvent, clocks: ClockReading | null = null): void {
    if (!this.alive) return
    if (this.hung || this.slowMs > 0 || this.inbox.length > 0) {
      if (this.inbox.length < MOST_WAITING) this.inbox.push([event, clocks])
    } else this.give(event, clocks)
  }

  resume(): void {
    if (!this.hung) return
    this.hung = false
    if (this.alive) this.turn()
  }

  /** One turn of its event loop. */
  private turn(): void {
    if (!this.alive || this.hung) return
    this.give({ kind: 'tick' })
    this.onStore(this, { kind: 'tick' })
    for (const [event, clocks] of this.inbox.splice(0)) this.give(event, clocks)
    const pause = this.slowMs > 0 ? this.slowMs * this.random.between(0.3, 1) : TICK_MS - this.random.between(0, 2)
    this.scheduler.after(pause, () => this.turn())
  }

  private give(event: CoreEvent, clocks: ClockReading | null = null): void {
    if (!this.alive) return
    if (event.kind === 'message' && clocks !== null) this.onStore(this, { kind: 'clock', from: event.from, reading: clocks })
    if (event.kind === 'message' && event.message.kind === 'store') {
      this.onStore(this, { kind: 'message', from: event.from, data: Buffer.from(event.message.data, 'base64') })
      return
    }
    if (event.kind === 'connected' || event.kind === 'disconnected') this.onStore(this, event)
    const now = this.clock()
    if (event.kind === 'tick') this.lastTick = now
    else if (now - this.lastTick > TICK_MS) this.give({ kind: 'tick' })
    this.onEffects(this, event, this.core.step(event, now))
  }
}
