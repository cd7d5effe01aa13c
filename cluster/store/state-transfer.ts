// Takes the whole state of another member: at the start, and when anti-entropy finds very large differences. A new member asks
// one peer, then another if that one disconnects, does not respond, or is new itself. Entries of tables that this replica does
// not own yet (its configuration may arrive later) are kept for a while.

import type { MemberId } from '../core/state.ts'
import { type Body, decodeStore, MAX_BODY_CHARACTERS, type StoreMessage } from './codec.ts'
import type { StoreContext } from './context.ts'
import type { Entry } from './model.ts'
import type { Outbox } from './outbox.ts'

/**
 * How long a new member waits: for a first connection; from then on for the state; while a transfer is in progress (a member
 * that has half of the sessions would rebind the others). In ms.
 */
const NO_PEER_MS = 1_000
const READY_MS = 2_000
const TRANSFER_MS = 6_000
/** Time limits of the response, and of each body, ms. */
const RESPONSE_MS = 1_000
const BODY_MS = 5_000
/** Requests of a new member in total. */
const MAX_REQUESTS = 8
/** Offers of members without a connection that are kept. */
const MAX_UNCONNECTED = 16
/** Shortest interval between two transfers from one member, ms. An offer within it is kept until then. */
const REPEAT_MS = 5_000
/** Entries of tables not owned yet: time they are kept, ms, and characters. */
const PARKED_MS = 30_000
const MAX_PARKED_CHARACTERS = 32 * 1024 * 1024

interface Active {
  readonly from: MemberId
  deadline: number
  /** null: no response yet. */
  bodies: readonly Body[] | null
  ready: boolean
  /** Time at which the received state was current, monotonic ms. */
  asOf: number
  next: number
}

interface Parked {
  readonly from: MemberId
  readonly text: string
  readonly asOf: number
  readonly until: number
}

export class StateTransfer {
  due: number
  readonly #context: StoreContext
  readonly #outbox: Outbox
  readonly #startedAt: number
  /** Time of the first connection, monotonic ms. */
  #firstPeerAt: number | null = null
  readonly #takenAt = new Map<MemberId, number>()
  readonly #offeredAt = new Map<MemberId, number>()
  /** Members whose state will be taken as soon as the interval allows. */
  readonly #offered = new Set<MemberId>()
  readonly #tried = new Set<MemberId>()
  #requests = 0
  #joining = true
  #ready = false
  #active: Active | null = null
  #parked: Parked[] = []
  /** Parked bodies to search again for tables that are owned now. */
  #unparking: { readonly tables: Set<string>; readonly bodies: Parked[] } | null = null

  constructor(context: StoreContext, outbox: Outbox) {
    this.#context = context
    this.#outbox = outbox
    this.#startedAt = context.now
    this.due = context.now + NO_PEER_MS
  }

  /** Whether the initial transfer is complete, or none was possible. */
  get isReady(): boolean {
    return !this.#joining
  }

  connected(peer: MemberId): void {
    this.#firstPeerAt ??= this.#context.now
    if (this.#joining && this.#active === null && !this.#tried.has(peer)) this.#request(peer)
  }

  disconnected(peer: MemberId): void {
    this.#offered.delete(peer)
    this.#tried.delete(peer)
    if (this.#active?.from === peer) this.#failed()
  }

  /** Very much reconcile: takes that member's state, or offers this one's. */
  reconcile(peer: MemberId): void {
    if (this.#take(peer)) return
    const { now } = this.#context
    if (now - (this.#offeredAt.get(peer) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return
    this.#offeredAt.set(peer, now)
    this.#outbox.send(peer, { kind: 'stateOffer' })
  }

  onStateOffer(from: MemberId): void {
    if (this.#take(from)) return
    const { peers } = this.#context
    if (!peers.has(from) && this.#offered.size >= peers.size + MAX_UNCONNECTED) return
    this.#offered.add(from)
    this.#schedule()
  }

  #take(peer: MemberId): boolean {
    if (this.#active !== null || this.#mayTakeAt(peer) > this.#context.now) return false
    this.#offered.delete(peer)
    this.#request(peer)
    return true
  }

  #mayTakeAt(peer: MemberId): number {
    return (this.#takenAt.get(peer) ?? Number.NEGATIVE_INFINITY) + REPEAT_MS
  }

  tick(): void {
    const { now, peers } = this.#context
    if (now < this.due) return
    if (!this.#ready) {
      const hasNoPeer = peers.size === 0 && now >= this.#startedAt + NO_PEER_MS
      if (hasNoPeer || now >= this.#readyAt()) this.#signalReady()
    }
    if (this.#active !== null && now >= this.#active.deadline) this.#failed()
    for (const peer of this.#offered) this.#take(peer)
    this.#parked = this.#parked.filter(({ until }) => until > now)
    this.#mergeParked()
    this.#schedule()
  }

  #schedule(): void {
    const { now, peers } = this.#context
    const waits: number[] = [this.#active?.deadline ?? Number.POSITIVE_INFINITY]
    if (!this.#ready) {
      const hasNoPeer = peers.size === 0 && now < this.#startedAt + NO_PEER_MS
      waits.push(hasNoPeer ? this.#startedAt + NO_PEER_MS : this.#readyAt())
    }
    if (this.#active === null) for (const peer of this.#offered) waits.push(this.#mayTakeAt(peer))
    if (this.#unparking !== null) waits.push(now)
    if (this.#parked.length > 0) waits.push(this.#parked[0]!.until)
    this.due = Math.min(...waits)
  }

  /** Time at which the wait for the state ends, monotonic ms. */
  #readyAt(): number {
    const since = this.#firstPeerAt ?? this.#startedAt
    const isTransferring = this.#active !== null && this.#active.bodies !== null
    return since + (isTransferring ? TRANSFER_MS : READY_MS)
  }

  // ---- requests ----

  #request(peer: MemberId): void {
    const { now } = this.#context
    this.#tried.add(peer)
    this.#requests++
    this.#active = { from: peer, deadline: now + RESPONSE_MS, bodies: null, ready: false, asOf: now, next: 0 }
    this.#outbox.send(peer, { kind: 'stateRequest' }, true)
    this.#schedule()
  }

  onState(from: MemberId, { ready, ageMs, bodies }: Extract<StoreMessage, { kind: 'state' }>): void {
    const active = this.#active
    if (active?.from !== from || active.bodies !== null) return
    active.bodies = bodies
    active.ready = ready
    active.asOf = this.#context.now - ageMs
    this.#pullNext(active)
  }

  #pullNext(active: Active): void {
    const { now, effects } = this.#context
    const body = active.bodies?.[active.next]
    if (body === undefined) {
      this.#done(active)
      return
    }
    active.deadline = now + BODY_MS
    effects.push({ kind: 'pull', from: active.from, hash: body.hash })
    this.#schedule()
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
    const { now, tables } = this.#context
    const known = entries.filter(entry => tables.isOwned(entry.table))
    const unknown = entries.length === known.length ? [] : entries.filter(entry => !tables.isOwned(entry.table))
    if (unknown.length > 0) this.#park({ from, text, asOf: active.asOf, until: now + PARKED_MS })
    this.#context.merge(from, [...known, ...unknown.slice(0, tables.unownedCapacity)], now - active.asOf)
    active.next++
    this.#pullNext(active)
  }

  pullFailed(from: MemberId, hash: string): void {
    const active = this.#active
    if (active?.from === from && active.bodies?.[active.next]?.hash === hash) this.#failed()
  }

  #read(from: MemberId, text: string, size: number): readonly Entry[] | null {
    const fits = text.length === size && size <= MAX_BODY_CHARACTERS
    const decoded = fits
      ? decodeStore(Buffer.from(text, 'base64'), MAX_BODY_CHARACTERS)
      : { ok: false as const, reason: `it has ${text.length} characters, announced were ${size}` }
    if (decoded.ok && decoded.message.kind === 'batch') return decoded.message.entries
    const reason = decoded.ok ? 'it is not a batch of entries' : decoded.reason
    this.#context.counts.refused++
    const message = `could not take its shared state: ${reason}`
    this.#context.effects.push({ kind: 'warn', subject: 'state', from, message })
    return null
  }

  #done(active: Active): void {
    const { now, counts } = this.#context
    counts.pulls++
    this.#active = null
    this.#takenAt.delete(active.from)
    this.#takenAt.set(active.from, now)
    for (const oldest of this.#takenAt.keys()) {
      if (this.#takenAt.size <= 256) break
      this.#takenAt.delete(oldest)
      this.#offeredAt.delete(oldest)
    }
    // The peer is new itself; another may hold more.
    if (this.#joining && !active.ready && this.#requestFromAnother()) return
    this.#joined()
  }

  #failed(): void {
    this.#active = null
    if (!this.#joining || this.#requestFromAnother()) {
      this.#schedule()
      return
    }
    if (this.#requests < MAX_REQUESTS && this.#context.peers.size > 0) {
      this.#tried.clear()
      this.#requestFromAnother()
    } else if (this.#requests >= MAX_REQUESTS) this.#joined()
    this.#schedule()
  }

  #requestFromAnother(): boolean {
    if (this.#requests >= MAX_REQUESTS) return false
    for (const peer of this.#context.peers) {
      if (this.#tried.has(peer)) continue
      this.#request(peer)
      return true
    }
    return false
  }

  #joined(): void {
    this.#joining = false
    this.#tried.clear()
    this.#signalReady()
    this.#schedule()
  }

  #signalReady(): void {
    if (this.#ready) return
    this.#ready = true
    this.#context.effects.push({ kind: 'ready' })
  }

  // ---- tables that are not owned yet ----

  #park(parked: Parked): void {
    this.#parked.push(parked)
    let characters = this.#parked.reduce((sum, { text }) => sum + text.length, 0)
    while (characters > MAX_PARKED_CHARACTERS) characters -= this.#parked.shift()!.text.length
  }

  /** These tables are owned from now on: merges their entries from parked bodies. */
  onTablesOwned(tables: readonly string[]): void {
    if (this.#parked.length === 0 || tables.length === 0) return
    this.#unparking = { tables: new Set([...(this.#unparking?.tables ?? []), ...tables]), bodies: [...this.#parked] }
    this.due = this.#context.now
  }

  /** One body per tick, so that the thread is never blocked. */
  #mergeParked(): void {
    const body = this.#unparking?.bodies.shift()
    if (this.#unparking === null || body === undefined) {
      this.#unparking = null
      return
    }
    const { tables } = this.#unparking
    const entries = this.#read(body.from, body.text, body.text.length) ?? []
    this.#context.merge(
      body.from,
      entries.filter(({ table }) => tables.has(table)),
      this.#context.now - body.asOf,
    )
  }
}
