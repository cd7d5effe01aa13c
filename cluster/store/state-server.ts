// The whole state for those who ask: as a few bodies that are pulled as configurations are. They are made one at a time, so that
// the thread is never held up, kept for a while, and given to all who ask within some seconds.

import { createHash } from 'node:crypto'
import type { MemberId } from '../core/state.ts'
import { BatchWriter, type Body, type Cut, MOST_BODIES, MOST_ENTRIES } from './codec.ts'
import type { StoreWorld } from './context.ts'
import { isWithin } from './digest.ts'
import { batches, type Outgoing } from './outbox.ts'
import { entryOf, type Row, type Tables } from './tables.ts'

/** Bytes of one body, before base64. */
const BODY_BYTES = 768 * 1024
/** A large state that is no older is given to others too, though there were writes since, ms. */
const FRESH_MS = 500
/** It can be pulled for so long, ms. */
const KEPT_MS = 30_000
/** Characters of all that is kept; beyond it the oldest goes first, but for the last two states. */
const MOST_KEPT = 48 * 1024 * 1024
const LOOK_MS = 1_000

interface State {
  readonly at: number
  /** Of the tables, when it was begun. */
  readonly version: number
  /** The last stamp then. */
  readonly cut: Cut
  readonly bodies: Body[]
}

interface Making extends State {
  readonly rows: Iterator<Row, undefined>
  /** Did not fit into the body before. */
  held: Row | null
}

export class Serving {
  due = Number.POSITIVE_INFINITY
  readonly #world: StoreWorld
  readonly #outgoing: Outgoing
  /** As far as is known, this is all there is. */
  readonly #isReady: () => boolean
  readonly #texts = new Map<string, { readonly text: string; until: number }>()
  readonly #askers = new Set<MemberId>()
  #state: State | null = null
  #before: State | null = null
  #making: Making | null = null

  constructor(world: StoreWorld, outgoing: Outgoing, isReady: () => boolean) {
    this.#world = world
    this.#outgoing = outgoing
    this.#isReady = isReady
  }

  bodyOf(hash: string): string | null {
    return this.#texts.get(hash)?.text ?? null
  }

  onAsk(from: MemberId): void {
    const { now, tables, clock } = this.#world
    if (this.#state !== null && this.#isFresh(this.#state)) {
      this.#answer(from, this.#state)
      return
    }
    this.#askers.add(from)
    this.#making ??= { at: now, version: tables.version, cut: clock.last, bodies: [], rows: smallTablesFirst(tables), held: null }
    this.due = now
  }

  #isFresh({ at, version }: State): boolean {
    const { now, tables } = this.#world
    const ageMs = now - at
    return version === tables.version ? ageMs < KEPT_MS : ageMs < FRESH_MS && tables.rows > MOST_ENTRIES
  }

  tick(): void {
    const { now } = this.#world
    if (now < this.due) return
    if (this.#making !== null) this.#make(this.#making)
    for (const [hash, { until }] of this.#texts) if (until <= now) this.#texts.delete(hash)
    this.due = this.#making !== null ? now : this.#texts.size > 0 ? now + LOOK_MS : Number.POSITIVE_INFINITY
  }

  /** One body. */
  #make(state: Making): void {
    const { now } = this.#world
    const batch = new BatchWriter(false, BODY_BYTES)
    let over = state.bodies.length >= MOST_BODIES
    while (!over) {
      const row = state.held ?? state.rows.next().value
      state.held = null
      if (row === undefined) over = true
      else if (row.until > now && !batch.add(entryOf(row, now))) {
        state.held = row
        break
      }
    }
    if (batch.count > 0) {
      const text = Buffer.from(batch.done()).toString('base64')
      const hash = createHash('sha256').update(text).digest('hex')
      this.#texts.set(hash, { text, until: now + KEPT_MS })
      state.bodies.push({ hash, size: text.length })
    }
    if (!over) return
    this.#making = null
    this.#before = this.#state
    this.#state = state
    this.#forget()
    for (const { hash } of state.bodies) this.#texts.get(hash)!.until = now + KEPT_MS
    for (const asker of this.#askers) this.#answer(asker, state)
    this.#askers.clear()
  }

  /** Whoever asks while there are writes makes a state of his own; all of them for KEPT_MS are too much. */
  #forget(): void {
    let characters = 0
    for (const { text } of this.#texts.values()) characters += text.length
    if (characters <= MOST_KEPT) return
    const last = new Set([this.#before, this.#state].flatMap(state => state?.bodies.map(({ hash }) => hash) ?? []))
    for (const [hash, { text }] of this.#texts) {
      if (characters <= MOST_KEPT) return
      if (!last.has(hash) && this.#texts.delete(hash)) characters -= text.length
    }
  }

  /** What was written since it was begun follows: gossip has told it to those only who were connected already. */
  #answer(to: MemberId, { at, bodies, version, cut }: State): void {
    const ageMs = Math.ceil(this.#world.now - at)
    for (const { hash } of bodies) this.#texts.get(hash)!.until = this.#world.now + KEPT_MS
    this.#world.counts.served++
    this.#outgoing.say(to, { kind: 'state', ready: this.#isReady(), ageMs, bodies }, true)
    const { tables } = this.#world
    if (tables.version === version) return
    const since: Row[] = []
    for (const row of smallTablesFirst(tables)) if (!isWithin(row, cut)) since.push(row)
    // Much more than that cannot be: comparing finds it.
    if (since.length > 0) this.#outgoing.tell(batches(this.#world, to, since.slice(0, MOST_ENTRIES)))
  }
}

function* smallTablesFirst(tables: Tables): Generator<Row, undefined> {
  for (const table of [...tables.all.values()].sort((a, b) => a.rows.size - b.rows.size)) yield* table.rows.values()
  return undefined
}
