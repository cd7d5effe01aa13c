// Deadlines without a timer per connection: whoever has one keeps it in a plain field, and one interval looks at all of them.
// Coarse (100 ms) on purpose; setting a deadline costs one store. A thread that stood still (a busy machine, a frozen container)
// blames nobody for it: what has come meanwhile is read before anyone is found to be late.

/** Something with a deadline. */
export interface Timed {
  /** Coarse ms (Sweep.now) at which onDeadline is called; 0 for never. */
  deadline: number
  /** Place in the sweep; -1 when not in it. Owned by Sweep. */
  sweepIndex: number
  onDeadline(nowMs: number): void
}

export const SWEEP_MS = 100
/** A tick that comes so late, ms, finds what others have sent meanwhile still unread. */
const STOOD_STILL_MS = SWEEP_MS

export class Sweep {
  /** Monotonic ms, at most SWEEP_MS old. */
  now = performance.now()
  private readonly items: Timed[] = []
  private readonly timer: NodeJS.Timeout
  private spared = false
  /** Called on every tick, before the deadlines. */
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
   * Timers run before sockets are read, so the deadlines come one turn later. After a standstill they wait for the next tick, for
   * the others' answers may take several turns (a TLS handshake); never twice in a row, or an ever busy thread would end nothing.
   */
  private onInterval(nowMs: number): void {
    this.spared = !this.spared && nowMs - this.now > SWEEP_MS + STOOD_STILL_MS
    this.now = nowMs
    this.onTick(nowMs)
    if (!this.spared) setImmediate(() => this.callDue(nowMs))
  }

  /** One look at everything, at once; for tests. */
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
