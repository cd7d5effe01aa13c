// Takes the whole state of another member: when this one has just started, and when a comparison shows that very much differs.
// A newcomer asks one member, and another if that one goes away, does not answer, or is a newcomer itself. What comes for tables
// that this replica does not know yet (its configuration is still on its way) is kept for a while.

import type { MemberId } from '../core/state.ts'
import { type Body, decodeStore, MOST_BODY_CHARACTERS, type StoreMessage } from './codec.ts'
import type { StoreWorld } from './context.ts'
import type { Entry } from './model.ts'
import type { Outgoing } from './outbox.ts'

/**
 * A newcomer waits so long to meet anybody, and from then on so long for the state; longer while the state keeps coming, for who
 * knows half of the sessions moves the others. In ms.
 */
const ALONE_MS = 1_000
const READY_MS = 2_000
const COMING_MS = 6_000
/** An answer, and each body, may take so long, ms. */
const ANSWER_MS = 1_000
const BODY_MS = 5_000
/** A newcomer asks so many times in all. */
const MOST_ASKED = 8
/** Members without a connection whose wish for that is kept. */
const MOST_STRANGERS = 16
/** From one member the whole state is taken at most so often; a wish for it waits until then, ms. */
const AGAIN_MS = 5_000
/** What came for unknown tables is kept for so long, and so many characters of it. */
const PARKED_MS = 30_000
const MOST_PARKED = 32 * 1024 * 1024

interface Active {
  readonly from: MemberId
  deadline: number
  /** null: not answered yet. */
  bodies: readonly Body[] | null
  ready: boolean
  /** Monotonic ms at which what is told was so. */
  toldAt: number
  next: number
}

interface Parked {
  readonly from: MemberId
  readonly text: string
  readonly toldAt: number
  readonly until: number
}

export class Transfer {
  due: number
  readonly #world: StoreWorld
  readonly #outgoing: Outgoing
  readonly #startedAt: number
  /** Monotonic ms of the first connection. */
  #metAt: number | null = null
  readonly #takenAt = new Map<MemberId, number>()
  readonly #lookedAt = new Map<MemberId, number>()
  /** Members whose state is to be taken when it may be. */
  readonly #wanted = new Set<MemberId>()
  readonly #asked = new Set<MemberId>()
  #asks = 0
  #joining = true
  #ready = false
  #active: Active | null = null
  #parked: Parked[] = []
  /** Parked bodies that are to be looked through again for these tables. */
  #unpark: { readonly tables: Set<string>; readonly bodies: Parked[] } | null = null

  constructor(world: StoreWorld, outgoing: Outgoing) {
    this.#world = world
    this.#outgoing = outgoing
    this.#startedAt = world.now
    this.due = world.now + ALONE_MS
  }

  /** It has the state of the others, as far as it knows. */
  get isReady(): boolean {
    return !this.#joining
  }

  connected(peer: MemberId): void {
    this.#metAt ??= this.#world.now
    if (this.#joining && this.#active === null && !this.#asked.has(peer)) this.#ask(peer)
  }

  disconnected(peer: MemberId): void {
    this.#wanted.delete(peer)
    this.#asked.delete(peer)
    if (this.#active?.from === peer) this.#failed()
  }

  /** Very much differs: takes that member's state, or has it take this one's. */
  differs(peer: MemberId): void {
    if (this.#take(peer)) return
    const { now } = this.#world
    if (now - (this.#lookedAt.get(peer) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) return
    this.#lookedAt.set(peer, now)
    this.#outgoing.say(peer, { kind: 'look' })
  }

  onLook(from: MemberId): void {
    if (this.#take(from)) return
    const { peers } = this.#world
    if (!peers.has(from) && this.#wanted.size >= peers.size + MOST_STRANGERS) return
    this.#wanted.add(from)
    this.#plan()
  }

  #take(peer: MemberId): boolean {
    if (this.#active !== null || this.#mayTakeAt(peer) > this.#world.now) return false
    this.#wanted.delete(peer)
    this.#ask(peer)
    return true
  }

  #mayTakeAt(peer: MemberId): number {
    return (this.#takenAt.get(peer) ?? Number.NEGATIVE_INFINITY) + AGAIN_MS
  }

  tick(): void {
    const { now, peers } = this.#world
    if (now < this.due) return
    if (!this.#ready) {
      const alone = peers.size === 0 && now >= this.#startedAt + ALONE_MS
      if (alone || now >= this.#readyAt()) this.#tellReady()
    }
    if (this.#active !== null && now >= this.#active.deadline) this.#failed()
    for (const peer of this.#wanted) this.#take(peer)
    this.#parked = this.#parked.filter(({ until }) => until > now)
    this.#unparkOne()
    this.#plan()
  }

  #plan(): void {
    const { now, peers } = this.#world
    const waits: number[] = [this.#active?.deadline ?? Number.POSITIVE_INFINITY]
    if (!this.#ready) {
      const alone = peers.size === 0 && now < this.#startedAt + ALONE_MS
      waits.push(alone ? this.#startedAt + ALONE_MS : this.#readyAt())
    }
    if (this.#active === null) for (const peer of this.#wanted) waits.push(this.#mayTakeAt(peer))
    if (this.#unpark !== null) waits.push(now)
    if (this.#parked.length > 0) waits.push(this.#parked[0]!.until)
    this.due = Math.min(...waits)
  }

  /** When it has waited long enough, ms. */
  #readyAt(): number {
    const since = this.#metAt ?? this.#startedAt
    const isComing = this.#active !== null && this.#active.bodies !== null
    return since + (isComing ? COMING_MS : READY_MS)
  }

  // ---- asking ----

  #ask(peer: MemberId): void {
    const { now } = this.#world
    this.#asked.add(peer)
    this.#asks++
    this.#active = { from: peer, deadline: now + ANSWER_MS, bodies: null, ready: false, toldAt: now, next: 0 }
    this.#outgoing.say(peer, { kind: 'state?' }, true)
    this.#plan()
  }

  onState(from: MemberId, { ready, ageMs, bodies }: Extract<StoreMessage, { kind: 'state' }>): void {
    const active = this.#active
    if (active?.from !== from || active.bodies !== null) return
    active.bodies = bodies
    active.ready = ready
    active.toldAt = this.#world.now - ageMs
    this.#pullNext(active)
  }

  #pullNext(active: Active): void {
    const { now, effects } = this.#world
    const body = active.bodies?.[active.next]
    if (body === undefined) {
      this.#done(active)
      return
    }
    active.deadline = now + BODY_MS
    effects.push({ kind: 'pull', from: active.from, hash: body.hash })
    this.#plan()
  }

  pulled(from: MemberId, hash: string, text: string): void {
    const active = this.#active
    const body = active?.bodies?.[active.next]
    if (active?.from !== from || body?.hash !== hash) return
    const entries = this.#read(from, text, body.size)
    if (entries === null) {
      this.#failed()
      return
    }
    const { now, tables } = this.#world
    const known = entries.filter(entry => tables.isOwned(entry.table))
    const unknown = entries.length === known.length ? [] : entries.filter(entry => !tables.isOwned(entry.table))
    if (unknown.length > 0) this.#park({ from, text, toldAt: active.toldAt, until: now + PARKED_MS })
    this.#world.merge(from, [...known, ...unknown.slice(0, tables.strayRoom)], now - active.toldAt)
    active.next++
    this.#pullNext(active)
  }

  pullFailed(from: MemberId, hash: string): void {
    const active = this.#active
    if (active?.from === from && active.bodies?.[active.next]?.hash === hash) this.#failed()
  }

  #read(from: MemberId, text: string, size: number): readonly Entry[] | null {
    const fits = text.length === size && size <= MOST_BODY_CHARACTERS
    const decoded = fits
      ? decodeStore(Buffer.from(text, 'base64'), MOST_BODY_CHARACTERS)
      : { ok: false as const, reason: `it has ${text.length} characters where ${size} were told` }
    if (decoded.ok && decoded.message.kind === 'batch') return decoded.message.entries
    const reason = decoded.ok ? 'it is no batch of entries' : decoded.reason
    this.#world.counts.refused++
    const message = `the shared state could not be taken: ${reason}`
    this.#world.effects.push({ kind: 'warn', subject: 'state', from, message })
    return null
  }

  #done(active: Active): void {
    const { now, counts } = this.#world
    counts.pulls++
    this.#active = null
    this.#takenAt.delete(active.from)
    this.#takenAt.set(active.from, now)
    for (const oldest of this.#takenAt.keys()) {
      if (this.#takenAt.size <= 256) break
      this.#takenAt.delete(oldest)
      this.#lookedAt.delete(oldest)
    }
    // Others may know more than a newcomer does.
    if (this.#joining && !active.ready && this.#askAnother()) return
    this.#joined()
  }

  #failed(): void {
    this.#active = null
    if (!this.#joining || this.#askAnother()) {
      this.#plan()
      return
    }
    if (this.#asks < MOST_ASKED && this.#world.peers.size > 0) {
      this.#asked.clear()
      this.#askAnother()
    } else if (this.#asks >= MOST_ASKED) this.#joined()
    this.#plan()
  }

  #askAnother(): boolean {
    if (this.#asks >= MOST_ASKED) return false
    for (const peer of this.#world.peers) {
      if (this.#asked.has(peer)) continue
      this.#ask(peer)
      return true
    }
    return false
  }

  #joined(): void {
    this.#joining = false
    this.#asked.clear()
    this.#tellReady()
    this.#plan()
  }

  #tellReady(): void {
    if (this.#ready) return
    this.#ready = true
    this.#world.effects.push({ kind: 'ready' })
  }

  // ---- tables that are not known yet ----

  #park(parked: Parked): void {
    this.#parked.push(parked)
    let characters = this.#parked.reduce((sum, { text }) => sum + text.length, 0)
    while (characters > MOST_PARKED) characters -= this.#parked.shift()!.text.length
  }

  /** These tables are owned from now on. */
  owned(tables: readonly string[]): void {
    if (this.#parked.length === 0 || tables.length === 0) return
    this.#unpark = { tables: new Set([...(this.#unpark?.tables ?? []), ...tables]), bodies: [...this.#parked] }
    this.due = this.#world.now
  }

  /** One body at a time, so that the thread is never held up. */
  #unparkOne(): void {
    const body = this.#unpark?.bodies.shift()
    if (this.#unpark === null || body === undefined) {
      this.#unpark = null
      return
    }
    const { tables } = this.#unpark
    const entries = this.#read(body.from, body.text, body.text.length) ?? []
    this.#world.merge(
      body.from,
      entries.filter(({ table }) => tables.has(table)),
      this.#world.now - body.toldAt,
    )
  }
}
