// Rate limits for log lines, hints and messages: a token bucket, a fixed window that counts what it suppresses, and a bounded set
// of such windows by key. Pure: callers pass a monotonic clock in milliseconds. Used by the cluster and by src/.

/** Allows `burst` events at once and `perSecond` after that. A clock that goes back adds no tokens. */
export class TokenBucket {
  private readonly burst: number
  private readonly perSecond: number
  private tokens: number
  private atMs = Number.NEGATIVE_INFINITY

  constructor(burst: number, perSecond: number) {
    this.burst = burst
    this.perSecond = perSecond
    this.tokens = burst
  }

  /** Tokens available at `nowMs`, from 0 to `burst`. */
  available(nowMs: number): number {
    const gained = ((nowMs - this.atMs) / 1000) * this.perSecond
    this.tokens = Math.min(this.burst, this.tokens + Math.max(0, gained))
    this.atMs = Math.max(this.atMs, nowMs)
    return this.tokens
  }

  /** Takes `amount` tokens; false, and none taken, when there are fewer. */
  take(nowMs: number, amount = 1): boolean {
    if (this.available(nowMs) < amount) return false
    this.tokens -= amount
    return true
  }
}

/** Allows `max` events within `windowMs` of the first, so that events that others can cause do not bury the rest of the log. */
export class LogLimit {
  /** Events suppressed between the last two allowed ones. */
  suppressed = 0
  private readonly max: number
  private readonly windowMs: number
  private startMs = Number.NEGATIVE_INFINITY
  private allowed = 0
  private suppressing = 0

  constructor(max: number, windowMs: number) {
    this.max = max
    this.windowMs = windowMs
  }

  /** Whether another event may be logged at `nowMs`. When true, `suppressed` is the number of events to report with it. */
  take(nowMs: number): boolean {
    if (nowMs - this.startMs >= this.windowMs) {
      this.startMs = nowMs
      this.allowed = 0
    }
    if (this.allowed >= this.max) {
      this.suppressing++
      return false
    }
    this.allowed++
    this.suppressed = this.suppressing
    this.suppressing = 0
    return true
  }
}

/** Allows one event per key and window. Beyond `maxKeys` keys, the eighth of them that was allowed longest ago is evicted. */
export class KeyedLogLimit {
  /** Suppressed events of the key that take() allowed last, since its previous allowed event. */
  suppressed = 0
  private readonly maxKeys: number
  private readonly windowMs: number
  private readonly limits = new Map<string, LogLimit>()

  constructor(maxKeys = 512, windowMs = 60_000) {
    this.maxKeys = maxKeys
    this.windowMs = windowMs
  }

  /** Whether an event of this key may be logged at `nowMs`. When true, `suppressed` is the number of events to report with it. */
  take(key: string, nowMs: number): boolean {
    const known = this.limits.get(key)
    if (known?.take(nowMs) === false) return false
    this.limits.delete(key)
    if (this.limits.size >= this.maxKeys) this.evict()
    const limit = known ?? new LogLimit(1, this.windowMs)
    if (known === undefined) limit.take(nowMs)
    this.limits.set(key, limit)
    this.suppressed = limit.suppressed
    return true
  }

  private evict(): void {
    const oldest = [...this.limits.keys()].slice(0, Math.max(1, this.maxKeys >> 3))
    for (const key of oldest) this.limits.delete(key)
  }
}
