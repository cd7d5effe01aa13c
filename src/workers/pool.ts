// The control thread's side of the data workers: starts them, sends each the newest snapshot, distributes what one of them has
// detected (ejections, unreachable services), writes their log lines, restarts a worker that dies, and drains them all.

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

/** Delay before a dead worker is restarted, which bounds the rate if it dies at once every time. */
const RESTART_MS = 500
/** Bounds the log lines about servers that other replicas have ejected. */
const MAX_REMOTE_EJECTION_LINES = 50
const REMOTE_EJECTION_WINDOW_MS = 10_000

interface Slot {
  worker: Worker
  ready: boolean
  hash: string
}

export interface WorkerSharedState {
  fromWorker(index: number, message: SharedFromWorker): void
  seed(post: (message: ToWorker) => void): void
  /** Called when a data worker has ended. */
  workerExited?(index: number): void
}

export class WorkerPool {
  readonly counters: SharedArrayBuffer
  /** Ids of ejected servers by service, as last reported by the workers. */
  readonly ejected = new Map<string, Set<string>>()
  /** The shared state (src/shared-state/): handles the workers' messages about it and seeds new workers. */
  sharing: WorkerSharedState | null = null
  /** Called when the set of unreachable services (`relaying`) has changed. */
  onUnreachableChange: () => void = () => {}
  private readonly options: DataPlaneOptions
  private readonly log: Logger
  /** Workers whose code is loaded and which do not listen yet. */
  private readonly preloaded = new Map<number, Worker>()
  private readonly slots: (Slot | null)[]
  private readonly serviceSlots = new Map<string, number>()
  private readonly freeSlots: number[] = []
  /** Servers marked by setReassigned(). */
  private readonly reassigned = new Map<string, { service: string; server: string }>()
  private readonly unhealthy = new Map<string, { service: string; server: string; unreachable: boolean }>()
  /** Called when a server was ejected because it accepts no connections or resets them. */
  onServerLost: () => void = () => {}
  private readonly relayedServices: RelayedServices
  private readonly remoteEjectionLines = new LogLimit(MAX_REMOTE_EJECTION_LINES, REMOTE_EJECTION_WINDOW_MS)
  private peers: readonly RelayPeer[] = []
  private snapshot: Snapshot | null = null
  /** null: the key in the options is used. */
  private sessionKey: string | null = null
  private ports: Record<string, number> | null = null
  /** `drainAnnounced`: during the drain delay, still accepting; `draining`: no longer accepting. */
  private drainAnnounced = false
  private draining = false
  private nextSlot = 1

  constructor(options: DataPlaneOptions, workers: number, log: Logger) {
    this.options = options
    this.log = log
    this.counters = createCounters(workers)
    this.slots = new Array<Slot | null>(workers).fill(null)
    this.relayedServices = new RelayedServices(
      () => performance.now(),
      service => readCounters(this.counters, this.slotOf(service)).relayedOut,
    )
  }

  /** Loads the workers' code before there is a configuration, so that start() only has to listen. */
  preload(): void {
    this.slots.forEach((_, index) => {
      const worker = this.spawn(index)
      this.preloaded.set(index, worker)
      // start() creates a failed worker again and reports the error.
      worker.on('error', () => this.preloaded.delete(index))
      worker.on('exit', () => this.preloaded.delete(index))
    })
  }

  /** Starts all workers and listens. Rejects with an error that names the entry point whose address cannot be listened on. */
  async start(): Promise<Readonly<Record<string, number>>> {
    await this.startWorker(0)
    await Promise.all(this.slots.slice(1).map((_, i) => this.startWorker(i + 1)))
    return this.ports ?? {}
  }

  get alive(): number {
    return this.slots.filter(slot => slot?.ready).length
  }

  /** True if every worker routes by this snapshot. */
  hasApplied(hash: string): boolean {
    return this.slots.every(slot => slot?.hash === hash)
  }

  apply(snapshot: Snapshot): void {
    this.snapshot = snapshot
    this.assignSlots(Object.keys(snapshot.services))
    this.forgetRemoved(snapshot)
    this.broadcast(this.snapshotMessage(snapshot))
  }

  /** Hashes sessions with this key from now on (Runtime.setSessionKey), and sends all known sessions again. */
  setSessionKey(key: string): void {
    this.sessionKey = key
    this.broadcast({ kind: 'sessionKey', key })
    this.sharing?.seed(message => this.broadcast(message))
  }

  slotOf(service: string): number {
    return this.serviceSlots.get(service) ?? 0
  }

  /** `unreachable`: the server is unhealthy because no connection can be opened from here. */
  setHealth(service: string, server: string, healthy: boolean, unreachable = false): void {
    const key = `${service} ${server}`
    if (healthy) this.unhealthy.delete(key)
    else this.unhealthy.set(key, { service, server, unreachable })
    this.broadcast({ kind: 'health', service, server, healthy: healthy && !this.reassigned.has(key), unreachable })
  }

  /** `reassigned`: its address belongs to another task (control/task-addresses.ts), so it gets no requests, whatever its checks say. */
  setReassigned(service: string, server: string, reassigned: boolean): void {
    const key = `${service} ${server}`
    if (reassigned) this.reassigned.set(key, { service, server })
    else this.reassigned.delete(key)
    const failed = this.unhealthy.get(key)
    const healthy = !reassigned && failed === undefined
    this.broadcast({ kind: 'health', service, server, healthy, unreachable: !reassigned && failed?.unreachable === true })
  }

  /** Sets the peers through which requests may be relayed; always the whole list. */
  setRelays(peers: readonly RelayPeer[]): void {
    this.peers = peers
    this.broadcast({ kind: 'relays', peers })
  }

  /** Services that cannot be reached from here, by name; `through` is '' if no peer can take their requests either. */
  get relaying(): ReadonlyMap<string, RelayReport> {
    return this.relayedServices.reports()
  }

  relayCounts(): RelayCounts & { readonly strangers: number } {
    const sum = (field: number) => sumAllSlots(this.counters, field)
    return { out: sum(RELAYED_OUT), in: sum(RELAYED_IN), failed: sum(RELAY_FAILED), strangers: sum(RELAY_UNAUTHENTICATED) }
  }

  isHealthy(service: string, server: string): boolean {
    const key = `${service} ${server}`
    return !this.unhealthy.has(key) && !this.reassigned.has(key)
  }

  /**
   * Accepts for another `delayMs`, during which pings answer 503 and responses close their connections. Then stops accepting, lets
   * requests in flight finish for at most `graceMs`, and ends the workers.
   */
  async stop(graceMs: number, delayMs = 0): Promise<void> {
    if (delayMs > 0 && this.alive > 0) {
      this.drainAnnounced = true
      this.broadcast({ kind: 'announceDrain' })
      // ref: false: the workers keep the process alive meanwhile.
      await delay(delayMs, undefined, { ref: false })
    }
    this.draining = true
    await Promise.all([...this.preloaded.values()].map(worker => worker.terminate()))
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

  /** Forgets the state of servers that the snapshot no longer has. */
  private forgetRemoved(snapshot: Snapshot): void {
    const known = (service: string, server: string) =>
      Object.hasOwn(snapshot.services, service) && snapshot.services[service]!.servers.some(s => s.id === server)
    for (const marked of [this.unhealthy, this.reassigned])
      for (const [key, { service, server }] of marked) if (!known(service, server)) marked.delete(key)
    for (const [service, servers] of this.ejected) {
      for (const server of servers) if (!known(service, server)) servers.delete(server)
      if (servers.size === 0) this.ejected.delete(service)
    }
    if (this.relayedServices.keepOnly(service => Object.hasOwn(snapshot.services, service))) this.onUnreachableChange()
  }

  private spawn(index: number): Worker {
    const start: WorkerStart = { index, options: this.options, counters: this.counters }
    const url = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)
    return new Worker(url, { workerData: start, name: `data-${index}` })
  }

  private startWorker(index: number): Promise<void> {
    const worker = this.preloaded.get(index) ?? this.spawn(index)
    this.preloaded.delete(index)
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
        reject(new Error(`a data worker exited with code ${code} before it listened`))
        this.onExit(index, slot, code)
      })
      if (this.peers.length > 0) worker.postMessage({ kind: 'relays', peers: this.peers } satisfies ToWorker)
      if (this.sessionKey !== null) worker.postMessage({ kind: 'sessionKey', key: this.sessionKey } satisfies ToWorker)
      if (this.snapshot !== null) this.seed(worker, this.snapshot)
      if (this.drainAnnounced) worker.postMessage({ kind: 'announceDrain' } satisfies ToWorker)
      worker.postMessage({ kind: 'listen', ports: this.ports ?? {} } satisfies ToWorker)
    })
  }

  /** Sends a new worker the state that the others have, before it listens. */
  private seed(worker: Worker, snapshot: Snapshot): void {
    worker.postMessage(this.snapshotMessage(snapshot))
    for (const { service, server, unreachable } of this.unhealthy.values()) {
      worker.postMessage({ kind: 'health', service, server, healthy: false, unreachable } satisfies ToWorker)
    }
    for (const { service, server } of this.reassigned.values()) {
      worker.postMessage({ kind: 'health', service, server, healthy: false, unreachable: false } satisfies ToWorker)
    }
    for (const [service, cause] of this.relayedServices.causes()) {
      worker.postMessage({ kind: 'serviceReach', service, reachable: false, cause } satisfies ToWorker)
    }
    this.sharing?.seed(message => worker.postMessage(message))
  }

  private onExit(index: number, slot: Slot, code: number): void {
    if (this.slots[index] !== slot) return
    this.slots[index] = null
    for (const [service, change] of this.relayedServices.forgetWorker(index)) this.logRelayChange(service, change)
    this.sharing?.workerExited?.(index)
    if (this.draining || !slot.ready) return
    this.log.error({ worker: index, code }, 'a data worker exited and is restarted; the others keep serving')
    this.restart(index)
  }

  private restart(index: number): void {
    setTimeout(() => {
      if (this.draining) return
      this.startWorker(index).catch((error: Error) => {
        this.log.error({ worker: index, err: error }, 'cannot restart a data worker; trying again')
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
        this.onEjection(message)
        // An ejection that another replica reported has been sent to all workers already.
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
        this.onServiceReach(index, message)
        return
      case 'logs':
        for (const line of message.lines) this.log[line.level]({ worker: index, ...line.fields }, line.message)
        if (message.suppressed > 0) this.log.warn({ worker: index, suppressed: message.suppressed }, 'log lines were suppressed')
        return
      case 'access':
        process.stdout.write(message.text)
        return
      default:
        return
    }
  }

  /** All workers follow the first one that reports a change; it is logged once. */
  private onServiceReach(index: number, message: Extract<FromWorker, { kind: 'serviceReach' }>): void {
    const { service, reachable, cause } = message
    // A worker may be one snapshot behind. A removed service would stay unreachable for ever, because no worker reports it again.
    if (this.snapshot === null || !Object.hasOwn(this.snapshot.services, service)) return
    const change = this.relayedServices.note(index, message)
    if (change?.kind === 'relayed' || reachable) {
      const follow: ToWorker = { kind: 'serviceReach', service, reachable, cause }
      for (const [i, slot] of this.slots.entries()) if (i !== index) slot?.worker.postMessage(follow)
    }
    if (change !== null) this.logRelayChange(service, change)
  }

  private logRelayChange(service: string, change: RelayChange): void {
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

  private onEjection(message: Ejection): void {
    const { service, server, out, cause, by } = message
    let servers = this.ejected.get(service)
    if (servers === undefined) {
      servers = new Set()
      this.ejected.set(service, servers)
    }
    const fields = { service, server, address: this.addressOf(service, server) }
    if (out) {
      if (!servers.has(server)) {
        this.logEjection({ ...fields, cause }, by)
        if (cause !== 'errors' && cause !== 'late') this.onServerLost()
      }
      servers.add(server)
    } else if (servers.delete(server)) this.log.info(fields, 'server is available again')
  }

  private logEjection(fields: Readonly<Record<string, string | undefined>>, by: string): void {
    if (by === '') this.log.warn(fields, 'server ejected')
    else if (this.remoteEjectionLines.take(performance.now())) {
      const { suppressed } = this.remoteEjectionLines
      this.log.warn({ ...fields, by, ...(suppressed > 0 ? { suppressed } : {}) }, `server ejected, reported by ${by}`)
    }
  }

  /** The server's address, which is more useful in a log than the id of its task. */
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

  /** Sends to all workers, or to all except one. */
  broadcast(message: ToWorker, except = -1): void {
    for (const [index, slot] of this.slots.entries()) if (index !== except) slot?.worker.postMessage(message)
  }

  /** A service keeps its counter slot for as long as it exists. */
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
