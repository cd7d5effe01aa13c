// Ejected servers between data workers and the store. A connect failure on one replica may be caused by that replica's network, so
// it only makes the workers of the others probe the server once, which costs a healthy server nothing. 5xx responses and broken
// connections count on the others for as long as on the finder. The workers bound the effect of both (proxy/outlier/server-watch.ts,
// proxy/outlier/panic.ts); this file bounds how much is sent and received.

import * as z from 'zod'
import { LogLimit } from '../../cluster/rate-limit.ts'
import type { Change, Entry } from '../../cluster/store/model.ts'
import { STORE_LIMITS } from '../../cluster/store/model.ts'
import type { EjectionReport } from '../admin/admin-source.ts'
import type { Snapshot } from '../config/model.ts'
import { printable } from '../util/printable.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import type { SharedStateHost, SharedStatePart } from './part.ts'
import { ServerTable, serverKey } from './server-table.ts'

/** An entry outlives its ejection by this much, for the probe at its end, ms. */
const PROBE_MARGIN_MS = 1500
const SUSPICION_TTL_MS = 3000
const MAX_EJECTION_MS = 60_000
/** Refused connects in a row before they are shared: a task that has just started refuses connects for a moment. */
const MIN_REFUSED = 2
const NEVER = Number.NEGATIVE_INFINITY
/** Shortest interval between two messages to workers about one server, ms. */
const REPEAT_MS = 500

/** Cause of an entry that is no ejection yet: a connect takes longer than it should. */
const SUSPICION = 'doubt'
const CONNECT_CAUSES = ['refused', 'unreachable', 'timeout', 'silence', SUSPICION] as const
const RESPONSE_CAUSES = ['reset', 'errors'] as const

const ejectionSchema = z.strictObject({
  cause: z.enum([...CONNECT_CAUSES, ...RESPONSE_CAUSES]),
  times: z.int().min(1).max(16),
  /** Name of the replica, and its wall clock. */
  by: z.string().min(1).max(255),
  at: z.int().min(0),
})
type Cause = z.infer<typeof ejectionSchema>['cause']

interface KnownEjection {
  readonly cause: string
  readonly times: number
  readonly by: string
  readonly sinceMs: number
  /** Dropped at this time (monotonic ms) unless it is renewed. */
  readonly untilMs: number
}

export class SharedEjections implements SharedStatePart {
  private readonly host: SharedStateHost
  private readonly table: ServerTable
  /** Ejections by workers of this replica, and those received from others, by key. */
  private readonly local = new Map<string, KnownEjection>()
  private readonly remote = new Map<string, KnownEjection & { readonly postedMs: number }>()
  /** Keys of this replica's own entries in the store. */
  private readonly shared = new Set<string>()
  private readonly malformedLog = new LogLimit(1, 60_000)

  constructor(host: SharedStateHost) {
    this.host = host
    this.table = new ServerTable(host, 'ejection', 2, 10_000)
  }

  tables(snapshot: Snapshot): Iterable<readonly [table: string, cap: number]> {
    return [this.table.withCap(snapshot)]
  }

  apply(snapshot: Snapshot): void {
    this.table.apply(snapshot)
    for (const keys of [this.local, this.remote, this.shared]) this.table.prune(keys)
    // Entries received before their servers were configured.
    for (const entry of this.table.entries())
      if (!this.shared.has(entry.key) && !this.remote.has(entry.key)) this.applyRemoteEjection(entry)
  }

  fromWorker(index: number, message: SharedFromWorker): void {
    if (message.kind !== 'ejection' && message.kind !== 'healthReport') return
    const { service, server, cause, times, forMs } = message
    const key = serverKey(service, server)
    if (this.table.find(key) === null) return
    if (message.kind === 'ejection' && !message.out) {
      this.local.delete(key)
      if (this.shared.delete(key)) this.table.remove(key)
      return
    }
    const nowMs = this.host.now()
    if (cause === SUSPICION) {
      this.host.post({ kind: 'remoteEjection', service, server, cause, forMs: 0, times, by: '' }, index)
      if (this.table.get(key) === null) this.share(key, SUSPICION, 1, SUSPICION_TTL_MS)
      return
    }
    const before = this.local.get(key)
    const by = message.kind === 'ejection' ? message.by : (before?.by ?? '')
    const sinceMs = before?.sinceMs ?? nowMs
    this.local.set(key, { cause, times, by, sinceMs, untilMs: nowMs + forMs + SUSPICION_TTL_MS })
    // An ejection that another replica reported first is shared already. If it lasts, that replica or another one renews it.
    if (message.kind === 'ejection' && by !== '') return
    const entry = this.table.get(key)
    if (entry !== null && !this.shared.has(key) && causeOf(entry) !== SUSPICION) return
    if (isCause(cause) && this.isWorthSharing(service, cause, times)) this.share(key, cause, times, forMs)
  }

  changed(changes: readonly Change[]): void {
    for (const change of changes) if (this.table.owns(change)) this.applyRemoteEjection(change)
  }

  seed(post: (message: ToWorker) => void): void {
    const nowMs = this.host.now()
    for (const known of [this.remote, this.local]) {
      for (const [key, { cause, times, by, untilMs }] of known) {
        const found = this.table.find(key)
        if (found === null || untilMs <= nowMs) continue
        const forMs = isResponseCause(cause) ? Math.min(MAX_EJECTION_MS, untilMs - nowMs) : 0
        post({ kind: 'remoteEjection', ...found, cause, forMs, times, by })
      }
    }
  }

  members(): void {}

  stop(): void {}

  /** null: the server is not ejected, or the cause is not known here. */
  report(service: string, server: string): EjectionReport | null {
    const key = serverKey(service, server)
    const nowMs = this.host.now()
    const known = [this.local.get(key), this.remote.get(key)].find(one => one !== undefined && one.untilMs > nowMs)
    if (known === undefined) return null
    const { cause, by, sinceMs, times } = known
    return { cause, by: by || this.table.selfName, sinceMs: Math.round(nowMs - sinceMs), times }
  }

  /**
   * False for single refused connects, and when no server of the service can be reached: then the network of this replica is the
   * likely cause.
   */
  private isWorthSharing(service: string, cause: Cause, times: number): boolean {
    if (isResponseCause(cause)) return true
    if (cause === 'refused' && times < MIN_REFUSED) return false
    const nowMs = this.host.now()
    for (const id of this.table.serversOf(service)) {
      const local = this.local.get(serverKey(service, id))
      if (local === undefined || local.untilMs <= nowMs || isResponseCause(local.cause)) return true
    }
    return false
  }

  private share(key: string, cause: Cause, times: number, forMs: number): void {
    if (key.length > STORE_LIMITS.key || !this.table.mayWrite()) return
    const value = { cause, times: Math.max(1, times), by: this.table.selfName.slice(0, 255), at: Date.now() }
    this.shared.add(key)
    this.table.put(key, JSON.stringify(value), Math.min(MAX_EJECTION_MS, forMs) + PROBE_MARGIN_MS)
  }

  /** Passes another replica's entry on to the workers. */
  private applyRemoteEjection(entry: Entry): void {
    const { key, origin, ttlMs } = entry
    const found = this.table.find(key)
    if (found === null) return
    const nowMs = this.host.now()
    const before = this.remote.get(key)
    this.shared.delete(key)
    const isRepeat = before !== undefined && nowMs - before.postedMs < REPEAT_MS
    if (entry.value === null) {
      if (before === undefined || before.untilMs <= nowMs) return
      const post = !isRepeat && this.table.mayPost()
      // The record stays, so that alternating entries and removals are limited, too.
      this.remote.set(key, { ...before, untilMs: nowMs, postedMs: post ? nowMs : before.postedMs })
      if (post) this.host.post({ kind: 'remoteEjection', ...found, cause: 'back', forMs: 0, times: 0, by: before.by })
      return
    }
    const value = parseEjection(entry.value)
    if (value === null) {
      if (!this.malformedLog.take(nowMs)) return
      this.host.log.warn({ member: printable(origin) }, 'ignored a malformed ejection from a member')
      return
    }
    const { cause, times } = value
    const by = this.table.nameOf(origin) ?? printable(value.by)
    const restMs = Math.min(MAX_EJECTION_MS, ttlMs - PROBE_MARGIN_MS)
    const untilMs = nowMs + Math.min(MAX_EJECTION_MS, ttlMs)
    const sinceMs = before !== undefined && before.untilMs > nowMs ? before.sinceMs : nowMs
    const post = !isRepeat && (!isResponseCause(cause) || restMs > 0) && this.table.mayPost()
    this.remote.set(key, { cause, times, by, sinceMs, untilMs, postedMs: post ? nowMs : (before?.postedMs ?? NEVER) })
    if (post) this.host.post({ kind: 'remoteEjection', ...found, cause, forMs: isResponseCause(cause) ? restMs : 0, times, by })
  }
}

function isCause(cause: string): cause is Cause {
  return ejectionSchema.shape.cause.safeParse(cause).success
}

/** The cause lies in the server's responses, not in the way to it: other replicas see the same. */
function isResponseCause(cause: string): boolean {
  return (RESPONSE_CAUSES as readonly string[]).includes(cause)
}

function causeOf(entry: Entry): string | null {
  return entry.value === null ? null : (parseEjection(entry.value)?.cause ?? null)
}

function parseEjection(text: string): z.infer<typeof ejectionSchema> | null {
  try {
    return ejectionSchema.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}
