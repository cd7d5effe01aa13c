// So many lines of one kind in the log within a time and no more: what others can cause must not bury everything else.

export class LogLimit {
  /** Lines that were left out since the last that was not. */
  suppressed = 0
  private readonly most: number
  private readonly withinMs: number
  private startMs = Number.NEGATIVE_INFINITY
  private told = 0

  constructor(most: number, withinMs: number) {
    this.most = most
    this.withinMs = withinMs
  }

  /** May another be written at `nowMs` (monotonic)? Then say how many were `suppressed` before it, and reset that. */
  take(nowMs: number): boolean {
    if (nowMs - this.startMs >= this.withinMs) {
      this.startMs = nowMs
      this.told = 0
    }
    if (this.told >= this.most) {
      this.suppressed++
      return false
    }
    this.told++
    return true
  }
}
