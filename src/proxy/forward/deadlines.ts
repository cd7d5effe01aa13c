// Deadlines without a timer per connection: each object keeps its deadline in a plain field, and one interval checks all of them every
// 100 ms. Setting a deadline costs one store. After a pause of the thread (a busy machine, a frozen container) data that arrived
// meanwhile is read before any deadline is called.

/** An object with a deadline. */
export interface Timed {
  /** Time (Sweep.now, ms) at which onDeadline is called; 0: never. */
  deadline: number
  /** Index in the sweep; -1: not registered. Owned by Sweep. */
  sweepIndex: number
  onDeadline(nowMs: number): void
}

export const SWEEP_MS = 100
/** A tick this late means that the thread was blocked and that received data is still unread, ms. */
const BLOCKED_MS = SWEEP_MS

export class Sweep {
  /** Monotonic ms, at most SWEEP_MS old. */
  now = performance.now()
  private readonly items: Timed[] = []
  private readonly timer: NodeJS.Timeout
  private skipped = false
  /** Called on every tick, before any deadline. */
  private readonly onTick: (nowMs: number) => void

  constructor(onTick: (nowMs: number) => void = () => {}) {
    this.onTick = onTick
    this.timer = setInterval(() => this.onInterval(performance.now()), SWEEP_MS)
  }

  add(item: Timed): void {
    if (item.sweepIndex >= 0) return
    item.sweepIndex = this.items.length
    this.items.push(item)
  }

  remove(item: Timed): void {
    const index = item.sweepIndex
    if (index < 0) return
    const last = this.items.pop()!
    if (last !== item) {
      this.items[index] = last
      last.sweepIndex = index
    }
    item.sweepIndex = -1
  }

  /**
   * Timers run before sockets are read, so deadlines are checked one turn later. After a blocked period they are checked at the next
   * tick, because data of the peers may take several turns (a TLS handshake). Never two skips in a row: a thread that is always busy
   * would enforce no deadline.
   */
  private onInterval(nowMs: number): void {
    this.skipped = !this.skipped && nowMs - this.now > SWEEP_MS + BLOCKED_MS
    this.now = nowMs
    this.onTick(nowMs)
    if (!this.skipped) setImmediate(() => this.callDue(nowMs))
  }

  /** Checks all deadlines at once; for tests. */
  tick(nowMs: number): void {
    this.now = nowMs
    this.onTick(nowMs)
    this.callDue(nowMs)
  }

  private callDue(nowMs: number): void {
    for (let i = this.items.length - 1; i >= 0; i--) {
      const item = this.items[i]
      if (item !== undefined && item.deadline !== 0 && item.deadline <= nowMs) item.onDeadline(nowMs)
    }
  }

  stop(): void {
    clearInterval(this.timer)
  }
}
