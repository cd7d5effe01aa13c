// Ejected servers between data workers and the store: what one replica finds, the others check or believe. That a server cannot
// be reached from there (refused, timeout ...) may be the network there: it is only a reason for every worker here to look at
// once, which costs a good server nothing. That it answers 5xx, or breaks connections, is believed for as long as it was told.
// What may come of either is bounded by the workers (proxy/server-watch.ts, balancing/panic.ts), how much is said and heard by
// this file.

import * as z from 'zod'
import { LogLimit, TokenBucket } from '../../cluster/rate-limit.ts'
import type { Change, Entry } from '../../cluster/store/model.ts'
import { STORE_LIMITS } from '../../cluster/store/model.ts'
import type { EjectionReport } from '../admin/admin-source.ts'
import type { Snapshot } from '../config/model.ts'
import { printable } from '../util/printable.ts'
import type { SharedFromWorker, ToWorker } from '../workers/messages.ts'
import type { SharingHost, SharingPart } from './part.ts'

const TABLE = 'ejection'
/** An entry outlives the ejection by so long, for the probe at its end. */
const SLACK_MS = 1500
const DOUBT_MS = 3000
const LONGEST_MS = 60_000
/** A task that has just started refuses connects for a moment; so many times in a row it is news. */
const REFUSED_TIMES = 2
const NEVER = Number.NEGATIVE_INFINITY
/** One server's news are handed on to workers this often at most. */
const AGAIN_MS = 500
/** Writes to the store, and words to workers: at once, and per second. */
const WRITES = { burst: 64, perSecond: 20 }
const WORDS = { burst: 512, perSecond: 100 }

const CONNECT_CAUSES = ['refused', 'unreachable', 'timeout', 'silence', 'doubt'] as const
const ANSWER_CAUSES = ['reset', 'errors'] as const

const told = z.strictObject({
  cause: z.enum([...CONNECT_CAUSES, ...ANSWER_CAUSES]),
  times: z.int().min(1).max(16),
  /** Name of the replica, as it calls itself, and its wall clock. */
  by: z.string().min(1).max(255),
  at: z.int().min(0),
})
type Cause = z.infer<typeof told>['cause']

interface Known {
  readonly cause: string
  readonly times: number
  readonly by: string
  readonly sinceMs: number
  /** Forgotten then (monotonic ms), unless there is news. */
  readonly untilMs: number
}

export class EjectionSharing implements SharingPart {
  private readonly host: SharingHost
  /** What workers here have ejected, and what others have told, by key of the table. */
  private readonly own = new Map<string, Known>()
  private readonly heard = new Map<string, Known & { readonly postedMs: number }>()
  /** Own entries of the store. */
  private readonly shared = new Set<string>()
  private readonly writes = new TokenBucket(WRITES.burst, WRITES.perSecond)
  private readonly words = new TokenBucket(WORDS.burst, WORDS.perSecond)
  private readonly nonsense = new LogLimit(1, 60_000)
  /** Ids of active servers by service. */
  private servers: ReadonlyMap<string, ReadonlySet<string>> = new Map()

  constructor(host: SharingHost) {
    this.host = host
  }

  tables(snapshot: Snapshot): Iterable<readonly [table: string, cap: number]> {
    const servers = Object.values(snapshot.services).reduce((sum, service) => sum + service.servers.length, 0)
    return [[TABLE, Math.min(10_000, 256 + 2 * servers)]]
  }

  apply(snapshot: Snapshot): void {
    this.servers = new Map(
      Object.values(snapshot.services).map(({ name, servers }) => [
        name,
        new Set(servers.filter(({ state }) => state === 'active').map(({ id }) => id)),
      ]),
    )
    for (const keys of [this.own, this.heard, this.shared]) {
      for (const key of [...keys.keys()]) if (this.serverOf(key) === null) keys.delete(key)
    }
    // What was told before its servers were known.
    for (const entry of this.host.store.entries(TABLE))
      if (!this.shared.has(entry.key) && !this.heard.has(entry.key)) this.hear(entry)
  }

  fromWorker(index: number, message: SharedFromWorker): void {
    if (message.kind !== 'ejection' && message.kind !== 'healthReport') return
    const { service, server, cause, times, forMs } = message
    const key = keyOf(service, server)
    if (this.serverOf(key) === null) return
    if (message.kind === 'ejection' && !message.out) {
      this.own.delete(key)
      if (this.shared.delete(key)) this.host.store.remove(TABLE, key)
      return
    }
    const nowMs = this.host.now()
    if (cause === 'doubt') {
      this.host.post({ kind: 'remoteEjection', service, server, cause, forMs: 0, times, by: '' }, index)
      if (this.host.store.get(TABLE, key) === null) this.share(key, 'doubt', 1, DOUBT_MS)
      return
    }
    const before = this.own.get(key)
    const by = message.kind === 'ejection' ? message.by : (before?.by ?? '')
    const sinceMs = before?.sinceMs ?? nowMs
    this.own.set(key, { cause, times, by, sinceMs, untilMs: nowMs + forMs + DOUBT_MS })
    // What others have found as well is known already; if it lasts, somebody says so again.
    if (message.kind === 'ejection' && by !== '') return
    const entry = this.host.store.get(TABLE, key)
    if (entry !== null && !this.shared.has(key) && causeIn(entry) !== 'doubt') return
    if (isCause(cause) && this.isWorthTelling(service, cause, times)) this.share(key, cause, times, forMs)
  }

  changed(changes: readonly Change[]): void {
    for (const change of changes) if (change.table === TABLE) this.hear(change)
  }

  seed(post: (message: ToWorker) => void): void {
    const nowMs = this.host.now()
    for (const known of [this.heard, this.own]) {
      for (const [key, { cause, times, by, untilMs }] of known) {
        const found = this.serverOf(key)
        if (found === null || untilMs <= nowMs) continue
        const forMs = isBelieved(cause) ? Math.min(LONGEST_MS, untilMs - nowMs) : 0
        post({ kind: 'remoteEjection', ...found, cause, forMs, times, by })
      }
    }
  }

  members(): void {}

  stop(): void {}

  /** null: the server is not ejected, or nobody has said why. */
  report(service: string, server: string): EjectionReport | null {
    const key = keyOf(service, server)
    const nowMs = this.host.now()
    const known = [this.own.get(key), this.heard.get(key)].find(one => one !== undefined && one.untilMs > nowMs)
    if (known === undefined) return null
    const { cause, by, sinceMs, times } = known
    return { cause, by: by || this.selfName, sinceMs: Math.round(nowMs - sinceMs), times }
  }

  private get selfName(): string {
    return this.host.peers().find(({ self }) => self)?.name ?? ''
  }

  /** The server that a key names; null: there is none. */
  private serverOf(key: string): { readonly service: string; readonly server: string } | null {
    const at = key.indexOf('\0')
    const service = key.slice(0, at)
    const server = key.slice(at + 1)
    return at > 0 && this.servers.get(service)?.has(server) === true ? { service, server } : null
  }

  /** Not what passes by itself; nor that none at all can be reached: then it is rather this replica's network that is broken. */
  private isWorthTelling(service: string, cause: Cause, times: number): boolean {
    if (isBelieved(cause)) return true
    if (cause === 'refused' && times < REFUSED_TIMES) return false
    const nowMs = this.host.now()
    for (const id of this.servers.get(service) ?? []) {
      const own = this.own.get(keyOf(service, id))
      if (own === undefined || own.untilMs <= nowMs || isBelieved(own.cause)) return true
    }
    return false
  }

  private share(key: string, cause: Cause, times: number, forMs: number): void {
    if (key.length > STORE_LIMITS.key || !this.writes.take(this.host.now())) return
    const value = { cause, times: Math.max(1, times), by: this.selfName.slice(0, 255), at: Date.now() }
    this.shared.add(key)
    this.host.store.put(TABLE, key, JSON.stringify(value), { ttlMs: Math.min(LONGEST_MS, forMs) + SLACK_MS })
  }

  /** What another replica has written. */
  private hear(entry: Entry): void {
    const { key, origin, ttlMs } = entry
    const found = this.serverOf(key)
    if (found === null) return
    const nowMs = this.host.now()
    const before = this.heard.get(key)
    this.shared.delete(key)
    const soon = before !== undefined && nowMs - before.postedMs < AGAIN_MS
    if (entry.value === null) {
      if (before === undefined || before.untilMs <= nowMs) return
      const post = !soon && this.words.take(nowMs)
      // Kept, for who says one thing and its contrary all the time.
      this.heard.set(key, { ...before, untilMs: nowMs, postedMs: post ? nowMs : before.postedMs })
      if (post) this.host.post({ kind: 'remoteEjection', ...found, cause: 'back', forMs: 0, times: 0, by: before.by })
      return
    }
    const value = read(entry.value)
    if (value === null) {
      if (!this.nonsense.take(nowMs)) return
      this.host.log.warn({ member: printable(origin) }, 'a member tells of an ejected server what is no ejection; ignored')
      return
    }
    const { cause, times } = value
    const by = this.host.peers().find(({ id }) => id === origin)?.name ?? printable(value.by)
    const restMs = Math.min(LONGEST_MS, ttlMs - SLACK_MS)
    const untilMs = nowMs + Math.min(LONGEST_MS, ttlMs)
    const sinceMs = before !== undefined && before.untilMs > nowMs ? before.sinceMs : nowMs
    const post = !soon && (!isBelieved(cause) || restMs > 0) && this.words.take(nowMs)
    this.heard.set(key, { cause, times, by, sinceMs, untilMs, postedMs: post ? nowMs : (before?.postedMs ?? NEVER) })
    if (post) this.host.post({ kind: 'remoteEjection', ...found, cause, forMs: isBelieved(cause) ? restMs : 0, times, by })
  }
}

function keyOf(service: string, server: string): string {
  return `${service}\0${server}`
}

function isCause(cause: string): cause is Cause {
  return told.shape.cause.safeParse(cause).success
}

/** It was what the server answered, not the way to it: another replica sees the same. */
function isBelieved(cause: string): boolean {
  return (ANSWER_CAUSES as readonly string[]).includes(cause)
}

function causeIn(entry: Entry): string | null {
  return entry.value === null ? null : (read(entry.value)?.cause ?? null)
}

function read(text: string): z.infer<typeof told> | null {
  try {
    return told.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}
