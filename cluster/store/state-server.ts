// Serves the whole state of a store to members that request it, as bodies that are pulled like configurations. Bodies are built
// one per tick, so that the thread is never blocked, kept for a while, and shared by all members that ask within some seconds.

import { createHash } from 'node:crypto'
import type { MemberId } from '../core/state.ts'
import { BatchWriter, type Body, type Cut, MAX_BODIES, MAX_ENTRIES } from './codec.ts'
import type { StoreContext } from './context.ts'
import { isWithin } from './digest.ts'
import { batchJob, type Outbox } from './outbox.ts'
import { entryOf, type Row, type Tables } from './tables.ts'

/** Bytes of a body, before base64. */
const BODY_BYTES = 768 * 1024
/** Age up to which a large state is served again although there were writes since, ms. */
const FRESH_MS = 500
/** Time during which a body can be pulled, ms. */
const KEPT_MS = 30_000
/** Characters of all kept bodies. Beyond it the oldest are dropped, except those of the last two states. */
const MAX_KEPT_CHARACTERS = 48 * 1024 * 1024
const EXPIRY_CHECK_MS = 1_000

interface State {
  readonly at: number
  /** Version of the tables when the state was started. */
  readonly version: number
  /** The last stamp at that time. */
  readonly cut: Cut
  readonly bodies: Body[]
}

interface BuildingState extends State {
  readonly rows: Iterator<Row, undefined>
  /** Row that did not fit into the previous body. */
  held: Row | null
}

export class StateServer {
  due = Number.POSITIVE_INFINITY
  readonly #context: StoreContext
  readonly #outbox: Outbox
  /** Whether this member has completed its own initial transfer. */
  readonly #isReady: () => boolean
  readonly #bodies = new Map<string, { readonly text: string; until: number }>()
  readonly #requesters = new Set<MemberId>()
  #state: State | null = null
  #previous: State | null = null
  #building: BuildingState | null = null

  constructor(context: StoreContext, outbox: Outbox, isReady: () => boolean) {
    this.#context = context
    this.#outbox = outbox
    this.#isReady = isReady
  }

  bodyOf(hash: string): string | null {
    return this.#bodies.get(hash)?.text ?? null
  }

  onStateRequest(from: MemberId): void {
    const { now, tables, clock } = this.#context
    if (this.#state !== null && this.#isFresh(this.#state)) {
      this.#sendState(from, this.#state)
      return
    }
    this.#requesters.add(from)
    this.#building ??= {
      at: now,
      version: tables.version,
      cut: clock.last,
      bodies: [],
      rows: smallTablesFirst(tables),
      held: null,
    }
    this.due = now
  }

  #isFresh({ at, version }: State): boolean {
    const { now, tables } = this.#context
    const ageMs = now - at
    return version === tables.version ? ageMs < KEPT_MS : ageMs < FRESH_MS && tables.rows > MAX_ENTRIES
  }

  tick(): void {
    const { now } = this.#context
    if (now < this.due) return
    if (this.#building !== null) this.#buildBody(this.#building)
    for (const [hash, { until }] of this.#bodies) if (until <= now) this.#bodies.delete(hash)
    this.due = this.#building !== null ? now : this.#bodies.size > 0 ? now + EXPIRY_CHECK_MS : Number.POSITIVE_INFINITY
  }

  /** Builds one body. */
  #buildBody(state: BuildingState): void {
    const { now } = this.#context
    const batch = new BatchWriter(false, BODY_BYTES)
    let complete = state.bodies.length >= MAX_BODIES
    while (!complete) {
      const row = state.held ?? state.rows.next().value
      state.held = null
      if (row === undefined) complete = true
      else if (row.until > now && !batch.add(entryOf(row, now))) {
        state.held = row
        break
      }
    }
    if (batch.count > 0) {
      const text = Buffer.from(batch.done()).toString('base64')
      const hash = createHash('sha256').update(text).digest('hex')
      this.#bodies.set(hash, { text, until: now + KEPT_MS })
      state.bodies.push({ hash, size: text.length })
    }
    if (!complete) return
    this.#building = null
    this.#previous = this.#state
    this.#state = state
    this.#dropOldBodies()
    for (const { hash } of state.bodies) this.#bodies.get(hash)!.until = now + KEPT_MS
    for (const requester of this.#requesters) this.#sendState(requester, state)
    this.#requesters.clear()
  }

  /** Requests during writes each create a new state. Bounds the memory that they take within KEPT_MS. */
  #dropOldBodies(): void {
    let characters = 0
    for (const { text } of this.#bodies.values()) characters += text.length
    if (characters <= MAX_KEPT_CHARACTERS) return
    const kept = new Set([this.#previous, this.#state].flatMap(state => state?.bodies.map(({ hash }) => hash) ?? []))
    for (const [hash, { text }] of this.#bodies) {
      if (characters <= MAX_KEPT_CHARACTERS) return
      if (!kept.has(hash) && this.#bodies.delete(hash)) characters -= text.length
    }
  }

  /**
   * Announces the bodies, then sends the rows written since the state was started: gossip sent those only to members that were
   * connected then.
   */
  #sendState(to: MemberId, { at, bodies, version, cut }: State): void {
    const ageMs = Math.ceil(this.#context.now - at)
    for (const { hash } of bodies) this.#bodies.get(hash)!.until = this.#context.now + KEPT_MS
    this.#context.counts.served++
    this.#outbox.send(to, { kind: 'state', ready: this.#isReady(), ageMs, bodies }, true)
    const { tables } = this.#context
    if (tables.version === version) return
    const since: Row[] = []
    for (const row of smallTablesFirst(tables)) if (!isWithin(row, cut)) since.push(row)
    // Anything beyond this is found by anti-entropy.
    if (since.length > 0) this.#outbox.enqueue(batchJob(this.#context, to, since.slice(0, MAX_ENTRIES)))
  }
}

function* smallTablesFirst(tables: Tables): Generator<Row, undefined> {
  for (const table of [...tables.all.values()].sort((a, b) => a.rows.size - b.rows.size)) yield* table.rows.values()
  return undefined
}
