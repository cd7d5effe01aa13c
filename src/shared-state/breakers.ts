// Circuit breakers of the whole cluster: counts of all members, one state, one prober. Connects workers, the store and the
// breakers themselves (breakers/shared-breaker.ts): routing of messages, rate of shared counts.

import { LogLimit } from '../../cluster/rate-limit.ts'
import type { Change, Entry } from '../../cluster/store/model.ts'
import { STORE_LIMITS } from '../../cluster/store/model.ts'
import type { BreakerReport } from '../admin/admin-source.ts'
import type { Snapshot } from '../config/model.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import { type BreakerRecord, parseRecord, RECORD_TTL_MS } from './breakers/record.ts'
import { SharedBreaker } from './breakers/shared-breaker.ts'
import type { SharedStateHost, SharedStatePart } from './part.ts'

const STATES = 'breaker'
const COUNTS = 'breaker-counts'
/** A little longer than the window. */
const COUNTS_TTL_MS = 15_000
const TICK_MS = 100
/**
 * Shortest interval between two shares of a service's counts, ms: while failures are seen; otherwise. Both grow with the number
 * of services that have new counts.
 */
const SHARE_MS = 250
const SHARE_GOOD_MS = 1_000
const SERVICES_PER_SHARE = 32
/** Limit of log lines about breakers, for the case that a thousand open at once or a member sends nonsense. */
const LOG_LIMIT = { max: 100, withinMs: 10_000 }
/** Members whose counts fit into the store, for each service. */
const MAX_MEMBERS = 64

export class SharedBreakers implements SharedStatePart {
  private readonly host: SharedStateHost
  private readonly breakers = new Map<string, SharedBreaker>()
  private readonly logLimit = new LogLimit(LOG_LIMIT.max, LOG_LIMIT.withinMs)
  private timer: NodeJS.Timeout | null = null
  /** Services with urgent counts at the last share. */
  private urgent = 0

  constructor(host: SharedStateHost) {
    this.host = host
  }

  tables(snapshot: Snapshot): Iterable<readonly [table: string, cap: number]> {
    const count = Object.values(snapshot.services).filter(service => service.breaker !== null).length
    if (count === 0) return []
    const cap = (entries: number) => Math.min(STORE_LIMITS.tableEntries, entries)
    return [
      [STATES, cap(count * 2)],
      [COUNTS, cap(count * MAX_MEMBERS)],
    ]
  }

  apply(snapshot: Snapshot): void {
    for (const [name, breaker] of this.breakers) {
      const config = Object.hasOwn(snapshot.services, name) ? snapshot.services[name]!.breaker : null
      if (config !== null && breaker.update(config)) continue
      breaker.stop()
      this.breakers.delete(name)
      // Without a breaker there is no gate; a breaker with another expression starts closed.
      if (config !== null) this.host.post({ kind: 'gate', service: name, gate: { state: 'closed' } })
      else this.removeEntries(name)
    }
    const fresh: SharedBreaker[] = []
    for (const { name, breaker: config } of Object.values(snapshot.services)) {
      if (config === null || this.breakers.has(name) || isNameTooLong(name)) continue
      const breaker = new SharedBreaker(name, config, {
        log: (level, fields, message) => this.logLimited(level, fields, message),
        now: this.host.now,
        peers: this.host.peers,
        post: message => this.host.post(message),
        postTo: (index, message) => this.host.postTo(index, message),
        write: (service, record) => this.write(service, record),
        wake: () => this.wake(),
      })
      this.breakers.set(name, breaker)
      fresh.push(breaker)
    }
    if (fresh.length > 0) this.loadFromStore(fresh)
  }

  fromWorker(index: number, message: SharedFromWorker): void {
    switch (message.kind) {
      case 'outcomes':
        for (const outcomes of message.services) this.breakers.get(outcomes.service)?.outcomes(index, outcomes)
        this.wake()
        return
      case 'probing':
        this.breakers.get(message.service)?.probing(index)
        return
      case 'probed':
        this.breakers.get(message.service)?.probed(index, message.status, message.ms, message.networkError)
    }
  }

  changed(changes: readonly Change[]): void {
    for (const change of changes) this.applyRemoteEntry(change)
  }

  seed(post: (message: ToWorker) => void): void {
    for (const [service, breaker] of this.breakers) {
      const gate = breaker.gate()
      if (gate.state !== 'closed') post({ kind: 'gate', service, gate })
    }
  }

  /** A data worker has exited; another may start under the same index. */
  workerExited(index: number): void {
    for (const breaker of this.breakers.values()) breaker.workerExited(index)
  }

  members(): void {
    for (const breaker of this.breakers.values()) if (breaker.busy) breaker.tick()
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
    for (const breaker of this.breakers.values()) breaker.stop()
    this.breakers.clear()
  }

  reports(): readonly BreakerReport[] {
    return [...this.breakers.values()].map(breaker => breaker.report())
  }

  /** A service deployed again under the same name starts with a clean record. */
  private removeEntries(service: string): void {
    const { store, peers } = this.host
    const self = peers().find(peer => peer.self)
    const entries = [[STATES, service], ...(self === undefined ? [] : [[COUNTS, `${service}\0${self.id}`]])] as const
    for (const [table = '', key = ''] of entries) if (store.get(table, key) !== null) store.remove(table, key)
  }

  /** Applies entries that the store already holds for new breakers. */
  private loadFromStore(fresh: readonly SharedBreaker[]): void {
    for (const { service } of fresh) {
      const entry = this.host.store.get(STATES, service)
      if (entry !== null) this.applyRemoteEntry(entry)
    }
    const names = new Set(fresh.map(breaker => breaker.service))
    for (const entry of this.host.store.entries(COUNTS)) if (names.has(splitKey(entry.key)[0])) this.applyRemoteEntry(entry)
  }

  private applyRemoteEntry({ table, key, value, ttlMs, origin }: Entry): void {
    if (value === null) return
    if (table === STATES) {
      const breaker = this.breakers.get(key)
      const record = breaker === undefined ? null : parseRecord(value)
      if (record !== null) breaker?.follow(record, Math.max(0, RECORD_TTL_MS - ttlMs))
    } else if (table === COUNTS) {
      const [service, member] = splitKey(key)
      const peer = this.host.peers().find(({ id }) => id === member)
      // Only a member's own counts are accepted, and not those of this replica's earlier runs.
      if (peer === undefined || peer.self || origin !== member) return
      if (this.breakers.get(service)?.receive(member, value, Math.max(0, COUNTS_TTL_MS - ttlMs)) === true) this.wake()
    }
  }

  private logLimited(level: 'info' | 'warn', fields: object, message: string): void {
    const { logLimit } = this
    if (!logLimit.take(this.host.now())) return
    const { suppressed } = logLimit
    this.host.log[level](suppressed > 0 ? { ...fields, suppressed } : fields, message)
  }

  private write(service: string, record: BreakerRecord): void {
    this.host.store.put(STATES, service, JSON.stringify(record), { ttlMs: RECORD_TTL_MS })
    this.wake()
  }

  private wake(): void {
    this.timer ??= setInterval(() => this.tick(), TICK_MS)
    this.timer.unref()
  }

  /** Runs while any breaker needs it. */
  private tick(): void {
    let busy = false
    for (const breaker of this.breakers.values()) {
      if (!breaker.busy) continue
      busy = true
      breaker.tick()
    }
    this.share()
    if (busy || this.timer === null) return
    clearInterval(this.timer)
    this.timer = null
  }

  private share(): void {
    const waiting = [...this.breakers.values()].filter(breaker => breaker.unshared)
    if (waiting.length === 0) return
    const peers = this.host.peers()
    const self = peers.find(peer => peer.self)
    const now = this.host.now()
    const times = Math.max(1, (waiting.length * SHARE_MS) / (SERVICES_PER_SHARE * SHARE_GOOD_MS))
    let urgent = 0
    for (const breaker of waiting) {
      const agoMs = now - breaker.sharedMs
      if (agoMs < SHARE_GOOD_MS * times) {
        if (!breaker.urgent) continue
        urgent++
        if (agoMs < SHARE_MS * Math.max(1, this.urgent / SERVICES_PER_SHARE)) continue
      }
      breaker.unshared = false
      breaker.sharedMs = now
      if (self === undefined || peers.length < 2) continue
      this.host.store.put(COUNTS, `${breaker.service}\0${self.id}`, breaker.window.pack(now), { ttlMs: COUNTS_TTL_MS })
    }
    this.urgent = urgent
  }
}

/** Whether the service's name leaves no space for a member's id in a key of the store. */
function isNameTooLong(service: string): boolean {
  return service.length > STORE_LIMITS.key - 80
}

function splitKey(key: string): readonly [service: string, member: string] {
  const at = key.lastIndexOf('\0')
  return [key.slice(0, Math.max(0, at)), key.slice(at + 1)]
}
