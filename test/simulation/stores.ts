// Stores of the simulated members: a store core beside every member core; random writes (ordinary, contended, bursts,
// removals), jumping wall clocks, and the invariants of stores after every step and in a quiet network. Its random draws do not
// change those of the members.

import type { StoreEffect } from '../../cluster/store/context.ts'
import type { At, StoreCore, StoreCoreOptions, StoreEvent } from '../../cluster/store/core.ts'
import { compareStamps, type Entry, FLUSH_MS, type Stamp } from '../../cluster/store/model.ts'
import { Violation } from './invariants.ts'
import type { Life } from './life.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import type { Trace } from './trace.ts'

export type MakeStore = (options: StoreCoreOptions) => StoreCore

/** Never full, without expiry: older entries must never replace newer ones. */
const KEPT = 'kept'
/** Fills up; one of 32 places is reserved for provisional entries. */
const FULL = 'full'
const FULL_CAP = 32
/** Its entries expire within seconds. */
const BRIEF = 'brief'
const BRIEF_MS = 3000
/** Owned by every second host only. */
const STRAY = 'stray'
const STRAY_ENTRIES = 8
const KEYS = 40
const LAST_KEY = 'last'
const HOUR_MS = 3_600_000
/** Largest jump of a wall clock, ms. */
const MOST_JUMP_MS = 4 * HOUR_MS
/** Offset of some hosts' wall clocks from the start, in some seeds. */
const WRONG_MS = 400 * 24 * HOUR_MS
/** Time of quiet after which all members agree on the cluster's time, ms. */
const LAST_WORD_MS = 5000
/** An entry that is not in the batches of one second does not fit into any. */
const MOST_A_SECOND = 1000 / FLUSH_MS + 1

interface Held {
  readonly core: StoreCore
  /** Key -> the last write seen here, since the clock last went back. */
  readonly seen: Map<string, Stamp>
  rewinds: number
  /** Time of its last broadcast and direct message, by its own clock. */
  readonly said: { readonly broadcast: number[]; readonly send: number[] }
}

export interface StoresOptions {
  readonly scheduler: Scheduler
  readonly network: Network
  readonly trace: Trace
  readonly random: Random
  readonly makeStore: MakeStore
  readonly lives: () => readonly Life[]
}

export class Stores {
  readonly random: Random
  private readonly options: StoresOptions
  private readonly held = new Map<Life, Held>()
  /** Offset of each host's wall clock, ms. */
  private readonly wrongMs = new Map<number, number>()
  private readonly someWrong: boolean

  constructor(options: StoresOptions) {
    this.options = options
    this.random = options.random
    this.someWrong = this.random.chance(0.25)
  }

  join(life: Life): void {
    const random = this.random.fork()
    life.wallJumpMs += this.wrongOf(life.host)
    life.reading = () => core.reading(this.at(life))
    const core = this.options.makeStore({
      origin: life.id,
      at: this.at(life),
      random: () => random.next(),
      limits: { unownedEntries: STRAY_ENTRIES },
    })
    this.held.set(life, { core, seen: new Map(), rewinds: 0, said: { broadcast: [], send: [] } })
    const caps = new Map([
      [KEPT, 10_000],
      [FULL, FULL_CAP],
      [BRIEF, 10_000],
    ])
    if (life.host % 2 === 0) caps.set(STRAY, 10_000)
    // The configuration arrives some time after the start.
    this.options.scheduler.after(random.between(0, 3000), () => {
      if (life.alive) core.setTables(caps, this.at(life))
    })
  }

  /** A host has the same wrong clock after every restart. */
  private wrongOf(host: number): number {
    const known = this.wrongMs.get(host)
    if (known !== undefined) return known
    const wrong = this.someWrong && this.random.chance(0.4)
    const ms = wrong ? this.random.pick([-1, 1]) * (this.random.chance(0.5) ? WRONG_MS : this.random.between(0, HOUR_MS)) : 0
    this.wrongMs.set(host, ms)
    return ms
  }

  private at(life: Life): At {
    return { now: life.clock(), wall: life.wall() }
  }

  /** An event for the store of this life, or a tick. */
  give(life: Life, event: StoreEvent): void {
    const held = this.held.get(life)!
    if (event.kind === 'tick' && held.core.due > life.clock()) return
    held.core.step(event, this.at(life))
    this.act(life, held)
  }

  private act(life: Life, held: Held): void {
    for (const effect of held.core.take()) this.carryOut(life, held, effect)
    const { tables, entries } = held.core.status()
    if (entries === 0) return
    if ((tables[FULL] ?? 0) > FULL_CAP && held.core.tables.isOwned(FULL)) fail(CAPS, life, `${tables[FULL]} entries in a table`)
    if ((tables[''] ?? 0) > STRAY_ENTRIES) fail(CAPS, life, `${tables['']} entries of tables that it does not own`)
  }

  private carryOut(life: Life, held: Held, effect: StoreEffect): void {
    const { network } = this.options
    switch (effect.kind) {
      case 'broadcast':
        this.count(life, held.said.broadcast)
        network.broadcast(life, { kind: 'store', data: Buffer.from(effect.data).toString('base64') })
        return
      case 'send':
        this.count(life, held.said.send)
        network.send(life, effect.to, { kind: 'store', data: Buffer.from(effect.data).toString('base64') })
        return
      case 'pull':
        network.pullText(life, effect.from, other => this.held.get(other)!.core.bodyOf(effect.hash), {
          had: body => this.later(life, { kind: 'pulled', from: effect.from, hash: effect.hash, body }),
          failed: () => this.later(life, { kind: 'pullFailed', from: effect.from, hash: effect.hash }),
        })
        return
      case 'changed':
        for (const entry of effect.changes) this.wrote(life, held, entry)
        return
      case 'warn':
        // Wrong clocks are logged.
        if (effect.subject === 'clock' || effect.subject === 'ahead') return
        fail('what a store says can be read by the others', life, `${effect.subject}: ${effect.message}`)
        return
      case 'ready':
        return
    }
  }

  private later(life: Life, event: StoreEvent): void {
    if (life.alive && !life.hung) this.give(life, event)
  }

  private count(life: Life, times: number[]): void {
    const now = life.clock()
    times.push(now)
    if (times.length > MOST_A_SECOND) {
      const since = now - times.shift()!
      if (since < 1000 - FLUSH_MS / 2)
        fail('a store says no more than twenty things a second', life, `${times.length} within ${since} ms`)
    }
  }

  private wrote(life: Life, held: Held, entry: Entry): void {
    const { seen, core } = held
    if (held.rewinds !== core.rewinds) {
      held.rewinds = core.rewinds
      seen.clear()
    }
    // Entries of a table that is not owned yet may be evicted.
    if (entry.table !== KEPT || !core.tables.isOwned(KEPT)) return
    const before = seen.get(entry.key)
    if (before !== undefined && compareStamps(entry, before) <= 0) {
      fail('nothing older ever replaces something newer', life, `${entry.key}: ${place(before)}, then ${place(entry)}`)
    }
    seen.set(entry.key, entry)
  }

  // ---- writes and jumps ----

  /** Draws the writes of the next `ms`. */
  disturb(ms: number, later: (ms: number, action: () => void) => void): void {
    const { random } = this
    const pauseMs = random.pick([60, 300, 1000])
    for (let at = 0; at < ms; at += pauseMs * random.between(0.1, 2)) later(at, () => this.disturbOnce())
  }

  private disturbOnce(): void {
    const { random, options } = this
    const able = options.lives().filter(({ hung }) => !hung)
    if (able.length === 0) return
    const life = random.pick(able)
    const p = random.next()
    if (p < 0.6) this.put(life, random.pick([KEPT, KEPT, FULL, BRIEF, STRAY]), random.below(KEYS))
    else if (p < 0.75) this.remove(life, random.pick([KEPT, KEPT, FULL]), random.below(KEYS))
    else if (p < 0.85) {
      // Several at the same time.
      const key = random.below(KEYS)
      for (const other of random.shuffled(able).slice(0, 3)) this.put(other, random.pick([KEPT, FULL]), key)
    } else if (p < 0.93) {
      for (let i = random.below(30); i >= 0; i--) this.put(life, random.pick([KEPT, FULL, BRIEF, STRAY]), random.below(KEYS))
    } else {
      const ms = random.between(-MOST_JUMP_MS, MOST_JUMP_MS)
      if (Math.abs(life.wallJumpMs - this.wrongOf(life.host) + ms) > MOST_JUMP_MS) return
      life.wallJumpMs += ms
      this.note(life, `its wall clock is put by ${Math.round(ms / 1000)} s`)
    }
  }

  private put(life: Life, table: string, key: number): void {
    const { random } = this
    const held = this.held.get(life)!
    const ttlMs = table === BRIEF ? random.between(200, BRIEF_MS) : HOUR_MS
    const rank = random.chance(0.5) ? 1 : 0
    const entry = held.core.put(table, `k${key}`, `v${random.below(1000)}`, { ttlMs, rank }, this.at(life))
    this.note(life, `puts ${table} k${key} ${entry.value}: ${place(entry)}`)
    this.own(life, held, entry)
  }

  private remove(life: Life, table: string, key: number): void {
    const held = this.held.get(life)!
    const entry = held.core.remove(table, `k${key}`, this.at(life))
    if (entry === null) return
    this.note(life, `removes ${table} k${key}: ${place(entry)}`)
    this.own(life, held, entry)
  }

  private own(life: Life, held: Held, entry: Entry): void {
    this.wrote(life, held, entry)
    this.options.scheduler.after(0, () => {
      if (life.alive && !life.hung) this.give(life, { kind: 'tick' })
    })
  }

  private note(life: Life, what: string): void {
    const { trace, scheduler } = this.options
    if (trace.write !== null) trace.line(scheduler.now, life.label, what)
  }

  // ---- at the end ----

  /**
   * In a quiet cluster all members write one key in turn.
   * @returns the value that all must hold in the end: the last one written, whatever the members' clocks
   */
  lastWrites(run: (ms: number) => void): string {
    const lives = this.random.shuffled(this.options.lives()).slice(0, 4)
    run(LAST_WORD_MS)
    let value = ''
    for (const [n, life] of lives.entries()) {
      value = `last word ${n}`
      const held = this.held.get(life)!
      const entry = held.core.put(KEPT, LAST_KEY, value, { ttlMs: HOUR_MS, rank: 1 }, this.at(life))
      this.note(life, `puts ${KEPT} ${LAST_KEY} ${value}: ${place(entry)}`)
      this.own(life, held, entry)
      run(LAST_WORD_MS)
    }
    return value
  }

  /** A member that does not hold the value of lastWrites(); null: all do. */
  missesLastWord(value: string, lives: readonly Life[]): { readonly who: string; readonly details: string } | null {
    for (const life of lives) {
      const own = this.held.get(life)!.core.get(KEPT, LAST_KEY, this.at(life))
      if (own?.value !== value) return { who: life.label, details: `it holds ${own?.value ?? 'nothing'}, not ${value}` }
    }
    return null
  }

  /** The difference between the stores of these lives; null: they are equal. */
  differing(lives: readonly Life[]): { readonly who: string; readonly details: string } | null {
    const first = lives[0]
    if (first === undefined) return null
    for (const table of [KEPT, FULL, BRIEF]) {
      const expected = this.entries(first, table)
      for (const life of lives) {
        const own = this.entries(life, table)
        for (const key of new Set([...expected.keys(), ...own.keys()])) {
          if (own.get(key) === expected.get(key)) continue
          const details = `${table} ${key}: ${own.get(key) ?? 'nothing'}; ${first.label} holds ${expected.get(key) ?? 'nothing'}`
          return { who: life.label, details }
        }
      }
    }
    return null
  }

  private entries(life: Life, table: string): Map<string, string> {
    const all = new Map<string, string>()
    for (const entry of this.held.get(life)!.core.entries(table, this.at(life))) {
      all.set(entry.key, `${entry.value} (${place(entry)}, rank ${entry.rank})`)
    }
    return all
  }
}

const CAPS = 'tables never hold more than their caps'

function place({ wall, count, origin }: Stamp): string {
  return `${wall}/${count}/${origin}`
}

function fail(invariant: string, life: Life, details: string): never {
  throw new Violation(invariant, life.label, details)
}
