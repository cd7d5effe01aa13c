// Members of a cluster that share circuit breakers, each with one or more data workers, on a virtual clock: real memory stores
// connected by hand, real worker gates, and requests that consist of their outcome. Not a test itself.

import { mock } from 'node:test'
import { type Logger, pino } from 'pino'
import { memoryStore } from '../../../../cluster/store/memory.ts'
import type { Entry, InnerStore } from '../../../../cluster/store/model.ts'
import type { BreakerReport } from '../../../../src/admin/admin-source.ts'
import type { Breaker, Snapshot } from '../../../../src/config/model.ts'
import type { BreakerRequest } from '../../../../src/proxy/breaker/service-breaker.ts'
import { ServiceBreaker } from '../../../../src/proxy/breaker/service-breaker.ts'
import { parseBreakerExpression } from '../../../../src/rules/breaker-expression.ts'
import { SharedBreakers } from '../../../../src/shared-state/breakers.ts'
import type { SharedStateHost } from '../../../../src/shared-state/part.ts'
import type { ToWorker } from '../../../../src/workers/messages.ts'
import { config, service } from '../../config/fixtures.ts'

/** Intervals of worker reports and store flushes, ms. */
const REPORT_MS = 100
const FLUSH_MS = 50
const STEP_MS = 10

export function breakerOf(expression: string, more: Partial<Breaker> = {}): Breaker {
  const parsed = parseBreakerExpression(expression)
  if (!parsed.ok) throw new Error(parsed.message)
  return { expression, when: parsed.when, minRequests: 10, openMs: 2_000, recoveryMs: 2_000, ...more }
}

export function snapshotWith(breakers: Readonly<Record<string, Breaker | null>>): Snapshot {
  const names = Object.keys(breakers)
  const services = Object.fromEntries(names.map(name => [name, service(name, { breaker: breakers[name]! })]))
  return { ...config(names, { services }), revision: { term: 0, leader: '', sequence: 1 }, hash: '' }
}

export interface Request {
  /** The breaker refused it; it has ended. */
  readonly refused: boolean
  readonly retryAfterS: number
  end(status: number, ms?: number): void
}

export class Member {
  readonly name: string
  readonly part: SharedBreakers
  readonly store: InnerStore
  readonly lines: string[] = []
  readonly written: Entry[] = []
  /** Number of times that counts were shared. */
  shares = 0
  alive = true
  /** Connected to the other members. */
  linked = true
  readonly gates: Map<string, ServiceBreaker>[]
  private readonly world: World
  private generation = 0

  constructor(world: World, name: string, workers: number) {
    this.world = world
    this.name = name
    this.store = memoryStore(
      `id-${name}`,
      () => world.nowMs,
      () => Date.now(),
    )
    this.store.onWrite = entry => {
      this.written.push(entry)
      if (entry.table === 'breaker-counts') this.shares++
    }
    this.gates = Array.from({ length: workers }, () => new Map())
    const log: Logger = pino({ level: 'info', base: null, timestamp: false }, { write: line => void this.lines.push(line) })
    const host: SharedStateHost = {
      store: this.store,
      log,
      post: message => this.gates.forEach((_, worker) => void this.toWorker(worker, message)),
      postTo: (worker, message) => this.toWorker(worker, message),
      now: () => world.nowMs,
      peers: () =>
        world.members
          .filter(member => member.alive)
          .map(member => ({ id: `id-${member.name}`, name: member.name, self: member === this })),
    }
    this.part = new SharedBreakers(host)
  }

  apply(snapshot: Snapshot): void {
    for (const gates of this.gates) {
      for (const name of gates.keys()) if (snapshot.services[name]?.breaker == null) gates.delete(name)
      for (const { name, breaker } of Object.values(snapshot.services)) {
        if (breaker !== null && !gates.has(name)) gates.set(name, new ServiceBreaker(name))
      }
    }
    this.store.setTables(new Map(this.part.tables(snapshot)))
    this.part.apply(snapshot)
  }

  request(name = 'shop', worker = 0, more: Partial<BreakerRequest> = {}): Request {
    const gate = this.gates[worker]!.get(name)!
    const own = { sends: 1, answered: false, status: 0, failed: false, middlewareFailed: false, service: null, ...more }
    const x = { admittedMs: this.world.nowMs, generation: ++this.generation, retryAfterS: 0, ...own }
    const events = this.events(worker)
    const admitted = gate.admit(x, events)
    return {
      refused: !admitted,
      retryAfterS: x.retryAfterS,
      end: (status, ms = 5) => {
        x.answered = status !== 499
        if (status === 101) gate.switched(x, events)
        else gate.finished(x, status, ms, events)
      },
    }
  }

  /**
   * Sends requests that end at once.
   * @returns the number of refused ones
   */
  ask(count: number, status: number, name = 'shop', worker = 0): number {
    let refused = 0
    for (let i = 0; i < count; i++) {
      const request = this.request(name, worker)
      if (request.refused) refused++
      request.end(status)
    }
    return refused
  }

  report(name = 'shop'): BreakerReport {
    return this.part.reports().find(report => report.service === name)!
  }

  get state(): BreakerReport['state'] {
    return this.report().state
  }

  /** Restarts a data worker. */
  restartWorker(worker: number, snapshot: Snapshot): void {
    const gates = this.gates[worker]!
    gates.clear()
    for (const { name, breaker } of Object.values(snapshot.services))
      if (breaker !== null) gates.set(name, new ServiceBreaker(name))
    this.part.seed(message => this.toWorker(worker, message))
  }

  tellOutcomes(): void {
    this.gates.forEach((gates, worker) => {
      const services = [...gates.values()].flatMap(gate => gate.report(this.world.nowMs, this.events(worker)) ?? [])
      if (services.length > 0) this.part.fromWorker(worker, { kind: 'outcomes', services })
    })
  }

  private events(worker: number) {
    return {
      probing: (name: string) => this.part.fromWorker(worker, { kind: 'probing', service: name }),
      probed: (name: string, status: number, ms: number, networkError: boolean) =>
        this.part.fromWorker(worker, { kind: 'probed', service: name, status, ms, networkError }),
    }
  }

  private toWorker(worker: number, message: ToWorker): void {
    if (message.kind === 'gate') this.gates[worker]?.get(message.service)?.setGate(message.gate, this.world.nowMs)
  }
}

export class World {
  nowMs = 0
  readonly members: Member[] = []

  constructor() {
    mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 })
  }

  join(name: string, snapshot: Snapshot, workers = 1): Member {
    const member = new Member(this, name, workers)
    this.members.push(member)
    // A new member takes the whole state first.
    const teacher = this.members.find(one => one !== member && one.alive)
    if (teacher !== undefined) member.store.merge([...teacher.store.allEntries()])
    member.apply(snapshot)
    return member
  }

  kill(member: Member): void {
    member.alive = false
    member.part.stop()
    for (const other of this.members) if (other.alive) other.part.members()
  }

  async pass(ms: number, each: () => void = () => {}): Promise<void> {
    for (const end = this.nowMs + ms; this.nowMs < end; ) {
      this.nowMs += STEP_MS
      mock.timers.tick(STEP_MS)
      each()
      if (this.nowMs % REPORT_MS === 0) for (const member of this.members) if (member.alive) member.tellOutcomes()
      if (this.nowMs % FLUSH_MS === 0) this.flush()
      // opossum applies a verdict through promises.
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** Delivers the writes of each member since the last call to all others. */
  flush(): void {
    for (const member of this.members) {
      if (!member.alive || !member.linked) continue
      const news = member.written.splice(0)
      for (const other of this.members) {
        if (other === member || !other.alive || !other.linked || news.length === 0) continue
        const won = other.store.merge(news)
        if (won.length > 0) other.part.changed(won)
      }
    }
  }

  end(): void {
    for (const member of this.members) member.part.stop()
    mock.timers.reset()
  }
}
