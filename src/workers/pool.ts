// Control's side of the data workers: starts them, gives each the newest snapshot, restarts one that dies while the others serve,
// spreads what one has seen (ejections), writes their log lines, drains them all.

import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import { LogLimit } from '../../cluster/rate-limit.ts'
import type { RelayCounts, RelayReport } from '../admin/admin-source.ts'
import type { Snapshot } from '../config/model.ts'
import type { DataPlaneOptions } from '../options/options.ts'
import {
  createCounters,
  RELAY_FAILED,
  RELAY_UNAUTHENTICATED,
  RELAYED_IN,
  RELAYED_OUT,
  readCounters,
  SLOTS,
  sumAllSlots,
} from '../proxy/counters.ts'
import { hostAndPort, listenError } from '../util/listen-address.ts'
import {
  type Ejection,
  type FromWorker,
  RELAY_PORT,
  type RelayPeer,
  type SharedFromWorker,
  type ToWorker,
  type WorkerStart,
} from './messages.ts'
import { type RelayChange, RelayedServices } from './relayed-services.ts'

/** A worker that dies at once, again and again, is not restarted faster than this. */
const RESTART_MS = 500
/** Lines about servers that other replicas have ejected. */
const TOLD = { most: 50, withinMs: 10_000 }

interface Slot {
  worker: Worker
  ready: boolean
  hash: string
}

export interface WorkerSharedState {
  fromWorker(index: number, message: SharedFromWorker): void
  seed(post: (message: ToWorker) => void): void
  /** A data worker has ended. */
  workerExited?(index: number): void
}

export class WorkerPool {
  readonly counters: SharedArrayBuffer
  /** Ids of ejected servers by service, as last reported. */
  readonly ejected = new Map<string, Set<string>>()
  /** What data workers say of shared state, and what a new one must know (sharing/). */
  sharing: WorkerSharedState | null = null
  /** Called when the services that cannot be reached from here (`relaying`) have become others. */
  onUnreachableChange: () => void = () => {}
  private readonly options: DataPlaneOptions
  private readonly log: Logger
  /** Loaded, but not listening yet. */
  private readonly warmed = new Map<number, Worker>()
  private readonly slots: (Slot | null)[]
  private readonly serviceSlots = new Map<string, number>()
  private readonly freeSlots: number[] = []
  /** Servers marked by setReassigned(). */
  private readonly absent = new Map<string, { service: string; server: string }>()
  private readonly unhealthy = new Map<string, { service: string; server: string; unreachable: boolean }>()
  /** Called when a server was ejected because it takes no connections, or breaks them. */
  onServerLost: () => void = () => {}
  private readonly reach: RelayedServices
  private readonly told = new LogLimit(TOLD.most, TOLD.withinMs)
  private peers: readonly RelayPeer[] = []
  private snapshot: Snapshot | null = null
  /** null: the one of the options. */
  private sessionKey: string | null = null
  private ports: Record<string, number> | null = null
  /** `leaving`: within the drain delay, still accepting; `draining`: no longer accepting. */
  private leaving = false
  private draining = false
  private nextSlot = 1

  constructor(options: DataPlaneOptions, workers: number, log: Logger) {
    this.options = options
    this.log = log
    this.counters = createCounters(workers)
    this.slots = new Array<Slot | null>(workers).fill(null)
    this.reach = new RelayedServices(
      () => performance.now(),
      service => readCounters(this.counters, this.slotOf(service)).relayedOut,
    )
  }

  /** Loads the workers' code while there is nothing to serve yet, so that start() has only to listen. */
  preload(): void {
    this.slots.forEach((_, index) => {
      const worker = this.spawn(index)
      this.warmed.set(index, worker)
      // One that fails is made anew by start(), which tells why.
      worker.on('error', () => this.warmed.delete(index))
      worker.on('exit', () => this.warmed.delete(index))
    })
  }

  /** Starts all workers and begins to listen. Rejects with an error that names the entry point whose address cannot be had. */
  async start(): Promise<Readonly<Record<string, number>>> {
    await this.startWorker(0)
    await Promise.all(this.slots.slice(1).map((_, i) => this.startWorker(i + 1)))
    return this.ports ?? {}
  }

  get alive(): number {
    return this.slots.filter(slot => slot?.ready).length
  }

  /** Every worker routes by this snapshot. */
  hasApplied(hash: string): boolean {
    return this.slots.every(slot => slot?.hash === hash)
  }

  apply(snapshot: Snapshot): void {
    this.snapshot = snapshot
    this.assignSlots(Object.keys(snapshot.services))
    this.forgetAbsent(snapshot)
    this.broadcast(this.snapshotMessage(snapshot))
  }

  /** Sessions are made under this key from now on (Runtime.setSessionKey); all known sessions are sent anew. */
  setSessionKey(key: string): void {
    this.sessionKey = key
    this.broadcast({ kind: 'sessionKey', key })
    this.sharing?.seed(message => this.broadcast(message))
  }

  slotOf(service: string): number {
    return this.serviceSlots.get(service) ?? 0
  }

  /** `unreachable`: it is not healthy because it cannot be connected to from here. */
  setHealth(service: string, server: string, healthy: boolean, unreachable = false): void {
    const key = `${service} ${server}`
    if (healthy) this.unhealthy.delete(key)
    else this.unhealthy.set(key, { service, server, unreachable })
    this.broadcast({ kind: 'health', service, server, healthy: healthy && !this.absent.has(key), unreachable })
  }

  /** Its task has ended (task-names.ts): it gets no request, whatever its checks say. */
  setReassigned(service: string, server: string, absent: boolean): void {
    const key = `${service} ${server}`
    if (absent) this.absent.set(key, { service, server })
    else this.absent.delete(key)
    const seen = this.unhealthy.get(key)
    const healthy = !absent && seen === undefined
    this.broadcast({ kind: 'health', service, server, healthy, unreachable: !absent && seen?.unreachable === true })
  }

  /** Peers that requests may be relayed through; the whole list each time. */
  setRelays(peers: readonly RelayPeer[]): void {
    this.peers = peers
    this.broadcast({ kind: 'relays', peers })
  }

  /** Services that cannot be reached from here, by name; `through` is '' where no peer can take their requests either. */
  get relaying(): ReadonlyMap<string, RelayReport> {
    return this.reach.reports()
  }

  relayCounts(): RelayCounts & { readonly strangers: number } {
    const sum = (field: number) => sumAllSlots(this.counters, field)
    return { out: sum(RELAYED_OUT), in: sum(RELAYED_IN), failed: sum(RELAY_FAILED), strangers: sum(RELAY_UNAUTHENTICATED) }
  }

  isHealthy(service: string, server: string): boolean {
    const key = `${service} ${server}`
    return !this.unhealthy.has(key) && !this.absent.has(key)
  }

  /**
   * Goes on accepting for `delayMs`, in which pings say 503 and answers close their connections; then stops accepting, lets what
   * is in flight finish for at most `graceMs`, and ends the workers.
   */
  async stop(graceMs: number, delayMs = 0): Promise<void> {
    if (delayMs > 0 && this.alive > 0) {
      this.leaving = true
      this.broadcast({ kind: 'announceDrain' })
      // The workers keep the process alive meanwhile.
      await delay(delayMs, undefined, { ref: false })
    }
    this.draining = true
    await Promise.all([...this.warmed.values()].map(worker => worker.terminate()))
    await Promise.all(
      this.slots.map(async (slot, index) => {
        if (slot === null) return
        await new Promise<void>(resolve => {
          slot.worker.on('message', (message: FromWorker) => {
            if (message.kind === 'drained') resolve()
          })
          slot.worker.on('exit', () => resolve())
          slot.worker.postMessage({ kind: 'drain', graceMs } satisfies ToWorker)
          setTimeout(resolve, graceMs + 2000).unref()
        })
        await slot.worker.terminate()
        this.slots[index] = null
      }),
    )
  }

  /** What was seen of servers that are no longer there. */
  private forgetAbsent(snapshot: Snapshot): void {
    const known = (service: string, server: string) =>
      Object.hasOwn(snapshot.services, service) && snapshot.services[service]!.servers.some(s => s.id === server)
    for (const seen of [this.unhealthy, this.absent])
      for (const [key, { service, server }] of seen) if (!known(service, server)) seen.delete(key)
    for (const [service, servers] of this.ejected) {
      for (const server of servers) if (!known(service, server)) servers.delete(server)
      if (servers.size === 0) this.ejected.delete(service)
    }
    if (this.reach.keepOnly(service => Object.hasOwn(snapshot.services, service))) this.onUnreachableChange()
  }

  private spawn(index: number): Worker {
    const start: WorkerStart = { index, options: this.options, counters: this.counters }
    const url = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)
    return new Worker(url, { workerData: start, name: `data-${index}` })
  }

  private startWorker(index: number): Promise<void> {
    const worker = this.warmed.get(index) ?? this.spawn(index)
    this.warmed.delete(index)
    const slot: Slot = { worker, ready: false, hash: '' }
    this.slots[index] = slot
    return new Promise((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'listening') {
          this.ports ??= message.ports
          slot.ready = true
          resolve()
        } else if (message.kind === 'failed') {
          const { what, host, port } = this.addressFor(message.entryPoint)
          void worker.terminate()
          reject(listenError(what, host, port, message))
        } else this.onMessage(index, slot, message)
      })
      worker.on('error', (error: unknown) => {
        this.log.error({ worker: index, err: error }, 'a data worker failed')
        reject(error instanceof Error ? error : new Error(String(error)))
      })
      worker.on('exit', code => {
        reject(new Error(`a data worker ended with code ${code} before it listened`))
        this.onExit(index, slot, code)
      })
      if (this.peers.length > 0) worker.postMessage({ kind: 'relays', peers: this.peers } satisfies ToWorker)
      if (this.sessionKey !== null) worker.postMessage({ kind: 'sessionKey', key: this.sessionKey } satisfies ToWorker)
      if (this.snapshot !== null) this.seed(worker, this.snapshot)
      if (this.leaving) worker.postMessage({ kind: 'announceDrain' } satisfies ToWorker)
      worker.postMessage({ kind: 'listen', ports: this.ports ?? {} } satisfies ToWorker)
    })
  }

  /** A new worker gets all that the others know before it listens. */
  private seed(worker: Worker, snapshot: Snapshot): void {
    worker.postMessage(this.snapshotMessage(snapshot))
    for (const { service, server, unreachable } of this.unhealthy.values()) {
      worker.postMessage({ kind: 'health', service, server, healthy: false, unreachable } satisfies ToWorker)
    }
    for (const { service, server } of this.absent.values()) {
      worker.postMessage({ kind: 'health', service, server, healthy: false, unreachable: false } satisfies ToWorker)
    }
    for (const [service, cause] of this.reach.causes()) {
      worker.postMessage({ kind: 'serviceReach', service, reachable: false, cause } satisfies ToWorker)
    }
    this.sharing?.seed(message => worker.postMessage(message))
  }

  private onExit(index: number, slot: Slot, code: number): void {
    if (this.slots[index] !== slot) return
    this.slots[index] = null
    for (const [service, change] of this.reach.forgetWorker(index)) this.tellReach(service, change)
    this.sharing?.workerExited?.(index)
    if (this.draining || !slot.ready) return
    this.log.error({ worker: index, code }, 'a data worker ended; the others serve while it is started anew')
    this.restart(index)
  }

  private restart(index: number): void {
    setTimeout(() => {
      if (this.draining) return
      this.startWorker(index).catch((error: Error) => {
        this.log.error({ worker: index, err: error }, 'a data worker could not be started again')
        this.restart(index)
      })
    }, RESTART_MS)
  }

  private onMessage(index: number, slot: Slot, message: FromWorker): void {
    switch (message.kind) {
      case 'applied':
        slot.hash = message.hash
        return
      case 'ejection': {
        this.noteEjection(message)
        // What another replica has said all workers were told.
        if (message.by === '') this.broadcast(message, index)
        this.sharing?.fromWorker(index, message)
        return
      }
      case 'sessions':
      case 'claim':
      case 'outcomes':
      case 'probing':
      case 'probed':
      case 'healthReport':
      case 'reachQuery':
      case 'reachAnswer':
        this.sharing?.fromWorker(index, message)
        return
      case 'serviceReach':
        this.onReach(index, message)
        return
      case 'logs':
        for (const line of message.lines) this.log[line.level]({ worker: index, ...line.fields }, line.message)
        if (message.suppressed > 0) this.log.warn({ worker: index, suppressed: message.suppressed }, 'log lines were left out')
        return
      case 'access':
        process.stdout.write(message.text)
        return
      default:
        return
    }
  }

  /** What one finds all follow; the log says it once. */
  private onReach(index: number, message: Extract<FromWorker, { kind: 'serviceReach' }>): void {
    const { service, reachable, cause } = message
    // A worker may be a snapshot behind: of what is gone nobody would ever hear that it is back.
    if (this.snapshot === null || !Object.hasOwn(this.snapshot.services, service)) return
    const change = this.reach.note(index, message)
    if (change?.kind === 'relayed' || reachable) {
      const follow: ToWorker = { kind: 'serviceReach', service, reachable, cause }
      for (const [i, slot] of this.slots.entries()) if (i !== index) slot?.worker.postMessage(follow)
    }
    if (change !== null) this.tellReach(service, change)
  }

  private tellReach(service: string, change: RelayChange): void {
    if (change.kind === 'reachable') {
      const { forMs, requests } = change
      this.log.info({ service, forMs, requests }, `service ${service} can be reached again: ${requests} requests were relayed`)
    } else {
      const { cause, through } = change
      const servers = this.snapshot?.services[service]?.servers.filter(server => server.state === 'active').length ?? 0
      const none = `none of its ${servers} servers can be reached from here (${cause})`
      if (through === '') this.log.warn({ service, cause }, `service ${service}: ${none}, and no peer can take its requests`)
      else this.log.warn({ service, cause, through }, `service ${service} is relayed through ${through}: ${none}`)
    }
    if (change.kind !== 'peerChanged') this.onUnreachableChange()
  }

  private addressFor(name: string): { what: string; host: string; port: number } {
    const { relay } = this.options
    if (name === RELAY_PORT && relay.listen !== null) return { what: 'relay', ...relay.listen }
    const { host, port } = this.options.entryPoints.find(e => e.name === name)!
    return { what: `entry point ${name}`, host, port }
  }

  private noteEjection(message: Ejection): void {
    const { service, server, out, cause, by } = message
    let servers = this.ejected.get(service)
    if (servers === undefined) {
      servers = new Set()
      this.ejected.set(service, servers)
    }
    const fields = { service, server, address: this.addressOf(service, server) }
    if (out) {
      if (!servers.has(server)) {
        this.tellEjected({ ...fields, cause }, by)
        if (cause !== 'errors' && cause !== 'late') this.onServerLost()
      }
      servers.add(server)
    } else if (servers.delete(server)) this.log.info(fields, 'server is back')
  }

  private tellEjected(fields: Readonly<Record<string, string | undefined>>, by: string): void {
    if (by === '') this.log.warn(fields, 'server ejected')
    else if (this.told.take(performance.now())) {
      const { suppressed } = this.told
      this.log.warn({ ...fields, by, ...(suppressed > 0 ? { suppressed } : {}) }, `server ejected, as ${by} had found`)
    }
  }

  /** For people, who look for addresses and nodes, not for the ids of tasks. */
  private addressOf(service: string, id: string): string | undefined {
    const services = this.snapshot?.services ?? {}
    const server = Object.hasOwn(services, service) ? services[service]?.servers.find(one => one.id === id) : undefined
    return server === undefined ? undefined : hostAndPort(server.host, server.port)
  }

  private snapshotMessage(snapshot: Snapshot): ToWorker {
    return { kind: 'snapshot', snapshot, slots: this.serviceSlots }
  }

  postTo(index: number, message: ToWorker): void {
    this.slots[index]?.worker.postMessage(message)
  }

  /** To all workers, or to all but one. */
  broadcast(message: ToWorker, except = -1): void {
    for (const [index, slot] of this.slots.entries()) if (index !== except) slot?.worker.postMessage(message)
  }

  /** A service keeps its counters for as long as it exists. */
  private assignSlots(names: readonly string[]): void {
    const wanted = new Set(names)
    for (const [name, slot] of this.serviceSlots) {
      if (wanted.has(name)) continue
      this.serviceSlots.delete(name)
      if (slot !== SLOTS - 1) this.freeSlots.push(slot)
    }
    for (const name of names) {
      if (this.serviceSlots.has(name)) continue
      const slot = this.freeSlots.pop() ?? (this.nextSlot < SLOTS - 1 ? this.nextSlot++ : SLOTS - 1)
      this.serviceSlots.set(name, slot)
    }
  }
}
