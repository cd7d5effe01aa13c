// The virtual network: connections between members that are dialled, broken and redialled, over paths between hosts with delay,
// loss, duplication, reordering and cuts in each direction. A crashing peer closes its connections (RST); a partitioned or
// suspended one is silent until TCP times out. Data sent into a cut may arrive after it heals, as with TCP.

import type { MemberId, Message, Revision } from '../../cluster/core/state.ts'
import type { Life } from './life.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import type { Trace } from './trace.ts'

/** A path from one host to another. */
export interface Path {
  cut: boolean
  /** Incremented with each change of `cut`. */
  epoch: number
  delayMs: number
  jitterMs: number
  /** Probabilities, 0 to 1. */
  loss: number
  duplicates: number
}

/** A connection between two lives. Both or neither have it, except while the events are being delivered. */
export interface Connection {
  readonly a: Life
  readonly b: Life
  open: boolean
  /** Sent into a cut: TCP retransmits. */
  readonly stalled: { readonly from: Life; readonly to: Life; readonly message: Message }[]
}

/** Up to this number of members the topology is a full mesh. */
export const FULL_CONNECTION = 16
/** Beyond, a member dials the members at these distances on the ring. */
const CHORDS = [1, 2, 3, 5, 8, 13]
const MOST_STALLED = 40
/** TCP and yamux consider a silent peer dead after this time. */
const SILENCE_MIN_MS = 4000
const SILENCE_MAX_MS = 25_000
const PULL_TIMEOUT_MS = 2000

export class Network {
  readonly paths: Path[][]
  /** Interval between two dials, ms. */
  redialMs = 1000
  private readonly scheduler: Scheduler
  private readonly random: Random
  /** For store messages only, so that they do not change other draws. */
  private readonly ofStores: Random
  private readonly trace: Trace
  private readonly lives: Life[] = []
  private readonly mesh: boolean
  private readonly relayed: boolean
  /** Transforms every message in transit (the codec, in some seeds). */
  private readonly carried: (message: Message) => Message

  constructor(
    hosts: number,
    scheduler: Scheduler,
    random: Random,
    ofStores: Random,
    trace: Trace,
    relayed: boolean,
    carried: (message: Message) => Message,
  ) {
    this.scheduler = scheduler
    this.random = random
    this.ofStores = ofStores
    this.trace = trace
    this.mesh = hosts > FULL_CONNECTION
    this.relayed = relayed || this.mesh
    this.carried = carried
    this.paths = Array.from({ length: hosts }, () => Array.from({ length: hosts }, () => this.cleanPath()))
  }

  private cleanPath(): Path {
    return {
      cut: false,
      epoch: 0,
      delayMs: this.random.between(0.2, 3),
      jitterMs: this.random.between(0, 2),
      loss: 0,
      duplicates: 0,
    }
  }

  /** Everything reachable, at most 5 ms away, no loss. */
  heal(): void {
    for (let from = 0; from < this.paths.length; from++) {
      for (let to = 0; to < this.paths.length; to++) {
        this.setCut(from, to, false)
        Object.assign(this.path(from, to), { ...this.cleanPath(), epoch: this.path(from, to).epoch })
      }
    }
  }

  path(from: number, to: number): Path {
    return this.paths[from]![to]!
  }

  setCut(from: number, to: number, cut: boolean): void {
    const path = this.path(from, to)
    if (path.cut === cut) return
    path.cut = cut
    const epoch = ++path.epoch
    for (const life of this.lives) {
      if (life.host !== from) continue
      for (const connection of life.connections.values()) {
        const other = connection.a === life ? connection.b : connection.a
        if (other.host !== to) continue
        if (cut) this.giveUpAfterSilence(connection, path, epoch)
        else this.retransmit(connection, life)
      }
    }
  }

  private giveUpAfterSilence(connection: Connection, path: Path, epoch: number): void {
    this.scheduler.after(this.random.between(SILENCE_MIN_MS, SILENCE_MAX_MS), () => {
      if (connection.open && path.epoch === epoch) this.close(connection, 'silence')
    })
  }

  private retransmit(connection: Connection, from: Life): void {
    const waiting = connection.stalled.splice(0)
    connection.stalled.push(...waiting.filter(message => message.from !== from))
    const afterMs = this.random.between(1, 1500)
    const own = waiting.filter(message => message.from === from)
    for (const ofStore of [false, true]) {
      for (const [i, { to, message }] of own.filter(({ message }) => isOfStore(message) === ofStore).entries()) {
        this.arrive(from, to, message, afterMs + i * 0.01)
      }
    }
  }

  private randomOf(message: Message): Random {
    return isOfStore(message) ? this.ofStores : this.random
  }

  /** A process has started: it dials and is dialled. */
  join(life: Life): void {
    for (const other of this.lives) {
      if (other.alive && this.wanted(life, other)) this.dialLater(life, other, this.random.between(5, 300))
    }
    this.lives.push(life)
  }

  private wanted(a: Life, b: Life): boolean {
    if (!this.mesh) return true
    const hosts = this.paths.length
    const apart = Math.abs(a.host - b.host)
    return CHORDS.includes(apart) || CHORDS.includes(hosts - apart)
  }

  private dialLater(a: Life, b: Life, afterMs: number): void {
    this.scheduler.after(afterMs, () => {
      if (!a.alive || !b.alive || a.connections.has(b.id)) return
      const there = this.path(a.host, b.host)
      const back = this.path(b.host, a.host)
      if (there.cut || back.cut || a.hung || b.hung || this.random.chance(Math.max(there.loss, back.loss))) {
        this.dialLater(a, b, this.redialMs * this.random.between(0.5, 1.5))
        return
      }
      const handshakeMs = 2 * (there.delayMs + back.delayMs)
      this.scheduler.after(handshakeMs, () => {
        if (!a.alive || !b.alive || a.connections.has(b.id)) return
        if (there.cut || back.cut) this.dialLater(a, b, this.redialMs)
        else this.open(a, b)
      })
    })
  }

  private open(a: Life, b: Life): void {
    const connection: Connection = { a, b, open: true, stalled: [] }
    a.connections.set(b.id, connection)
    b.connections.set(a.id, connection)
    a.deliver({ kind: 'connected', peer: b.id })
    this.scheduler.after(this.path(a.host, b.host).delayMs, () => {
      if (connection.open) b.deliver({ kind: 'connected', peer: a.id })
    })
  }

  private close(connection: Connection, why: string): void {
    const { a, b } = connection
    connection.open = false
    a.connections.delete(b.id)
    b.connections.delete(a.id)
    if (this.trace.write !== null) this.trace.line(this.scheduler.now, a.label, `connection with ${b.label} closes (${why})`)
    for (const [life, other] of [
      [a, b],
      [b, a],
    ] as const) {
      if (!life.alive) continue
      this.scheduler.after(this.random.between(0.1, 3), () => life.deliver({ kind: 'disconnected', peer: other.id }))
    }
    if (a.alive && b.alive) this.dialLater(a, b, this.random.between(20, this.redialMs))
  }

  /** A process has ended. `silent`: its host vanished too, so no RST is sent. */
  leave(life: Life, silent: boolean): void {
    for (const connection of [...life.connections.values()]) {
      const other = connection.a === life ? connection.b : connection.a
      const path = this.path(life.host, other.host)
      if (silent || path.cut) {
        this.scheduler.after(this.random.between(SILENCE_MIN_MS, SILENCE_MAX_MS), () => {
          if (connection.open) this.close(connection, 'its peer is gone')
        })
      } else this.close(connection, 'reset')
    }
  }

  /** The host of a vanished life is back and answers data on old connections with RST. */
  reset(life: Life): void {
    for (const connection of [...life.connections.values()]) if (connection.open) this.close(connection, 'reset')
  }

  send(from: Life, to: MemberId, message: Message): void {
    const connection = from.connections.get(to)
    if (connection !== undefined) {
      this.transmit(from, connection.a === from ? connection.b : connection.a, this.carried(message), connection)
      return
    }
    const other = this.lives.find(life => life.id === to)
    // Beyond the full mesh, a member is dialled for the message.
    if (other?.alive === true && this.mesh && !other.hung) this.transmit(from, other, this.carried(message), null)
  }

  private transmit(from: Life, to: Life, message: Message, connection: Connection | null): void {
    const path = this.path(from.host, to.host)
    if (path.cut) {
      const alike = connection?.stalled.filter(other => isOfStore(other.message) === isOfStore(message)).length ?? MOST_STALLED
      if (alike < MOST_STALLED) connection?.stalled.push({ from, to, message })
      return
    }
    const random = this.randomOf(message)
    if (path.loss > 0 && random.chance(path.loss)) return
    const handshakeMs = connection === null ? 4 * path.delayMs : 0
    this.arrive(from, to, message, handshakeMs + delayOf(path, random))
    if (path.duplicates > 0 && random.chance(path.duplicates)) {
      this.arrive(from, to, message, handshakeMs + delayOf(path, random) + random.between(0, 1000))
    }
  }

  private arrive(from: Life, to: Life, message: Message, afterMs: number): void {
    const clocks = from.reading()
    this.scheduler.after(afterMs, () => to.deliver({ kind: 'message', from: from.id, message }, clocks))
  }

  broadcast(from: Life, message: Message): void {
    const carried = this.carried(message)
    if (!this.relayed) {
      for (const connection of from.connections.values()) {
        this.transmit(from, connection.a === from ? connection.b : connection.a, carried, connection)
      }
      return
    }
    this.flood(from, carried)
  }

  /** Like gossipsub: each receiver forwards a message once, so that it finds a way around a cut. */
  private flood(from: Life, message: Message): void {
    const random = this.randomOf(message)
    const reached = new Set<Life>([from])
    let wave: { life: Life; ms: number }[] = [{ life: from, ms: 0 }]
    while (wave.length > 0) {
      const next: { life: Life; ms: number }[] = []
      for (const { life, ms } of wave) {
        for (const connection of life.connections.values()) {
          const other = connection.a === life ? connection.b : connection.a
          const path = this.path(life.host, other.host)
          if (reached.has(other) || !other.alive || path.cut || (path.loss > 0 && random.chance(path.loss))) continue
          reached.add(other)
          const total = ms + delayOf(path, random)
          this.arrive(from, other, message, total)
          if (path.duplicates > 0 && random.chance(path.duplicates)) {
            this.arrive(from, other, message, total + random.between(0, 1000))
          }
          if (!other.hung) next.push({ life: other, ms: total })
        }
      }
      wave = next
    }
  }

  /** Pulls a body; answered by the member in its own time, or by the time-out. */
  pull(life: Life, from: MemberId, revision: Revision, hash: string): void {
    const bodyOf = ({ core: { held } }: Life): string | null => (held?.hash === hash ? held.body : null)
    this.ask(life, from, bodyOf, this.random, {
      had: body => life.deliver({ kind: 'pulled', from, held: { revision, hash, body } }),
      failed: () => life.deliver({ kind: 'pullFailed', from, revision }),
    })
  }

  /** The same for a part of a store's state. */
  pullText(life: Life, from: MemberId, bodyOf: (other: Life) => string | null, then: Pulled): void {
    this.ask(life, from, bodyOf, this.ofStores, then)
  }

  private ask(life: Life, from: MemberId, bodyOf: (other: Life) => string | null, random: Random, then: Pulled): void {
    const other = this.lives.find(candidate => candidate.id === from)
    const fail = (afterMs: number): void => this.scheduler.after(afterMs, then.failed)
    if (other === undefined || (!this.mesh && !life.connections.has(from))) {
      fail(1)
      return
    }
    const there = this.path(life.host, other.host)
    const back = this.path(other.host, life.host)
    const lost = random.chance(Math.max(there.loss, back.loss))
    this.scheduler.after(delayOf(there, random), () => {
      if (!other.alive) return fail(5)
      if (lost || there.cut || back.cut || other.hung) return fail(PULL_TIMEOUT_MS)
      const body = bodyOf(other)
      if (body === null) return fail(delayOf(back, random))
      this.scheduler.after(delayOf(back, random) + random.between(1, 60), () => {
        if (back.cut) fail(PULL_TIMEOUT_MS)
        else then.had(body)
      })
    })
  }
}

interface Pulled {
  readonly had: (body: string) => void
  readonly failed: () => void
}

function delayOf(path: Path, random: Random): number {
  return path.delayMs + random.next() * path.jitterMs
}

function isOfStore(message: Message): boolean {
  return message.kind === 'store'
}
