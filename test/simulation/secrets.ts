// The secret state of whole clusters on a virtual clock and network, drawn from a seed: several leaders at once, partitions, lost
// heartbeats and pulls, crashes with delayed or lost disks, a rotation of the cluster secret, and a full restart from one disk.
// Leadership is drawn here instead of elected, and worse than an election makes it: leaders of one component may overlap.

import { SecretCore, type SecretEffect, type SecretEvent } from '../../cluster/secrets/core.ts'
import { compareRecords, type SecretRecord } from '../../cluster/secrets/record.ts'
import { Keyring } from '../../cluster/secrets/sealing.ts'
import { Violation } from './invariants.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'

export interface SecretsOptions {
  readonly seed: number
  readonly plant?: SecretsPlant
}

/** A fault planted in a core or its disk: drops events before the core, or effects after it. */
export interface SecretsPlant {
  readonly event?: (event: SecretEvent, core: SecretCore) => boolean
  readonly effect?: (effect: SecretEffect, event: SecretEvent | null) => boolean
}

export const SECRETS_PLANTS: Readonly<Record<string, SecretsPlant>> = {
  /** Members that hold entries do not merge those of others. */
  'secrets-no-merge': { event: (event, core) => event.kind !== 'peers' || core.status().entries === 0 },
  /** Merged records do not reach the disk. */
  'secrets-unsaved-merge': { effect: (effect, event) => effect.kind !== 'save' || event?.kind !== 'pulled' },
  /** Values sealed with the old secret are not sealed again. */
  'secrets-no-reseal': { event: event => event.kind !== 'tick' },
}

const TICK_MS = 50
const HEARTBEAT_MS = 1000
/** A peer's digest is forgotten after this time without a heartbeat, ms. */
const PEER_MS = 5000
const PULL_TIMEOUT_MS = 5000
const HARM_MS = 60_000
/** Bound for merging everything in a quiet network: the longest back-off, a heartbeat, and the pulls, ms. */
const QUIET_MS = 45_000

interface Life {
  readonly host: Host
  readonly id: string
  readonly core: SecretCore
  readonly digests: Map<string, { digest: string; at: number }>
  /** The record of each name that it installed last. */
  readonly installed: Map<string, SecretRecord>
  /** The term it leads in; null: it follows. */
  leads: number | null
  alive: boolean
}

interface Host {
  readonly index: number
  readonly disk: Map<string, SecretRecord>
  secrets: readonly string[]
  group: number
  life: Life | null
  starts: number
}

/** Runs one seed. @throws Violation */
export function simulateSecrets({ seed, plant = {} }: SecretsOptions): { readonly entries: number; readonly pulls: number } {
  const world = new SecretsWorld(new Random(seed), plant)
  world.run()
  return { entries: world.entries, pulls: world.pulls }
}

class SecretsWorld {
  entries = 0
  pulls = 0
  readonly #random: Random
  readonly #plant: SecretsPlant
  readonly #scheduler = new Scheduler()
  readonly #hosts: readonly Host[]
  #term = 0
  #calm = false
  #loss = 0
  #written = 0

  constructor(random: Random, plant: SecretsPlant) {
    this.#random = random
    this.#plant = plant
    this.#loss = random.chance(0.5) ? random.between(0, 0.4) : 0
    this.#hosts = Array.from({ length: 2 + random.below(5) }, (_, index) => ({
      index,
      disk: new Map(),
      secrets: ['old'],
      group: 0,
      life: null,
      starts: 0,
    }))
  }

  run(): void {
    for (const host of this.#hosts) this.#start(host)
    this.#every(TICK_MS, () => this.#forEachLife(life => this.#step(life, { kind: 'tick' })))
    this.#every(HEARTBEAT_MS / 4, () => this.#electSome())
    this.#every(300, () => this.#write())
    this.#every(2000, () => this.#fault())
    this.#pass(HARM_MS)
    const union = this.#heal()
    this.#checkQuiet(union, 'after a partition no entry is lost')
    this.#rotate()
    this.#checkQuiet(this.#unionOfLives(), 'a rotation of the secret loses no entry')
    this.#restartFromOneDisk()
    this.entries = this.#lives()[0]!.core.status().entries
  }

  // ---- members ----

  #lives(): Life[] {
    return this.#hosts.flatMap(({ life }) => (life === null ? [] : [life]))
  }

  #forEachLife(act: (life: Life) => void): void {
    for (const life of this.#lives()) act(life)
  }

  #start(host: Host): void {
    const bytes = this.#random.fork()
    const keyring = new Keyring(host.secrets, 'simulated', size =>
      Buffer.from(Array.from({ length: size }, () => bytes.below(256))),
    )
    const id = `m${host.index}.${host.starts++}`
    const core = new SecretCore({ id, keyring, kept: host.disk.values() })
    const life: Life = { host, id, core, digests: new Map(), installed: new Map(host.disk), leads: null, alive: true }
    host.life = life
    const heartbeat = (): void => {
      if (!life.alive) return
      this.#announce(life)
      this.#scheduler.after(HEARTBEAT_MS, heartbeat)
    }
    this.#scheduler.after(this.#random.between(0, HEARTBEAT_MS), heartbeat)
  }

  #crash(host: Host): void {
    if (host.life === null) return
    host.life.alive = false
    host.life = null
  }

  #step(life: Life, event: SecretEvent): void {
    if (this.#plant.event?.(event, life.core) === false) return
    this.#apply(life, life.core.step(event, this.#scheduler.now), event)
  }

  #apply(life: Life, effects: readonly SecretEffect[], event: SecretEvent | null): void {
    for (const effect of effects) {
      if (effect.kind === 'save') {
        const { record } = effect
        const earlier = life.installed.get(record.name)
        if (earlier !== undefined && compareRecords(record, earlier) < 0)
          throw new Violation('an entry never goes back to an older version', life.id, record.name)
        life.installed.set(record.name, record)
      }
      if (this.#plant.effect?.(effect, event) === false) continue
      if (effect.kind === 'pull') this.#pull(life, effect.from, effect.hash)
      else if (effect.kind === 'digest') this.#announce(life)
      else if (effect.kind === 'save') {
        // A crash before the write loses it.
        this.#later(this.#random.between(0, 200), () => {
          const { disk } = life.host
          const kept = disk.get(effect.record.name)
          if (life.alive && (kept === undefined || compareRecords(kept, effect.record) < 0))
            disk.set(effect.record.name, effect.record)
        })
      } else if (effect.kind === 'erase') life.host.disk.delete(effect.name)
    }
  }

  // ---- network ----

  #reaches(a: Host, b: Host): boolean {
    return a.group === b.group
  }

  #announce(life: Life): void {
    const { digest } = life.core
    for (const other of this.#lives()) {
      if (other === life || this.#random.chance(this.#loss)) continue
      this.#later(this.#random.between(1, 100), () => {
        if (!other.alive || !this.#reaches(life.host, other.host)) return
        other.digests.set(life.id, { digest, at: this.#scheduler.now })
        for (const [id, { at }] of other.digests) if (this.#scheduler.now - at > PEER_MS) other.digests.delete(id)
        this.#step(other, { kind: 'peers', digests: new Map([...other.digests].map(([id, peer]) => [id, peer.digest])) })
      })
    }
  }

  #pull(life: Life, from: string, hash: string): void {
    this.pulls++
    const failed = (): void => {
      if (life.alive) this.#step(life, { kind: 'pullFailed', from, hash })
    }
    this.#later(this.#random.between(1, 50), () => {
      const source = this.#lives().find(({ id }) => id === from)
      if (source === undefined || !this.#reaches(life.host, source.host) || this.#random.chance(this.#loss / 4))
        return this.#later(PULL_TIMEOUT_MS, failed)
      const body = source.core.bodyOf(hash)
      if (body === null) return this.#later(this.#random.between(1, 50), failed)
      this.#later(this.#random.between(1, 100), () => {
        if (!this.#reaches(life.host, source.host)) return this.#later(PULL_TIMEOUT_MS, failed)
        if (life.alive) this.#step(life, { kind: 'pulled', from, hash, body })
      })
    })
  }

  // ---- leaders and writes ----

  /** Elects a leader in groups without one. During faults a second leader may overlap with it for a while. */
  #electSome(): void {
    for (const group of new Set(this.#hosts.map(host => host.group))) {
      const members = this.#lives().filter(({ host }) => host.group === group)
      const leaders = members.filter(({ leads }) => leads !== null)
      if (members.length > 0 && (leaders.length === 0 || (!this.#calm && this.#random.chance(0.02)))) {
        // Groups do not know each other's terms, so numbers may repeat.
        const term = this.#random.chance(0.3) ? Math.max(1, this.#term) : ++this.#term
        this.#lead(this.#random.pick(members), term)
      } else if (leaders.length > 1 && this.#random.chance(0.3)) {
        leaders.sort((a, b) => b.leads! - a.leads!)
        for (const life of leaders.slice(1)) this.#follow(life)
      }
    }
  }

  #lead(life: Life, term: number): void {
    life.leads = term
    this.#step(life, { kind: 'role', term, leading: true })
  }

  #follow(life: Life): void {
    const term = life.leads ?? 0
    life.leads = null
    this.#step(life, { kind: 'role', term, leading: false })
  }

  #write(): void {
    if (this.#calm) return
    for (const life of this.#lives()) {
      const number = ++this.#written
      const name = this.#random.chance(0.5) ? `entry ${number}` : `shared ${this.#random.below(10)}`
      const written = this.#random.chance(0.15) ? life.core.remove(name) : life.core.put(name, Buffer.from(`value ${number}`))
      if (written.ok !== (life.leads !== null)) throw new Violation('only a leader writes', life.id, name)
      if (!written.ok) continue
      this.#apply(life, written.effects, null)
    }
  }

  // ---- faults ----

  #fault(): void {
    if (this.#calm) return
    const kind = this.#random.below(5)
    const host = this.#random.pick(this.#hosts)
    if (kind === 0) for (const each of this.#hosts) each.group = this.#random.below(2)
    else if (kind === 1) for (const each of this.#hosts) each.group = 0
    else if (kind === 2) this.#crash(host)
    else if (kind === 3 && host.life === null) this.#start(host)
    else if (kind === 4 && host.life === null && this.#random.chance(0.3)) host.disk.clear()
  }

  /** Ends all faults; every host runs a member. @returns the newest record of every name in any member */
  #heal(): ReadonlyMap<string, SecretRecord> {
    this.#calm = true
    this.#loss = 0
    for (const host of this.#hosts) {
      host.group = 0
      if (host.life === null) this.#start(host)
    }
    return this.#unionOfLives()
  }

  #unionOfLives(): ReadonlyMap<string, SecretRecord> {
    const union = new Map<string, SecretRecord>()
    for (const life of this.#lives()) {
      for (const record of life.core.records()) {
        const other = union.get(record.name)
        if (other === undefined || compareRecords(record, other) > 0) union.set(record.name, record)
      }
    }
    return union
  }

  #checkQuiet(expected: ReadonlyMap<string, SecretRecord>, invariant: string): void {
    this.#pass(QUIET_MS)
    const lives = this.#lives()
    for (const life of lives) {
      const records = new Map([...life.core.records()].map(record => [record.name, record]))
      for (const [name, record] of expected) {
        const held = records.get(name)
        if (held === undefined || compareRecords(held, record) < 0) throw new Violation(invariant, life.id, name)
        if (!held.deleted && life.core.get(name) === null) throw new Violation('every entry can be opened', life.id, name)
      }
      const status = life.core.status()
      if (life.core.digest !== lives[0]!.core.digest || !status.synced)
        throw new Violation('in a quiet cluster all hold the same secret state', life.id, JSON.stringify(status))
      if (status.refused > 0) throw new Violation('no record of a member is refused', life.id, `${status.refused}`)
    }
  }

  /** Three rolls: both secrets accepted, the new one first, the new one only. */
  #rotate(): void {
    for (const secrets of [['old', 'new'], ['new', 'old'], ['new']]) {
      for (const host of this.#random.shuffled(this.#hosts)) {
        this.#pass(500)
        this.#crash(host)
        host.secrets = secrets
        this.#start(host)
      }
      this.#pass(QUIET_MS)
    }
  }

  /** All members stop; all disks but one are lost. */
  #restartFromOneDisk(): void {
    const digest = this.#lives()[0]!.core.digest
    const kept = this.#random.pick(this.#hosts)
    for (const host of this.#hosts) {
      this.#crash(host)
      if (host !== kept) host.disk.clear()
    }
    for (const host of this.#hosts) this.#start(host)
    this.#pass(QUIET_MS)
    for (const life of this.#lives())
      if (life.core.digest !== digest)
        throw new Violation('a full restart from any one disk loses nothing', life.id, JSON.stringify(life.core.status()))
  }

  // ---- time ----

  #pass(ms: number): void {
    this.#scheduler.runUntil(this.#scheduler.now + ms)
  }

  #later(ms: number, act: () => void): void {
    this.#scheduler.after(ms, act)
  }

  #every(ms: number, act: () => void): void {
    const again = (): void => {
      act()
      this.#scheduler.after(ms, again)
    }
    this.#scheduler.after(ms, again)
  }
}
