// One service's circuit breaker for the whole cluster. Any member on which the expression holds for the cluster's window opens
// it for all. When the open time ends, one member probes (prober-election.ts), and its verdict counts for all. A member writes
// its decisions to the store and follows the records of others: the latest record is the state. opossum runs the states
// (circuit.ts); recovery, which it lacks, is a closed circuit whose gate admits a growing share.

import type { BreakerReport } from '../../admin/admin-source.ts'
import type { Breaker } from '../../config/model.ts'
import type { Gate } from '../../proxy/breaker/service-breaker.ts'
import type { Outcomes } from '../../proxy/breaker/tally.ts'
import { printable } from '../../util/printable.ts'
import type { SharedStateHost } from '../part.ts'
import { Circuit } from './circuit.ts'
import { Counts, holds } from './counts.ts'
import { isOutweighed, isWell } from './evidence.ts'
import { CLAIM_MS, PROBE_RETRY_MS, PROBE_TURN_MS, proberRank, UNUSED_GRANT_MS } from './prober-election.ts'
import { type BreakerRecord, describeFigures, hashOf, nextEpoch, RECORD_TTL_MS } from './record.ts'
import { Window } from './window.ts'

/** Shortest interval between evaluations of the expression, ms; as in oxy. */
const CHECK_MS = 100
/** An open time that ended longer ago than this is ignored by a closed member: no member has probed since, ms. */
const FORGET_MS = 60_000

export interface BreakerHost extends Pick<SharedStateHost, 'post' | 'postTo' | 'now' | 'peers'> {
  /** Writes a log line, rate-limited. */
  log(level: 'info' | 'warn', fields: object, message: string): void
  /** Shares a record with all members. */
  write(service: string, record: BreakerRecord): void
  /** Requests ticks: the state may change. */
  wake(): void
}

export class SharedBreaker {
  readonly service: string
  readonly window = new Window()
  /** Own counts that were not shared yet. */
  unshared = false
  /** The expression holds on this member's counts alone: share them soon. */
  urgent = false
  sharedMs = Number.NEGATIVE_INFINITY
  private config: Breaker
  private readonly host: BreakerHost
  /** null until the breaker first opens; most never do. */
  private existingCircuit: Circuit | null = null
  private record: BreakerRecord | null = null
  /** Time of the record, own clock. */
  private recordMs = Number.NEGATIVE_INFINITY
  private sinceMs: number
  private openUntilMs = 0
  private recoveringMs: number | null = null
  private unchecked = false
  private checkedMs = Number.NEGATIVE_INFINITY
  private opened = 0
  private refused = 0
  // Half-open: start of the election, the claiming member, the worker that may probe, and the start of its probe.
  private electionSinceMs = 0
  private claim: { readonly id: string; readonly untilMs: number } | null = null
  private grant: { readonly worker: number; readonly fromMs: number } | null = null
  private probingMs: number | null = null
  /** Time of this member's last probe claim. */
  private claimedMs = Number.NEGATIVE_INFINITY
  private verdictFor = new Counts()

  constructor(service: string, config: Breaker, host: BreakerHost) {
    this.service = service
    this.config = config
    this.host = host
    this.sinceMs = host.now()
  }

  private get circuit(): Circuit {
    this.existingCircuit ??= new Circuit(this.service, {
      halfOpen: () => this.onHalfOpen(),
      decided: closed => this.onVerdict(closed),
    })
    return this.existingCircuit
  }

  private get circuitState(): Circuit['state'] {
    return this.existingCircuit?.state ?? 'closed'
  }

  /** @returns false: the expression differs; create a new breaker */
  update(config: Breaker): boolean {
    if (hashOf(config) !== hashOf(this.config)) return false
    this.config = config
    return true
  }

  stop(): void {
    this.existingCircuit?.stop()
  }

  get state(): BreakerReport['state'] {
    const state = this.circuitState
    return state === 'closed' && this.recoveringMs !== null ? 'recovering' : state
  }

  /** Whether ticks are needed. */
  get busy(): boolean {
    return this.unchecked || this.unshared || this.state === 'recovering' || this.state === 'half-open'
  }

  // ---- input of workers and other members ----

  outcomes(worker: number, outcomes: Outcomes): void {
    const now = this.host.now()
    this.refused += outcomes.refused
    if (outcomes.refused > 0) this.onRefused(worker, now)
    if (outcomes.statuses.length === 0) return
    this.resetExpiredEpoch(now)
    this.window.add(outcomes, now)
    this.unshared = true
    this.unchecked = true
    this.check(now)
  }

  /**
   * Applies counts of another member.
   * @returns false: malformed
   */
  receive(member: string, packed: string, ageMs: number): boolean {
    const now = this.host.now()
    this.resetExpiredEpoch(now)
    const isValid = this.window.receive(member, packed, now, ageMs)
    if (isValid) this.unchecked = true
    return isValid
  }

  probing(worker: number): void {
    if (this.state !== 'half-open' || this.grant?.worker !== worker) return
    const { host } = this
    this.probingMs = host.now()
    this.circuit.fire()
    // Several probes may end without a verdict; claims are limited.
    const first = this.claimedMs < this.sinceMs
    if (!first && this.probingMs - this.claimedMs < PROBE_TURN_MS) return
    this.claimedMs = this.probingMs
    const claim = this.newRecord('half-open', this.window.epoch, new Counts())
    this.publish({ ...claim, because: this.record?.because ?? claim.because, own: this.record?.own })
    if (first)
      host.log(
        'info',
        { service: this.service },
        `circuit breaker of service ${this.service}: a request is let through as a probe`,
      )
  }

  probed(worker: number, status: number, ms: number, networkError: boolean): void {
    if (this.state !== 'half-open' || this.grant?.worker !== worker || this.probingMs === null) return
    this.probingMs = null
    if (status === 0) return
    const counts = new Counts()
    counts.addOne(status, ms, networkError)
    const bad = holds(this.config.when, counts)
    // The client disconnected, which proves nothing: probe again.
    if (status === 499 && !bad) {
      this.grantProbe(worker, this.host.now())
      return
    }
    this.verdictFor = counts
    this.circuit.verdict(!bad, this.config.openMs)
  }

  /** The worker has exited: its probe is granted to another. */
  workerExited(worker: number): void {
    if (this.grant?.worker !== worker) return
    this.probingMs = null
    this.grant = null
  }

  /** Follows a record that another member wrote `ageMs` ago. */
  follow(record: BreakerRecord, ageMs: number): void {
    if (record.of !== hashOf(this.config)) return
    const epoch = this.window.epoch
    const state = this.circuitState
    const now = this.host.now()
    if (state === 'closed' && record.state !== 'recovering' && isOutweighed(record, this.config, this.window, now)) return
    switch (record.state) {
      case 'open': {
        const restMs = this.config.openMs - ageMs
        if (record.epoch === epoch && state === 'open') break
        // An old record, sent again by a member that was away.
        if (state === 'closed' && restMs <= 0 && (record.epoch <= epoch || restMs < -FORGET_MS)) return
        this.enterOpen(record, Math.max(1, restMs))
        break
      }
      case 'half-open':
        // A probe from before a verdict that was received already.
        if (record.epoch < epoch) return
        // This member missed the opening.
        if (state === 'closed') this.enterOpen(record, 1)
        this.window.epoch = record.epoch
        this.claim = { id: record.id, untilMs: now - ageMs + CLAIM_MS }
        if (this.probingMs === null) this.revokeProbe()
        break
      case 'recovering':
        if (
          state === 'closed' &&
          (record.epoch === epoch || ageMs >= this.config.recoveryMs || isWell(this.config, this.window, now))
        ) {
          this.window.epoch = record.epoch
          break
        }
        this.existingCircuit?.close()
        this.enterRecovering(record, ageMs)
    }
    this.record = record
    this.recordMs = now - ageMs
  }

  /**
   * Records expire, and a new member starts with the first epoch. Counts of all members must share an epoch, so this one
   * returns to it when the record has expired.
   */
  private resetExpiredEpoch(now: number): void {
    if (this.window.epoch === 0 || this.circuitState !== 'closed' || now - this.recordMs < RECORD_TTL_MS) return
    this.window.epoch = 0
  }

  // ---- time ----

  tick(): void {
    const now = this.host.now()
    this.check(now)
    if (this.recoveringMs !== null && now - this.recoveringMs >= this.config.recoveryMs) this.enterClosed(now)
    if (this.state !== 'half-open') return
    // The worker may have exited during the probe, or the response may never end.
    if (this.probingMs !== null && now - this.probingMs >= CLAIM_MS) {
      this.probingMs = null
      this.grant = null
    }
    if (this.claim !== null && (now >= this.claim.untilMs || !this.host.peers().some(peer => peer.id === this.claim?.id))) {
      this.claim = null
      this.electionSinceMs = now
    }
    if (this.grant === null && this.mayProbe(now)) this.grantProbe(0, now)
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
    const record = this.newRecord('open', nextEpoch(this.window.epoch), counts, this.window.ownTotal(now))
    this.publish(record)
    this.enterOpen(record, this.config.openMs)
  }

  // ---- states ----

  private enterOpen(record: BreakerRecord, restMs: number): void {
    this.opened++
    this.circuit.open(restMs)
    this.afterOpen(record, restMs)
    const { expression } = this.config
    const who = printable(record.by)
    this.host.log(
      'warn',
      { service: this.service, by: who, ...record.because },
      `circuit breaker of service ${this.service} is open for ${Math.ceil(restMs)} ms: ${expression} (${describeFigures(record)}; found by ${who})`,
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
    this.host.log(
      'info',
      { service: this.service, by: who },
      `circuit breaker of service ${this.service}: the probe succeeded (${describeFigures(record)}; by ${who}), requests pass again, ` +
        `all of them after ${overMs} ms`,
    )
    this.host.wake()
  }

  private enterClosed(now: number): void {
    this.recoveringMs = null
    this.sinceMs = now
    this.host.post({ kind: 'gate', service: this.service, gate: { state: 'closed' } })
    this.host.log('info', { service: this.service }, `circuit breaker of service ${this.service} is closed`)
  }

  /** Starts a new epoch: earlier counts are dropped. */
  private enter(epoch: number, gate: Gate): void {
    this.window.restart(epoch)
    this.unchecked = false
    this.recoveringMs = null
    this.claim = null
    this.grant = null
    this.probingMs = null
    this.sinceMs = this.host.now()
    this.host.post({ kind: 'gate', service: this.service, gate })
  }

  // ---- half-open ----

  private onHalfOpen(): void {
    const { host } = this
    this.sinceMs = host.now()
    this.electionSinceMs = this.sinceMs
    host.log('info', { service: this.service }, `circuit breaker of service ${this.service} is half-open: one member probes`)
    host.wake()
    this.tick()
  }

  private onVerdict(closed: boolean): void {
    const record = this.newRecord(closed ? 'recovering' : 'open', nextEpoch(this.window.epoch), this.verdictFor)
    this.publish(record)
    if (closed) {
      this.enterRecovering(record, 0)
      return
    }
    this.afterOpen(record, this.config.openMs)
    this.host.log(
      'info',
      { service: this.service, ...record.because },
      `circuit breaker of service ${this.service} stays open for ${this.config.openMs} ms: the probe failed (${describeFigures(record)})`,
    )
  }

  private mayProbe(now: number): boolean {
    if (this.claim !== null) return false
    return now - this.electionSinceMs >= proberRank(this.host.peers(), this.service, this.window.epoch) * PROBE_TURN_MS
  }

  /** This worker has requests: it gets the probe if none is granted, or the grant is unused. */
  private onRefused(worker: number, now: number): void {
    if (this.state !== 'half-open' || this.probingMs !== null || !this.mayProbe(now)) return
    if (this.grant === null || now - this.grant.fromMs >= UNUSED_GRANT_MS) this.grantProbe(worker, now)
  }

  private grantProbe(worker: number, now: number): void {
    if (this.grant !== null && this.grant.worker !== worker) this.revokeProbe()
    this.grant = { worker, fromMs: now }
    const gate = { state: 'probing', retryMs: PROBE_RETRY_MS } as const
    this.host.postTo(worker, { kind: 'gate', service: this.service, gate })
  }

  private revokeProbe(): void {
    if (this.grant === null) return
    const gate = { state: 'open', retryMs: PROBE_RETRY_MS } as const
    this.host.postTo(this.grant.worker, { kind: 'gate', service: this.service, gate })
    this.grant = null
  }

  // ---- records ----

  private newRecord(state: BreakerRecord['state'], epoch: number, counts: Counts, own = counts): BreakerRecord {
    const { name = '', id = '' } = this.host.peers().find(peer => peer.self) ?? {}
    const because = counts.figures()
    return { of: hashOf(this.config), state, epoch, by: name, id, at: Date.now(), because, own: own.pack() }
  }

  private publish(record: BreakerRecord): void {
    this.record = record
    this.recordMs = this.host.now()
    this.host.write(this.service, record)
  }

  /** Gate for a worker that starts now. */
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
