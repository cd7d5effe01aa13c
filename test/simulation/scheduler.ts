// Virtual time. Actions run in the order of their time, and those of the same time in the order of scheduling. Idle time costs
// nothing.

interface Due {
  readonly at: number
  readonly order: number
  readonly action: () => void
}

export class Scheduler {
  /** Virtual time, ms. */
  now = 0
  /** Actions run so far. */
  done = 0
  private order = 0
  /** A binary heap, earliest first. */
  private readonly heap: Due[] = []

  after(ms: number, action: () => void): void {
    const { heap } = this
    const due = { at: this.now + Math.max(0, ms), order: this.order++, action }
    let i = heap.length
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(due, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = due
  }

  /** Runs all actions due up to `at`, then sets the time to `at`. */
  runUntil(at: number): void {
    while (this.heap.length > 0 && this.heap[0]!.at <= at) {
      const due = this.take()
      this.now = due.at
      this.done++
      due.action()
    }
    this.now = Math.max(this.now, at)
  }

  private take(): Due {
    const { heap } = this
    const first = heap[0]!
    const last = heap.pop()!
    const size = heap.length
    if (size === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= size) break
      if (child + 1 < size && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return first
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
