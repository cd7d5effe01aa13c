// Edges that share learned sessions like replicas, for tests: each has its own control side (shared-state/sessions.ts) over one
// board of stores, which forwards changes after `delayMs`.

import pino from 'pino'
import type { SharedStore } from '../../cluster/store/model.ts'
import type { Service, Snapshot } from '../../src/config/model.ts'
import { SharedSessions } from '../../src/shared-state/sessions.ts'
import type { ToWorker } from '../../src/workers/messages.ts'
import { Board } from '../unit/shared-state/board.ts'
import { until } from '../until.ts'
import { Backend, Edge, ok, type ServiceSketch, snapshotOf } from './harness.ts'
import { fieldOf, type Message, statusOf } from './raw-connection.ts'

export type Learn = NonNullable<Service['learn']>

export const learnCookie: Learn = { from: 'cookie', name: 'sid', ttlMs: 60_000, size: 1000, drain: 'move' }

const open: { stop(): void }[] = []

export class SharingEdge {
  readonly sharing: SharedSessions
  readonly edge: Edge
  readonly store: SharedStore

  constructor(edge: Edge, board: Board, alter: (store: SharedStore) => SharedStore = store => store) {
    this.edge = edge
    this.store = alter(board.join(edge.context.options.name, changes => this.sharing.changed(changes)))
    const post = (message: ToWorker) => {
      // Asynchronous and in order, as between threads.
      setImmediate(() => this.hear(message))
    }
    this.sharing = new SharedSessions({
      store: this.store,
      log: pino({ level: 'silent' }),
      post: (message, except) => void (except !== 0 && post(message)),
      postTo: (_index, message) => post(message),
      now: () => performance.now(),
      peers: () => [],
    })
    edge.onSessions = (service, rows) => setImmediate(() => this.sharing.fromWorker(0, { kind: 'sessions', service, ...rows }))
    edge.onClaim = claim => setImmediate(() => this.sharing.fromWorker(0, { kind: 'claim', ...claim }))
  }

  apply(snapshot: Snapshot): void {
    this.edge.apply(snapshot)
    this.sharing.apply(snapshot)
  }

  /** The name of the server that answers a request with these field lines. */
  async who(fields: string, path = '/'): Promise<string> {
    const answer = await this.ask(fields, path)
    if (statusOf(answer) !== 200) throw new Error(`answered ${statusOf(answer)}`)
    return answer.body.toString()
  }

  ask(fields: string, path = '/'): Promise<Message> {
    return this.edge.ask(`GET ${path} HTTP/1.1\r\nHost: app.test\r\n${fields}\r\n`)
  }

  private hear(message: ToWorker): void {
    const { sessions } = this.edge.forwarder
    if (message.kind === 'claimed') sessions.onClaimed(message.ticket)
    else if (message.kind === 'sessions')
      sessions.applyRemote(this.edge.runtime.services.get(message.service), message, performance.now())
  }
}

export interface ShareOptions {
  /** Time from a write until the others receive it. */
  readonly delayMs?: number
  readonly overrides?: Parameters<typeof Edge.start>[1]
  /** Session keys of each edge, if they differ. */
  readonly keys?: readonly (readonly string[])[]
  readonly alter?: (store: SharedStore) => SharedStore
}

/** Edges that serve the same snapshot. */
export async function sharingEdges(
  count: number,
  services: Readonly<Record<string, ServiceSketch>>,
  { delayMs = 5, overrides = {}, alter, keys }: ShareOptions = {},
): Promise<{ edges: SharingEdge[]; board: Board }> {
  const board = new Board()
  const timer = setInterval(() => board.flush(), delayMs)
  open.push({ stop: () => clearInterval(timer) })
  const edges: SharingEdge[] = []
  const snapshot = snapshotOf(services)
  for (let i = 1; i <= count; i++) {
    const edge = await Edge.start(services, {
      ...overrides,
      name: `edge-${i}`,
      ...(keys === undefined ? {} : { keys: keys[i - 1]! }),
    })
    open.push(edge)
    const one = new SharingEdge(edge, board, alter)
    one.apply(snapshot)
    edges.push(one)
  }
  return { edges, board }
}

/** Backends that answer with their names: the letters a, b, c ... */
export async function backends(count: number, fields: (name: string) => string = () => ''): Promise<Backend[]> {
  const all: Backend[] = []
  for (let i = 0; i < count; i++) all.push(await backendNamed(String.fromCharCode(97 + i), fields))
  return all
}

export async function backendNamed(name: string, fields: (name: string) => string = () => ''): Promise<Backend> {
  const backend = await Backend.start((_request, connection) => connection.write(ok(name, fields(name))))
  open.push(backend)
  return backend
}

/** The Set-Cookie of a response; null if there is none. */
export function setCookieOf(answer: Message): string | null {
  return fieldOf(answer.head, 'set-cookie') ?? null
}

export async function stopAll(): Promise<void> {
  const all = open.splice(0)
  try {
    for (const one of all) if (one instanceof Edge) await until('no request is in flight', () => one.isIdle)
  } finally {
    for (const one of all) one.stop()
  }
}
