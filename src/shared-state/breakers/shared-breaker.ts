// One service's circuit breaker, as the whole cluster has it. Any member that sees the expression hold on the cluster's window
// opens it for all; when the open time is over one member probes (turns.ts), and its verdict counts for all. What a member
// decides it writes to the store, and follows what others have written: the last word there is everybody's state. opossum runs
// the states (circuit.ts); recovery, which it does not know, is a closed circuit whose gate lets a growing share through.

import type { BreakerReport } from '../../admin/admin-source.ts'
import type { Breaker } from '../../config/model.ts'
import type { Gate } from '../../proxy/breaker/service-breaker.ts'
import type { Outcomes } from '../../proxy/breaker/tally.ts'
import { printable } from '../../util/printable.ts'
import type { SharingHost } from '../part.ts'
import { Circuit } from './circuit.ts'
import { Counts, holds } from './counts.ts'
import { isOutweighed, isWell } from './evidence.ts'
import { CLAIM_MS, HOLD_MS, PROBE_RETRY_MS, rankOf, TURN_MS } from './prober-election.ts'
import { type BreakerRecord, markOf, nextEpoch, RECORD_TTL_MS, told } from './record.ts'
import { Window } from './window.ts'

/** At most so often the expression is looked at, ms; as in oxy. */
const CHECK_MS = 100
/** An open time that ended so long ago is no news to a member that is closed: nobody has probed since. */
const FORGET_MS = 60_000

export interface BreakerHost extends Pick<SharingHost, 'post' | 'postTo' | 'now' | 'peers'> {
  /** For people; what is too much is left out. */
  tell(level: 'info' | 'warn', fields: object, message: string): void
  /** To all members. */
  write(service: string, record: BreakerRecord): void
  /** Something other than time may make it change: it wants to be looked at again. */
  wake(): void
}

export class SharedBreaker {
  readonly service: string
  readonly window = new Window()
  /** Own counts that others have not heard of. */
  unshared = false
  /** By what this member sees alone it would open: then the others should know soon. */
  urgent = false
  sharedMs = Number.NEGATIVE_INFINITY
  private config: Breaker
  private readonly host: BreakerHost
  /** null until it first opens: most never do. */
  private made: Circuit | null = null
  private record: BreakerRecord | null = null
  /** When it was written. */
  private recordMs = Number.NEGATIVE_INFINITY
  private sinceMs: number
  private openUntilMs = 0
  private recoveringMs: number | null = null
  private unchecked = false
  private checkedMs = Number.NEGATIVE_INFINITY
  private opened = 0
  private refused = 0
  // Half-open: since when the members take turns, who claims to probe, which worker may, and whether it does.
  private turnsFromMs = 0
  private claim: { readonly id: string; readonly untilMs: number } | null = null
  private holder: { readonly worker: number; readonly fromMs: number } | null = null
  private probingMs: number | null = null
  /** When this member last told others that it probes. */
  private claimedMs = Number.NEGATIVE_INFINITY
  private verdictFor = new Counts()

  constructor(service: string, config: Breaker, host: BreakerHost) {
    this.service = service
    this.config = config
    this.host = host
    this.sinceMs = host.now()
  }

  private get circuit(): Circuit {
    this.made ??= new Circuit(this.service, {
      halfOpen: () => this.onHalfOpen(),
      decided: closed => this.onVerdict(closed),
    })
    return this.made
  }

  private get circuitState(): Circuit['state'] {
    return this.made?.state ?? 'closed'
  }

  /** @returns false: its expression is another one, so it must begin anew */
  update(config: Breaker): boolean {
    if (markOf(config) !== markOf(this.config)) return false
    this.config = config
    return true
  }

  stop(): void {
    this.made?.stop()
  }

  get state(): BreakerReport['state'] {
    const state = this.circuitState
    return state === 'closed' && this.recoveringMs !== null ? 'recovering' : state
  }

  /** Something is to be done as time goes by. */
  get busy(): boolean {
    return this.unchecked || this.unshared || this.state === 'recovering' || this.state === 'half-open'
  }

  // ---- what workers and other members say ----

  outcomes(worker: number, outcomes: Outcomes): void {
    const now = this.host.now()
    this.refused += outcomes.refused
    if (outcomes.refused > 0) this.onRefused(worker, now)
    if (outcomes.statuses.length === 0) return
    this.forgetOld(now)
    this.window.add(outcomes, now)
    this.unshared = true
    this.unchecked = true
    this.check(now)
  }

  /** Counts of another member. */
  heard(member: string, packed: string, ageMs: number): boolean {
    const now = this.host.now()
    this.forgetOld(now)
    const good = this.window.heard(member, packed, now, ageMs)
    if (good) this.unchecked = true
    return good
  }

  probing(worker: number): void {
    if (this.state !== 'half-open' || this.holder?.worker !== worker) return
    const { host } = this
    this.probingMs = host.now()
    this.circuit.fire()
    // One after the other may end without a verdict.
    const first = this.claimedMs < this.sinceMs
    if (!first && this.probingMs - this.claimedMs < TURN_MS) return
    this.claimedMs = this.probingMs
    const claim = this.written('half-open', this.window.epoch, new Counts())
    this.note({ ...claim, because: this.record?.because ?? claim.because, own: this.record?.own })
    const told = { service: this.service }
    if (first) host.tell('info', told, `circuit breaker of service ${this.service}: a request is let through as a probe`)
  }

  probed(worker: number, status: number, ms: number, networkError: boolean): void {
    if (this.state !== 'half-open' || this.holder?.worker !== worker || this.probingMs === null) return
    this.probingMs = null
    if (status === 0) return
    const counts = new Counts()
    counts.addOne(status, ms, networkError)
    const bad = holds(this.config.when, counts)
    // Its client has gone away, which says nothing good.
    if (status === 499 && !bad) {
      this.hand(worker, this.host.now())
      return
    }
    this.verdictFor = counts
    this.circuit.verdict(!bad, this.config.openMs)
  }

  /** It has died: what it had in hand another one gets. */
  workerExited(worker: number): void {
    if (this.holder?.worker !== worker) return
    this.probingMs = null
    this.holder = null
  }

  /** What another member has written, `ageMs` ago. */
  follow(record: BreakerRecord, ageMs: number): void {
    if (record.of !== markOf(this.config)) return
    const known = this.window.epoch
    const state = this.circuitState
    const now = this.host.now()
    if (state === 'closed' && record.state !== 'recovering' && isOutweighed(record, this.config, this.window, now)) return
    switch (record.state) {
      case 'open': {
        const restMs = this.config.openMs - ageMs
        if (record.epoch === known && state === 'open') break
        // Said anew by somebody who was away.
        if (state === 'closed' && restMs <= 0 && (record.epoch <= known || restMs < -FORGET_MS)) return
        this.enterOpen(record, Math.max(1, restMs))
        break
      }
      case 'half-open':
        // A probe from before a verdict that is known here; its own will follow.
        if (record.epoch < known) return
        // Who has missed that it opened learns it now.
        if (state === 'closed') this.enterOpen(record, 1)
        this.window.epoch = record.epoch
        this.claim = { id: record.id, untilMs: now - ageMs + CLAIM_MS }
        if (this.probingMs === null) this.withdraw()
        break
      case 'recovering':
        if (
          state === 'closed' &&
          (record.epoch === known || ageMs >= this.config.recoveryMs || isWell(this.config, this.window, now))
        ) {
          this.window.epoch = record.epoch
          break
        }
        this.made?.close()
        this.enterRecovering(record, ageMs)
    }
    this.record = record
    this.recordMs = now - ageMs
  }

  /**
   * What changed so long ago nobody who comes now hears of, and the counts of all must go together: each begins anew with the
   * first epoch, as those do who have never heard of another.
   */
  private forgetOld(now: number): void {
    if (this.window.epoch === 0 || this.circuitState !== 'closed' || now - this.recordMs < RECORD_TTL_MS) return
    this.window.epoch = 0
  }

  // ---- as time goes by ----

  tick(): void {
    const now = this.host.now()
    this.check(now)
    if (this.recoveringMs !== null && now - this.recoveringMs >= this.config.recoveryMs) this.enterClosed(now)
    if (this.state !== 'half-open') return
    // A worker may have died with it, or its answer may take for ever.
    if (this.probingMs !== null && now - this.probingMs >= CLAIM_MS) {
      this.probingMs = null
      this.holder = null
    }
    if (this.claim !== null && (now >= this.claim.untilMs || !this.host.peers().some(peer => peer.id === this.claim?.id))) {
      this.claim = null
      this.turnsFromMs = now
    }
    if (this.holder === null && this.myTurn(now)) this.hand(0, now)
  }

  private check(now: number): void {
    if (!this.unchecked || now - this.checkedMs < CHECK_MS) return
    this.unchecked = false
    if (this.circuitState !== 'closed') return
    this.checkedMs = now
    const own = this.window.ownTotal(now)
    this.urgent = holds(this.config.when, own)
    const counts = this.window.total(now, own)
    if (counts.requests < this.config.minRequests || !holds(this.config.when, counts)) return
    const record = this.written('open', nextEpoch(this.window.epoch), counts, this.window.ownTotal(now))
    this.note(record)
    this.enterOpen(record, this.config.openMs)
  }

  // ---- states ----

  private enterOpen(record: BreakerRecord, restMs: number): void {
    this.opened++
    this.circuit.open(restMs)
    this.afterOpen(record, restMs)
    const { expression } = this.config
    const who = printable(record.by)
    this.host.tell(
      'warn',
      { service: this.service, by: who, ...record.because },
      `circuit breaker of service ${this.service} is open for ${Math.ceil(restMs)} ms: ${expression} (${told(record)}; found by ${who})`,
    )
  }

  private afterOpen(record: BreakerRecord, restMs: number): void {
    this.openUntilMs = this.host.now() + restMs
    this.enter(record.epoch, { state: 'open', retryMs: restMs })
  }

  private enterRecovering(record: BreakerRecord, ageMs: number): void {
    const overMs = this.config.recoveryMs
    this.enter(record.epoch, { state: 'recovering', sinceMs: ageMs, overMs })
    this.recoveringMs = this.host.now() - ageMs
    const who = printable(record.by)
    this.host.tell(
      'info',
      { service: this.service, by: who },
      `circuit breaker of service ${this.service}: the probe was good (${told(record)}; by ${who}), requests pass again, ` +
        `all of them after ${overMs} ms`,
    )
    this.host.wake()
  }

  private enterClosed(now: number): void {
    this.recoveringMs = null
    this.sinceMs = now
    this.host.post({ kind: 'gate', service: this.service, gate: { state: 'closed' } })
    this.host.tell('info', { service: this.service }, `circuit breaker of service ${this.service} is closed`)
  }

  /** A new epoch: what was counted is of the past. */
  private enter(epoch: number, gate: Gate): void {
    this.window.restart(epoch)
    this.unchecked = false
    this.recoveringMs = null
    this.claim = null
    this.holder = null
    this.probingMs = null
    this.sinceMs = this.host.now()
    this.host.post({ kind: 'gate', service: this.service, gate })
  }

  // ---- half-open ----

  private onHalfOpen(): void {
    const { host } = this
    this.sinceMs = host.now()
    this.turnsFromMs = this.sinceMs
    host.tell('info', { service: this.service }, `circuit breaker of service ${this.service} is half-open: one member probes`)
    host.wake()
    this.tick()
  }

  private onVerdict(closed: boolean): void {
    const record = this.written(closed ? 'recovering' : 'open', nextEpoch(this.window.epoch), this.verdictFor)
    this.note(record)
    if (closed) {
      this.enterRecovering(record, 0)
      return
    }
    this.afterOpen(record, this.config.openMs)
    this.host.tell(
      'info',
      { service: this.service, ...record.because },
      `circuit breaker of service ${this.service} stays open for ${this.config.openMs} ms: the probe was bad (${told(record)})`,
    )
  }

  private myTurn(now: number): boolean {
    if (this.claim !== null) return false
    return now - this.turnsFromMs >= rankOf(this.host.peers(), this.service, this.window.epoch) * TURN_MS
  }

  /** Requests come to this worker: if nobody has the probe, or who has it gets none, it is better off here. */
  private onRefused(worker: number, now: number): void {
    if (this.state !== 'half-open' || this.probingMs !== null || !this.myTurn(now)) return
    if (this.holder === null || now - this.holder.fromMs >= HOLD_MS) this.hand(worker, now)
  }

  private hand(worker: number, now: number): void {
    if (this.holder !== null && this.holder.worker !== worker) this.withdraw()
    this.holder = { worker, fromMs: now }
    const gate = { state: 'probing', retryMs: PROBE_RETRY_MS } as const
    this.host.postTo(worker, { kind: 'gate', service: this.service, gate })
  }

  private withdraw(): void {
    if (this.holder === null) return
    const gate = { state: 'open', retryMs: PROBE_RETRY_MS } as const
    this.host.postTo(this.holder.worker, { kind: 'gate', service: this.service, gate })
    this.holder = null
  }

  // ---- what others are told ----

  private written(state: BreakerRecord['state'], epoch: number, counts: Counts, own = counts): BreakerRecord {
    const { name = '', id = '' } = this.host.peers().find(peer => peer.self) ?? {}
    const because = counts.figures()
    return { of: markOf(this.config), state, epoch, by: name, id, at: Date.now(), because, own: own.pack() }
  }

  private note(record: BreakerRecord): void {
    this.record = record
    this.recordMs = this.host.now()
    this.host.write(this.service, record)
  }

  /** As a worker that starts now is to stand. */
  gate(): Gate {
    const now = this.host.now()
    switch (this.state) {
      case 'closed':
        return { state: 'closed' }
      case 'open':
        return { state: 'open', retryMs: Math.max(1, this.openUntilMs - now) }
      case 'half-open':
        return { state: 'open', retryMs: PROBE_RETRY_MS }
      case 'recovering':
        return { state: 'recovering', sinceMs: now - (this.recoveringMs ?? now), overMs: this.config.recoveryMs }
    }
  }

  report(): BreakerReport {
    const now = this.host.now()
    const { record, state } = this
    const claimed = this.host.peers().find(peer => (this.probingMs === null ? peer.id === this.claim?.id : peer.self))
    return {
      service: this.service,
      expression: this.config.expression,
      state,
      sinceMs: Math.round(now - this.sinceMs),
      at: record?.at ?? 0,
      by: record?.by ?? '',
      because: record?.because ?? null,
      prober: state === 'half-open' ? (claimed?.name ?? '') : '',
      now: this.window.total(now).figures(),
      members: this.window.members(now),
      opened: this.opened,
      refusedRequests: this.refused,
    }
  }
}
