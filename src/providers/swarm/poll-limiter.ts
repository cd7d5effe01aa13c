// When the next read is made: after a pause that events cut short, but never so often that a storm of events becomes one of
// reads.

/** Reads in a second, at most, however many events come; the first ones are made at once. */
const MAX_READS = 10

export interface PollLimiter {
  /** A read has begun. */
  began(nowMs: number): void
  /** How long the next read must wait, ms. */
  breath(nowMs: number): number
  /** Resolves after this time, or soon after `wake`. */
  sleep(ms: number): Promise<void>
  /** Events come in bursts: those that arrive within a few milliseconds are one read. `gently`: reads are failing. */
  wake(gently: boolean): void
}

export function createPollLimiter(pollBusyMs: number): PollLimiter {
  const most = Math.max(MAX_READS, Math.ceil(2_000 / pollBusyMs))
  const starts: number[] = []
  let wake: (gently: boolean) => void = () => undefined

  function breath(nowMs: number): number {
    while (starts.length > 0 && nowMs - (starts[0] ?? 0) >= 1_000) starts.shift()
    return starts.length < most ? 0 : 1_000 - (nowMs - (starts[0] ?? 0))
  }

  return {
    began: nowMs => void starts.push(nowMs),
    breath,
    sleep(ms) {
      return new Promise(resolve => {
        const done = (): void => {
          clearTimeout(timer)
          wake = () => undefined
          resolve()
        }
        const timer = setTimeout(done, ms)
        wake = gently => {
          wake = () => undefined
          clearTimeout(timer)
          setTimeout(done, Math.max(gently ? 100 : 10, breath(performance.now())))
        }
      })
    },
    wake: gently => wake(gently),
  }
}
