// So many at once, and so many per second after that.

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

  /** One more at `nowMs` (monotonic); false: it is too much. */
  take(nowMs: number): boolean {
    const gained = ((nowMs - this.atMs) / 1000) * this.perSecond
    this.tokens = Math.min(this.burst, this.tokens + Math.max(0, gained))
    this.atMs = Math.max(this.atMs, nowMs)
    if (this.tokens < 1) return false
    this.tokens--
    return true
  }
}
