// The state that the managers of an emulated swarm share: tables of immutable objects, one index that grows with every change (as in
// raft), and the swarm-scoped events of changes. Changes of tasks cause no events, as in a real swarm.

import { createHash, randomInt } from 'node:crypto'
import type { Timers } from './clock.ts'
import type { NodeObject, ServiceObject, SwarmEvent, SwarmNetwork, SwarmObject, TaskObject } from './docker-objects.ts'

export interface Tables {
  readonly nodes: ReadonlyMap<string, NodeObject>
  readonly services: ReadonlyMap<string, ServiceObject>
  readonly tasks: ReadonlyMap<string, TaskObject>
  readonly networks: ReadonlyMap<string, SwarmNetwork>
}

/** A new object without identity, version and times, which the store adds. */
export type Fresh<T extends SwarmObject> = Omit<T, keyof SwarmObject>

/** An event and the node that delivers it; null: every manager. */
export interface NodeEvent {
  readonly nodeId: string | null
  readonly event: SwarmEvent
}

const historyLimit = 256

export class Store implements Tables {
  readonly nodes = new Map<string, NodeObject>()
  readonly services = new Map<string, ServiceObject>()
  readonly tasks = new Map<string, TaskObject>()
  readonly networks = new Map<string, SwarmNetwork>()
  readonly #timers: Timers
  readonly #listeners = new Set<(event: NodeEvent) => void>()
  readonly #changeListeners = new Set<() => void>()
  readonly #history: NodeEvent[] = []
  #index = 10

  constructor(timers: Timers) {
    this.#timers = timers
  }

  /** The current time in RFC 3339 form with nanoseconds, as Go writes it. */
  timestamp(): string {
    const now = this.#timers.now()
    const whole = new Date(now).toISOString().slice(0, 23)
    const rest = Math.floor((now % 1) * 1e6)
    return `${whole}${String(rest).padStart(6, '0')}Z`
  }

  insert<T extends SwarmObject>(table: Map<string, T>, fresh: Fresh<T>, id = createId()): T {
    const now = this.timestamp()
    // The four added fields complete T by the definition of Fresh; TypeScript does not infer that through the generic Omit.
    const object = { ...fresh, ID: id, Version: { Index: ++this.#index }, CreatedAt: now, UpdatedAt: now } as unknown as T
    table.set(object.ID, object)
    this.#changed()
    return object
  }

  /** Replaces an object by one with `change` applied, a higher version and a new time; returns undefined if it does not exist. */
  update<T extends SwarmObject>(table: Map<string, T>, id: string, change: Partial<T> | ((old: T) => Partial<T>)): T | undefined {
    const old = table.get(id)
    if (old === undefined) return undefined
    const part = typeof change === 'function' ? change(old) : change
    const object = { ...old, ...part, ID: id, Version: { Index: ++this.#index }, UpdatedAt: this.timestamp() }
    table.set(id, object)
    this.#changed()
    return object
  }

  remove<T extends SwarmObject>(table: Map<string, T>, id: string): void {
    if (!table.delete(id)) return
    this.#index++
    this.#changed()
  }

  /** Publishes a swarm-scoped event, which every manager delivers. */
  emit(type: 'service' | 'node' | 'network', action: string, id: string, attributes: Readonly<Record<string, string>>): void {
    this.#publish(null, {
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      scope: 'swarm',
      ...this.#eventTime(),
    })
  }

  /** Publishes an event of a container, which only its own node delivers. */
  emitContainer(nodeId: string, action: string, id: string, attributes: Readonly<Record<string, string>>): void {
    this.#publish(nodeId, {
      Type: 'container',
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      scope: 'local',
      ...this.#eventTime(),
    })
  }

  /** The last events, oldest first. */
  history(): readonly NodeEvent[] {
    return this.#history
  }

  onEvent(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onChange(listener: () => void): () => void {
    this.#changeListeners.add(listener)
    return () => this.#changeListeners.delete(listener)
  }

  /** Resolves as soon as `holds` is true: at once, or after a later change. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve()
    return new Promise(resolve => {
      const stop = this.onChange(() => {
        if (!holds()) return
        stop()
        resolve()
      })
    })
  }

  /** A copy of the current tables, for a manager that answers from old state. */
  copy(): Tables {
    return {
      nodes: new Map(this.nodes),
      services: new Map(this.services),
      tasks: new Map(this.tasks),
      networks: new Map(this.networks),
    }
  }

  #publish(nodeId: string | null, event: SwarmEvent): void {
    const published = { nodeId, event }
    this.#history.push(published)
    if (this.#history.length > historyLimit) this.#history.shift()
    for (const listener of this.#listeners) listener(published)
  }

  #eventTime(): { time: number; timeNano: number } {
    const now = this.#timers.now()
    return { time: Math.floor(now / 1000), timeNano: Math.floor(now * 1000) * 1000 }
  }

  #changed(): void {
    for (const listener of [...this.#changeListeners]) listener()
  }
}

const idAlphabet = '0123456789abcdefghijklmnopqrstuvwxyz'

/** A random identifier: 25 characters of base 36, as in Swarm. */
export function createId(): string {
  return Array.from({ length: 25 }, () => idAlphabet[randomInt(36)]).join('')
}

/** An identifier derived from a text, the same in every run. */
export function idFrom(text: string): string {
  return BigInt(`0x${createHash('sha256').update(text).digest('hex')}`)
    .toString(36)
    .slice(0, 25)
}

/** A random container identifier: 64 hexadecimal digits. */
export function createContainerId(): string {
  return Array.from({ length: 64 }, () => idAlphabet[randomInt(16)]).join('')
}
