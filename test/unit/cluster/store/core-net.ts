// Store cores on a virtual clock and network: every message arrives after some ms, unless the test says otherwise.

import { StoreCore, type StoreCoreOptions } from '../../../../cluster/store/core.ts'
import type { Entry } from '../../../../cluster/store/model.ts'
import { Random } from '../../../simulation/random.ts'

const WALL = 1_767_225_600_000
const DELAY_MS = 3
const STEP_MS = 5

export interface Node {
  readonly id: string
  readonly core: StoreCore
  readonly changed: Entry[]
  readonly warned: string[]
  readonly peers: Set<Node>
  ready: number | null
  wallMs: number
  /** Whether its messages carry clock readings, as those of this version do. */
  tellsClock: boolean
  /** Broadcasts, messages to single members, and requested pulls. */
  broadcasts: { at: number; data: Uint8Array }[]
  sends: { at: number; to: string; data: Uint8Array }[]
  pulls: number
}

export class Net {
  now = 0
  readonly nodes: Node[] = []
  /** Whether a message is lost. */
  lost: (from: Node, to: Node) => boolean = () => false
  /** Whether a pull fails. */
  pullFails: (from: Node, to: Node) => boolean = () => false
  readonly #random = new Random(1)
  #queue: { at: number; action: () => void }[] = []

  add(id: string, options: Partial<StoreCoreOptions> = {}, wallMs = 0): Node {
    const core = new StoreCore({
      origin: id,
      at: { now: this.now, wall: WALL + wallMs + this.now },
      random: () => this.#random.next(),
      ...options,
    })
    const node: Node = {
      id,
      core,
      changed: [],
      warned: [],
      peers: new Set(),
      ready: null,
      wallMs,
      tellsClock: true,
      broadcasts: [],
      sends: [],
      pulls: 0,
    }
    this.nodes.push(node)
    return node
  }

  at(node: Node): { now: number; wall: number } {
    return { now: this.now, wall: WALL + node.wallMs + this.now }
  }

  connect(a: Node, b: Node): void {
    a.peers.add(b)
    b.peers.add(a)
    this.give(a, { kind: 'connected', peer: b.id })
    this.give(b, { kind: 'connected', peer: a.id })
  }

  disconnect(a: Node, b: Node): void {
    a.peers.delete(b)
    b.peers.delete(a)
    this.give(a, { kind: 'disconnected', peer: b.id })
    this.give(b, { kind: 'disconnected', peer: a.id })
  }

  give(node: Node, event: Parameters<StoreCore['step']>[0]): void {
    node.core.step(event, this.at(node))
    for (const effect of node.core.take()) {
      switch (effect.kind) {
        case 'broadcast':
          node.broadcasts.push({ at: this.now, data: effect.data })
          for (const peer of node.peers) this.#carry(node, peer, effect.data)
          break
        case 'send': {
          node.sends.push({ at: this.now, to: effect.to, data: effect.data })
          const to = [...node.peers].find(({ id }) => id === effect.to)
          if (to !== undefined) this.#carry(node, to, effect.data)
          break
        }
        case 'pull': {
          node.pulls++
          const from = [...node.peers].find(({ id }) => id === effect.from)
          const { hash } = effect
          this.#later(() => {
            const body = from === undefined || this.pullFails(from, node) ? null : from.core.bodyOf(hash)
            if (body === null) this.give(node, { kind: 'pullFailed', from: effect.from, hash })
            else this.give(node, { kind: 'pulled', from: effect.from, hash, body })
          })
          break
        }
        case 'changed':
          node.changed.push(...effect.changes)
          break
        case 'warn':
          node.warned.push(`${effect.subject} ${effect.from}: ${effect.message}`)
          break
        case 'ready':
          node.ready = this.now
          break
      }
    }
  }

  #carry(from: Node, to: Node, data: Uint8Array): void {
    if (this.lost(from, to)) return
    const reading = from.tellsClock ? from.core.reading(this.at(from)) : null
    this.#later(() => {
      if (!to.peers.has(from)) return
      if (reading !== null) this.give(to, { kind: 'clock', from: from.id, reading })
      this.give(to, { kind: 'message', from: from.id, data })
    })
  }

  #later(action: () => void): void {
    this.#queue.push({ at: this.now + DELAY_MS, action })
  }

  run(ms: number): void {
    const until = this.now + ms
    while (this.now < until) {
      this.now += STEP_MS
      const due = this.#queue.filter(({ at }) => at <= this.now)
      this.#queue = this.#queue.filter(({ at }) => at > this.now)
      for (const { action } of due) action()
      for (const node of this.nodes) if (node.core.due <= this.now) this.give(node, { kind: 'tick' })
    }
  }

  put(node: Node, table: string, key: string, value: string, ttlMs = 3_600_000, rank: 0 | 1 = 1): Entry {
    return node.core.put(table, key, value, { ttlMs, rank }, this.at(node))
  }

  value(node: Node, table: string, key: string): string | null {
    return node.core.get(table, key, this.at(node))?.value ?? null
  }

  /** The live entries of a table, as text. */
  held(node: Node, table: string): readonly string[] {
    return [...node.core.entries(table, this.at(node))]
      .map(({ key, value, wall, count, origin }) => `${key}=${value} ${wall}/${count}/${origin}`)
      .sort()
  }

  own(table: string, cap = 100_000, nodes: readonly Node[] = this.nodes): void {
    for (const node of nodes) node.core.setTables(new Map([[table, cap]]), this.at(node))
  }
}
