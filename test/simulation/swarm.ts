// The swarm behind the members: managers that fail, recover or become stale, changing content, and a short form of how
// src/providers reads it. A member keeps a healthy manager and moves on from a failed one. A leader fetches when it is elected,
// when its manager reports a change, on hints of followers, and periodically.

import type { MemberId } from '../../cluster/core/state.ts'
import { bodyOf, hashOf, versionOf } from './content.ts'
import type { Life } from './life.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import type { Trace } from './trace.ts'

interface Manager {
  readonly name: string
  healthy: boolean
  /** The version that it reports; behind the swarm's own while it is stale. */
  version: number
  stale: boolean
}

/** One member's reading state. */
interface Reader {
  manager: number | null
  /** A change of manager or a fetch is in progress. */
  moving: boolean
  fetching: boolean
  /** Fetch again after the one in progress. */
  again: boolean
}

const POLL_MS = 1000

export class Swarm {
  readonly managers: Manager[]
  version = 1
  /** blocked[host][manager]: that host cannot reach that manager. */
  readonly blocked: boolean[][]
  private readonly readers = new Map<MemberId, Reader>()
  private readonly scheduler: Scheduler
  private readonly random: Random
  private readonly trace: Trace
  private readonly lives: () => readonly Life[]

  constructor(managers: number, hosts: number, scheduler: Scheduler, random: Random, trace: Trace, lives: () => readonly Life[]) {
    this.managers = Array.from({ length: managers }, (_, i) => ({ name: `m${i + 1}`, healthy: true, version: 1, stale: false }))
    this.blocked = Array.from({ length: hosts }, () => new Array<boolean>(managers).fill(false))
    this.scheduler = scheduler
    this.random = random
    this.trace = trace
    this.lives = lives
  }

  /** The first manager in this member's order that it can read from; null: none. */
  pick(host: number): number | null {
    for (let i = 0; i < this.managers.length; i++) {
      const candidate = (host + i) % this.managers.length
      if (this.isUsable(host, candidate)) return candidate
    }
    return null
  }

  private isUsable(host: number, manager: number): boolean {
    return this.managers[manager]!.healthy && !this.blocked[host]![manager]!
  }

  nameOf(manager: number | null): string | null {
    return manager === null ? null : this.managers[manager]!.name
  }

  join(life: Life): void {
    const manager = this.pick(life.host)
    this.readers.set(life.id, { manager, moving: false, fetching: false, again: false })
    const poll = (): void => {
      if (!life.alive) return
      this.look(life)
      if (life.core.role === 'leader') this.fetch(life)
      this.scheduler.after(POLL_MS * life.random.between(0.8, 1.2), poll)
    }
    this.scheduler.after(life.random.between(0, POLL_MS), poll)
  }

  set(manager: number, healthy: boolean): void {
    const it = this.managers[manager]!
    it.healthy = healthy
    this.trace.line(this.scheduler.now, it.name, healthy ? 'is well' : 'dies')
    if (healthy && !it.stale) it.version = this.version
    for (const life of this.lives()) this.look(life)
  }

  setStale(manager: number, stale: boolean): void {
    const it = this.managers[manager]!
    it.stale = stale
    this.trace.line(this.scheduler.now, it.name, stale ? 'tells of the past from now on' : 'is up to date')
    if (!stale) this.catchUp(it)
  }

  /** Whether this host can reach any manager. */
  setReachable(host: number, reachable: boolean): void {
    this.blocked[host]!.fill(!reachable)
    this.trace.line(this.scheduler.now, `host ${host + 1}`, reachable ? 'reaches the managers' : 'is cut off from the managers')
    for (const life of this.lives()) if (life.host === host) this.look(life)
  }

  change(): void {
    this.version++
    this.trace.line(this.scheduler.now, 'swarm', `changes to version ${this.version}`)
    for (const manager of this.managers) if (manager.healthy && !manager.stale) this.catchUp(manager)
  }

  private catchUp(manager: Manager): void {
    if (manager.version === this.version) return
    manager.version = this.version
    const key = `service/web@${this.version}`
    for (const life of this.lives()) {
      const reader = this.readers.get(life.id)!
      if (reader.manager === null || this.managers[reader.manager] !== manager) continue
      this.scheduler.after(this.random.between(1, 30), () => {
        if (!life.alive || this.managers[reader.manager ?? -1] !== manager) return
        life.deliver({ kind: 'eventsSeen', keys: [key] })
        if (life.core.role === 'leader') this.fetch(life)
      })
    }
  }

  /** Its manager may have failed, or one may be available again: it notices after a delay. */
  private look(life: Life): void {
    const reader = this.readers.get(life.id)!
    if (reader.moving || (reader.manager !== null && this.isUsable(life.host, reader.manager))) return
    if (reader.manager === null && this.pick(life.host) === null) return
    this.move(life, reader, () => this.pick(life.host))
  }

  private move(life: Life, reader: Reader, to: () => number | null): void {
    reader.moving = true
    this.scheduler.after(this.random.between(20, 500), () => {
      reader.moving = false
      if (!life.alive) return
      reader.manager = to()
      this.scheduleEvents(life, reader)
      if (life.core.role === 'leader') this.fetch(life)
    })
  }

  private scheduleEvents(life: Life, reader: Reader): void {
    life.local = { ...life.local, manager: this.nameOf(reader.manager), managerHealthy: reader.manager !== null }
    life.deliver({ kind: 'local', local: life.local })
  }

  /**
   * Followers saw events that the leader has not shown: it fetches again, and from another manager if its own has nothing
   * newer.
   */
  hinted(life: Life, keys: readonly string[]): void {
    const reader = this.readers.get(life.id)!
    if (reader.manager === null) return
    const known = this.managers[reader.manager]!.version
    if (keys.every(key => Number(key.split('@')[1]) <= known)) {
      this.fetch(life)
      return
    }
    const others = this.managers.map((_, i) => i).filter(i => i !== reader.manager && this.isUsable(life.host, i))
    const from = reader.manager
    if (!reader.moving && others.length > 0) this.move(life, reader, () => others[life.host % others.length] ?? from)
  }

  /** True when no member is about to change its manager. */
  get atRest(): boolean {
    return this.lives().every(life => !this.readers.get(life.id)!.moving)
  }

  fetch(life: Life): void {
    const reader = this.readers.get(life.id)!
    if (reader.manager === null || life.hung) return
    if (reader.fetching) {
      reader.again = true
      return
    }
    reader.fetching = true
    const { manager } = reader
    const version = this.managers[manager]!.version
    this.scheduler.after(this.random.between(10, 80), () => {
      reader.fetching = false
      if (!life.alive) return
      // Content older than the known one comes from a stale manager and is discarded.
      const known = life.core.held === null ? 0 : versionOf(life.core.held.body)
      const body = bodyOf(version)
      if (this.isUsable(life.host, manager) && version >= known) life.deliver({ kind: 'publish', hash: hashOf(body), body })
      if (reader.again) {
        reader.again = false
        this.fetch(life)
      }
    })
  }
}
